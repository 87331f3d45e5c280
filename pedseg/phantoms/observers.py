"""Inter-observer variability: invented people who contour the same child, each with habits of their own.

How far two people's borders lie apart follows from published comparisons (`BORDER_DISTANCE_MM`), mostly of adults, and
from no network's result. Read in a source: two radiologists differ by 8.8 % of a kidney's united volume (Joskowicz
2019, doi:10.1007/s00330-018-5695-5), a DSC of 0.954, which is 0.9 mm on an adult's kidney; thirteen dosimetrists reach
a mean DSC of 0.91 for the heart, 0.74 for the esophagus, 0.86 for the spinal cord and 0.96 for the lungs (McCall 2016,
in table 3 of PMC5709138). From memory, verify: mean distances of 1.0 mm for the liver (a second rater in SLIVER07) and
of 1.5 to 1.9, 2.2, 1.1 and 0.9 mm for lungs, heart, esophagus and spinal cord (AAPM challenge 2017); a pancreas DSC of
about 0.8, which is 1.6 mm. All other distances, and how a distance is shared out among habits, are plausible guesses.
Twelve observers have contoured children (doi:10.1016/j.ctro.2025.101051); their figures were not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.organs import NAMES
from pedseg.phantoms.anatomy import organ_id
from pedseg.scan import Spacing

# Mean distance between the borders of two people in mm; 1 where nothing is known.
BORDER_DISTANCE_MM = {
    "Kidney_L": 0.9, "Kidney_R": 0.9, "Pancreas": 1.6, "Lung_L": 1.5, "Lung_R": 1.5, "Heart": 2.2, "Bowel^Stomach": 1.8,
    "Esophagus": 1.1, "SpinalCanal": 0.9, "V_Portal": 1.2,
}  # fmt: skip
WANDER_SIGMA_MM = (10.0, 10.0, 3.0)  # of the random field: it falls to 1/e after 2 cm in a slice, 6 mm across slices
DEEPEST = 0.5  # no border moves inward by more than this share of the organ's greatest depth
HILUM_MM = 4.0  # vessels that lie in a gap of the liver as wide as twice this are at its hilum
PELVIS = 0.5  # radius of the renal pelvis, as a share of the radius of a ball of the kidney's volume


@dataclass(frozen=True)
class Observer:
    """One person's contouring habits; the defaults draw the truth.

    `border_mm`: how generous (or, negative, tight) borders are, and `wander_mm`: standard deviation of the hand about
    them; both where two people differ by 1 mm, and more or less with the organ. `slices_below` and `slices_above`: how
    many slices an organ's contour goes on beyond its lower and upper end (negative: ends early). `renal_pelvis` and
    `liver_vessels`: whether kidney and liver take them in; the truth has the pelvis in and the portal vein out.
    """

    name: str
    border_mm: float = 0.0
    wander_mm: float = 0.0
    slices_below: int = 0
    slices_above: int = 0
    renal_pelvis: bool = True
    liver_vessels: bool = False


TRUTH = Observer("truth")  # who has no habits
OBSERVERS = (
    Observer("generous", border_mm=0.7, wander_mm=0.6, slices_above=1, liver_vessels=True),
    Observer("tight", border_mm=-0.7, wander_mm=0.6, slices_below=-1, renal_pelvis=False),
    Observer("unsteady", wander_mm=1.0, slices_below=1),
    Observer("careful", wander_mm=0.5),
)


def draw(labels: NDArray[np.uint8], spacing_mm: Spacing, observer: Observer, seed: int) -> NDArray[np.uint8]:
    """The label map (x, y, z, RAS+) as an observer contours it; the same seed draws the same.

    Each voxel goes to the organ inside whose border it lies deepest. No organ appears, and none vanishes.
    """
    intended = labels.copy()
    if not observer.renal_pelvis:
        _leave_out_pelvis(intended, spacing_mm)
    if observer.liver_vessels:
        _take_in_vessels(intended, spacing_mm)
    if not any((observer.border_mm, observer.wander_mm, observer.slices_below, observer.slices_above)):
        return intended
    contours, least = np.zeros_like(labels), np.zeros(labels.shape, np.float32)
    deepest = {}
    for number, where in enumerate(ndimage.find_objects(intended), 1):
        if where is not None:
            box = _with_margin(where, spacing_mm, labels.shape, observer)
            rng = np.random.default_rng((seed, number, *observer.name.encode()))
            depth = signed_distance_mm(intended[box] == number, spacing_mm)
            deepest[number] = np.add(np.unravel_index(depth.argmin(), depth.shape), [part.start for part in box])
            distance = depth - _border_mm(depth, spacing_mm, observer, number, rng)
            _shift_ends(distance, intended[box], number, observer)
            nearer = distance < least[box]
            contours[box][nearer], least[box][nearer] = number, distance[nearer]
    for number, voxel in deepest.items():
        contours[tuple(voxel)] = number
    return contours


def signed_distance_mm(mask: NDArray[np.bool_], spacing_mm: Spacing) -> NDArray[np.float32]:
    """Distance of each voxel center from a mask's border in mm, negative inside.

    The border lies between two voxels. Smoothed by a voxel, and shifted so that as many voxels lie inside as before, it
    follows a slanted surface, and an observer may move it by less than a voxel. No voxel changes sides.
    """
    outside, inside = (ndimage.distance_transform_edt(part, spacing_mm) for part in (~mask, mask))
    half = spacing_mm[0] / 2
    distance = np.where(mask, np.minimum(half - inside, 0), np.maximum(outside - half, 0)).astype(np.float32)
    smooth = ndimage.gaussian_filter(distance, 1.0, mode="nearest")
    first_outside = min(int(np.count_nonzero(mask)), mask.size - 1)
    smooth -= np.partition(smooth.ravel(), first_outside)[first_outside]
    depth = smooth * max(1.0, distance.min() / min(smooth.min(), -0.01))  # thin organs are as deep as before
    return np.where(mask, np.minimum(depth, -0.01), np.maximum(smooth, 0.01))


def _border_mm(
    depth: NDArray, spacing_mm: Spacing, observer: Observer, number: int, rng: np.random.Generator
) -> NDArray:
    """How far outside the true border the observer draws, voxel by voxel."""
    scale = BORDER_DISTANCE_MM.get(NAMES[number - 1], 1.0)
    moved = scale * (observer.border_mm + observer.wander_mm * smooth_noise(depth.shape, spacing_mm, rng))
    return np.maximum(moved, DEEPEST * depth.min())


def smooth_noise(shape: tuple[int, ...], spacing_mm: Spacing, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random field of mean 0 and standard deviation 1, smooth over `WANDER_SIGMA_MM`."""
    field = rng.standard_normal(shape, np.float32)
    for axis, (size, sigma_mm, voxel_mm) in enumerate(zip(shape, WANDER_SIGMA_MM, spacing_mm, strict=True)):
        sigma, impulse = sigma_mm / voxel_mm, np.eye(1, size)[0]
        weights = ndimage.gaussian_filter1d(impulse, sigma, mode="wrap")
        field = ndimage.gaussian_filter1d(field, sigma, axis, mode="wrap") / np.sqrt(np.sum(weights**2))
    return field


