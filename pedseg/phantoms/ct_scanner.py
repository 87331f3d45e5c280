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

from pedseg.datasets.cases import PHASES
from pedseg.phantoms import artifacts
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.phantom import Phantom
from pedseg.phantoms.voxelization import average, nearest, painted, scan_grid
from pedseg.scan import Scan

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
    Tissue.SCAR: (28, 32, 42, 8),
    Tissue.CLIP: (7000, 7000, 7000, 0),
}
SURGICAL = (Tissue.SCAR, Tissue.CLIP)  # drawn by no child without surgery: no chance is spent on their gray


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
    cushion: bool = False  # a vacuum cushion between the child and the table, raised at its sides
    field_mm: float | None = None  # diameter of the round field that is reconstructed; None shows all
    padding_hu: int = -1024  # what stands outside of that field


def scan_ct(phantom: Phantom, protocol: CtProtocol, seed: int) -> tuple[Scan, Scan]:
    """Scan a child: image (int16 HU) and labels (uint8 organ ids) on the protocol's grid, same affine."""
    rng = np.random.default_rng((seed, 23))
    affine, shape = scan_grid(phantom, protocol.pixel_mm, protocol.slice_mm)
    image = painted(phantom.tissues, gray_values(protocol, rng), _grain(), rng)
    sigma = protocol.kernel_mm / 2.355 / np.asarray(phantom.spacing_mm[:2])
    image = ndimage.gaussian_filter(image, (*sigma, 0.0), mode="nearest", truncate=2.5)
    for axis in range(3):
        image = average(image, axis, phantom, affine, shape[axis])
    labels = nearest(phantom.labels, phantom, affine, shape)
    image += _noise(image.shape, protocol, rng)
    artifacts.add_streaks(image, affine, phantom, seed)
    if protocol.couch:
        artifacts.add_couch(image, phantom, affine, protocol.couch)
    if protocol.cushion:
        artifacts.add_cushion(image, nearest(phantom.tissues, phantom, affine, shape) == Tissue.AIR, affine)
    image = np.clip(np.round(image), -1024, 3071).astype(np.int16)
    if protocol.field_mm is not None:
        outside = artifacts.outside_field(image.shape, protocol.pixel_mm, protocol.field_mm)
        image[outside], labels[outside] = protocol.padding_hu, 0
    return Scan(image, affine), Scan(labels, affine)


def gray_values(protocol: CtProtocol, rng: np.random.Generator) -> NDArray[np.float32]:
    """Mean HU of every tissue in this patient: the phase, how well the contrast medium came, kVp, chance."""
    column = PHASES.index(protocol.phase)
    strength = rng.normal(1.0, 0.12) * (120.0 / protocol.kvp) ** 0.9
    values = np.zeros(max(Tissue) + 1, np.float32)
    for tissue, row in GRAY.items():
        own = (
            0.0
            if tissue in (Tissue.AIR, Tissue.GAS, *SURGICAL)
            else rng.normal(0.0, 4.0 if abs(row[0]) < 150 else 0.03 * abs(row[0]))
        )
        values[tissue] = row[0] + own + strength * (row[column] - row[0])
    values[Tissue.CSF] = values[Tissue.CORD]
    if protocol.oral_contrast:
        values[Tissue.BOWEL_FLUID] = rng.uniform(150, 350)
    return values


def _grain() -> NDArray[np.float32]:
    """How rough each tissue is, in HU."""
    grain = np.zeros(max(Tissue) + 1, np.float32)
    for tissue, row in GRAY.items():
        grain[tissue] = row[3]
    grain[Tissue.CSF] = grain[Tissue.CORD]
    return grain


def _noise(shape: tuple[int, ...], protocol: CtProtocol, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise whose grain the kernel sets; its standard deviation is `noise_hu`."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    sigma = protocol.noise_grain_mm / 2.355 / protocol.pixel_mm
    if sigma > 0.1:
        noise = ndimage.gaussian_filter(noise, (sigma, sigma, 0.0), truncate=2.5)
    return noise * (protocol.noise_hu / noise.std())
