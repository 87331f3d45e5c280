"""One case under review: a scan and its contour sets, two of which are compared: scores, distances, disagreements.

A contour set is the ground truth (of a synthetic child alone), what a hospital or a reader drew, or a prediction. One
of them is the `reference` that the others are measured against; that does not make it true. Whatever does not fit
together (a label map on another grid, a flat image, an empty prediction) is an error in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.metrics import OrganScore, score_case
from pedseg.organs import EVALUATED, NAMES, ORGANS
from pedseg.scan import Scan
from pedseg.viewer.meshes import MaskBoundary, Surface, distance_to_truth_mm, organ_surfaces
from pedseg.viewer.slices import PackedLabels
from pedseg.workbook.figures import PLANES, fullest

TRUTH = "truth"
SURFACE_MM = 1.45  # finer voxels make no better surface
MIN_DISAGREEMENT_ML = 0.05  # smaller ones are not listed
ORGAN_BY_ID = {organ.id: organ for organ in ORGANS}
Voxel = tuple[int, int, int]
LabelMap = NDArray[np.uint8]


@dataclass
class Segmentation:
    """A label map on a scan's grid; volumes, surfaces and what is sent are computed when first asked for."""

    labels: LabelMap
    scan: Scan

    @cached_property
    def volume_ml(self) -> dict[int, float]:
        """The volume of every organ in the label map, by organ id."""
        counts = np.bincount(self.labels.ravel())
        return {i: float(n * self.scan.voxel_ml) for i, n in enumerate(counts) if i and n}

    @cached_property
    def packed(self) -> PackedLabels:
        """The label map as it is sent to the browser."""
        return PackedLabels(self.labels)

    @cached_property
    def surfaces(self) -> dict[int, Surface]:
        """The surface mesh of every organ, by organ id; of voxels below some 0.7 mm every second one is enough."""
        step = [max(1, int(SURFACE_MM / mm)) for mm in self.scan.spacing_mm]
        labels = np.ascontiguousarray(self.labels[:: step[0], :: step[1], :: step[2]])
        return organ_surfaces(labels, self.scan.affine @ np.diag([*step, 1.0]))

    def organ_center(self, organ_id: int) -> Voxel | None:
        """The voxel of an organ that is nearest to its centroid; None where there is no such organ."""
        voxels = np.argwhere(self.labels == organ_id)
        if not len(voxels):
            return None
        nearest = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
        return tuple(int(v) for v in nearest)  # type: ignore[return-value]


@dataclass(frozen=True)
class Disagreement:
    """A connected region where two contour sets differ in the same way."""

    first: int  # organ id that the first set has there, 0 for none
    second: int
    volume_ml: float
    voxel: Voxel  # deepest inside
    mask: NDArray[np.bool_]  # in `box`
    box: tuple[slice, slice, slice]

    def as_label_map(self, shape: tuple[int, ...]) -> LabelMap:
        """The region as a label map of its own, with the id 1."""
        labels = np.zeros(shape, np.uint8)
        labels[self.box] = self.mask
        return labels


