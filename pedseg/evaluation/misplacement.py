"""Contours in the wrong place: left and right swapped, parts elsewhere, leaks, whole organs beside their place.

Looked for in two label maps (x, y, z) of one grid, the true one and the drawn one. One count of (true id, drawn id)
over all voxels tells most; what needs neighborhoods is done in the box of one organ. Organs that nobody annotated are
not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.cases import Case
from pedseg.evaluation.failure_reasons import Failure, Look, Voxel, called, explain, ml
from pedseg.evaluation.results import ModelKey
from pedseg.metrics import ROUNDING_MM
from pedseg.organs import NAMES, organ
from pedseg.scan import Spacing

SWAPPED_SHARE = 0.1  # of what is drawn as left, in the true right one
PART_SHARE, PART_ML = 0.05, 1.0  # a part as large counts
LEAK_SHARE, LEAK_ML = 0.05, 1.0  # of the true organ, drawn farther from it than its tolerance and a voxel
EDGE = 4  # voxels: an error so close to the edge of the scan may come from the cut
Box = tuple[slice, ...]
LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class _Pair:
    """Two label maps with what is counted once: voxels by (true id, drawn id), and the box of every id."""

    truth: LabelMap
    drawn: LabelMap
    counts: NDArray[np.int64]
    boxes: list[tuple[Box | None, Box | None]]  # of the true and the drawn organ, by id
    spacing_mm: Spacing

    @classmethod
    def of(cls, truth: NDArray, drawn: NDArray, spacing_mm: Spacing) -> _Pair:
        from scipy.ndimage import find_objects

        n = len(NAMES) + 1
        counts = np.bincount((truth.astype(np.uint16) * n + drawn).ravel(), minlength=n * n).reshape(n, n)
        boxes = [(None, None), *zip(find_objects(truth, n - 1), find_objects(drawn, n - 1), strict=True)]
        return cls(truth, drawn, counts, boxes, spacing_mm)

    def box(self, i: int) -> Box | None:
        """The smallest box that holds the organ in both maps."""
        both = [box for box in self.boxes[i] if box is not None]
        return tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in zip(*both, strict=True)) or None

    def rim_mm(self, name: str) -> float:
        """How far from the true border an error is one of place: the organ's tolerance and one voxel."""
        return organ(name).tolerance_mm + max(self.spacing_mm)

    def ml(self, voxels: float) -> float:
        """The volume of so many voxels."""
        return float(voxels * np.prod(self.spacing_mm) / 1000.0)


def from_contours(
    truth: NDArray, predicted: NDArray, spacing_mm: Spacing, case: Case, model: ModelKey,
    *, tested_on: str = "", usual_phase: Mapping[str, str] | None = None,
) -> list[Failure]:  # fmt: skip
    """Swapped, torn, displaced and leaking contours of one scan, as drawn by one model.

    `truth` and `predicted` are label maps of organ ids on one grid. `tested_on` is the case's center unless told.
    """
    pair = _Pair.of(truth, predicted, spacing_mm)
    center = tested_on or case.center
    failures = []
    for name in case.annotated:
        for kind, amount, unit, severity, voxel, what in _of_one_organ(pair, name):
            i = organ(name).id
            why = explain(
                kind, name, case, model, tested_on=center, volume_ml=pair.ml(pair.counts[i].sum()),
                cut=_cut(pair, i, voxel), usual_phase=usual_phase,
            )  # fmt: skip
            failures.append(
                Failure(
                    case.name, center, name, model.model, model.trained_on, kind, amount, unit, severity, voxel,
                    f"{called(model)} {what}. {why}",
                )
            )  # fmt: skip
    return failures


def look(truth: NDArray, predicted: NDArray, names: tuple[str, ...]) -> dict[str, Look]:
    """Where to look at each organ: the slice with most wrong voxels, or the organ's middle if none is wrong."""
    pair = _Pair.of(truth, predicted, (1.0, 1.0, 1.0))
    looks = {}
    for name in names:
        i = organ(name).id
        box = pair.box(i)
        if box is not None:
            true, drawn = truth[box] == i, predicted[box] == i
            wrong = true != drawn
            voxel = _worst_slice(wrong) if wrong.any() else _center(true)
            voxel = _absolute(voxel, box)
            looks[name] = Look(voxel, _cut(pair, i, voxel))
    return looks


Found = tuple[str, float, str, float, Voxel, str]  # kind, amount, unit, severity, voxel, what happened


def _of_one_organ(pair: _Pair, name: str) -> Iterator[Found]:
    """Everything that is misplaced about one organ; a swap or a displacement says it all."""
    i, box = organ(name).id, pair.box(organ(name).id)
    if box is None or pair.counts[:, i].sum() == 0:
        return
    whole = list(_swapped(pair, name, box)) or list(_displaced(pair, name, box))
    yield from whole
    if not whole and pair.counts[i].sum():
        true, drawn = pair.truth[box] == i, pair.drawn[box] == i
        parts = list(_parts(pair, name, box, true, drawn))
        for found, part in parts:
            yield found
            drawn = drawn & ~part
        yield from _leaking(pair, name, box, true, drawn)


