"""Contours in the wrong place: left and right swapped, parts elsewhere, leaks, whole organs beside their place.

Searched in two label maps (x, y, z) of one grid, the true one and the predicted one. The confusion matrix of (true id,
predicted id) over all voxels tells most; what needs neighborhoods is done in the bounding box of one organ. Organs that
nobody annotated are not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.cases import Case
from pedseg.evaluation.failure import ContourFacts, Failure, Voxel, ml, model_phrase
from pedseg.evaluation.results import ModelKey
from pedseg.metrics import ROUNDING_MM
from pedseg.organs import NAMES, organ
from pedseg.scan import Spacing

SWAPPED_SHARE = 0.1  # of what is predicted as left, in the true right one
PART_SHARE, PART_ML = 0.05, 1.0  # a part as large counts
LEAK_SHARE, LEAK_ML = 0.05, 1.0  # of the true organ, predicted farther from it than its tolerance and a voxel
EDGE = 4  # voxels: an error so close to the edge of the scan may come from the cut
Box = tuple[slice, ...]
LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class _LabelMaps:
    """Two label maps, their confusion matrix (true id, predicted id) and the bounding boxes of every id."""

    truth: LabelMap
    predicted: LabelMap
    counts: NDArray[np.int64]
    boxes: list[tuple[Box | None, Box | None]]  # of the true and the predicted organ, by id
    spacing_mm: Spacing

    @classmethod
    def of(cls, truth: NDArray, predicted: NDArray, spacing_mm: Spacing) -> _LabelMaps:
        from scipy.ndimage import find_objects

        n = len(NAMES) + 1
        counts = np.bincount((truth.astype(np.uint16) * n + predicted).ravel(), minlength=n * n).reshape(n, n)
        boxes = [(None, None), *zip(find_objects(truth, n - 1), find_objects(predicted, n - 1), strict=True)]
        return cls(truth, predicted, counts, boxes, spacing_mm)

    def box(self, i: int) -> Box | None:
        """The smallest box that holds the organ in both maps."""
        both = [box for box in self.boxes[i] if box is not None]
        return tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in zip(*both, strict=True)) or None

    def rim_mm(self, name: str) -> float:
        """How far from the true border an error is one of place: the organ's tolerance and one voxel."""
        return organ(name).tolerance_mm + max(self.spacing_mm)

    def wrong_ml(self, name: str) -> float:
        """The volume of an organ that is predicted too much and too little."""
        i = organ(name).id
        return round(self.ml(self.counts[i].sum() + self.counts[:, i].sum() - 2 * self.counts[i, i]), 2)

    def ml(self, voxels: float) -> float:
        """The volume of so many voxels."""
        return float(voxels * np.prod(self.spacing_mm) / 1000.0)


def from_contours(
    truth: NDArray, predicted: NDArray, spacing_mm: Spacing, case: Case, model: ModelKey, *, tested_on: str = ""
) -> list[Failure]:
    """Swapped, torn, displaced and leaking contours of one scan, as predicted by one model.

    `truth` and `predicted` are label maps of organ ids on one grid. `tested_on` is the case's center unless told.
    """
    who = case.name, tested_on or case.center
    maps = _LabelMaps.of(truth, predicted, spacing_mm)
    return [
        Failure(
            *who, name, model.model, model.trained_on, fault.kind, fault.amount, fault.unit, maps.wrong_ml(name),
            fault.voxel, f"{model_phrase(model)} {fault.text}.",
        )
        for name in case.annotated
        for fault in _of_one_organ(maps, name)
    ]  # fmt: skip


def misplaced_kinds(truth: NDArray, predicted: NDArray, spacing_mm: Spacing, name: str) -> set[str]:
    """In which ways one organ is misplaced."""
    return {fault.kind for fault in _of_one_organ(_LabelMaps.of(truth, predicted, spacing_mm), name)}


def error_locations(truth: NDArray, predicted: NDArray, names: tuple[str, ...]) -> dict[str, ContourFacts]:
    """Where each organ is most wrong: the slice with most wrong voxels, or the organ's middle if none is wrong."""
    maps = _LabelMaps.of(truth, predicted, (1.0, 1.0, 1.0))
    locations = {}
    for name in names:
        i = organ(name).id
        if box := maps.box(i):
            true = truth[box] == i
            wrong = true != (predicted[box] == i)
            voxel = _absolute(_worst_slice(wrong) if wrong.any() else _center(true), box)
            locations[name] = ContourFacts(voxel, _cut(maps, i, voxel))
    return locations


