"""A CT scanner: from a synthetic child to an image in Hounsfield units, by a center's protocol.

Gray values of organs without contrast and in the portal venous phase are measured ones (spectral CT of 35
children; AJR 2008;191:1589); the arterial phase is a plausible guess. The child is built finer than the slices,
then averaged, so that thick slices mix tissues at their edges (partial volume) as a scanner does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.patients.anatomy import Tissue
from pedseg.patients.phantom import Phantom
from pedseg.scan import Scan

AIR_HU = -1000.0
Phase = Literal["none", "arterial", "portal venous"]

# Tissue: HU without contrast, in the arterial phase, in the portal venous phase, grain of the texture in HU.
GRAY: dict[Tissue, tuple[float, float, float, float]] = {
    Tissue.AIR: (-1000, -1000, -1000, 0),
    Tissue.FAT: (-100, -100, -98, 6),
    Tissue.MUSCLE: (60, 62, 68, 6),
    Tissue.SPONGIOSA: (220, 225, 230, 40),
    Tissue.CORTEX: (620, 620, 620, 60),
    Tissue.CARTILAGE: (85, 85, 90, 8),
    Tissue.LUNG: (-740, -735, -730, 40),
    Tissue.LIVER: (65, 78, 113, 5),
    Tissue.SPLEEN: (55, 130, 124, 5),
    Tissue.KIDNEY_CORTEX: (41, 180, 195, 6),
    Tissue.KIDNEY_MEDULLA: (37, 75, 178, 8),
    Tissue.PANCREAS: (48, 100, 102, 9),
    Tissue.ADRENAL: (38, 75, 85, 4),
    Tissue.ARTERY: (42, 290, 149, 4),
    Tissue.VEIN: (42, 80, 138, 6),
    Tissue.PORTAL: (42, 85, 158, 4),
    Tissue.HEART_BLOOD: (42, 230, 142, 6),
    Tissue.MYOCARDIUM: (46, 100, 105, 6),
    Tissue.BOWEL_WALL: (40, 75, 90, 8),
    Tissue.BOWEL_FLUID: (18, 18, 20, 10),
    Tissue.STOOL: (35, 35, 35, 45),
    Tissue.GAS: (-930, -930, -930, 0),
    Tissue.BILE: (8, 8, 8, 3),
    Tissue.URINE: (5, 5, 8, 3),
    Tissue.CORD: (30, 32, 34, 4),
    Tissue.THYMUS: (48, 60, 75, 6),
    Tissue.LUNG_VESSEL: (0, 120, 60, 20),
    Tissue.MESENTERY: (-80, -75, -70, 20),
}
PHASES: tuple[Phase, ...] = ("none", "arterial", "portal venous")


@dataclass(frozen=True)
class CtProtocol:
    """How a center scans: contrast phase, voxel size, sharpness, noise, table."""

    name: str
    phase: Phase = "portal venous"
    pixel_mm: float = 3.0
    slice_mm: float = 4.0
    kernel_mm: float = 3.0  # full width at half maximum of the blur in the slice: soft kernels are wide
    noise_hu: float = 12.0
    noise_grain_mm: float = 3.0  # size of the noise grain: sharp kernels give fine grain
    kvp: int = 120
    couch: Literal["", "flat", "curved"] = "curved"
    oral_contrast: bool = False


def scan_ct(phantom: Phantom, protocol: CtProtocol, seed: int) -> tuple[Scan, Scan]:
    """Scan a child: image (int16 HU) and labels (uint8 organ ids) on the protocol's grid, same affine."""
    rng = np.random.default_rng((seed, 23))
    fine = np.asarray(phantom.spacing_mm)
    spacing = np.array([protocol.pixel_mm, protocol.pixel_mm, protocol.slice_mm])
    shape = np.maximum(1, np.floor(np.asarray(phantom.tissues.shape) * fine / spacing + 1e-6)).astype(int)
    first = phantom.affine[:3, 3] + (np.asarray(phantom.tissues.shape) - 1) * fine / 2 - (shape - 1) * spacing / 2
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = first

    image = _paint(phantom.tissues, gray_values(protocol, rng), rng)
    sigma = protocol.kernel_mm / 2.355 / fine[:2]
    image = ndimage.gaussian_filter(image, (*sigma, 0.0), mode="nearest", truncate=2.5)
    start = (first - spacing / 2) - (phantom.affine[:3, 3] - fine / 2)
    for axis in range(3):
        image = _average(image, axis, fine[axis], spacing[axis], start[axis], shape[axis])
    labels = _nearest(phantom.labels, fine, spacing, start, shape)
    image += _noise(image.shape, protocol, rng)
    if protocol.couch:
        _add_couch(image, phantom, affine, protocol.couch)
    return Scan(np.clip(np.round(image), -1024, 3071).astype(np.int16), affine), Scan(labels, affine)


