"""One child under the light: its scan, the truth, what each model draws, and what follows, each worked out once.

Whatever does not fit together (a label map on another grid, a flat image, an empty prediction) is said in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.metrics import OrganScore, score_case
from pedseg.organs import EVALUATED, NAMES, ORGANS
from pedseg.scan import Scan
from pedseg.viewer.meshes import Border, Surface, distance_to_truth_mm, surfaces
from pedseg.viewer.outlines import Outlines, outlines
from pedseg.workbook.figures import PLANES, fullest

TRUTH = "truth"
LEAST_ML = 0.05  # of a disagreement that is worth a step
BY_ID = {one.id: one for one in ORGANS}
Voxel = tuple[int, int, int]
LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class Disagreement:
    """One connected place where two models draw differently, by what it is for the one and for the other."""

    first: int  # organ id, 0 for nothing
    second: int
    volume_ml: float
    voxel: Voxel
    mask: NDArray[np.bool_]  # in `box`
    box: tuple[slice, slice, slice]

    def as_map(self, shape: tuple[int, ...]) -> LabelMap:
        """The place as a label map of its own, with the id 1."""
        whole = np.zeros(shape, np.uint8)
        whole[self.box] = self.mask
        return whole


class Reading:
    """A scan (RAS) with truth and predictions on its grid; `predictions` may draw when they are looked up."""

    def __init__(
        self, scan: Scan, truth: NDArray | None = None, predictions: Mapping[str, NDArray] | None = None
    ) -> None:
        if scan.voxels.ndim != 3 or min(scan.voxels.shape) < 2:
            found = f"the image has the shape {tuple(scan.voxels.shape)}: it is flat, not a volume."
            raise input_error("E-NOT-3D", "the scan", found, "Give one three-dimensional volume.")
        self.scan = scan
        self.truth = None if truth is None else self._on_this_grid(truth, TRUTH)
        self.predictions = predictions or {}
        self._labels: dict[str, LabelMap] = {}
        self._outlines: dict[str, Outlines] = {}
        self._scores: dict[str, dict[str, OrganScore]] = {}
        self._surfaces: dict[str, dict[int, Surface]] = {}
        self._distances: dict[str, dict[int, NDArray | None]] = {}
        self._borders: dict[int, Border] = {}
        self._disagreements: dict[tuple[str, str, tuple[int, ...]], list[Disagreement]] = {}

    def _on_this_grid(self, labels: NDArray, name: str) -> LabelMap:
        labels = np.asarray(labels)
        if labels.shape != self.scan.voxels.shape:
            found = f"it has {_by(labels.shape)} voxels, the scan {_by(self.scan.shape)}: it lies on another grid."
            raise input_error(
                "E-GEOMETRY", name, found, "Resample it onto the grid of the scan, or open the scan it belongs to."
            )
        if labels.size and (labels.min() < 0 or labels.max() > len(NAMES)):
            raise input_error("E-LABELS", name, "it holds numbers that are no organ ids.", f"Use 0 to {len(NAMES)}.")
        return labels.astype(np.uint8, copy=False)

    def labels(self, who: str) -> LabelMap | None:
        """The label map of the truth or of a model; None where there is none."""
        if who == TRUTH:
            return self.truth
        if who not in self._labels and who in self.predictions:
            self._labels[who] = self._on_this_grid(self.predictions[who], who)
        return self._labels.get(who)

    def start(self) -> Voxel:
        """Where to look first: the slices that show most of the evaluated organs."""
        if self.truth is None:
            return tuple(n // 2 for n in self.scan.shape)  # type: ignore[return-value]
        at = {PLANES[plane][0]: fullest(self.truth, plane, EVALUATED) for plane in PLANES}
        return at[0], at[1], at[2]

    def middle_of(self, who: str, i: int) -> Voxel | None:
        """A voxel in the middle of an organ."""
        labels = self.labels(who)
        places = None if labels is None else np.argwhere(labels == i)
        if places is None or not len(places):
            return None
        nearest = places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))]
        return tuple(int(v) for v in nearest)  # type: ignore[return-value]

    def scores(self, model: str) -> dict[str, OrganScore]:
        """DSC, HD95 and volumes of every organ as a model draws it; empty without a truth."""
        if model not in self._scores:
            drawn = self.labels(model)
            if self.truth is None or drawn is None:
                return {}
            found = score_case(self.truth, drawn, self.scan.spacing_mm, NAMES)
            self._scores[model] = {score.organ: score for score in found}
        return self._scores[model]

    def volume_ml(self, who: str) -> dict[int, float]:
        """The volume of every organ that is drawn."""
        labels = self.labels(who)
        counts = np.zeros(1, int) if labels is None else np.bincount(labels.ravel())
        return {i: float(n * self.scan.voxel_ml) for i, n in enumerate(counts) if i and n}

    def outlines(self, who: str) -> Outlines:
        """The lines on the slices as drawn by the truth or by a model."""
        if who not in self._outlines:
            labels = self.labels(who)
            self._outlines[who] = outlines(np.zeros(self.scan.shape, np.uint8) if labels is None else labels)
        return self._outlines[who]

    def surfaces(self, who: str) -> dict[int, Surface]:
        """The organs' surfaces as drawn by the truth or by a model."""
        if who not in self._surfaces:
            labels = self.labels(who)
            self._surfaces[who] = {} if labels is None else surfaces(labels, self.scan.affine)
        return self._surfaces[who]

    def distances_mm(self, model: str) -> dict[int, NDArray | None]:
        """How far every point of a model's surfaces lies from the true one (`distance_to_truth_mm`)."""
        if model not in self._distances:
            truth = np.zeros(self.scan.shape, np.uint8) if self.truth is None else self.truth
            self._distances[model] = {
                i: distance_to_truth_mm(surface, truth, i, self.scan.affine)
                for i, surface in self.surfaces(model).items()
            }
        return self._distances[model]

    def place_mm(self, voxel: Sequence[float] | NDArray) -> NDArray:
        """Where the center of a voxel lies in the patient."""
        return self.scan.affine[:3, :3] @ np.asarray(voxel, float) + self.scan.affine[:3, 3]

    def voxel_at(self, place_mm) -> Voxel:
        """The voxel at a place of the patient, the nearest one inside the scan."""
        found = np.linalg.inv(self.scan.affine[:3, :3]) @ (np.asarray(place_mm, float) - self.scan.affine[:3, 3])
        low = np.clip(np.round(found).astype(int), 0, np.array(self.scan.shape) - 1)
        return tuple(int(v) for v in low)  # type: ignore[return-value]

    def words(self, voxel: Voxel, models: Iterable[str] = ()) -> str:
        """What is at a voxel: millimeters from the scan's corner, HU, the organ in truth and as each model draws it."""
        at = [f"{k * mm:.0f}" for k, mm in zip(voxel, self.scan.spacing_mm, strict=True)]
        text = [f"x {at[0]} · y {at[1]} · z {at[2]} mm", f"{float(self.scan.voxels[voxel]):.0f} HU"]
        here = None if self.truth is None else int(self.truth[voxel])
        if here is not None:
            text.append(f"truth: {_plain(here)}")
        for model in models:
            labels = self.labels(model)
            if labels is not None:
                text.append(f"{model}: {_plain(int(labels[voxel]))}")
        if here:
            text.append(f"{self._depth_mm(here, voxel):.0f} mm inside the true border")
        return " · ".join(text)

    def organs_at(self, voxel: Voxel, models: Iterable[str]) -> list[int]:
        """Ids of the organs at a voxel, in truth or as a model draws them."""
        maps = [self.labels(who) for who in (TRUTH, *models)]
        return sorted({int(labels[voxel]) for labels in maps if labels is not None} - {0})

    def _depth_mm(self, i: int, voxel: Voxel) -> float:
        """How deep a voxel lies in a true organ."""
        assert self.truth is not None
        if i not in self._borders:
            self._borders[i] = Border.of(np.pad(self.truth == i, 1), np.array(self.scan.spacing_mm))
        return float(self._borders[i].distance_mm(np.array([voxel]) + 1)[0])

    def disagreements(self, first: str, second: str, ids: tuple[int, ...]) -> list[Disagreement]:
        """Connected places where two models draw organs of `ids` differently, the largest first."""
        key = (first, second, tuple(ids))
        if key not in self._disagreements:
            a, b = self.labels(first), self.labels(second)
            found = [] if a is None or b is None else list(_differences(a, b, ids, self.scan.voxel_ml))
            self._disagreements[key] = sorted(found, key=lambda each: -each.volume_ml)
        return self._disagreements[key]


