"""One case under review: scan, ground truth and predictions, with scores, surface distances and disagreements.

Whatever does not fit together (a label map on another grid, a flat image, an empty prediction) is an error in a
sentence.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.metrics import OrganScore, score_case
from pedseg.organs import EVALUATED, NAMES, ORGANS
from pedseg.scan import Scan
from pedseg.viewer.meshes import MaskBoundary, Surface, distance_to_truth_mm, organ_surfaces
from pedseg.viewer.outlines import Outlines, outline_organs
from pedseg.workbook.figures import PLANES, fullest

TRUTH = "truth"
MIN_DISAGREEMENT_ML = 0.05  # smaller ones are not listed
ORGAN_BY_ID = {organ.id: organ for organ in ORGANS}
Voxel = tuple[int, int, int]
LabelMap = NDArray[np.uint8]


@dataclass
class Segmentation:
    """A label map on a scan's grid; volumes, outlines, surfaces and scores are computed when first asked for."""

    labels: LabelMap
    scan: Scan
    truth: LabelMap | None

    @cached_property
    def volume_ml(self) -> dict[int, float]:
        """The volume of every organ in the label map, by organ id."""
        counts = np.bincount(self.labels.ravel())
        return {i: float(n * self.scan.voxel_ml) for i, n in enumerate(counts) if i and n}

    @cached_property
    def outlines(self) -> Outlines:
        """The contours of every organ in every slice."""
        return outline_organs(self.labels)

    @cached_property
    def surfaces(self) -> dict[int, Surface]:
        """The surface mesh of every organ, by organ id."""
        return organ_surfaces(self.labels, self.scan.affine)

    @cached_property
    def scores(self) -> dict[str, OrganScore]:
        """DSC, HD95 and volumes against the truth, by organ name; empty without a truth."""
        if self.truth is None:
            return {}
        scores = score_case(self.truth, self.labels, self.scan.spacing_mm, NAMES)
        return {score.organ: score for score in scores}

    @cached_property
    def surface_distances_mm(self) -> dict[int, NDArray | None]:
        """Signed distance of every vertex of `surfaces` from the true surface (`distance_to_truth_mm`)."""
        if self.truth is None:
            return {}
        affine = self.scan.affine
        return {i: distance_to_truth_mm(surface, self.truth, i, affine) for i, surface in self.surfaces.items()}

    def organ_center(self, organ_id: int) -> Voxel | None:
        """The voxel of an organ that is nearest to its centroid; None where there is no such organ."""
        voxels = np.argwhere(self.labels == organ_id)
        if not len(voxels):
            return None
        nearest = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
        return tuple(int(v) for v in nearest)  # type: ignore[return-value]


@dataclass(frozen=True)
class Disagreement:
    """A connected region where two models differ in the same way."""

    first: int  # organ id that the first model predicts there, 0 for none
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
    """A scan (RAS) with ground truth and predictions on its grid; a prediction may be computed when it is looked up.

    The keys of `predictions` are shown by their `str`.
    """

    def __init__(
        self, scan: Scan, truth: NDArray | None = None, predictions: Mapping[Hashable, NDArray] | None = None
    ) -> None:
        if scan.voxels.ndim != 3 or min(scan.voxels.shape) < 2:
            problem = f"the image has the shape {tuple(scan.voxels.shape)}: it is flat, not a volume."
            raise input_error("E-NOT-3D", "the scan", problem, "Give one three-dimensional volume.")
        self.scan = scan
        self.truth = None if truth is None else self._check(truth, TRUTH)
        self.predictions = predictions or {}
        self._segmentations: dict[Hashable, Segmentation] = {}
        self._true_boundaries: dict[int, MaskBoundary] = {}
        self._disagreements: dict[tuple[Hashable, Hashable, tuple[int, ...]], list[Disagreement]] = {}

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
        """The truth or the prediction of a model; an empty one where there is none."""
        if source not in self._segmentations:
            if source == TRUTH and self.truth is not None:
                labels = self.truth
            elif source in self.predictions:
                labels = self._check(self.predictions[source], source)
            else:
                labels = np.zeros(self.scan.shape, np.uint8)
            self._segmentations[source] = Segmentation(labels, self.scan, self.truth)
        return self._segmentations[source]

    def start_voxel(self) -> Voxel:
        """Where to look first: the slices that show most of the evaluated organs."""
        if self.truth is None:
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
        sources = [TRUTH, *models] if self.truth is not None else [*models]
        parts += [f"{source}: {_organ_name(self.segmentation(source).labels[voxel])}" for source in sources]
        if self.truth is not None and (true_organ := int(self.truth[voxel])):
            parts.append(f"{self._depth_mm(true_organ, voxel):.0f} mm inside the true border")
        return " · ".join(parts)

    def organs_at(self, voxel: Voxel, models: Iterable[Hashable]) -> list[int]:
        """Ids of the organs at a voxel, in the truth or in a prediction."""
        return sorted({int(self.segmentation(source).labels[voxel]) for source in (TRUTH, *models)} - {0})

    def _depth_mm(self, organ_id: int, voxel: Voxel) -> float:
        """Distance of a voxel inside a true organ from that organ's boundary."""
        if organ_id not in self._true_boundaries:
            mask = np.pad(self.segmentation(TRUTH).labels == organ_id, 1)
            self._true_boundaries[organ_id] = MaskBoundary.of(mask, np.array(self.scan.spacing_mm))
        return float(self._true_boundaries[organ_id].distance_mm(np.array([voxel]) + 1)[0])

    def disagreements(self, first: Hashable, second: Hashable, organ_ids: Iterable[int]) -> list[Disagreement]:
        """Connected regions where the predictions of two models differ on these organs, the largest first."""
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
