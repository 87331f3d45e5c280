"""From a scan to the array that a network sees, and from its answer back to the scan's own grid.

The steps are nnU-Net's: reorient, resample to the plan's spacing, crop, clip and normalize.

Where MR is among the scans, no HU is asked for: the body is what differs from the air around it (`air_edge`),
and its gray values are counted from their median, in units of their middle half (1.35 of it make the standard deviation
of a normal distribution, and neither lung nor a bright bladder can stretch it). Outside the body everything is exactly
0, so that air tells nothing: neither to the network nor to what random convolutions measure (`gin`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg import organs
from pedseg.learning.orientation import body_box, body_mask, box_around, to_supine
from pedseg.learning.plans import Plan
from pedseg.scan import Scan, resample

MIDDLE_HALF = 1.349  # standard deviations that the middle half of a normal distribution spans
NEARLY_NOTHING = 1e-4  # a gray value of the body that can be told from the 0 of air
MULTIPLE = 8  # every side of a prepared image; the networks halve it up to three times


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

    Images are resampled linearly, for the clinic by cubic splines as in nnU-Net. Where the plan turns
    patients onto their back, the prepared grid is turned in the room, and `affine` says so.
    """
    if plan.orientation == "reorient":
        scan, labels = to_supine(scan, labels)
    coarse = resample(scan, plan.spacing_mm, order=3 if plan.profile == "clinic" else 1)
    if plan.intensity == "body":
        inside = body_mask(scan)  # on the scan's own grid, where couches are thin
        inside = resample(Scan(inside.astype(np.uint8), scan.affine), plan.spacing_mm, order=0).voxels > 0
        box, air = box_around(inside, coarse.spacing_mm), 0.0
        image = normalize_by_body(coarse.voxels, inside, plan.clip_hu)[box]
    else:
        box, air = body_box(coarse), (plan.clip_hu[0] - plan.mean_hu) / plan.sd_hu
        image = (np.clip(coarse.voxels[box], *plan.clip_hu) - plan.mean_hu) / plan.sd_hu
    padding = [(0, -n % MULTIPLE) for n in image.shape]
    affine = coarse.affine.copy()
    affine[:3, 3] += coarse.affine[:3, :3] @ [edge.start for edge in box]
    channels = None
    if labels is not None:
        nearest = resample(labels, plan.spacing_mm, order=0).voxels[box]
        channels = np.pad(_to_channels(plan)[nearest], padding)
    known = plan.organs if annotated is None else annotated
    return Prepared(
        name=name,
        image=np.pad(image.astype(np.float32), padding, constant_values=np.float32(air)),
        labels=channels,
        unknown=tuple(1 + i for i, organ in enumerate(plan.organs) if organ not in known),
        affine=affine,
    )


def normalize_by_body(voxels: NDArray, inside: NDArray[np.bool_], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Gray values counted from the body's median, in robust standard deviations within `limits`; 0 outside the body."""
    if not inside.any():
        return np.zeros(voxels.shape, dtype=np.float32)
    low, middle, high = np.percentile(voxels[inside], (25, 50, 75))
    measured = (voxels - middle) / max((high - low) / MIDDLE_HALF, 1e-6)
    measured[measured == 0] = NEARLY_NOTHING  # the median itself is body, too
    return np.where(inside, np.clip(measured, *limits), 0.0).astype(np.float32)


def _to_channels(plan: Plan) -> NDArray[np.uint8]:
    """A look-up from organ id to the plan's channel; organs outside the plan are background."""
    table = np.zeros(256, dtype=np.uint8)
    for channel, name in enumerate(plan.organs, start=1):
        table[organs.organ(name).id] = channel
    return table


def restore(probabilities: NDArray, prepared: Prepared, scan: Scan, plan: Plan) -> NDArray[np.uint8]:
    """The label map (organ ids) on the grid of `scan`, in RAS, from class probabilities (class, x, y, z).

    Probabilities are interpolated linearly before the largest wins, as nnU-Net does.
    """
    ids = np.array([0] + [organs.organ(name).id for name in plan.organs], dtype=np.uint8)
    to_prepared = np.linalg.solve(prepared.affine, scan.affine)  # from an index of the scan to one of the prepared
    if not np.allclose(to_prepared[:3, :3], np.diag(np.diag(to_prepared)[:3]), atol=1e-6):
        return ids[_largest_turned(probabilities, to_prepared, scan.shape)]
    ratio, start = np.diag(to_prepared)[:3], to_prepared[:3, 3]
    places = [start[axis] + ratio[axis] * np.arange(scan.shape[axis]) for axis in range(3)]
    inside = [np.flatnonzero((p > -0.5) & (p < n - 0.5)) for p, n in zip(places, probabilities.shape[1:], strict=True)]
    if all(np.allclose(p, np.round(p), atol=1e-3) for p in places):
        exact = [np.round(p[i]).astype(int) for p, i in zip(places, inside, strict=True)]
        classes = probabilities.argmax(axis=0)[np.ix_(*exact)]
    else:
        classes = _largest(probabilities, [p[i] for p, i in zip(places, inside, strict=True)])
    label_map = np.zeros(scan.shape, dtype=np.uint8)
    label_map[np.ix_(*inside)] = ids[classes]
    return label_map


def _largest_turned(probabilities: NDArray, to_prepared: NDArray, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The likeliest class on a grid that is turned against that of the probabilities; background beyond them."""
    best, classes = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.intp)
    for number, values in enumerate(probabilities):
        values = ndimage.affine_transform(
            values.astype(np.float32), to_prepared[:3, :3], to_prepared[:3, 3], output_shape=shape, order=1
        )
        better = values > best
        best[better], classes[better] = values[better], number
    return classes


def _largest(probabilities: NDArray, places: list[NDArray]) -> NDArray[np.intp]:
    """The likeliest class at fractional indices along x, y, z; one class in memory at a time."""
    shape = tuple(map(len, places))
    best, classes = np.full(shape, -np.inf, dtype=probabilities.dtype), np.zeros(shape, dtype=np.intp)
    for number, values in enumerate(probabilities):
        for axis in range(3):
            values = _interpolate(values, axis, places[axis])
        better = values > best
        best[better], classes[better] = values[better], number
    return classes


def _interpolate(values: NDArray, axis: int, places: NDArray) -> NDArray:
    """Linear interpolation along one axis at fractional indices, constant beyond the ends."""
    places = np.clip(places, 0, values.shape[axis] - 1)
    low = (
        np.minimum(places.astype(int), values.shape[axis] - 2) if values.shape[axis] > 1 else np.zeros(len(places), int)
    )
    share = (places - low).astype(values.dtype)
    share = share.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    high = np.minimum(low + 1, values.shape[axis] - 1)
    return values.take(low, axis) * (1 - share) + values.take(high, axis) * share