class CaseView:
    """A scan (RAS) with contour sets on its grid; a prediction may be computed when it is looked up.

    The keys of `contours` are shown by their `str`. The `reference` is the truth where there is one, else the first set
    that is no prediction of `models`.
    """

    def __init__(
        self, scan: Scan, truth: NDArray | None = None, contours: Mapping[Hashable, NDArray] | None = None,
        models: Collection[Hashable] = (),
    ) -> None:  # fmt: skip
        if scan.voxels.ndim != 3 or min(scan.voxels.shape) < 2:
            problem = f"the image has the shape {tuple(scan.voxels.shape)}: it is flat, not a volume."
            raise input_error("E-NOT-3D", "the scan", problem, "Give one three-dimensional volume.")
        self.scan, self.models = scan, models
        self.note = ""  # on how the models' contours came onto this scan
        self.truth = None if truth is None else self._check(truth, TRUTH)
        self._added: dict[Hashable, Callable[[], NDArray]] = {}
        self._contours = contours or {}
        self.reference: Hashable | None = next((name for name in self.sets if name not in models), None)
        self._segmentations: dict[Hashable, Segmentation] = {}
        self._scores: dict[tuple[Hashable, Hashable], dict[str, OrganScore]] = {}
        self._distances: dict[tuple[Hashable, Hashable], dict[int, NDArray | None]] = {}
        self._boundaries: dict[tuple[Hashable, int], MaskBoundary] = {}
        self._disagreements: dict[tuple[Hashable, Hashable, tuple[int, ...]], list[Disagreement]] = {}

    @property
    def sets(self) -> list[Hashable]:
        """The names of all contour sets: the truth, those of the case, the models', and what was added."""
        truth = [] if self.truth is None else [TRUTH]
        return [*dict.fromkeys([*truth, *self._contours, *self._added])]

    def add(self, name: Hashable, make: Callable[[], NDArray]) -> None:
        """Add a contour set, or say that the one of this name has changed; it is made when it is looked at."""
        self._added[name] = make
        self._segmentations.pop(name, None)
        kept: list[dict[Any, Any]] = [self._scores, self._distances, self._boundaries, self._disagreements]
        for computed in kept:
            for key in [key for key in computed if name in key]:
                del computed[key]

    def _check(self, labels: NDArray, name: Hashable) -> LabelMap:
        labels = np.asarray(labels)
        if labels.shape != self.scan.voxels.shape:
            sizes = [" × ".join(map(str, shape)) for shape in (labels.shape, self.scan.shape)]
            problem = f"it has {sizes[0]} voxels, the scan {sizes[1]}: it lies on another grid."
            remedy = "Resample it onto the grid of the scan, or open the scan it belongs to."
            raise input_error("E-GEOMETRY", str(name), problem, remedy)
        if labels.size and (labels.min() < 0 or labels.max() > len(NAMES)):
            problem = "it holds numbers that are no organ ids."
            raise input_error("E-LABELS", str(name), problem, f"Use 0 to {len(NAMES)}.")
        return labels.astype(np.uint8, copy=False)

    def segmentation(self, source: Hashable) -> Segmentation:
        """A contour set by its name; an empty one where there is none."""
        if source not in self._segmentations:
            if source == TRUTH and self.truth is not None:
                labels = self.truth
            elif source in self._added:
                labels = self._check(self._added[source](), source)
            elif source in self._contours:
                labels = self._check(self._contours[source], source)
            else:
                labels = np.zeros(self.scan.shape, np.uint8)
            self._segmentations[source] = Segmentation(labels, self.scan)
        return self._segmentations[source]

    def scores(self, source: Hashable) -> dict[str, OrganScore]:
        """DSC, distances and volumes of a set against the reference, by organ name; empty without a reference."""
        if self.reference is None:
            return {}
        key = (source, self.reference)
        if key not in self._scores:
            labels = self.segmentation(self.reference).labels, self.segmentation(source).labels
            scores = score_case(labels[0], labels[1], self.scan.spacing_mm, NAMES)
            self._scores[key] = {score.organ: score for score in scores}
        return self._scores[key]

    def surface_distances_mm(self, source: Hashable) -> dict[int, NDArray | None]:
        """Signed distance of every vertex of a set's surfaces from those of the reference (`distance_to_truth_mm`)."""
        if self.reference is None:
            return {}
        key = (source, self.reference)
        if key not in self._distances:
            reference, affine = self.segmentation(self.reference).labels, self.scan.affine
            surfaces = self.segmentation(source).surfaces
            self._distances[key] = {
                i: distance_to_truth_mm(surface, reference, i, affine) for i, surface in surfaces.items()
            }
        return self._distances[key]

    def start_voxel(self) -> Voxel:
        """Where to look first: the slices that show most of the evaluated organs."""
        if self.truth is None:  # other contours are still to be read
            return tuple(n // 2 for n in self.scan.shape)  # type: ignore[return-value]
        index = {PLANES[plane][0]: fullest(self.truth, plane, EVALUATED) for plane in PLANES}
        return index[0], index[1], index[2]

    def to_mm(self, voxel: Sequence[float] | NDArray) -> NDArray:
        """The patient coordinates (RAS, mm) of a voxel's center."""
        return self.scan.affine[:3, :3] @ np.asarray(voxel, float) + self.scan.affine[:3, 3]

    def to_voxel(self, position_mm: Sequence[float] | NDArray) -> Voxel:
        """The voxel at a position in patient coordinates (RAS, mm), the nearest one inside the scan."""
        offset_mm = np.asarray(position_mm, float) - self.scan.affine[:3, 3]
        voxel = np.round(np.linalg.inv(self.scan.affine[:3, :3]) @ offset_mm).astype(int)
        inside = np.clip(voxel, 0, np.array(self.scan.shape) - 1)
        return tuple(int(v) for v in inside)  # type: ignore[return-value]

    def describe_voxel(self, voxel: Voxel, models: Iterable[Hashable] = ()) -> str:
        """A voxel in words: millimeters from the scan's corner, HU, the organ in the truth and in predictions."""
        x, y, z = (f"{k * mm:.0f}" for k, mm in zip(voxel, self.scan.spacing_mm, strict=True))
        parts = [f"x {x} · y {y} · z {z} mm", f"{float(self.scan.voxels[voxel]):.0f} HU"]
        sources = [*models] if self.reference is None else [self.reference, *models]
        parts += [f"{source}: {_organ_name(self.segmentation(source).labels[voxel])}" for source in sources]
        if self.reference is not None and (organ_id := int(self.segmentation(self.reference).labels[voxel])):
            border = "the true border" if self.reference == TRUTH else f"the border of {self.reference}"
            parts.append(f"{self._depth_mm(organ_id, voxel):.0f} mm inside {border}")
        return " · ".join(parts)

    def organs_at(self, voxel: Voxel, models: Iterable[Hashable]) -> list[int]:
        """Ids of the organs at a voxel, in the reference or in another set."""
        return sorted({int(self.segmentation(source).labels[voxel]) for source in (self.reference, *models)} - {0})

    def _depth_mm(self, organ_id: int, voxel: Voxel) -> float:
        """Distance of a voxel inside an organ of the reference from that organ's boundary."""
        key = (self.reference, organ_id)
        if key not in self._boundaries:
            labels = self.segmentation(self.reference).labels
            self._boundaries[key] = MaskBoundary.of(np.pad(labels == organ_id, 1), np.array(self.scan.spacing_mm))
        return float(self._boundaries[key].distance_mm(np.array([voxel]) + 1)[0])

    def disagreements(self, first: Hashable, second: Hashable, organ_ids: Iterable[int]) -> list[Disagreement]:
        """Connected regions where two contour sets differ on these organs, the largest first."""
        key = (first, second, tuple(organ_ids))
        if key not in self._disagreements:
            a, b = (self.segmentation(model).labels for model in (first, second))
            regions = _differences(a, b, key[2], self.scan.voxel_ml)
            self._disagreements[key] = sorted(regions, key=lambda region: -region.volume_ml)
        return self._disagreements[key]


def _differences(a: LabelMap, b: LabelMap, organ_ids: tuple[int, ...], voxel_ml: float) -> Iterator[Disagreement]:
    """Every connected region of voxels with the same pair of different labels."""
    from scipy import ndimage

    wanted = np.zeros(256, bool)
    wanted[list(organ_ids)] = True
    differ = (a != b) & (wanted[a] | wanted[b])
    pair = np.where(differ, a.astype(np.int32) * 256 + b, 0)
    for kind in np.unique(pair[differ]):
        components, _ = ndimage.label(pair == kind)
        for number, box in enumerate(ndimage.find_objects(components), start=1):
            mask = components[box] == number
            volume_ml = float(mask.sum() * voxel_ml)
            if volume_ml >= MIN_DISAGREEMENT_ML:
                voxel = _deepest_voxel(mask, box)
                yield Disagreement(int(kind) // 256, int(kind) % 256, volume_ml, voxel, mask, box)


def _deepest_voxel(mask: NDArray[np.bool_], box: tuple[slice, ...]) -> Voxel:
    """The voxel of a mask that is farthest from its border."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    deepest = np.unravel_index(np.argmax(depth), mask.shape)
    return tuple(int(k + s.start) for k, s in zip(deepest, box, strict=True))  # type: ignore[return-value]


def _organ_name(organ_id: int) -> str:
    return ORGAN_BY_ID[int(organ_id)].plain if organ_id else "no organ"
