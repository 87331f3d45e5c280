"""Contour editing: draw or correct a contour on the slices, with DSC, HD95 and changed volume, and save it as NIfTI."""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from pedseg.metrics import score_case
from pedseg.organs import ORGANS, Organ, organ
from pedseg.scan import Scan, restore_axes, write_nifti
from pedseg.viewer.case_view import CaseView
from pedseg.viewer.controls import sentence
from pedseg.viewer.slices import Slices

NOTHING = "nothing"
HELP = "Press <b>draw</b>, then circle on a slice with the left mouse button: what is circled is added, or taken away."


@dataclass(frozen=True)
class CorrectionScore:
    """A corrected contour against the truth, and its changes; DSC and HD95 are None without a true organ."""

    dsc: float | None
    hd95_mm: float | None
    volume_ml: float
    added_ml: float
    removed_ml: float


class Correction:
    """One organ of one case, as `source` (a model, the truth or nothing) contoured it and as it is edited."""

    def __init__(self, case_view: CaseView, organ: Organ, source: Hashable) -> None:
        self.case_view, self.organ = case_view, organ
        self.source_labels = case_view.segmentation(source).labels
        self.original = self.source_labels == organ.id
        self.mask = self.original.copy()

    def as_bytes(self) -> bytes:
        """The mask for the pen: one byte a voxel, x fastest."""
        return self.mask.astype(np.uint8).tobytes(order="F")

    def update(self, drawing: bytes) -> None:
        """Take the mask from the pen, in the same order; a drawing of another size is ignored."""
        voxels = np.frombuffer(drawing, np.uint8)
        if voxels.size == self.mask.size:
            self.mask = voxels.reshape(self.mask.shape, order="F") > 0

    def score(self) -> CorrectionScore:
        """Score the contour as it is now."""
        scan, truth = self.case_view.scan, self.case_view.truth
        changes = (self.mask & ~self.original, self.original & ~self.mask)
        added_ml, removed_ml = (float(np.count_nonzero(change) * scan.voxel_ml) for change in changes)
        if truth is None:
            return CorrectionScore(None, None, float(self.mask.sum() * scan.voxel_ml), added_ml, removed_ml)
        true, edited = ((mask * self.organ.id).astype(np.uint8) for mask in (truth == self.organ.id, self.mask))
        (score,) = score_case(true, edited, scan.spacing_mm, [self.organ.name])
        return CorrectionScore(score.dsc, score.hd95_mm, score.predicted_ml, added_ml, removed_ml)

    def summary(self) -> str:
        """The scores in one line of HTML."""
        score, quality = self.score(), "no true contour to compare with"
        if score.dsc is not None and score.hd95_mm is not None:
            quality = f"DSC <b>{score.dsc:.3f}</b> · HD95 <b>{score.hd95_mm:.1f} mm</b>"
        changes = f"<b>{score.volume_ml:.1f} mL</b>, changed: +{score.added_ml:.1f} −{score.removed_ml:.1f} mL"
        return f"{html.escape(self.organ.plain)}: {quality} · {changes}"

    def labels(self) -> NDArray[np.uint8]:
        """The whole label map with the corrected organ in it."""
        corrected = np.where(self.original, 0, self.source_labels)
        corrected[self.mask] = self.organ.id
        return corrected.astype(np.uint8)

    def save(self, folder: Path, case: str, original: Scan | None = None) -> Path:
        """Write the corrected label map as NIfTI under a new name; no file is overwritten.

        On the grid of `original` (the scan as it lies on disk), else on that of the RAS scan.
        """
        scan = Scan(self.labels(), self.case_view.scan.affine)
        if original is not None:
            scan = restore_axes(scan.voxels, original)
        stem = "_".join([case, self.organ.name.replace("^", "-"), "corrected"])
        files = (folder / f"{stem}{f'-{k}' if k > 1 else ''}.nii.gz" for k in range(1, 10_000))
        file = next(file for file in files if not file.exists())
        write_nifti(file, scan)
        return file


class CorrectionPanel(widgets.VBox):
    """Pen, live scores and a button to save; `save` writes a correction and gives its file, None where it cannot."""

    def __init__(self, slices: Slices, save: Callable[[Correction], Path | None]) -> None:
        self.slices, self.save = slices, save
        self.case_view: CaseView | None = None
        self.correction: Correction | None = None
        half = widgets.Layout(width="49%")
        self.organ = widgets.Dropdown(
            options=[(organ.plain, organ.name) for organ in ORGANS], value="Liver", description="organ", layout=half,
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
        self.save_button = widgets.Button(description="save as NIfTI", disabled=True)
        self.scores, self.saved = widgets.HTML(), widgets.HTML()
        choices = [(self.organ, self.start_from), (self.on, self.pen), (self.filled, self.size)]
        buttons = widgets.HBox([self.undo, self.save_button])
        super().__init__([*map(widgets.HBox, choices), self.scores, buttons, self.saved])
        self._show_scores()
        self.on.observe(lambda _: self._switch(), "value")
        for control in (self.pen, self.filled, self.size):
            control.observe(lambda _: self._set_pen(), "value")
        for control in (self.organ, self.start_from):
            control.observe(lambda _: self._restart(), "value")
        self.undo.on_click(lambda _: slices.undo())
        self.save_button.on_click(lambda _: self._save())
        slices.observe(lambda change: self._update(change["new"]), "pen_output")

    def set_case(self, case_view: CaseView) -> None:
        """Another case: a correction that is under way ends."""
        self.case_view, self.on.value = case_view, False
        self._discard()

    def set_sources(self, sources: Sequence[Hashable]) -> None:
        """What a correction can start from: these, or nothing. A change ends a correction that is under way."""
        old, options = self.start_from.value, [(str(source), source) for source in (*sources, NOTHING)]
        if list(self.start_from.options) != options:
            self.start_from.options = options
            self.start_from.value = old if old in sources else options[0][1]

    def _switch(self) -> None:
        if self.on.value and self.case_view is not None:
            if self.correction is None:
                self._begin(self.case_view)
            else:
                self.slices.pen_input = self.correction.as_bytes()
        self._set_pen()

    def _begin(self, case_view: CaseView) -> None:
        self.correction = Correction(case_view, organ(self.organ.value), self.start_from.value)
        self.slices.pen_input = self.correction.as_bytes()
        self.save_button.disabled = False
        self._show_scores()

    def _restart(self) -> None:
        """Another organ or another source: what was drawn before is discarded."""
        self._discard()
        if self.on.value and self.case_view is not None:
            self._begin(self.case_view)

    def _discard(self) -> None:
        self.correction, self.saved.value, self.save_button.disabled = None, "", True
        self._show_scores()

    def _set_pen(self) -> None:
        erase = self.pen.value != "add"
        pen = {"on": self.on.value, "erase": erase, "filled": self.filled.value, "size": self.size.value}
        self.slices.pen = pen

    def _update(self, drawing: bytes) -> None:
        if self.correction is not None and self.on.value and len(drawing):
            self.correction.update(bytes(drawing))
            self._show_scores()

    def _show_scores(self) -> None:
        text = HELP if self.correction is None else self.correction.summary()
        self.scores.value = f'<div class="pedseg-info" role="status" aria-live="polite">{text}</div>'

    def _save(self) -> None:
        if self.correction is not None:
            file = self.save(self.correction)
            text = f"Saved as {file.name} in the folder {file.parent.name}." if file else "Not saved."
            self.saved.value = sentence(text, role="status")