class _Detected(NamedTuple):
    """One way in which a contour is misplaced: how, how much, where, and in words."""

    kind: str
    amount: float
    unit: str
    voxel: Voxel
    text: str


def _of_one_organ(maps: _LabelMaps, name: str) -> Iterator[_Detected]:
    """Everything that is misplaced about one organ; a swap or a displacement says it all."""
    i, box = organ(name).id, maps.box(organ(name).id)
    if box is None or maps.counts[:, i].sum() == 0:
        return
    if whole := _swapped(maps, name, box) or _displaced(maps, name, box):
        yield whole
    elif maps.counts[i].sum():
        true, predicted = maps.truth[box] == i, maps.predicted[box] == i
        part, part_voxels = _separate_part(maps, name, box, true, predicted)
        leak = _leaking(maps, name, box, true, predicted & ~part_voxels)
        yield from (detected for detected in (part, leak) if detected)


def _swapped(maps: _LabelMaps, name: str, box: Box) -> _Detected | None:
    """What is predicted as the left one lies in the true right one, or the other way round."""
    other = f"{name[:-1]}{({'L': 'R', 'R': 'L'}).get(name[-1], '')}" if name[-2:] in ("_L", "_R") else ""
    if other not in NAMES:
        return None
    i, j = organ(name).id, organ(other).id
    predicted, there = maps.counts[:, i].sum(), maps.counts[j, i]
    if (maps.counts[i].sum() == 0 or maps.counts[i, i] >= there) and there <= SWAPPED_SHARE * predicted:
        return None
    share = there / predicted
    text = f"puts {100 * share:.0f} % of the {organ(name).plain} it draws into the true {organ(other).plain}"
    voxel = _absolute(_center((maps.truth[box] == j) & (maps.predicted[box] == i)), box)
    return _Detected("swapped", 100 * float(share), "%", voxel, text)


def _displaced(maps: _LabelMaps, name: str, box: Box) -> _Detected | None:
    """More than half of the contour lies outside the organ, and its middle beside that of the organ."""
    i = organ(name).id
    predicted, true, shared = maps.counts[:, i].sum(), maps.counts[i].sum(), maps.counts[i, i]
    if not true or 2 * shared >= predicted or maps.ml(predicted) < PART_ML:
        return None
    places = [np.argwhere(labels[box] == i).mean(axis=0) * maps.spacing_mm for labels in (maps.truth, maps.predicted)]
    away_mm = float(np.linalg.norm(places[0] - places[1]))
    if away_mm <= maps.rim_mm(name):
        return None
    false = (maps.predicted[box] == i) & (maps.truth[box] != i)
    where, voxel = _where(maps, box, false), _absolute(_center(_largest(false)), box)
    text = f"draws the {organ(name).plain} {away_mm:.0f} mm from its place, most of the false part {where}"
    return _Detected("displaced", away_mm, "mm", voxel, text)


def _separate_part(
    maps: _LabelMaps, name: str, box: Box, true: NDArray[np.bool_], predicted: NDArray[np.bool_]
) -> tuple[_Detected | None, NDArray[np.bool_]]:
    """The contour falls into more large parts than the organ has: the worst of these parts, and its voxels."""
    labels, sizes = _components(predicted)
    main = int(sizes.argmax())
    large = [k for k in np.flatnonzero(_is_large(maps, sizes)) if k != main]
    if not large or len(large) < np.count_nonzero(_is_large(maps, _components(true)[1])):
        return None, np.zeros_like(predicted)
    false = np.bincount(labels[predicted & ~true], minlength=len(sizes))
    k = max(large, key=lambda k: (false[k], sizes[k]))
    part = labels == k
    plain, volume_ml = organ(name).plain, maps.ml(sizes[k])
    text, voxel = f"draws the {plain} in {len(large) + 1} pieces", _absolute(_center(part), box)
    if 2 * false[k] < sizes[k]:  # what lies between the pieces is missing
        text += f"; one of {ml(volume_ml)} is cut off, inside the true organ"
        return _Detected("gap", volume_ml, "mL", voxel, text), np.zeros_like(predicted)
    text += f"; one of {ml(volume_ml)} lies apart, {_where(maps, box, part & ~true)}"
    return _Detected("part", volume_ml, "mL", voxel, text), part