def _shift_ends(distance: NDArray, intended: NDArray, number: int, observer: Observer) -> None:
    """Let an organ end early, or go on into free slices as in its last one; an organ of few slices stays."""
    slices = np.flatnonzero((intended == number).any(axis=(0, 1)))
    low, high = slices[0], slices[-1]
    for end, outward, count in ((low, -1, observer.slices_below), (high, 1, observer.slices_above)):
        for step in range(abs(count)):
            beyond = end + outward * (step + 1)
            if count > 0 and 0 <= beyond < distance.shape[2]:
                copied = np.where(intended[:, :, beyond] == 0, distance[:, :, end], np.inf)
                distance[:, :, beyond] = np.minimum(distance[:, :, beyond], copied)
            elif count < 0 and len(slices) > 4 * abs(count) and 0 < end < distance.shape[2] - 1:
                distance[:, :, end - outward * step] = np.inf


def _leave_out_pelvis(labels: NDArray, spacing_mm: Spacing) -> None:
    """Take a ball out of each kidney where a line from its center to the spine leaves it."""
    spine = _center_mm(labels, "VBs", spacing_mm)
    for name in ("Kidney_L", "Kidney_R"):
        kidney = labels == organ_id(name)
        center = _center_mm(labels, name, spacing_mm)
        if spine is None or center is None:
            continue
        radius_mm = (np.count_nonzero(kidney) * np.prod(spacing_mm) * 3 / (4 * np.pi)) ** (1 / 3)
        toward = (spine - center) * (1, 1, 0)
        positions = np.argwhere(kidney) * spacing_mm
        medial = toward / max(float(np.linalg.norm(toward)), 1e-6)
        hilum = positions[np.argmax(positions @ medial - np.linalg.norm(np.cross(positions - center, medial), axis=1))]
        out = np.linalg.norm(positions - hilum, axis=1) < PELVIS * radius_mm
        if not out.all():
            labels[tuple(np.argwhere(kidney)[out].T)] = 0


def _take_in_vessels(labels: NDArray, spacing_mm: Spacing) -> None:
    """Give the portal vein at the liver's hilum to the liver, where its gaps are closed; the vein's trunk stays."""
    liver, vein = (labels == organ_id(name) for name in ("Liver", "V_Portal"))
    if not liver.any() or not vein.any():
        return
    near = ndimage.distance_transform_edt(~liver, spacing_mm) <= HILUM_MM
    closed = ndimage.distance_transform_edt(near, spacing_mm) > HILUM_MM
    if (vein & ~closed).any():
        labels[vein & closed] = organ_id("Liver")


def _center_mm(labels: NDArray, name: str, spacing_mm: Spacing) -> NDArray | None:
    """The center of an organ in mm; None where it is absent."""
    voxels = np.argwhere(labels == organ_id(name))
    return voxels.mean(axis=0) * spacing_mm if len(voxels) else None


def _with_margin(
    box: tuple[slice, ...], spacing_mm: Spacing, shape: tuple[int, ...], observer: Observer
) -> tuple[slice, ...]:
    """A box grown by 8 mm, two voxels or more, and as many slices as the observer adds, inside the image."""
    margins = [max(2, int(np.ceil(8.0 / voxel_mm))) for voxel_mm in spacing_mm]
    margins[2] = max(margins[2], observer.slices_below, observer.slices_above)
    grown = zip(box, margins, shape, strict=True)
    return tuple(slice(max(0, part.start - m), min(size, part.stop + m)) for part, m, size in grown)