def gray_values(protocol: CtProtocol, rng: np.random.Generator) -> NDArray[np.float32]:
    """Mean HU of every tissue in this patient: the phase, how well the contrast medium came, kVp, chance."""
    column = PHASES.index(protocol.phase)
    strength = rng.normal(1.0, 0.12) * (120.0 / protocol.kvp) ** 0.9
    values = np.zeros(max(Tissue) + 1, np.float32)
    for tissue, row in GRAY.items():
        own = (
            0.0
            if tissue in (Tissue.AIR, Tissue.GAS)
            else rng.normal(0.0, 4.0 if abs(row[0]) < 150 else 0.03 * abs(row[0]))
        )
        values[tissue] = row[0] + own + strength * (row[column] - row[0])
    if protocol.oral_contrast:
        values[Tissue.BOWEL_FLUID] = rng.uniform(150, 350)
    return values


def _paint(tissues: NDArray, values: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Tissues in gray, with a grain of their own."""
    grain = np.zeros_like(values)
    for tissue, row in GRAY.items():
        grain[tissue] = row[3]
    rough = ndimage.gaussian_filter(rng.standard_normal(tissues.shape, dtype=np.float32), 1.2, truncate=2.5)
    return values[tissues] + grain[tissues] * (rough / rough.std())


def _weights(fine_mm: float, coarse_mm: float, start_mm: float, n_fine: int, n_coarse: int) -> NDArray[np.float32]:
    """How much of every fine cell lies in every coarse cell: (n_coarse, n_fine), rows add up to 1."""
    low = start_mm + coarse_mm * np.arange(n_coarse)[:, None]
    fine_low = fine_mm * np.arange(n_fine)[None, :]
    overlap = np.minimum(low + coarse_mm, fine_low + fine_mm) - np.maximum(low, fine_low)
    overlap = np.clip(overlap, 0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


def _average(
    image: NDArray, axis: int, fine_mm: float, coarse_mm: float, start_mm: float, n: int
) -> NDArray[np.float32]:
    if np.isclose(fine_mm, coarse_mm) and abs(start_mm) < 1e-6:
        return image
    weights = _weights(fine_mm, coarse_mm, start_mm, image.shape[axis], n)
    return np.moveaxis(np.tensordot(weights, image, axes=(1, axis)), 0, axis)


def _nearest(labels: NDArray, fine: NDArray, spacing: NDArray, start: NDArray, shape: NDArray) -> NDArray[np.uint8]:
    """The label at the center of every voxel."""
    index = [
        np.clip(((start[a] + spacing[a] * (np.arange(shape[a]) + 0.5)) / fine[a]).astype(int), 0, labels.shape[a] - 1)
        for a in range(3)
    ]
    return np.ascontiguousarray(labels[np.ix_(*index)])


def _noise(shape: tuple[int, ...], protocol: CtProtocol, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise whose grain the kernel sets; its standard deviation is `noise_hu`."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    sigma = protocol.noise_grain_mm / 2.355 / protocol.pixel_mm
    if sigma > 0.1:
        noise = ndimage.gaussian_filter(noise, (sigma, sigma, 0.0), truncate=2.5)
    return noise * (protocol.noise_hu / noise.std())


def _add_couch(image: NDArray, phantom: Phantom, affine: NDArray, shape: str) -> None:
    """The table under the child: a flat board, or a curved shell, of carbon fiber around foam."""
    body = np.nonzero((phantom.tissues != Tissue.AIR).any(axis=(0, 2)))[0]
    back_mm = phantom.affine[1, 3] + (body[0] - 0.5) * phantom.spacing_mm[1]
    x = affine[0, 3] + affine[0, 0] * np.arange(image.shape[0])[:, None]
    y = affine[1, 3] + affine[1, 1] * np.arange(image.shape[1])[None, :]
    sag = 0.0 if shape == "flat" else np.square(x) / 900.0 - 1.0
    depth = back_mm - 1.5 - y + sag  # mm under the table's surface
    skin, foam = (np.abs(depth - 2) < 2) | (np.abs(depth - 17) < 2), (depth > 4) & (depth < 15)
    layer = np.where(skin, -60.0, np.where(foam, -920.0, AIR_HU)).astype(np.float32)[:, :, None]
    air = image < -700
    outside = air & (depth[:, :, None] > 0)
    np.copyto(image, image + (layer - AIR_HU), where=outside)
