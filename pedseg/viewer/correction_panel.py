"""The correction panel: pen, tools over many slices, undo and redo, and live scores against the reference."""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from pedseg.organs import ORGANS, organ
from pedseg.viewer.case_view import CaseView
from pedseg.viewer.contour_editing import TOOLS, Draft, Drafts, score_draft
from pedseg.viewer.slices import Box, Slices, bounding_box, slices_of

NOTHING, CORRECTED = "nothing", "corrected"
PEN_TOOLS = {"brush": "brush", "eraser": "eraser", "circle": "add", "cut out": "cut"}
HELP = (
    "Press <b>draw</b>, then paint with the left mouse button or a finger. Every stroke is kept; each organ has a draft"
    " of its own."
)


class CorrectionPanel(widgets.VBox):
    """Drafts of a case, one an organ; `on_change` is called when the contour set `corrected` has changed.

    `guard` makes a callback show its errors on the page.
    """

    def __init__(self, slices: Slices, on_change: Callable[[], object], guard: Callable[[Callable], Callable]) -> None:
        self.slices, self.on_change, self.guard = slices, on_change, guard
        self.case_view: CaseView | None = None
        self.drafts: Drafts | None = None
        self.draft: Draft | None = None
        half, third = widgets.Layout(width="49%"), widgets.Layout(width="32%")
        self.organ = widgets.Dropdown(
            options=[(organ.plain, organ.name) for organ in ORGANS], value="Liver", description="organ", layout=half,
            style={"description_width": "42px"},
        )  # fmt: skip
        self.start_from = widgets.Dropdown(
            options=[NOTHING], description="from", layout=half, style={"description_width": "36px"}
        )
        self.on = widgets.ToggleButton(description="draw (D)", tooltip="the left mouse button draws", layout=third)
        self.tool = widgets.ToggleButtons(
            options=list(PEN_TOOLS.items()), style={"button_width": "66px"}, tooltip="what the pen does"
        )
        self.radius_mm = widgets.FloatSlider(
            value=4, min=0.5, max=30, step=0.5, description="radius, mm", layout=widgets.Layout(width="64%"),
            readout_format=".1f", style={"description_width": "72px"},
        )  # fmt: skip
        self.undo_button = widgets.Button(description="undo (U)", layout=third)
        self.redo_button = widgets.Button(description="redo (Y)", layout=third)
        self.restart_button = widgets.Button(
            description="start anew", layout=third, tooltip="as it was before; can be undone"
        )
        self.tools = {name: widgets.Button(description=name, layout=third) for name in TOOLS}
        self.scores, self.drafted = widgets.HTML(), widgets.HTML()
        rows = [
            (self.organ, self.start_from), (self.on, self.radius_mm), (self.tool,),
            (self.undo_button, self.redo_button, self.restart_button), tuple(self.tools.values()),
        ]  # fmt: skip
        super().__init__([*map(widgets.HBox, rows), self.scores, self.drafted])
        self._connect()
        self._show()

    def _connect(self) -> None:
        guard = self.guard
        for control in (self.on, self.organ, self.start_from):
            control.observe(guard(lambda _: self._open_draft()), "value")
        for control in (self.tool, self.radius_mm):
            control.observe(lambda _: self._set_pen(), "value")
        self.undo_button.on_click(guard(lambda _: self.undo()))
        self.redo_button.on_click(guard(lambda _: self.redo()))
        self.restart_button.on_click(guard(lambda _: self._replace(lambda draft: draft.original)))
        for name, button in self.tools.items():
            button.on_click(guard(lambda _, name=name: self.apply(name)))
        self.slices.on_stroke = guard(self._stroke)
        self.slices.on_mask_wanted = guard(self._send_all)

    def set_case(self, case_view: CaseView, folder: Path) -> None:
        """Another case, with the drafts that its folder holds."""
        self.on.value = False
        self.start_from.options = [NOTHING]  # the sets of another case
        self.case_view, self.draft = case_view, None
        self.drafts = Drafts(folder, case_view.scan.shape)
        self._show()

    def set_sources(self, sources: Sequence[Hashable]) -> None:
        """What a draft can start from: these contour sets, or nothing."""
        old, options = self.start_from.value, [(str(source), source) for source in (*sources, NOTHING)]
        if list(self.start_from.options) != options:
            self.start_from.options = options
            self.start_from.value = old if old in sources else options[0][1]

    def undo(self) -> None:
        """Undo the last change of this organ."""
        self._changed(self.draft.undo() if self.draft else None)

    def redo(self) -> None:
        """Redo what was undone last."""
        self._changed(self.draft.redo() if self.draft else None)

    def apply(self, tool: str) -> None:
        """Use one of the `TOOLS` on the whole organ."""
        if self.case_view is not None:
            spacing_mm = self.case_view.scan.spacing_mm
            self._replace(lambda draft: TOOLS[tool](draft.mask, spacing_mm))

    @property
    def has_drafts(self) -> bool:
        """Whether anything was drawn on this case, today or earlier."""
        return self.drafts is not None and bool(self.drafts.organs)

    def corrected(self) -> NDArray[np.uint8]:
        """The label map that the drafts start from, with all drafts in it."""
        assert self.case_view is not None and self.drafts is not None
        return self.drafts.merged(self.case_view.segmentation(self.start_from.value).labels, organ)

    def score_text(self) -> str:
        """Scores of the draft in one line of HTML."""
        if self.draft is None or self.case_view is None:
            return HELP
        reference = self.case_view.reference
        mask = None if reference is None else self.case_view.segmentation(reference).labels == self.draft.organ.id
        score = score_draft(self.draft, mask, self.case_view.scan.spacing_mm)
        name = html.escape(str(reference))
        quality = "nothing to compare it with" if reference is None else f"{name} has none"
        if score.dsc is not None and score.hd95_mm is not None:
            quality = f"against {name}: DSC <b>{score.dsc:.3f}</b>"
            quality += f" · HD95 <b>{score.hd95_mm:.1f} mm</b> · added path {score.added_path_mm:.0f} mm"
        changes = f"<b>{score.volume_ml:.1f} mL</b>, changed: +{score.added_ml:.1f} −{score.removed_ml:.1f} mL"
        return f"{html.escape(self.draft.organ.plain)}: {changes} · {quality}"

    # --- what happens -----------------------------------------------------------------------------

    def _open_draft(self) -> None:
        """The draft of the chosen organ, if the pen is on; every other one stays as it is."""
        self.draft = None
        if self.on.value and self.case_view is not None and self.drafts is not None:
            chosen = organ(self.organ.value)
            original = self.case_view.segmentation(self.start_from.value).labels == chosen.id
            self.draft = self.drafts.open(chosen, original)
        self.slices.session = self.slices.session + 1 if self.draft else 0  # the browser asks for the mask
        self._set_pen()
        self._show()

    def _set_pen(self) -> None:
        color = organ(self.organ.value).color
        on = self.on.value and self.draft is not None
        self.slices.pen = {"on": on, "tool": self.tool.value, "radius_mm": self.radius_mm.value, "color": color}

    def _send_all(self) -> None:
        if self.draft is not None:
            box = bounding_box(self.draft.mask)
            self.slices.send_mask(self.draft.mask[slices_of(box)], box, fresh=True)

    def _stroke(self, box: Box, mask: NDArray[np.bool_]) -> None:
        if self.draft is not None and self.draft.change(box, mask):
            self._keep()

    def _replace(self, make: Callable[[Draft], NDArray[np.bool_]]) -> None:
        if self.draft is not None:
            self._changed(self.draft.replace(make(self.draft)))

    def _changed(self, box: Box | None) -> None:
        """A box of the draft is another one: show it and keep it."""
        if self.draft is not None and box is not None:
            self.slices.send_mask(self.draft.mask[slices_of(box)], box)
            self._keep()

    def _keep(self) -> None:
        assert self.draft is not None and self.drafts is not None
        self.drafts.keep(self.draft)
        self._show()
        self.on_change()

    def _show(self) -> None:
        self.scores.value = f'<div class="pedseg-info" role="status" aria-live="polite">{self.score_text()}</div>'
        organs = self.drafts.organs if self.drafts else []
        listed = ", ".join(html.escape(organ(name).plain) for name in organs)
        self.drafted.value = f'<div class="pedseg-note">Drafts kept: {listed or "none"}.</div>'