def _is_large(maps: _LabelMaps, sizes: NDArray) -> NDArray[np.bool_]:
    """Which components count: more than 5 % of all and more than 1 mL."""
    return (sizes > PART_SHARE * sizes.sum()) & (sizes * np.prod(maps.spacing_mm) / 1000.0 > PART_ML)


def _leaking(
    maps: _LabelMaps, name: str, box: Box, true: NDArray[np.bool_], predicted: NDArray[np.bool_]
) -> _Detected | None:
    """More than a rim lies beyond the true border."""
    beyond, rim_mm = predicted & ~true, maps.rim_mm(name)
    enough_ml = max(LEAK_ML, LEAK_SHARE * maps.ml(true.sum()))
    if maps.ml(beyond.sum()) >= enough_ml:  # else no distance needs to be measured
        beyond = _farther(beyond, true, rim_mm, maps.spacing_mm)
    volume_ml = maps.ml(beyond.sum())
    if volume_ml < enough_ml:
        return None
    where, voxel = _where(maps, box, beyond), _absolute(_center(_largest(beyond)), box)
    far = f"more than {rim_mm:.0f} mm beyond its border"
    text = f"draws {ml(volume_ml)} of {organ(name).plain} {far}, most of it {where}"
    return _Detected("leaking", volume_ml, "mL", voxel, text)


def _farther(
    voxels: NDArray[np.bool_], mask: NDArray[np.bool_], rim_mm: float, spacing_mm: Spacing
) -> NDArray[np.bool_]:
    """Those of some voxels that lie farther than the rim from the surface of a mask, voxel centers counted."""
    from scipy.ndimage import binary_erosion
    from scipy.spatial import cKDTree

    surface, places = np.argwhere(mask & ~binary_erosion(mask)), np.argwhere(voxels)
    tree = cKDTree(surface * spacing_mm, balanced_tree=False)
    distances, _ = tree.query(places * spacing_mm, distance_upper_bound=rim_mm + ROUNDING_MM)  # inf beyond it
    far = np.zeros_like(voxels)
    far[tuple(places[np.isinf(distances)].T)] = True
    return far


def _where(maps: _LabelMaps, box: Box, voxels: NDArray[np.bool_]) -> str:
    """Which true organ holds most of these voxels."""
    holder = int(np.bincount(maps.truth[box][voxels]).argmax())
    return f"in the {organ(NAMES[holder - 1]).plain}" if holder else "in no contoured organ"


def _components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Connected parts, corners touching: a map of part numbers and the size of each part; number 0 is empty."""
    from scipy.ndimage import label

    labels, number = label(mask, structure=np.ones((3, 3, 3), dtype=bool))
    return labels, np.bincount(labels[mask], minlength=number + 1)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, sizes = _components(mask)
    return labels == sizes.argmax()


def _center(mask: NDArray[np.bool_]) -> Voxel:
    """The voxel of a mask nearest to its middle."""
    where = np.argwhere(mask)
    return _voxel(where[((where - where.mean(axis=0)) ** 2).sum(axis=1).argmin()])


def _worst_slice(wrong: NDArray[np.bool_]) -> Voxel:
    """The middle of the axial slice that holds most of these voxels."""
    z = int(np.count_nonzero(wrong, axis=(0, 1)).argmax())
    x, y, _ = _center(wrong[:, :, z : z + 1])
    return x, y, z


def _cut(maps: _LabelMaps, i: int, voxel: Voxel) -> bool:
    """Whether the edge of the scan cuts the true organ, and this voxel lies there."""
    box = maps.boxes[i][0]
    if box is None:
        return False
    axes = zip(box, voxel, maps.truth.shape, strict=True)
    return any((s.start == 0 and k < EDGE) or (s.stop == n and k >= n - EDGE) for s, k, n in axes)


def _absolute(voxel: Voxel, box: Box) -> Voxel:
    return _voxel(np.add(voxel, [s.start for s in box]))


def _voxel(place: NDArray) -> Voxel:
    x, y, z = map(int, place)
    return x, y, z
