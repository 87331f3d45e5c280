"""Segmentation metrics of a contour: Dice (DSC), Hausdorff distance (HD95), surface distance (MSD), NSD and volumes.

Presence and quality are two questions. Is the organ there at all, and how much was predicted of an
organ that is not (`predicted_ml`)? And only where it is there: how good is its contour?

Definitions, equal to MONAI 1.6 (`HausdorffDistanceMetric(percentile=95)`, `SurfaceDistanceMetric(
symmetric=True)`, `SurfaceDiceMetric`) to 1e-4 mm. A *surface voxel* is a voxel of the organ with a
face neighbor outside it, or at the border of the image. A *directed distance* runs from a surface
voxel of one contour to the nearest surface voxel of the other, center to center.

- DSC: twice the shared volume over the sum of both volumes.
- HD95: the larger of the two directed 95th percentiles (linear interpolation, never pooled).
- MSD: the mean over the directed distances of both directions, pooled. The other definition in use,
  the mean of the two directed means, differs by thousandths of a millimeter between similar contours.
- NSD: the share of all surface voxels within the organ's `tolerance_mm` of the other surface.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pedseg import organs as organ_table
from pedseg.scan import Spacing

NEAR = 4  # voxels along the finest axis: how far to search before a k-d tree is asked (4 is fastest, measured)
ROUNDING_MM = 1e-6  # a distance equal to the tolerance lies within it, whatever the last bit says


@dataclass(frozen=True)
class OrganScore:
    """How good the contour of one organ is in one scan; the quality fields are None where it is absent.

    A missed organ (present, nothing predicted) takes the worst values: DSC and NSD 0, both distances
    the diagonal of the image. `volume_ml` is the true volume, `predicted_ml` the predicted one.
    """

    organ: str
    present: bool
    dsc: float | None
    hd95_mm: float | None
    msd_mm: float | None
    nsd: float | None
    volume_ml: float
    predicted_ml: float


def score_case(truth: NDArray, prediction: NDArray, spacing_mm: Spacing, organs: Iterable[str]) -> list[OrganScore]:
    """Compare a predicted label map with the true one, organ by organ.

    `truth` and `prediction` are label maps (x, y, z) of organ ids on one grid; `spacing_mm` is the
    distance of voxel centers along each axis. One score for every name in `organs`, in their order.
    Raises `ValueError` for maps of different shapes or of no whole ids, `KeyError` for unknown names.
    """
    true_map, predicted_map = _as_ids(truth), _as_ids(prediction)
    if true_map.shape != predicted_map.shape or true_map.ndim != 3:
        raise ValueError(f"label maps of the shapes {true_map.shape} and {predicted_map.shape}; one 3-D grid is needed")
    names = list(organs)
    ids = [organ_table.organ(name).id for name in names]
    diagonal_mm = float(np.linalg.norm(np.multiply(true_map.shape, spacing_mm)))
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    true_map, predicted_map = _crop(true_map, predicted_map)
    true_count, predicted_count = (np.bincount(m[m != 0], minlength=256) for m in (true_map, predicted_map))
    shared_count = np.bincount(true_map[(true_map == predicted_map) & (true_map != 0)], minlength=256)
    in_both = [i for i in sorted(set(ids)) if true_count[i] and predicted_count[i]]
    directed = surface_distances_mm(true_map, predicted_map, spacing_mm, in_both)
    scores = []
    for name, i in zip(names, ids, strict=True):
        volumes = (float(true_count[i] * voxel_ml), float(predicted_count[i] * voxel_ml))
        if not true_count[i]:
            quality: tuple[float | None, float | None, float | None, float | None] = (None, None, None, None)
        elif not predicted_count[i]:
            quality = (0.0, diagonal_mm, diagonal_mm, 0.0)
        else:
            dsc = float(2.0 * shared_count[i] / (true_count[i] + predicted_count[i]))
            quality = (dsc, *_summarize(*directed[i], organ_table.organ(name).tolerance_mm))
        scores.append(OrganScore(name, bool(true_count[i]), *quality, *volumes))
    return scores


def added_path_length_mm(reference: NDArray[np.bool_], contour: NDArray[np.bool_], spacing_mm: Spacing) -> float:
    """Added path length (APL): how much line must be drawn anew to turn a contour into the reference, in mm.

    Both are masks (x, y, z) on one grid. Slice by slice along z, the border pixels of the reference (a neighbor beside
    or above them in the slice is outside) that are none of the contour, times the size of a pixel. Without a tolerance,
    as Vaassen et al. 2020 define it (Phys Imaging Radiat Oncol 13, doi:10.1016/j.phro.2019.12.001).
    """
    missing = _slice_borders(reference) & ~_slice_borders(contour)
    return float(np.count_nonzero(missing) * np.sqrt(spacing_mm[0] * spacing_mm[1]))


def _slice_borders(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels of a mask with one of their four neighbors in the axial slice outside, or beyond the image."""
    padded = np.pad(np.asarray(mask, bool), ((1, 1), (1, 1), (0, 0)))
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return padded[1:-1, 1:-1] & ~inside


