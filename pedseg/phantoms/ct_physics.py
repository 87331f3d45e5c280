"""What makes a CT of a phantom look like one: texture by tissue, breathing, beam hardening, quantum noise.

Sizes are in mm and the random numbers are those of one patient. Strengths are plausible guesses, fitted by eye; the
cause of each effect is physical: quantum noise grows with the square root of the attenuation on the way (Beer and
Lambert), a beam that has crossed much bone is harder, and the liver moves with the diaphragm while a child breathes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.phantom import Phantom
from pedseg.phantoms.voxelization import FWHM_PER_SD

FINE_MM, COARSE_MM = 0.9, 5.0  # standard deviation of the blur that makes fine and coarse texture of white noise
# Standard deviation (HU) of the fine and the coarse texture, where a tissue is not as even as all others.
TEXTURE_HU: dict[Tissue, tuple[float, float]] = {
    Tissue.FAT: (7, 5),
    Tissue.MUSCLE: (7, 5),
    Tissue.SPONGIOSA: (55, 35),
    Tissue.CORTEX: (60, 50),
    Tissue.LUNG: (28, 22),
    Tissue.LIVER: (4, 4),
    Tissue.SPLEEN: (4, 4),
    Tissue.KIDNEY_MEDULLA: (6, 6),
    Tissue.PANCREAS: (10, 6),
    Tissue.BOWEL_WALL: (8, 6),
    Tissue.BOWEL_FLUID: (5, 8),
    Tissue.STOOL: (60, 40),
    Tissue.MESENTERY: (12, 14),
    Tissue.SKIN: (5, 5),
}
EVEN_HU = (4.0, 3.0)
SMOOTH = (Tissue.AIR, Tissue.GAS, Tissue.CLIP, Tissue.TUBE)  # without texture
MOTTLED_SPLEEN_HU = 26.0  # stripes of the spleen while contrast medium arrives: red and white pulp fill unevenly
GRAVITY_HU_PER_MM = 0.45  # the lung is denser where it lies low
WATER_PER_MM = 0.0195  # linear attenuation at about 70 keV
BREATH_MM = (0.0, 3.5)  # how far the diaphragm moves during the scan of one child
BREATH_REACH_MM = (70.0, 35.0)  # the movement fades so far under and above the dome
STREAKY_SHARE = 0.6  # of the noise that lies along the beams, beside the noise of all directions
HARDENING_HU = 14.0  # darkest band between two bones as thick as hips


def tissue_image(phantom: Phantom, values: NDArray, phase: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Tissues in gray (`values` by tissue) with their texture; the spleen is mottled in the arterial phase."""
    fine, coarse = (_texture(phantom, mm, rng) for mm in (FINE_MM, COARSE_MM))
    sd = np.array([TEXTURE_HU.get(tissue, EVEN_HU) for tissue in Tissue], np.float32)
    sd[list(SMOOTH)] = 0.0
    tissues = phantom.tissues
    image = values[tissues] + sd[:, 0][tissues] * fine + sd[:, 1][tissues] * coarse
    if phase == "arterial":
        spleen = tissues == Tissue.SPLEEN
        image[spleen] += MOTTLED_SPLEEN_HU * np.sin(3.0 * coarse[spleen])
    lung = tissues == Tissue.LUNG
    if lung.any():
        height = (np.arange(tissues.shape[1]) * phantom.spacing_mm[1]).astype(np.float32)
        along = np.broadcast_to(height[None, :, None], tissues.shape)[lung]
        image[lung] -= GRAVITY_HU_PER_MM * (along - along.mean())
    return image


