"""CT simulation: from a phantom to an image in Hounsfield units, by a center's protocol.

Contrast phase, reconstruction kernel (point spread function and noise texture), partial volume of thick slices, metal
streaks, couch and field of view. Gray values of organs without contrast and in the portal venous phase are measured
ones (spectral CT of 35 children; AJR 2008;191:1589); the arterial phase is a plausible guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.cases import PHASES
from pedseg.phantoms import artifacts, ct_physics
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.phantom import Phantom
from pedseg.phantoms.voxelization import ScanGrid
from pedseg.scan import Scan

Phase = Literal["none", "arterial", "portal venous"]

# Tissue: HU without contrast, in the arterial phase, in the portal venous phase.
TISSUE_HU: dict[Tissue, tuple[float, float, float]] = {
    Tissue.AIR: (-1000, -1000, -1000),
    Tissue.FAT: (-100, -100, -98),
    Tissue.MUSCLE: (60, 62, 68),
    Tissue.SPONGIOSA: (220, 225, 230),
    Tissue.CORTEX: (620, 620, 620),
    Tissue.CARTILAGE: (85, 85, 90),
    Tissue.LUNG: (-740, -735, -730),
    Tissue.LIVER: (65, 78, 113),
    Tissue.SPLEEN: (55, 130, 124),
    Tissue.KIDNEY_CORTEX: (41, 180, 195),
    Tissue.KIDNEY_MEDULLA: (37, 75, 178),
    Tissue.PANCREAS: (48, 100, 102),
    Tissue.ADRENAL: (38, 75, 85),
    Tissue.ARTERY: (42, 290, 149),
    Tissue.VEIN: (42, 80, 138),
    Tissue.PORTAL: (42, 85, 158),
    Tissue.HEART_BLOOD: (42, 230, 142),
    Tissue.MYOCARDIUM: (46, 100, 105),
    Tissue.BOWEL_WALL: (40, 75, 90),
    Tissue.BOWEL_FLUID: (18, 18, 20),
    Tissue.STOOL: (35, 35, 35),
    Tissue.GAS: (-930, -930, -930),
    Tissue.BILE: (8, 8, 8),
    Tissue.URINE: (5, 5, 8),
    Tissue.CORD: (30, 32, 34),
    Tissue.THYMUS: (48, 60, 75),
    Tissue.LUNG_VESSEL: (0, 120, 60),
    Tissue.MESENTERY: (-80, -75, -70),
    Tissue.SCAR: (28, 32, 42),
    Tissue.CLIP: (7000, 7000, 7000),
    Tissue.SKIN: (25, 30, 35),
    Tissue.FASCIA: (75, 75, 80),
    Tissue.FISSURE: (-560, -550, -540),
    Tissue.ASCITES: (8, 8, 10),
    Tissue.TUBE: (350, 350, 350),
    Tissue.SOFT: (45, 70, 90),
}
# Not in every child: no random number is drawn for their gray.
UNVARIED = (Tissue.SCAR, *(tissue for tissue in Tissue if tissue >= Tissue.CLIP))


@dataclass(frozen=True)
class CtProtocol:
    """How a center acquires and reconstructs CT: contrast phase, voxels, kernel, noise, couch, field of view."""

    name: str
    phase: Phase = "portal venous"
    pixel_mm: float = 3.0
    slice_mm: float = 4.0
    kernel_mm: float = 3.0  # full width at half maximum of the point spread function: soft kernels are wide
    noise_hu: float = 12.0
    noise_grain_mm: float = 3.0  # full width at half maximum of the noise texture: sharp kernels give fine grain
    kvp: int = 120
    couch: Literal["", "flat", "curved"] = "curved"
    oral_contrast: bool = False
    cushion: bool = False  # a vacuum cushion between the child and the couch, raised at its sides
    field_mm: float | None = None  # diameter of the round field that is reconstructed; None shows all
    padding_hu: int = -1024  # what stands outside of that field
    field_z: tuple[float, float] = (0.0, 1.0)  # the part that is scanned, as shares of the height from below


def scan_ct(phantom: Phantom, protocol: CtProtocol, seed: int, noise_seed: int | None = None) -> tuple[Scan, Scan]:
    """Scan a child: image (int16 HU) and labels (uint8 organ ids) on the protocol's grid, same affine.

    With a `noise_seed`, only the noise is another: gray values and texture of the tissues stay.
    """
    rng = np.random.default_rng((seed, 23))
    grid = ScanGrid.of_protocol(phantom, protocol.pixel_mm, protocol.slice_mm)
    labels = grid.nearest(phantom.labels)
    image = _tissue_image(grid, protocol, rng, seed, noise_seed)
    artifacts.add_metal_streaks(image, grid, seed)
    if protocol.couch:
        artifacts.add_couch(image, grid, protocol.couch)
    if protocol.cushion:
        artifacts.add_cushion(image, grid)
    image = np.clip(np.round(image), -1024, 3071).astype(np.int16)
    if protocol.field_mm is not None:
        outside = artifacts.outside_field_of_view(image.shape, protocol.pixel_mm, protocol.field_mm)
        image[outside], labels[outside] = protocol.padding_hu, 0
    return _part(Scan(image, grid.affine), protocol.field_z), _part(Scan(labels, grid.affine), protocol.field_z)


def _part(scan: Scan, field_z: tuple[float, float]) -> Scan:
    """The slices between two shares of the height, two at least."""
    if field_z == (0.0, 1.0):
        return scan
    n = scan.shape[2]
    first = max(0, min(round(field_z[0] * n), n - 2))
    affine = scan.affine.copy()
    affine[:3, 3] += first * affine[:3, 2]
    return Scan(scan.voxels[:, :, first : max(first + 2, round(field_z[1] * n))].copy(), affine)


def _tissue_image(
    grid: ScanGrid, protocol: CtProtocol, rng: np.random.Generator, seed: int, noise_seed: int | None
) -> NDArray[np.float32]:
    """The image before metal and couch: texture by tissue, breathing, beam hardening, quantum noise (`ct_physics`)."""
    fine = ct_physics.tissue_image(grid.phantom, tissue_hu(protocol, rng), protocol.phase, rng)
    image = grid.measure(ct_physics.breathe(fine, grid.phantom, rng), protocol.kernel_mm)
    ct_physics.harden_beam(image, protocol.pixel_mm)
    noise_rng = np.random.default_rng((seed, 29, noise_seed or 0))
    grain = protocol.noise_hu, protocol.noise_grain_mm, protocol.pixel_mm, protocol.slice_mm
    return image + ct_physics.quantum_noise(image, *grain, noise_rng)


def tissue_hu(protocol: CtProtocol, rng: np.random.Generator) -> NDArray[np.float32]:
    """Mean HU of every tissue in one patient: contrast enhancement by phase and kVp, and variation between patients."""
    column = PHASES.index(protocol.phase)
    enhancement = rng.normal(1.0, 0.12) * (120.0 / protocol.kvp) ** 0.9
    values = np.zeros(max(Tissue) + 1, np.float32)
    for tissue, row in TISSUE_HU.items():
        native, offset = row[0], 0.0
        if tissue not in (Tissue.AIR, Tissue.GAS, *UNVARIED):
            offset = rng.normal(0.0, 4.0 if abs(native) < 150 else 0.03 * abs(native))
        values[tissue] = native + offset + enhancement * (row[column] - native)
    values[Tissue.CSF] = values[Tissue.CORD]
    if protocol.oral_contrast:
        values[Tissue.BOWEL_FLUID] = rng.uniform(150, 350)
    return values
