"""A contour that somebody corrects: how good it is now, what was changed, and a file of its own for the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.metrics import score_case
from pedseg.organs import Organ
from pedseg.scan import Scan, restore_axes, write_nifti
from pedseg.viewer.case_view import TRUTH, Reading


@dataclass(frozen=True)
class Grade:
    """A contour beside the truth, and beside what it was: DSC and HD95 are None without a true organ."""

    dsc: float | None
    hd95_mm: float | None
    volume_ml: float
    added_ml: float
    removed_ml: float


class Correction:
    """One organ of one child, as `who` (a model, the truth, or nobody) had drawn it and as it is drawn now."""

    def __init__(self, reading: Reading, organ: Organ, who: str) -> None:
        labels = reading.labels(who)
        self.reading, self.organ, self.who = reading, organ, who
        self.base = np.zeros(reading.scan.shape, np.uint8) if labels is None else labels
        self.before = self.base == organ.id
        self.now = self.before.copy()

    def for_the_pen(self) -> bytes:
        """One byte a voxel, x fastest: what the pen starts from, or goes on with."""
        return self.now.astype(np.uint8).tobytes(order="F")

    def take(self, drawn: bytes) -> None:
        """What the pen has made of it, in the same order; a drawing of another size is left aside."""
        voxels = np.frombuffer(drawn, np.uint8)
        if voxels.size == self.now.size:
            self.now = voxels.reshape(self.now.shape, order="F") > 0

    def grade(self) -> Grade:
        """How good the contour is now."""
        ml = self.reading.scan.voxel_ml
        changes = [float(np.count_nonzero(each) * ml) for each in (self.now & ~self.before, self.before & ~self.now)]
        truth = self.reading.labels(TRUTH)
        if truth is None:
            return Grade(None, None, float(self.now.sum() * ml), *changes)
        true, drawn = ((each * self.organ.id).astype(np.uint8) for each in (truth == self.organ.id, self.now))
        (score,) = score_case(true, drawn, self.reading.scan.spacing_mm, [self.organ.name])
        return Grade(score.dsc, score.hd95_mm, score.predicted_ml, *changes)

    def labels(self) -> NDArray[np.uint8]:
        """The whole label map with the corrected organ in it."""
        corrected = np.where(self.before, 0, self.base)
        corrected[self.now] = self.organ.id
        return corrected.astype(np.uint8)

    def save(self, folder: Path, case: str, original: Scan | None = None) -> Path:
        """Write the corrected label map as NIfTI under a name that is not taken; the source is never touched.

        On the grid of `original` (the scan as it lies on disk), else on that of the RAS scan.
        """
        scan = Scan(self.labels(), self.reading.scan.affine)
        if original is not None:
            scan = restore_axes(scan.voxels, original)
        stem = "_".join([case, self.organ.name.replace("^", "-"), "corrected"])
        numbers = (f"{stem}{f'-{k}' if k > 1 else ''}.nii.gz" for k in range(1, 10_000))
        file = next(folder / name for name in numbers if not (folder / name).exists())
        write_nifti(file, scan)
        return file