def _texture(phantom: Phantom, blur_mm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """White noise blurred to a grain of this size, with standard deviation 1; coarse grain is drawn on fewer voxels."""
    spacing = np.asarray(phantom.spacing_mm)
    step = np.maximum(1, np.floor(blur_mm / spacing)).astype(int)
    shape = -(-np.array(phantom.tissues.shape) // step) + 1
    noise = rng.standard_normal(tuple(shape), dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, blur_mm / (spacing * step), truncate=2.5)
    for axis, (n, stride) in enumerate(zip(phantom.tissues.shape, step, strict=True)):
        if stride > 1:
            noise = _refined(noise, axis, n, int(stride))
    noise = noise[tuple(slice(n) for n in phantom.tissues.shape)]
    return noise / noise.std()


def _refined(values: NDArray, axis: int, n: int, stride: int) -> NDArray[np.float32]:
    """Linear interpolation along one axis to `n` points, `stride` of them for each of today's."""
    at = np.arange(n) / stride
    low = at.astype(int)
    share = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return np.take(values, low, axis) * (1 - share) + np.take(values, low + 1, axis) * share


def breathe(image: NDArray, phantom: Phantom, rng: np.random.Generator) -> NDArray:
    """The image while the diaphragm moves up and down: blurred along z, most of all at the dome of the liver."""
    moved_mm = rng.uniform(*BREATH_MM)
    lung = np.flatnonzero((phantom.tissues == Tissue.LUNG).any(axis=(0, 1)))
    if not lung.size:
        return image
    step = phantom.spacing_mm[2]
    above_mm = (np.arange(image.shape[2]) - lung[0]) * step - 30.0  # from about the dome
    reach = np.where(above_mm > 0, BREATH_REACH_MM[1], BREATH_REACH_MM[0])
    shift = moved_mm / step * np.exp(-np.square(above_mm / reach))
    moved = [_shifted(image, share * shift) for share in (-1.0, -0.5, 0.5, 1.0)]
    return (image + sum(moved)) / np.float32(len(moved) + 1)


def _shifted(image: NDArray, shift: NDArray) -> NDArray:
    """Each slice from `shift` slices further up, by linear interpolation."""
    last = image.shape[2] - 1
    at = np.clip(np.arange(last + 1) + shift, 0, last)
    low = np.minimum(at.astype(int), max(last - 1, 0))
    share = (at - low).astype(np.float32)
    return image[:, :, low] * (1 - share) + image[:, :, np.minimum(low + 1, last)] * share


def harden_beam(image: NDArray, pixel_mm: float) -> None:
    """Darken what lies between bones on the way of the beam from side to side: the band between both hips."""
    bone = (np.clip(image, 150.0, 1200.0) - 150.0).astype(np.float32) * np.float32(pixel_mm / 600.0)  # mm of dense bone
    before = np.cumsum(bone, axis=0)
    after = before[-1:] - before
    between = np.sqrt(np.maximum(before * after, 0)) / 18.0
    image -= np.float32(HARDENING_HU) * ndimage.gaussian_filter(np.minimum(between, 1.5), (0, 1.0, 0.5))


def quantum_noise(
    image: NDArray, noise_hu: float, grain_mm: float, pixel_mm: float, slice_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Noise of standard deviation `noise_hu`, streaky along paths that attenuate much, with the kernel's grain."""
    water = np.clip(image + 1000.0, 0, 2500).astype(np.float32) / 1000.0 * np.float32(pixel_mm * WATER_PER_MM)
    sigma = max(grain_mm / FWHM_PER_SD / pixel_mm, 0.0)
    grain = np.array([sigma, sigma, 0.25 * grain_mm / slice_mm])
    total = _grainy(image.shape, grain, rng)
    for axis in (0, 1):
        strength = np.exp(0.5 * water.sum(axis=axis, keepdims=True))  # the fewer photons arrive, the more noise
        streaky = grain + (1.2 * sigma + 0.3) * (np.arange(3) == axis)
        total += _grainy(image.shape, streaky, rng) * (STREAKY_SHARE * strength / strength.mean())
    return total * (noise_hu / total.std())


def _grainy(shape: tuple[int, ...], sigma: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """White noise blurred by `sigma` voxels along each axis, with standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, truncate=2.5)
    return noise / noise.std()
