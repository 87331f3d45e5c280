"""MR simulation: from a phantom to a T1- or T2-weighted image, whose gray values are no Hounsfield units.

The signal of a tissue follows from how fast its magnetization comes back (T1) and fades (T2), how much of it there is
(proton density), and what the scanner does (repetition time, echo time, flip angle): the signal equation of a spoiled
gradient echo, of which the spin echo is the case of 90 degrees. T1 of liver, pancreas and spleen of children: Gilligan
2019; of other organs, and T2: adults, de Bazelaire 2004 (3 T, and for most organs 1.5 T); blood after Stanisz 2005;
bowel, bile, bone, lung and scar are plausible guesses. The gray scale of an MR scan is arbitrary: each has a gain, a
slow brightness drift across the picture (the bias field of the coils) and Rician noise, because only the length of a
noisy vector is shown. No couch is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.phantom import Phantom
from pedseg.phantoms.voxelization import ScanGrid, textured
from pedseg.scan import Scan

# Tissue: T1 at 1.5 T, T1 at 3 T, T2 at 1.5 T, T2 at 3 T in ms; proton density (water = 1). Lung and bone cortex fade
# before any echo: their T2 is the apparent one.
RELAXATION: dict[Tissue, tuple[float, float, float, float, float]] = {
    Tissue.AIR: (1000, 1000, 1, 1, 0.0),
    Tissue.FAT: (343, 382, 75, 68, 0.90),
    Tissue.MUSCLE: (856, 898, 35, 29, 0.80),
    Tissue.SPONGIOSA: (549, 586, 49, 49, 0.55),
    Tissue.CORTEX: (300, 300, 1, 1, 0.10),
    Tissue.CARTILAGE: (1000, 1150, 45, 40, 0.65),
    Tissue.LUNG: (1200, 1300, 3, 2, 0.20),
    Tissue.LIVER: (581, 783, 46, 34, 0.80),
    Tissue.SPLEEN: (1172, 1356, 79, 61, 0.85),
    Tissue.KIDNEY_CORTEX: (966, 1142, 87, 76, 0.85),
    Tissue.KIDNEY_MEDULLA: (1412, 1545, 95, 81, 0.90),
    Tissue.PANCREAS: (576, 730, 52, 43, 0.80),
    Tissue.ADRENAL: (850, 1000, 65, 55, 0.80),
    Tissue.ARTERY: (1441, 1932, 290, 275, 0.85),
    Tissue.VEIN: (1441, 1932, 200, 150, 0.85),
    Tissue.PORTAL: (1441, 1932, 200, 150, 0.85),
    Tissue.HEART_BLOOD: (1441, 1932, 250, 220, 0.85),
    Tissue.MYOCARDIUM: (1030, 1471, 47, 45, 0.80),
    Tissue.BOWEL_WALL: (900, 1050, 60, 52, 0.80),
    Tissue.BOWEL_FLUID: (2500, 2800, 400, 350, 0.95),
    Tissue.STOOL: (500, 600, 60, 50, 0.55),
    Tissue.GAS: (1000, 1000, 1, 1, 0.0),
    Tissue.BILE: (2000, 2300, 450, 400, 0.98),
    Tissue.URINE: (3000, 3300, 900, 800, 1.0),
    Tissue.CORD: (860, 1000, 75, 70, 0.75),
    Tissue.THYMUS: (900, 1050, 75, 65, 0.80),
    Tissue.LUNG_VESSEL: (1441, 1932, 60, 50, 0.60),
    Tissue.MESENTERY: (390, 430, 72, 65, 0.88),
    Tissue.CSF: (3200, 3600, 600, 500, 0.95),
    Tissue.SCAR: (950, 1100, 45, 40, 0.70),
    Tissue.CLIP: (1000, 1000, 1, 1, 0.0),  # metal: no signal, around it neither
    Tissue.SKIN: (900, 1050, 35, 30, 0.60),
    Tissue.FASCIA: (700, 800, 12, 10, 0.50),
    Tissue.FISSURE: (1200, 1300, 10, 8, 0.35),
    Tissue.ASCITES: (3000, 3300, 800, 700, 1.0),
    Tissue.TUBE: (1000, 1000, 1, 1, 0.0),
    Tissue.SOFT: (1000, 1200, 80, 70, 0.80),
}
FLOWING = (Tissue.ARTERY, Tissue.VEIN, Tissue.PORTAL, Tissue.HEART_BLOOD, Tissue.LUNG_VESSEL)
FLOW_VOID = 0.2  # what is left of the signal of blood, which has left the slice before a spin echo
VARIATION = 0.06  # of T1 and T2 between patients, each tissue for itself
TEXTURE = 0.05  # its standard deviation, as a share of the tissue's signal
GAIN_RANGE = 4.0  # largest gain over smallest


@dataclass(frozen=True)
class MrProtocol:
    """MR pulse sequence of a center: weighting, field strength, TR, TE, flip angle, voxel size, bias field and noise.

    `bias` is the standard deviation of the logarithm of the brightness across the body; `snr` the mean signal in the
    body over the standard deviation of the noise.
    """

    name: str
    sequence: Literal["T1w", "T2w"]
    tesla: float = 1.5  # or 3
    tr_ms: float = 3000.0
    te_ms: float = 85.0
    flip_deg: float = 90.0
    pixel_mm: float = 3.0
    slice_mm: float = 6.0
    blur_mm: float = 3.0
    bias: float = 0.12
    snr: float = 18.0
    phase: Literal["none"] = "none"  # of a contrast medium

    @property
    def spin_echo(self) -> bool:
        """Whether flowing blood is dark: a spin echo, all of whose signal comes from one 90 degree pulse."""
        return self.flip_deg == 90.0


T2W_1_5T = MrProtocol("T2w, 1.5 T", "T2w", 1.5)
T2W_3T = MrProtocol("T2w, 3 T", "T2w", 3.0, te_ms=75.0, bias=0.2, snr=28.0)
T1W_1_5T = MrProtocol("T1w, 1.5 T", "T1w", 1.5, tr_ms=5.0, te_ms=2.3, flip_deg=12.0, slice_mm=5.0, snr=18.0)
T1W_3T = MrProtocol("T1w, 3 T", "T1w", 3.0, tr_ms=4.5, te_ms=1.5, flip_deg=12.0, slice_mm=5.0, bias=0.2, snr=28.0)


def signal(t1_ms: ArrayLike, t2_ms: ArrayLike, density: ArrayLike, protocol: MrProtocol) -> NDArray[np.float64]:
    """How bright a tissue is, between 0 and its proton density: the steady state of a spoiled gradient echo.

    With 90 degrees it is density · (1 - exp(-TR / T1)) · exp(-TE / T2), the spin echo.
    """
    back = np.exp(-protocol.tr_ms / np.asarray(t1_ms, dtype=float))
    flip = np.deg2rad(protocol.flip_deg)
    steady = np.sin(flip) * (1 - back) / (1 - np.cos(flip) * back)
    return np.asarray(density) * steady * np.exp(-protocol.te_ms / np.asarray(t2_ms, dtype=float))


def tissue_signals(protocol: MrProtocol, rng: np.random.Generator | None = None) -> NDArray[np.float32]:
    """The signal of every tissue, by its number; with `rng` those of one patient, else the table's."""
    values = np.zeros(max(Tissue) + 1, np.float32)
    high = protocol.tesla == 3.0
    for tissue, (t1_low, t1_high, t2_low, t2_high, density) in RELAXATION.items():
        own = np.exp(VARIATION * rng.standard_normal(2)) if rng is not None else np.ones(2)
        t1, t2 = (t1_high, t2_high) if high else (t1_low, t2_low)
        values[tissue] = signal(t1 * own[0], t2 * own[1], density, protocol)
        if tissue in FLOWING and protocol.spin_echo:
            values[tissue] *= FLOW_VOID
    return values


