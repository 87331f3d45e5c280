"""What contours refer to: a ROI by its number, a CT by its frame of reference, its series, and its slices.

Numbers and names are one to one, or the file is refused. Millimeters place a contour; identifiers tell whether they
are the millimeters of this CT. Where the two disagree a person decides, and the decision is recorded as a repair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.dicom.ct_series import CtScan
from pedseg.errors import InputProblem, raise_problems

# What may be decided against the file, and the words by which that is recorded.
DECISIONS = {
    "E-FRAME": "contours of another frame of reference taken",
    "E-STRUCTURES-SERIES": "contours of another series taken",
    "E-CONTOUR-SLICE": "contours placed by their millimeters, not on the slices that they name",
}


def named_series(header: Any) -> set[str]:
    """The UIDs of all series that an RTSTRUCT or a SEG says it was drawn on; none if it does not say."""
    items = [*(header.get("ReferencedSeriesSequence") or [])]
    for frame in header.get("ReferencedFrameOfReferenceSequence") or []:
        for study in frame.get("RTReferencedStudySequence") or []:
            items += study.get("RTReferencedSeriesSequence") or []
    return {str(item.get("SeriesInstanceUID") or "") for item in items} - {""}


def check_rois(file: Path, rois: Sequence[tuple[int, str]], contoured: Iterable[int]) -> Iterator[InputProblem]:
    """ROIs (number, name) and the numbers that contours refer to, where they are not one to one."""
    contoured = [*contoured]
    said: dict[str, list] = {
        "ROIs are called": [name for _, name in rois],
        "ROIs have the number": [number for number, _ in rois],
        "items hold the contours of ROI number": contoured,
    }
    for words, values in said.items():
        for value, times in Counter(values).items():
            if times > 1:
                problem = f"{times} {words} {value!r}; nobody knows which of them counts."
                yield InputProblem("E-ROI-TWICE", str(file), problem, "Rename or delete one in the planning system.")
    unknown = sorted({*contoured} - {number for number, _ in rois})
    if unknown:
        problem = f"contours refer to ROI number {', '.join(map(str, unknown[:8]))}, which no ROI has."
        remedy = "Export it again: the other numbers may be shifted as well."
        yield InputProblem("E-ROI-UNKNOWN", str(file), problem, remedy)


class References:
    """The images that the contours of one file name, compared with the CT on which they are read.

    `ignore_frame_of_reference` and `ignore_references` (other series, other slices) are decisions of the user.
    """

    def __init__(
        self, file: Path, header: Any, ct: CtScan, ignore_frame_of_reference: bool = False,
        ignore_references: bool = False,
    ) -> None:  # fmt: skip
        self.file, self.ct, self.series = str(file), ct, named_series(header)
        frames = [item.get("FrameOfReferenceUID") for item in header.get("ReferencedFrameOfReferenceSequence") or []]
        rois = header.get("StructureSetROISequence") or [header]  # a SEG says it once
        frames += [roi.get("ReferencedFrameOfReferenceUID", roi.get("FrameOfReferenceUID")) for roi in rois]
        self.frames = {str(frame or "") for frame in frames} - {""}
        self.ignored = {code: ignore_references for code in DECISIONS} | {"E-FRAME": ignore_frame_of_reference}
        keys = [*zip(ct.uids, ct.frames, strict=True)]
        self.planes = {key: k for k, key in enumerate(keys) if keys.count(key) == 1}  # others tell nothing
        self.named: set[str] = set()
        self.beside_mm: list[float] = []

    def add(self, images: Iterable[Any], plane: int) -> None:
        """The images that one contour, or one frame of a SEG, names, and the slice on which it lies by its place."""
        steps = []
        for image in images:
            uid, frames = str(image.get("ReferencedSOPInstanceUID") or ""), image.get("ReferencedFrameNumber")
            self.named.add(uid)
            enhanced = self.ct.frames[0] is not None and frames is not None
            keys = [(uid, int(frame) - 1) for frame in np.atleast_1d(frames)] if enhanced else [(uid, None)]
            steps += [abs(self.planes[key] - plane) for key in keys if key in self.planes]
        if steps and min(steps) > 0:
            self.beside_mm.append(min(steps) * self.ct.scan.spacing_mm[2])

    @property
    def _unknown(self) -> int:
        """How many images are named that the CT does not have."""
        return len(self.named - {*self.ct.uids, ""})

    def notes(self) -> Iterator[str]:
        """What does not stop the reading."""
        if self._unknown:
            named = f"{self._unknown} slices are named that this CT does not have"
            yield f"{named}; contours were placed by their millimeters"

    def _problems(self) -> Iterator[InputProblem]:
        """Why the contours may not be those of this CT; each is a key of `DECISIONS`."""
        own = self.ct.series.uid
        if self.frames - {self.ct.frame_of_reference}:
            problem = "its contours were drawn in another frame of reference than this CT."
            remedy = "Give the CT that they were drawn on. If both are surely aligned, say --ignore-frame-of-reference."
            yield InputProblem("E-FRAME", self.file, problem, remedy)
        remedy = "If its millimeters are surely right, ask for the repair `references` (recorded in cases.tsv)."
        if (self.series and own not in self.series) or (self._unknown and self.series != {own}):
            problem = "its contours were drawn on another series than this CT."
            remedy = f"Give the CT that they were drawn on. {remedy}"
            yield InputProblem("E-STRUCTURES-SERIES", self.file, problem, remedy)
        if self.beside_mm:
            count, most = len(self.beside_mm), max(self.beside_mm)
            problem = f"{count} contours name other slices than those they lie on, up to {most:.4g} mm away."
            yield InputProblem("E-CONTOUR-SLICE", self.file, problem, f"Export it again. {remedy}")

    def decide(self, problems: Iterable[InputProblem]) -> tuple[str, ...]:
        """Raise all problems that nobody decided; what the user decided against the file comes back in words."""
        problems = [*problems, *self._problems()]
        raise_problems(problem for problem in problems if not self.ignored.get(problem.code))
        return tuple(DECISIONS[problem.code] for problem in problems)
