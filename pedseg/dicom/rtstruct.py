"""RTSTRUCT to mask: the contours of a planning system as voxels of the CT that they were drawn on.

Contours are placed by their millimeters. Identifiers are a cross-check: those that are lost are noted, those of other
images are refused. What does not lie in a plane of the CT is reported, never rounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.ct_series import LPS_TO_RAS, CtScan
from pedseg.dicom.dicom_files import dicom_errors
from pedseg.dicom.polygons import Polygon, polygon_area, polygons_to_mask, resolve_overlaps
from pedseg.dicom.references import References, check_rois
from pedseg.errors import InputProblem, input_error
from pedseg.tables import LazyMapping

OFF_PLANE_MM = 0.1
XOR = "CLOSEDPLANAR_XOR"  # of one contour: all of its ROI are combined by exclusive or (DICOM PS3.3 C.8.8.6.3)
CLOSED = ("CLOSED_PLANAR", XOR, "INTERPOLATED_PLANAR")
CONTOUR_DATA = 0x30060050


@dataclass(frozen=True)
class PlanarContours:
    """The closed contours of one ROI: polygons in (column, row), and the slice of each."""

    polygons: list[Polygon]
    planes: NDArray[np.intp]

    def mask(self, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
        """The voxels inside; only the box around the contours is computed."""
        if not self.polygons:
            return np.zeros(shape, dtype=bool)
        points = np.concatenate(self.polygons)
        low = np.clip(np.floor(points.min(axis=0)), 0, shape[:2]).astype(int)
        high = np.clip(np.ceil(points.max(axis=0)) + 1, 0, shape[:2]).astype(int)
        first, last = int(self.planes.min()), int(self.planes.max()) + 1
        mask = np.zeros(shape, dtype=bool)
        size = (int(high[0] - low[0]), int(high[1] - low[1]), last - first)
        moved = [polygon - low for polygon in self.polygons]
        mask[low[0] : high[0], low[1] : high[1], first:last] = polygons_to_mask(moved, self.planes - first, size)
        return mask


@dataclass(frozen=True)
class RoiMasks:
    """What an RTSTRUCT or a SEG holds: a mask (column, row, slice) by the ROI's own name; None for the `empty` ones.

    `notes` are what a person should know: points passed over, slices left out between contours, contours cut
    off by the border of the scan, slices named that the CT does not have. They hold the ROIs' own names, in which
    people write anything: for the screen, not for a data set. `automatic` are the ROIs that a program drew, `decided`
    is what the user took against the file's own references.
    """

    masks: Mapping[str, NDArray[np.bool_] | None]
    empty: set[str]
    notes: tuple[str, ...] = ()
    automatic: frozenset[str] = frozenset()
    decided: tuple[str, ...] = ()


def read_rtstruct(file: Path, ct: CtScan, **ignored: bool) -> RoiMasks:
    """The ROIs of an RTSTRUCT as masks on the grid of a CT; one error lists all that is wrong.

    Raises `PedsegInputError` for another frame of reference, series or slices than this CT's (unless `ignored`, see
    `References`), for ROIs that are not one to one, and for contours that lie in no plane of the CT.
    """
    import pydicom

    with dicom_errors(file):
        dataset = pydicom.dcmread(file)
        modality = str(dataset.get("Modality") or "")
        if modality != "RTSTRUCT":
            raise input_error("E-NOT-RTSTRUCT", file, f"it is {modality or 'no RTSTRUCT'}.", "Give an RTSTRUCT.")
        rois = [
            (int(roi.ROINumber), str(roi.get("ROIName") or ""), roi.get("ROIGenerationAlgorithm"))
            for roi in dataset.get("StructureSetROISequence") or []
        ]
        contoured = [(int(roi.ReferencedROINumber), roi) for roi in dataset.get("ROIContourSequence") or []]
        contoured = [(number, roi) for number, roi in contoured if roi.get("ContourSequence")]
        problems = [*check_rois(file, [roi[:2] for roi in rois], [number for number, _ in contoured])]
        references = References(file, dataset, ct, **ignored)
    items = {number: [*roi.ContourSequence] for number, roi in contoured}
    contours: dict[str, PlanarContours | None] = {}
    notes: list[str] = []
    for number, name, _ in rois:
        with dicom_errors(file):
            reader = _RoiReader(file, name, ct, references)
            contours[name] = reader.read(items.get(number, []))
            problems += reader.problems
            notes += reader.notes
    decided = references.decide(problems)
    automatic = frozenset(name for _, name, algorithm in rois if algorithm == "AUTOMATIC")
    masks = LazyMapping(contours, lambda name: roi.mask(ct.scan.shape) if (roi := contours[name]) else None)
    empty = {name for name, roi in contours.items() if roi is None}
    return RoiMasks(masks, empty, (*notes, *references.notes()), automatic, decided)


class _RoiReader:
    """One ROI from millimeters (LPS) to pixels of the CT, with the problems and notes of its contours."""

    def __init__(self, file: Path, name: str, ct: CtScan, references: References) -> None:
        self.file, self.name, self.references = file, name, references
        self.to_index = np.linalg.inv(LPS_TO_RAS @ ct.scan.affine)
        self.shape = ct.scan.shape
        self.step_mm = ct.scan.spacing_mm[2]
        self.problems: list[InputProblem] = []
        self.notes: list[str] = []

    def read(self, items: list) -> PlanarContours | None:
        """The closed contours of a ROI; None if nothing is drawn. A point or a line is drawn, and encloses no voxel."""
        polygons, planes = self._closed_contours(items)
        outside = sum(not 0 <= plane < self.shape[2] for plane in planes)
        if outside:
            problem = f"{outside} of {len(planes)} contours of {self.name!r} lie above or below the scan."
            self._add_problem("E-CONTOUR-OUTSIDE", problem, "Give the whole CT that they were drawn on.")
        if not polygons or outside:
            return PlanarContours([], np.array([], dtype=np.intp)) if items else None
        contours = PlanarContours(polygons, np.array(planes))
        self._note_gaps_and_cuts(contours)
        if XOR in {item.get("ContourGeometricType") for item in items}:
            return contours
        polygons, resolved, count = resolve_overlaps(polygons, contours.planes, self.shape[:2])
        if count:
            self.notes.append(
                f"{self.name}: contours coincide or overlap in {count} slices; what they enclose is joined"
            )
        return PlanarContours(polygons, resolved)

    def _closed_contours(self, items: list) -> tuple[list[Polygon], list[int]]:
        """Closed contours as (column, row) and their slices; the others are named and passed over."""
        polygons, planes = [], []
        passed: Counter[str] = Counter()
        off_mm: list[float] = []
        for item in items:
            kind = str(item.get("ContourGeometricType") or "")
            points = _points(item)
            half = len(points) // 2
            if np.array_equal(points[:half], points[half:]):  # it goes round twice
                points = points[:half]
            if kind not in CLOSED or len(points) < 3:
                passed[kind if kind not in CLOSED else "less than 3 points"] += 1
                continue
            index = points @ self.to_index[:3, :3].T + self.to_index[:3, 3]
            plane = round(float(np.median(index[:, 2])))
            distance = float(np.abs(index[:, 2] - plane).max()) * self.step_mm
            if distance > OFF_PLANE_MM + 0.01:  # coordinates are written with two decimals
                off_mm.append(distance)
                continue
            self.references.add(item.get("ContourImageSequence") or [], plane)
            polygons.append(index[:, :2])
            planes.append(plane)
        if passed:
            listed = ", ".join(f"{count} x {kind or 'no type'}" for kind, count in passed.items())
            self.notes.append(f"{self.name}: passed over {listed}")
        if off_mm:
            problem = f"{len(off_mm)} contours of {self.name!r} lie beside the slices, by up to {max(off_mm):.2f} mm."
            remedy = "Give the CT that they were drawn on, or draw them on this one."
            self._add_problem("E-CONTOUR-OFF-PLANE", problem, remedy)
        return polygons, planes

    def _note_gaps_and_cuts(self, contours: PlanarContours) -> None:
        """Slices left out between contours, and area beyond the border of the scan."""
        planes = np.unique(contours.planes)
        left_out = int(planes[-1] - planes[0] + 1 - len(planes))
        if left_out:
            self.notes.append(f"{self.name}: {left_out} slices between the contours have none; nothing is filled in")
        edge = np.array(self.shape[:2]) - 0.5
        beyond = [polygon for polygon in contours.polygons if (polygon < -0.51).any() or (polygon > edge + 0.01).any()]
        if beyond:
            cut = sum(polygon_area(polygon) - polygon_area(np.clip(polygon, -0.5, edge)) for polygon in beyond)
            share = cut / max(sum(map(polygon_area, contours.polygons)), 1e-9)
            self.notes.append(f"{self.name}: {share:.1%} of the contoured area lies beyond the scan and is cut off")

    def _add_problem(self, code: str, problem: str, remedy: str) -> None:
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