def scan_mr(phantom: Phantom, protocol: MrProtocol, seed: int) -> tuple[Scan, Scan]:
    """Scan a child: image (int16, arbitrary units from 0) and labels (uint8 organ ids) on the protocol's grid."""
    rng = np.random.default_rng((seed, 41))
    grid = ScanGrid.of_protocol(phantom, protocol.pixel_mm, protocol.slice_mm)
    values = tissue_signals(protocol, rng)
    image = textured(phantom.tissues, values, TEXTURE * values, rng)
    _add_susceptibility_voids(image, phantom, protocol)
    image = np.maximum(grid.measure(image, protocol.blur_mm), 0)
    inside = grid.nearest(phantom.tissues) != Tissue.AIR
    mean = float(image[inside].mean())
    image *= np.exp(protocol.bias * _bias_field(image.shape, rng))
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(mean / protocol.snr)
    image = np.hypot(image + noise[0], noise[1])
    gain = 200.0 * GAIN_RANGE ** rng.uniform() / mean
    image = np.clip(np.round(gain * image), 0, 32767).astype(np.int16)
    return Scan(image, grid.affine), Scan(grid.nearest(phantom.labels), grid.affine)


def _add_susceptibility_voids(image: NDArray, phantom: Phantom, protocol: MrProtocol) -> None:
    """Signal voids around metal clips (susceptibility), larger in a gradient echo and in a stronger field."""
    metal = phantom.tissues == Tissue.CLIP
    if metal.any():
        reach_mm = (4.0 if protocol.spin_echo else 8.0) * protocol.tesla / 3.0
        image[ndimage.distance_transform_edt(~metal, sampling=phantom.spacing_mm) <= reach_mm] = 0


def _bias_field(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random field of standard deviation 1: half a wave and a whole one along each axis."""
    axes = [np.linspace(0, np.pi, n, dtype=np.float32) for n in shape]
    waves = [np.stack([np.cos(k * axis) for k in range(3)]) for axis in axes]  # (3, n)
    weights = rng.standard_normal((3, 3, 3)).astype(np.float32)
    weights[0, 0, 0] = 0
    field = np.einsum("abc,ax,by,cz->xyz", weights, *waves, optimize=True)
    return field / field.std()