def surface_distances_mm(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], spacing_mm: Spacing, ids: list[int]
) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each organ id, how far every surface voxel lies from the other contour, in mm.

    Two arrays an organ: from the true surface to the predicted one, and back. Each id in `ids` must
    occur in both maps (x, y, z).
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    near_mm = NEAR * spacing.min()
    margin = np.maximum(1, np.floor(near_mm / spacing)).astype(int)
    true_surface, predicted_surface = (_surface(m, ids, margin) for m in (truth, prediction))
    to_predicted = _directed(true_surface, predicted_surface, spacing, near_mm)
    to_true = _directed(predicted_surface, true_surface, spacing, near_mm)
    return {i: (to_predicted[true_surface.part(i)], to_true[predicted_surface.part(i)]) for i in ids}


@dataclass(frozen=True)
class _Surface:
    """The surface voxels of all organs: a map of organ ids (0 elsewhere), and the same as a list sorted by id."""

    map: NDArray[np.uint8]
    where: NDArray[np.intp]  # index into map.ravel()
    ids: NDArray[np.uint8]

    def part(self, i: int) -> slice:
        """Where organ `i` stands in the list."""
        return slice(*np.searchsorted(self.ids, (i, i + 1)))

    def points_mm(self, choice: slice | NDArray, spacing: NDArray) -> NDArray[np.float64]:
        """Positions of some voxels of the list in mm, (n, 3)."""
        return np.stack(np.unravel_index(self.where[choice], self.map.shape), axis=1) * spacing


def _as_ids(labels: NDArray) -> NDArray[np.uint8]:
    """The label map as bytes; `ValueError` if it holds anything but whole ids from 0 to 255."""
    labels = np.asarray(labels)
    if labels.dtype == np.uint8:
        return labels
    with np.errstate(invalid="ignore"):
        ids = labels.astype(np.uint8)
    if not np.array_equal(ids, labels):
        raise ValueError("a label map holds organ ids, whole numbers from 0 to 255")
    return ids


def _crop(truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both maps cut to the smallest box that holds every organ of either."""
    either = truth | prediction
    box = []
    for axis in range(3):
        filled = np.flatnonzero(either.any(axis=tuple({0, 1, 2} - {axis})))
        box.append(slice(filled[0], filled[-1] + 1) if filled.size else slice(0, 1))
    return np.ascontiguousarray(truth[tuple(box)]), np.ascontiguousarray(prediction[tuple(box)])


def _surface(labels: NDArray[np.uint8], ids: list[int], margin: NDArray) -> _Surface:
    """The surface voxels of the organs `ids`, on the map with `margin` empty voxels around it.

    One pass serves all organs: a voxel is surface where a face neighbor carries another id.
    """
    padded = np.pad(labels, [(m, m) for m in margin])
    edge = np.zeros(padded.shape, dtype=bool)
    for axis in range(3):
        ids_along, edge_along = padded.swapaxes(0, axis), edge.swapaxes(0, axis)  # views
        differs = ids_along[:-1] != ids_along[1:]
        edge_along[:-1] |= differs
        edge_along[1:] |= differs
    where = np.flatnonzero(edge & (padded != 0))  # nonzero() of bytes takes ten times as long as of booleans
    organ_ids = padded.ravel()[where]
    order = np.argsort(organ_ids, kind="stable")
    order = order[np.isin(organ_ids[order], ids)]
    surface = np.zeros_like(padded)
    surface.ravel()[where[order]] = organ_ids[order]
    return _Surface(surface, where[order], organ_ids[order])


def _directed(start: _Surface, goal: _Surface, spacing: NDArray, near_mm: float) -> NDArray[np.float64]:
    """Distance in mm from every surface voxel of `start` to the nearest of the same organ in `goal`.

    Contours mostly lie close together, so the neighborhood is searched first, nearest step first
    and for all organs at once: the first hit is the distance. Only the rest asks a k-d tree (exact too).
    """
    from scipy.spatial import cKDTree

    goal_ids = goal.map.ravel()
    distances = np.full(start.where.size, np.inf)
    open_ = np.arange(start.where.size)  # voxels whose distance is not known yet
    for step, length_mm in _steps(goal.map.shape, spacing, near_mm):
        hit = goal_ids[start.where[open_] + step] == start.ids[open_]
        distances[open_[hit]] = length_mm
        open_ = open_[~hit]
    for i in np.unique(start.ids[open_]):
        far = open_[start.ids[open_] == i]
        tree = cKDTree(goal.points_mm(goal.part(i), spacing), balanced_tree=False)
        distances[far] = tree.query(start.points_mm(far, spacing))[0]
    return distances


def _steps(shape: tuple[int, ...], spacing: NDArray, near_mm: float) -> list[tuple[int, float]]:
    """Every step of at most `near_mm`, nearest first, as (offset in the flat array, length in mm)."""
    reach = np.floor(near_mm / spacing).astype(int)
    grid = np.indices(tuple(2 * reach + 1)).reshape(3, -1).T - reach  # (steps, 3)
    lengths = np.linalg.norm(grid * spacing, axis=1)
    offsets = grid @ np.array([shape[1] * shape[2], shape[2], 1])
    order = np.argsort(lengths, kind="stable")
    return [(int(offsets[k]), float(lengths[k])) for k in order if lengths[k] <= near_mm]


def _summarize(to_predicted: NDArray, to_true: NDArray, tolerance_mm: float) -> tuple[float, float, float]:
    """HD95 (mm), MSD (mm) and NSD from the directed distances of both contours."""
    hd95_mm = max(float(np.percentile(to_predicted, 95)), float(np.percentile(to_true, 95)))
    pooled = np.concatenate([to_predicted, to_true])
    return hd95_mm, float(pooled.mean()), float((pooled <= tolerance_mm + ROUNDING_MM).mean())