def _swapped(pair: _Pair, name: str, box: Box) -> Iterator[Found]:
    """What is drawn as the left one lies in the true right one, or the other way round."""
    other = f"{name[:-1]}{({'L': 'R', 'R': 'L'}).get(name[-1], '')}" if name[-2:] in ("_L", "_R") else ""
    if other not in NAMES:
        return
    i, j = organ(name).id, organ(other).id
    drawn, there = pair.counts[:, i].sum(), pair.counts[j, i]
    if (0 < pair.counts[i].sum() and pair.counts[i, i] < there) or there > SWAPPED_SHARE * drawn:
        share = there / drawn
        what = f"puts {100 * share:.0f} % of the {organ(name).plain} it draws into the true {organ(other).plain}"
        voxel = _absolute(_center((pair.truth[box] == j) & (pair.drawn[box] == i)), box)
        severity = there / max(drawn, pair.counts[j].sum())
        yield "swapped", 100 * float(share), "%", float(severity), voxel, what


def _displaced(pair: _Pair, name: str, box: Box) -> Iterator[Found]:
    """More than half of the contour lies outside the organ, and its middle beside that of the organ."""
    i = organ(name).id
    drawn, true, shared = pair.counts[:, i].sum(), pair.counts[i].sum(), pair.counts[i, i]
    if not true or 2 * shared >= drawn or pair.ml(drawn) < PART_ML:
        return
    places = [np.argwhere(labels[box] == i).mean(axis=0) * pair.spacing_mm for labels in (pair.truth, pair.drawn)]
    away_mm = float(np.linalg.norm(places[0] - places[1]))
    if away_mm > pair.rim_mm(name):
        false = (pair.drawn[box] == i) & (pair.truth[box] != i)
        where = _where(pair, box, false)
        what = f"draws the {organ(name).plain} {away_mm:.0f} mm from its place, most of the false part {where}"
        yield "displaced", away_mm, "mm", float(1 - shared / drawn), _absolute(_center(_largest(false)), box), what


def _parts(pair: _Pair, name: str, box: Box, true: NDArray, drawn: NDArray) -> Iterator[tuple[Found, NDArray]]:
    """The contour falls into more large parts than the organ has; tells of the worst part, and gives its voxels."""
    labels, sizes = _components(drawn)
    main = int(sizes.argmax())
    large = [k for k in np.flatnonzero(_is_large(pair, sizes)) if k != main]
    if not large or len(large) < np.count_nonzero(_is_large(pair, _components(true)[1])):
        return
    false = np.bincount(labels[drawn & ~true], minlength=len(sizes))
    k = max(large, key=lambda k: (false[k], sizes[k]))
    part = labels == k
    plain, volume_ml = organ(name).plain, pair.ml(sizes[k])
    lies = "inside the true organ" if 2 * false[k] < sizes[k] else _where(pair, box, part & ~true)
    what = f"draws the {plain} in {len(large) + 1} pieces; one of {ml(volume_ml)} lies apart, {lies}"
    severity = float(sizes[k] / max(sizes.sum(), true.sum()))
    yield ("part", volume_ml, "mL", severity, _absolute(_center(part), box), what), part


def _is_large(pair: _Pair, sizes: NDArray) -> NDArray[np.bool_]:
    """Which components count: more than 5 % of all and more than 1 mL."""
    return (sizes > PART_SHARE * sizes.sum()) & (sizes * np.prod(pair.spacing_mm) / 1000.0 > PART_ML)


def _leaking(pair: _Pair, name: str, box: Box, true: NDArray, drawn: NDArray) -> Iterator[Found]:
    """More than a rim lies beyond the true border."""
    beyond = drawn & ~true
    enough = max(LEAK_ML, LEAK_SHARE * pair.ml(true.sum()))
    if pair.ml(beyond.sum()) < enough:
        return
    beyond = _farther(beyond, true, pair.rim_mm(name), pair.spacing_mm)
    volume_ml = pair.ml(beyond.sum())
    if volume_ml >= enough:
        where = _where(pair, box, beyond)
        what = (
            f"draws {ml(volume_ml)} of {organ(name).plain} more than {pair.rim_mm(name):.0f} mm beyond its border, "
            f"most of it {where}"
        )
        severity = float(beyond.sum() / (true.sum() + beyond.sum()))
        yield "leaking", volume_ml, "mL", severity, _absolute(_center(_largest(beyond)), box), what


def _farther(
    voxels: NDArray[np.bool_], than: NDArray[np.bool_], rim_mm: float, spacing_mm: Spacing
) -> NDArray[np.bool_]:
    """Those of some voxels that lie farther than the rim from an organ, centers counted."""
    from scipy.ndimage import binary_erosion
    from scipy.spatial import cKDTree

    surface, places = np.argwhere(than & ~binary_erosion(than)), np.argwhere(voxels)
    tree = cKDTree(surface * spacing_mm, balanced_tree=False)
    distances, _ = tree.query(places * spacing_mm, distance_upper_bound=rim_mm + ROUNDING_MM)  # inf beyond it
    far = np.zeros_like(voxels)
    far[tuple(places[np.isinf(distances)].T)] = True
    return far


def _where(pair: _Pair, box: Box, voxels: NDArray[np.bool_]) -> str:
    """Which true organ holds most of these voxels."""
    holder = int(np.bincount(pair.truth[box][voxels]).argmax())
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


def _cut(pair: _Pair, i: int, voxel: Voxel) -> bool:
    """Whether the edge of the scan cuts the true organ, and this voxel lies there."""
    box = pair.boxes[i][0]
    if box is None:
        return False
    axes = zip(box, voxel, pair.truth.shape, strict=True)
    return any((s.start == 0 and k < EDGE) or (s.stop == n and k >= n - EDGE) for s, k, n in axes)


def _absolute(voxel: Voxel, box: Box) -> Voxel:
    return _voxel(np.add(voxel, [s.start for s in box]))


def _voxel(place: NDArray) -> Voxel:
    x, y, z = map(int, place)
    return x, y, z
