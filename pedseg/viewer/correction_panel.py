"""Draw or correct a contour on the slices: DSC, HD95 and the changed milliliters follow the pen."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets

from pedseg.organs import ORGANS, organ
from pedseg.viewer.case_view import Reading
from pedseg.viewer.correction import Correction, Grade
from pedseg.viewer.slices import Slices

NOTHING = "nothing"


class CorrectionPanel(widgets.VBox):
    """Pen, live numbers and a button to save; `save` writes a correction and gives its file, None where it cannot."""

    def __init__(self, slices: Slices, save: Callable[[Correction], Path | None]) -> None:
        self.slices, self.save = slices, save
        self.reading: Reading | None = None
        self.correction: Correction | None = None
        half = widgets.Layout(width="49%")
        self.organ = widgets.Dropdown(
            options=[(one.plain, one.name) for one in ORGANS], value="Liver", description="organ", layout=half,
            style={"description_width": "42px"},
        )  # fmt: skip
        self.start_from = widgets.Dropdown(
            options=[NOTHING], description="from", layout=half, style={"description_width": "36px"}
        )
        self.on = widgets.ToggleButton(description="draw (D)", tooltip="the left mouse button draws", layout=half)
        self.pen = widgets.ToggleButtons(options=["add", "take away"], style={"button_width": "86px"})
        self.filled = widgets.Checkbox(value=True, description="fill what is circled", indent=False, layout=half)
        self.size = widgets.IntSlider(
            value=1, min=1, max=9, description="pen", layout=half, style={"description_width": "30px"}
        )
        self.undo = widgets.Button(description="undo (U)")
        self.keep = widgets.Button(description="save as NIfTI", disabled=True)
        self.numbers = widgets.HTML()
        self.saved = widgets.HTML()
        super().__init__(
            [
                widgets.HBox([self.organ, self.start_from]),
                widgets.HBox([self.on, self.pen]),
                widgets.HBox([self.filled, self.size]),
                self.numbers,
                widgets.HBox([self.undo, self.keep]),
                self.saved,
            ]
        )
        self._say(HELP)
        self.on.observe(lambda _: self._switch(), "value")
        for control in (self.pen, self.filled, self.size):
            control.observe(lambda _: self._take_pen(), "value")
        for choice in (self.organ, self.start_from):
            choice.observe(lambda _: self._restart(), "value")
        self.undo.on_click(lambda _: slices.undo())
        self.keep.on_click(lambda _: self._keep())
        slices.widget.observe(lambda change: self._drawn(change["new"]), "drawn")

    def turn_to(self, reading: Reading) -> None:
        """Another child: a drawing that is under way ends."""
        self.reading, self.on.value = reading, False
        self._give_up()

    def offer(self, sources: list[str]) -> None:
        """What a drawing can start from: these, or nothing. Others than before end a drawing that is under way."""
        was = self.start_from.value
        options = [*sources, NOTHING]
        if list(self.start_from.options) != options:
            self.start_from.options = options
            self.start_from.value = was if was in options and was != NOTHING else options[0]

    def _switch(self) -> None:
        if self.on.value and self.reading is not None:
            if self.correction is None:
                self._begin()
            else:
                self.slices.widget.drawing = self.correction.for_the_pen()
        self._take_pen()

    def _begin(self) -> None:
        assert self.reading is not None
        self.correction = Correction(self.reading, organ(self.organ.value), self.start_from.value)
        self.slices.widget.drawing = self.correction.for_the_pen()
        self.keep.disabled = False
        self._tell()

    def _restart(self) -> None:
        """Another organ or another start: what was drawn of the one before is given up."""
        self._give_up()
        if self.on.value:
            self._begin()

    def _give_up(self) -> None:
        self.correction, self.saved.value, self.keep.disabled = None, "", True
        self._say(HELP)

    def _take_pen(self) -> None:
        self.slices.widget.pen = {
            "on": self.on.value, "erase": self.pen.value != "add", "filled": self.filled.value, "size": self.size.value
        }  # fmt: skip

    def _drawn(self, voxels: bytes) -> None:
        if self.correction is not None and self.on.value and len(voxels):
            self.correction.take(bytes(voxels))
            self._tell()

    def _tell(self) -> None:
        assert self.correction is not None
        self._say(_in_words(self.correction.grade(), self.correction))

    def _say(self, text: str) -> None:
        self.numbers.value = f'<div class="pedseg-words" role="status" aria-live="polite">{text}</div>'

    def _keep(self) -> None:
        if self.correction is not None:
            file = self.save(self.correction)
            text = html.escape(f"Saved as {file.name} in the folder {file.parent.name}." if file else "Not saved.")
            self.saved.value = f'<div class="pedseg-note" role="status">{text}</div>'


def _in_words(grade: Grade, correction: Correction) -> str:
    """The numbers of a correction as one line."""
    quality = "no true contour to compare with"
    if grade.dsc is not None and grade.hd95_mm is not None:
        quality = f"DSC <b>{grade.dsc:.3f}</b> · HD95 <b>{grade.hd95_mm:.1f} mm</b>"
    changed = f"<b>{grade.volume_ml:.1f} mL</b>, changed: +{grade.added_ml:.1f} −{grade.removed_ml:.1f} mL"
    return f"{html.escape(correction.organ.plain)}: {quality} · {changed}"


HELP = "Press <b>draw</b>, then circle on a slice with the left mouse button: what is circled is added, or taken away."
