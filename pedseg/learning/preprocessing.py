"""Preprocessing: from a scan to the array that a network sees, and from probabilities back to the scan's own grid.

The steps are nnU-Net's: reorient, resample to the plan's spacing, crop, clip and normalize.

Where MR is among the scans, no HU is asked for: the body is what differs from the air around it (`body_mask`), and its
gray values are counted from their median, in units of their interquartile range (1.35 of it make the standard
deviation of a normal distribution, and neither lung nor a bright bladder can stretch it). Outside the body everything
is exactly 0: air carries no information, neither for the network nor for what random convolutions measure (`gin`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg import organs
from pedseg.learning.body_mask import body_box, body_mask, bounding_box
from pedseg.learning.orientation import to_supine
from pedseg.learning.plans import Plan
from pedseg.scan import Scan, resample

IQR_SD = 1.349  # standard deviations that the interquartile range of a normal distribution spans
MEDIAN_GRAY = 1e-4  # of a voxel of the body at its median, to tell it from the 0 of air
SLAB = 32  # slices of a label map that are interpolated at a time
MULTIPLE = 8  # every side of a preprocessed image; the networks halve it up to three times


@dataclass(frozen=True)
class Prepared:
    """One case as the network sees it.

    `image` (x, y, z) float32, normalized; `labels` (x, y, z) uint8 channel numbers (0 background,
    then the plan's organs in order) or None; `unknown` the channels nobody annotated in this
    case; `affine` places the first voxel of `image` in mm.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.uint8] | None
    unknown: tuple[int, ...]
    affine: NDArray[np.float64]


def prepare(
    scan: Scan, plan: Plan, labels: Scan | None = None, *, annotated: tuple[str, ...] | None = None, name: str = ""
) -> Prepared:
    """Resample, crop to the body, clip and normalize a scan in RAS; labels go the same way, nearest neighbor.

    Images are resampled linearly, for the clinic by cubic splines as in nnU-Net. Where the plan rotates
    patients to supine, the grid is rotated, and `affine` says so.
    """
    if plan.orientation == "reorient":
        scan, labels = to_supine(scan, labels)
    coarse = resample(scan, plan.spacing_mm, order=plan.recipe.spline_order)
    if plan.intensity == "body":
        inside = body_mask(scan)  # on the scan's own grid, where couches are thin
        inside = resample(Scan(inside.astype(np.uint8), scan.affine), plan.spacing_mm, order=0).voxels > 0
        box, air = bounding_box(inside, coarse.spacing_mm), 0.0
        image = normalize_by_body(coarse.voxels, inside, plan.clip_hu)[box]
    else:
        box, air = body_box(coarse), (plan.clip_hu[0] - plan.mean_hu) / plan.sd_hu
        image = (np.clip(coarse.voxels[box], *plan.clip_hu) - plan.mean_hu) / plan.sd_hu
    padding = [(0, -n % MULTIPLE) for n in image.shape]
    image = np.pad(image.astype(np.float32), padding, constant_values=np.float32(air))
    channels = None
    if labels is not None:
        nearest = resample(labels, plan.spacing_mm, order=0).voxels[box]
        channels = np.pad(_channel_of_id(plan)[nearest], padding)
    known = plan.organs if annotated is None else annotated
    unknown = tuple(1 + i for i, organ in enumerate(plan.organs) if organ not in known)
    affine = coarse.affine.copy()
    affine[:3, 3] += coarse.affine[:3, :3] @ [edge.start for edge in box]
    return Prepared(name, image, channels, unknown, affine)


def normalize_by_body(voxels: NDArray, inside: NDArray[np.bool_], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Gray values counted from the body's median, in robust standard deviations within `limits`; 0 outside the body."""
    if not inside.any():
        return np.zeros(voxels.shape, dtype=np.float32)
    low, median, high = np.percentile(voxels[inside], (25, 50, 75))
    normalized = (voxels - median) / max((high - low) / IQR_SD, 1e-6)
    normalized[normalized == 0] = MEDIAN_GRAY
    return np.where(inside, np.clip(normalized, *limits), 0.0).astype(np.float32)


def _channel_of_id(plan: Plan) -> NDArray[np.uint8]:
    """A look-up from organ id to the plan's channel; organs outside the plan are background."""
    channels = np.zeros(256, dtype=np.uint8)
    for channel, name in enumerate(plan.organs, start=1):
        channels[organs.organ(name).id] = channel
    return channels


def restore(probabilities: NDArray, prepared: Prepared, scan: Scan, plan: Plan) -> NDArray[np.uint8]:
    """The label map (organ ids) on the grid of `scan`, in RAS, from class probabilities (class, x, y, z).

    Probabilities are interpolated linearly before the argmax, as nnU-Net does.
    """
    ids = np.array([0] + [organs.organ(name).id for name in plan.organs], dtype=np.uint8)
    to_prepared = np.linalg.solve(prepared.affine, scan.affine)  # from an index of the scan to one of the prepared
    matrix, offset = to_prepared[:3, :3], to_prepared[:3, 3]
    if not np.allclose(matrix, np.diag(np.diag(matrix)), atol=1e-6):  # rotated against each other
        planes = (
            ndimage.affine_transform(p.astype(np.float32), matrix, offset, output_shape=scan.shape, order=1)
            for p in probabilities
        )
        return ids[_argmax(planes, scan.shape)]
    index = [offset[axis] + matrix[axis, axis] * np.arange(scan.shape[axis]) for axis in range(3)]
    on_grid = all(np.allclose(i, np.round(i), atol=1e-3) for i in index)
    inside = [np.flatnonzero((i > -0.5) & (i < n - 0.5)) for i, n in zip(index, probabilities.shape[1:], strict=True)]
    x, y, z = (i[seen] for i, seen in zip(index, inside, strict=True))
    label_map = np.zeros(scan.shape, dtype=np.uint8)
    if on_grid:
        classes = probabilities.argmax(axis=0)[np.ix_(*(np.round(i).astype(int) for i in (x, y, z)))]
        label_map[np.ix_(*inside)] = ids[classes]
        return label_map
    for slab in np.array_split(np.arange(len(z)), max(1, len(z) // SLAB)):  # no map of the whole scan in float
        first, last = (int(np.clip(end, 0, probabilities.shape[3] - 1)) for end in z[slab[[0, -1]]])
        maps = (_interpolate(p[:, :, first : last + 2], [x, y, z[slab] - first]) for p in probabilities)
        label_map[np.ix_(*inside[:2], inside[2][slab])] = ids[_argmax(maps, (len(x), len(y), len(slab)))]
    return label_map


def _argmax(maps: Iterable[NDArray], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The class with the highest probability in every voxel, with one map in memory at a time."""
    best, classes = np.full(shape, -np.inf, dtype=np.float32), np.zeros(shape, dtype=np.uint8)
    for number, values in enumerate(maps):
        better = values > best
        np.copyto(best, values, where=better)
        classes[better] = number
    return classes


def _interpolate(values: NDArray, index: list[NDArray]) -> NDArray:
    """Separable linear interpolation at fractional indices along x, y and z, constant beyond the ends."""
    for axis, fractional in enumerate(index):
        size = values.shape[axis]
        places = np.clip(fractional, 0, size - 1)
        low = np.clip(places.astype(int), 0, max(size - 2, 0))
        share = (places - low).astype(values.dtype)
        share = share.reshape([-1 if i == axis else 1 for i in range(3)])
        values = values.take(low, axis) * (1 - share) + values.take(np.minimum(low + 1, size - 1), axis) * share
    return values
