"""Contours of a planning system (RTSTRUCT) as voxels of the CT that they were drawn on, matched by where they lie.

Identifiers of slices are only a cross-check: they are lost in every second export, while millimeters stay. What does
not lie in a plane of the CT is reported, never rounded into one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.ct_series import LPS_TO_RAS, CtScan
from pedseg.dicom.dicom_files import reading
from pedseg.dicom.polygons import Ring, area, fill
from pedseg.errors import InputProblem, PedsegInputError, input_error

OFF_PLANE_MM = 0.1
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "INTERPOLATED_PLANAR")
CONTOUR_DATA = 0x30060050


class Rings(Mapping[str, "NDArray[np.bool_] | None"]):
    """Masks (column, row, slice) by ROI name, filled when they are asked for: thirty of a large scan need gigabytes."""

    def __init__(self, rings: Mapping[str, tuple[list[Ring], list[int]] | None], shape: tuple[int, int, int]) -> None:
        self.rings, self.shape = rings, shape

    def __getitem__(self, name: str) -> NDArray[np.bool_] | None:
        drawn = self.rings[name]
        return None if drawn is None else _fill_box(drawn[0], np.array(drawn[1]), self.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rings)

    def __len__(self) -> int:
        return len(self.rings)


@dataclass(frozen=True)
class Contours:
    """What an RTSTRUCT or a SEG holds: a mask (column, row, slice) by the ROI's own name; None where nothing is drawn.

    `notes` are what a person should know: points passed over, slices left out between contours, contours cut
    off by the border of the scan, slices named that the CT does not have. They hold the ROIs' own names, in which
    people write anything: for the screen, not for a data set. `automatic` are the ROIs that a program drew.
    """

    masks: Mapping[str, NDArray[np.bool_] | None]
    notes: tuple[str, ...] = ()
    automatic: frozenset[str] = frozenset()

    @property
    def empty(self) -> set[str]:
        """ROIs with a name and nothing drawn."""
        held = self.masks.rings if isinstance(self.masks, Rings) else self.masks
        return {name for name, drawn in held.items() if drawn is None}


def referenced_series(header: Any) -> str:
    """The UID of the CT series that an RTSTRUCT says it was drawn on, "" if it does not say."""
    try:
        frame = header.ReferencedFrameOfReferenceSequence[0]
        return str(frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return ""


def read_rtstruct(file: Path, ct: CtScan, *, other_frame: bool = False) -> Contours:
    """The ROIs of an RTSTRUCT as masks on the grid of a CT; one error lists all that is wrong.

    Raises `PedsegInputError` for another frame of reference (unless `other_frame`), two ROIs of one name, and
    contours that lie in no plane of the CT.
    """
    import pydicom

    with reading(file):
        dataset = pydicom.dcmread(file)
        if str(dataset.get("Modality") or "") != "RTSTRUCT":
            raise input_error(
                "E-NOT-RTSTRUCT", file, f"it is {dataset.get('Modality') or 'no RTSTRUCT'}.", "Give an RTSTRUCT."
            )
        rois = {int(item.ROINumber): item for item in dataset.get("StructureSetROISequence") or []}
        names = {number: str(item.get("ROIName") or "") for number, item in rois.items()}
        problems = [*_frames(file, dataset, rois, ct, other_frame), *_twice(file, names)]
        drawn: dict[int, list] = {}
        for item in dataset.get("ROIContourSequence") or []:
            drawn.setdefault(int(item.ReferencedROINumber), []).extend(item.get("ContourSequence") or [])
    rings: dict[str, tuple[list[Ring], list[int]] | None] = {}
    notes: list[str] = []
    for number, name in names.items():
        with reading(file):
            read = _Roi(file, name, ct)
            rings[name] = read.rings(drawn.get(number, []))
            problems += read.problems
            notes += read.notes
    if problems:
        raise PedsegInputError(problems)
    with reading(file):
        notes += _unknown_slices(drawn, ct)
        machine = (n for n, item in rois.items() if item.get("ROIGenerationAlgorithm") == "AUTOMATIC")
        return Contours(Rings(rings, ct.scan.shape), tuple(notes), frozenset(names[number] for number in machine))


def _frames(file: Path, dataset: Any, rois: Mapping[int, Any], ct: CtScan, other_frame: bool) -> Iterator[InputProblem]:
    """Contours in millimeters of another frame of reference lie elsewhere in the patient."""
    stated = {str(item.get("ReferencedFrameOfReferenceUID") or "") for item in rois.values()}
    stated |= {
        str(item.get("FrameOfReferenceUID") or "") for item in dataset.get("ReferencedFrameOfReferenceSequence") or []
    }
    foreign = stated - {"", ct.frame_of_reference}
    if foreign and not other_frame:
        found = "its contours were drawn in another frame of reference than this CT."
        remedy = "Give the CT that they were drawn on. If both are surely aligned, say --ignore-frame-of-reference."
        yield InputProblem("E-FRAME", str(file), found, remedy)


def _twice(file: Path, names: Mapping[int, str]) -> Iterator[InputProblem]:
    for name, times in Counter(names.values()).items():
        if times > 1:
            found = f"{times} ROIs are called {name!r}; nobody knows which of them counts."
            yield InputProblem("E-ROI-TWICE", str(file), found, "Rename or delete one in the planning system.")


def _unknown_slices(drawn: Mapping[int, list], ct: CtScan) -> Iterator[str]:
    known, named = {*ct.uids}, set()
    for item in (item for items in drawn.values() for item in items):
        try:
            named.add(str(item.ContourImageSequence[0].ReferencedSOPInstanceUID))
        except (AttributeError, IndexError, TypeError, KeyError, ValueError):
            continue
    strange = len(named - known)
    if strange:
        yield f"{strange} slices are named that this CT does not have; contours were placed by their millimeters"


class _Roi:
    """One ROI on its way from millimeters to voxels, and what was found on the way."""

    def __init__(self, file: Path, name: str, ct: CtScan) -> None:
        self.file, self.name = file, name
        self.to_index = np.linalg.inv(LPS_TO_RAS @ ct.scan.affine)
        self.shape = ct.scan.shape
        self.step_mm = ct.scan.spacing_mm[2]
        self.problems: list[InputProblem] = []
        self.notes: list[str] = []

    def rings(self, items: list) -> tuple[list[Ring], list[int]] | None:
        """The closed contours as (column, row), and the plane of each; None if there are none."""
        rings, planes = self._rings(items)
        if not rings:
            return None
        inside = [0 <= plane < self.shape[2] for plane in planes]
        if not all(inside):
            found = f"{inside.count(False)} of {len(planes)} contours of {self.name!r} lie above or below the scan."
            self._refuse("E-CONTOUR-OUTSIDE", found, "Give the whole CT that they were drawn on.")
            return None
        self._report(rings, planes)
        return rings, planes

    def _rings(self, items: list) -> tuple[list[Ring], list[int]]:
        """Closed contours as (column, row) and their planes; the others are named and passed over."""
        rings, planes = [], []
        passed: Counter[str] = Counter()
        off: list[float] = []
        for item in items:
            kind = str(item.get("ContourGeometricType") or "")
            points = _points(item)
            if kind not in CLOSED or len(points) < 3:
                passed[kind if kind not in CLOSED else "less than 3 points"] += 1
                continue
            index = points @ self.to_index[:3, :3].T + self.to_index[:3, 3]
            plane = round(float(np.median(index[:, 2])))
            distance = float(np.abs(index[:, 2] - plane).max()) * self.step_mm
            if distance > OFF_PLANE_MM + 0.01:  # coordinates are written with two decimals
                off.append(distance)
                continue
            rings.append(index[:, :2])
            planes.append(plane)
        if passed:
            listed = ", ".join(f"{count} x {kind or 'no type'}" for kind, count in passed.items())
            self.notes.append(f"{self.name}: passed over {listed}")
        if off:
            found = f"{len(off)} contours of {self.name!r} lie beside the slices, by up to {max(off):.2f} mm."
            self._refuse("E-CONTOUR-OFF-PLANE", found, "Give the CT that they were drawn on, or draw them on this one.")
        return rings, planes

    def _report(self, rings: list[Ring], planes: list[int]) -> None:
        """Slices left out between contours, and area beyond the border of the scan."""
        drawn = np.unique(planes)
        left_out = int(drawn[-1] - drawn[0] + 1 - len(drawn))
        if left_out:
            self.notes.append(f"{self.name}: {left_out} slices between the contours have none; nothing is filled in")
        edge = np.array(self.shape[:2]) - 0.5
        beyond = [ring for ring in rings if (ring < -0.51).any() or (ring > edge + 0.01).any()]
        if beyond:
            cut = sum(area(ring) - area(np.clip(ring, -0.5, edge)) for ring in beyond) / max(
                sum(map(area, rings)), 1e-9
            )
            self.notes.append(f"{self.name}: {cut:.1%} of the contoured area lies beyond the scan and is cut off")

    def _refuse(self, code: str, problem: str, remedy: str) -> None:
        self.problems.append(InputProblem(code, str(self.file), problem, remedy))


def _points(item: Any) -> NDArray[np.float64]:
    """The points of a contour in mm (LPS), from the raw bytes: ten times as fast as number by number."""
    element = item.get_item(CONTOUR_DATA) if CONTOUR_DATA in item else None
    value = None if element is None else element.value
    if not value:
        return np.empty((0, 3))
    numbers = np.array(value.rstrip(b" \0").split(b"\\") if isinstance(value, bytes) else value).astype(np.float64)
    if len(numbers) % 3 or not np.isfinite(numbers).all() or np.abs(numbers).max() > 1e6:
        raise ValueError("a contour has odd coordinates")
    return numbers.reshape(-1, 3)


def _fill_box(rings: list[Ring], planes: NDArray[np.intp], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """`fill` in the box around the rings only."""
    points = np.concatenate(rings)
    low = np.clip(np.floor(points.min(axis=0)), 0, shape[:2]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + 1, 0, shape[:2]).astype(int)
    first, last = int(planes.min()), int(planes.max()) + 1
    mask = np.zeros(shape, dtype=bool)
    size = (int(high[0] - low[0]), int(high[1] - low[1]), last - first)
    mask[low[0] : high[0], low[1] : high[1], first:last] = fill([ring - low for ring in rings], planes - first, size)
    return mask
