"""Sampling a phantom on the voxels of a scan, for CT and MR alike: point spread function, partial volume, labels.

The child is built finer than the slices and then averaged, so that thick slices mix tissues at their edges (partial
volume effect) as a scanner does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms.phantom import Phantom

FWHM_PER_SD = 2.355  # full width at half maximum of a Gaussian


@dataclass(frozen=True)
class ScanGrid:
    """The voxels of a scan over the finer ones of a phantom."""

    phantom: Phantom
    affine: NDArray[np.float64]
    shape: tuple[int, ...]

    @classmethod
    def of_protocol(cls, phantom: Phantom, pixel_mm: float, slice_mm: float) -> ScanGrid:
        """As many whole voxels of a protocol as the phantom's grid holds, in its middle."""
        fine, n_fine = np.asarray(phantom.spacing_mm), np.asarray(phantom.tissues.shape)
        spacing = np.array([pixel_mm, pixel_mm, slice_mm])
        shape = np.maximum(1, np.floor(n_fine * fine / spacing + 1e-6)).astype(int)
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = phantom.affine[:3, 3] + (n_fine - 1) * fine / 2 - (shape - 1) * spacing / 2
        return cls(phantom, affine, tuple(int(n) for n in shape))

    def centers_mm(self, axis: int) -> NDArray[np.float64]:
        """Where the voxel centers lie along one axis, in mm of the room."""
        return self.affine[axis, 3] + self.affine[axis, axis] * np.arange(self.shape[axis])

    def _start_mm(self, axis: int) -> float:
        """How far the scan's first voxel begins behind the beginning of the phantom's grid."""
        lower = self.affine[axis, 3] - self.affine[axis, axis] / 2
        return float(lower - (self.phantom.affine[axis, 3] - self.phantom.affine[axis, axis] / 2))

    def measure(self, image: NDArray, fwhm_mm: float) -> NDArray[np.float32]:
        """A fine image as the scan shows it: with a Gaussian point spread function in the slice, and partial volume."""
        sigma = fwhm_mm / FWHM_PER_SD / np.asarray(self.phantom.spacing_mm[:2])
        image = ndimage.gaussian_filter(image, (*sigma, 0.0), mode="nearest", truncate=2.5)
        for axis in range(3):
            image = self._average(image, axis)
        return image

    def _average(self, image: NDArray, axis: int) -> NDArray[np.float32]:
        """The mean of the fine voxels in every voxel of the scan, along one axis (partial volume)."""
        fine_mm, coarse_mm, start_mm = self.phantom.spacing_mm[axis], self.affine[axis, axis], self._start_mm(axis)
        if np.isclose(fine_mm, coarse_mm) and abs(start_mm) < 1e-6:
            return image
        weights = partial_volume_weights(fine_mm, coarse_mm, start_mm, image.shape[axis], self.shape[axis])
        return np.moveaxis(np.tensordot(weights, image, axes=(1, axis)), 0, axis)

    def nearest(self, labels: NDArray) -> NDArray[np.uint8]:
        """The label at the center of every voxel."""
        index = []
        for axis, n in enumerate(self.shape):
            center_mm = self._start_mm(axis) + self.affine[axis, axis] * (np.arange(n) + 0.5)
            index.append(np.clip((center_mm / self.phantom.spacing_mm[axis]).astype(int), 0, labels.shape[axis] - 1))
        return np.ascontiguousarray(labels[np.ix_(*index)])


def partial_volume_weights(
    fine_mm: float, coarse_mm: float, start_mm: float, n_fine: int, n_coarse: int
) -> NDArray[np.float32]:
    """How much of every fine cell lies in every coarse cell: (n_coarse, n_fine), rows add up to 1."""
    low = start_mm + coarse_mm * np.arange(n_coarse)[:, None]
    fine_low = fine_mm * np.arange(n_fine)[None, :]
    overlap = np.minimum(low + coarse_mm, fine_low + fine_mm) - np.maximum(low, fine_low)
    overlap = np.clip(overlap, 0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


def textured(tissues: NDArray, values: NDArray, sd: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Tissues in gray (`values` by tissue), with a random texture whose standard deviation is `sd` by tissue."""
    texture = ndimage.gaussian_filter(rng.standard_normal(tissues.shape, dtype=np.float32), 1.2, truncate=2.5)
    return values[tissues] + sd[tissues] * (texture / texture.std())