def _differences(a: LabelMap, b: LabelMap, ids: tuple[int, ...], voxel_ml: float) -> Iterator[Disagreement]:
    """Each connected place where both differ in the same way."""
    from scipy import ndimage

    wanted = np.zeros(256, bool)
    wanted[list(ids)] = True
    differ = (a != b) & (wanted[a] | wanted[b])
    pair = np.where(differ, a.astype(np.int32) * 256 + b, 0)
    for kind in np.unique(pair[differ]):
        parts, _ = ndimage.label(pair == kind)
        for number, box in enumerate(ndimage.find_objects(parts), start=1):
            mask = parts[box] == number
            volume_ml = float(mask.sum() * voxel_ml)
            if volume_ml >= LEAST_ML:
                yield Disagreement(int(kind) // 256, int(kind) % 256, volume_ml, _heart(mask, box), mask, box)


def _heart(mask: NDArray[np.bool_], box) -> Voxel:
    """The voxel of a mask that lies deepest in it."""
    from scipy.ndimage import distance_transform_edt

    deep = np.unravel_index(np.argmax(distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]), mask.shape)
    return tuple(int(k + s.start) for k, s in zip(deep, box, strict=True))  # type: ignore[return-value]


def _plain(i: int) -> str:
    return BY_ID[i].plain if i else "no organ"


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
