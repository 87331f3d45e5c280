"""From the fine voxels that a child is built of to those of a scan, the same for CT and MR.

The child is built finer than the slices and then averaged, so that thick slices mix tissues at their edges (partial
volume) as a scanner does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms.phantom import Phantom


def scan_grid(phantom: Phantom, pixel_mm: float, slice_mm: float) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Affine and shape of a scan: as many whole voxels of the protocol as the child's grid holds, in its middle."""
    fine, n_fine = np.asarray(phantom.spacing_mm), np.asarray(phantom.tissues.shape)
    spacing = np.array([pixel_mm, pixel_mm, slice_mm])
    shape = np.maximum(1, np.floor(n_fine * fine / spacing + 1e-6)).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = phantom.affine[:3, 3] + (n_fine - 1) * fine / 2 - (shape - 1) * spacing / 2
    return affine, tuple(int(n) for n in shape)


def _start_mm(phantom: Phantom, affine: NDArray, axis: int) -> float:
    """How far the scan's first voxel begins behind the beginning of the child's grid."""
    lower = affine[axis, 3] - affine[axis, axis] / 2
    return float(lower - (phantom.affine[axis, 3] - phantom.affine[axis, axis] / 2))


def painted(tissues: NDArray, values: NDArray, grain: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Tissues in gray (`values` by tissue), with a texture whose standard deviation is `grain` by tissue."""
    rough = ndimage.gaussian_filter(rng.standard_normal(tissues.shape, dtype=np.float32), 1.2, truncate=2.5)
    return values[tissues] + grain[tissues] * (rough / rough.std())


def weights_of_cells(
    fine_mm: float, coarse_mm: float, start_mm: float, n_fine: int, n_coarse: int
) -> NDArray[np.float32]:
    """How much of every fine cell lies in every coarse cell: (n_coarse, n_fine), rows add up to 1."""
    low = start_mm + coarse_mm * np.arange(n_coarse)[:, None]
    fine_low = fine_mm * np.arange(n_fine)[None, :]
    overlap = np.minimum(low + coarse_mm, fine_low + fine_mm) - np.maximum(low, fine_low)
    overlap = np.clip(overlap, 0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


def average(image: NDArray, axis: int, phantom: Phantom, affine: NDArray, n: int) -> NDArray[np.float32]:
    """The mean of the fine voxels in every voxel of the scan, along one axis."""
    fine_mm, coarse_mm, start_mm = phantom.spacing_mm[axis], affine[axis, axis], _start_mm(phantom, affine, axis)
    if np.isclose(fine_mm, coarse_mm) and abs(start_mm) < 1e-6:
        return image
    weights = weights_of_cells(fine_mm, coarse_mm, start_mm, image.shape[axis], n)
    return np.moveaxis(np.tensordot(weights, image, axes=(1, axis)), 0, axis)


def nearest(labels: NDArray, phantom: Phantom, affine: NDArray, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The label at the center of every voxel."""
    index = []
    for axis, n in enumerate(shape):
        middle = _start_mm(phantom, affine, axis) + affine[axis, axis] * (np.arange(n) + 0.5)
        index.append(np.clip((middle / phantom.spacing_mm[axis]).astype(int), 0, labels.shape[axis] - 1))
    return np.ascontiguousarray(labels[np.ix_(*index)])
