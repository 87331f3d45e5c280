"""A teaching dose: two opposed photon fields, or an arc of fields, on the tumor bed. Not for clinical use.

The model, in full: rays run parallel through the scan. Gray values become electron densities relative to water (Thomas,
Br J Radiol 1999;72:781), and their sum along a ray is the water-equivalent depth d. There the dose is

    exp(-MU d) - exp(-BETA d),

what is attenuated less what has not yet built up, times the inverse square of the distance to the source (1 m from the
isocenter). MU and BETA are set so that a 6 MV field of 10 x 10 cm at a source-surface distance of 1 m gives its usual
86, 67 and 40 % of the maximum at 5, 10 and 20 cm (here 85, 66 and 41 %). A field is a rectangle around the target with
a margin and blurred edges. There is no scatter of its own, no blocks, no optimization.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pedseg.evaluation.severity import weight_of
from pedseg.evaluation.statistics import KIDNEYS
from pedseg.organs import organ
from pedseg.scan import Scan, Spacing

MU, BETA = 0.0030, 0.325  # per mm of water
SOURCE_MM = 1000.0  # from the isocenter
MARGIN_MM, PENUMBRA_MM = 10.0, 3.0  # around the target; standard deviation of the blurred edge
PRESCRIBED_GY = 14.4  # mean dose of the target, as for the flank after a Wilms tumor
OPPOSED = (0.0, 180.0)  # degrees: from the front and from behind
ARC = tuple(np.arange(0.0, 360.0, 30.0))
NEAR_MAXIMUM = 98.0  # percentile: D2%, the near-maximum dose of ICRU report 83
ADRENALS = {"Kidney_L": "Glnd_Adrenal_L", "Kidney_R": "Glnd_Adrenal_R"}
BED_MARGIN_MM = 12.0  # around the place of a removed adrenal gland
Mask = NDArray[np.bool_]
DoseMap = NDArray[np.float32]


def electron_density(hu: NDArray) -> NDArray[np.float32]:
    """Electron density relative to water, from gray values in HU."""
    hu = np.asarray(hu, np.float32)
    return np.where(hu > 100, 1 + hu / 1950, np.maximum(0, 1 + hu / 1000)).astype(np.float32)


def depth_dose(depth_mm: NDArray) -> NDArray:
    """Dose at a water-equivalent depth, without the inverse square law, in arbitrary units."""
    return np.exp(-MU * depth_mm) - np.exp(-BETA * depth_mm)


def plan_dose_gy(image: Scan, target: Mask, angles: Sequence[float] = OPPOSED) -> DoseMap:
    """The dose in every voxel of a CT (RAS, supine), in Gy; its mean in the target is what is prescribed.

    Equally weighted fields on the target, by their angles: 0 from the front, 90 degrees from the patient's left.
    """
    density = electron_density(image.voxels)
    dose = np.sum([field_dose(density, image.spacing_mm, target, angle) for angle in angles], axis=0)
    return (dose * (PRESCRIBED_GY / float(dose[target].mean()))).astype(np.float32)


def field_dose(density: NDArray, spacing_mm: Spacing, target: Mask, angle: float) -> NDArray[np.float32]:
    """The dose of one field, in arbitrary units, on the grid of `density` (x, y, z; RAS)."""
    center = np.array([(c.min() + c.max()) / 2 for c in np.nonzero(target)])
    if angle % 360 == 0:
        return _from_the_front(density, spacing_mm, target, center)
    if angle % 360 == 180:  # half a turn moves whole voxels
        half_turn = np.s_[::-1, ::-1]
        turned_center = np.array([*(np.array(density.shape[:2]) - 1 - center[:2]), center[2]])
        return _from_the_front(density[half_turn], spacing_mm, target[half_turn], turned_center)[half_turn]
    wide, deep = (n * step for n, step in zip(density.shape[:2], spacing_mm[:2], strict=True))
    size = int(np.ceil(np.hypot(wide, deep) / min(spacing_mm[:2])))  # holds the body however it is turned
    turned_center, shape = np.array([size, size, center[2]]), (2 * size + 1, 2 * size + 1, density.shape[2])
    there = center, turned_center, shape
    turned_target = _turned(target.astype(np.float32), spacing_mm, angle, *there) > 0.5
    dose = _from_the_front(_turned(density, spacing_mm, angle, *there), spacing_mm, turned_target, turned_center)
    return _turned(dose, spacing_mm, -angle, turned_center, center, density.shape)


def _turned(
    voxels: NDArray, spacing_mm: Spacing, angle: float, center: NDArray, new_center: NDArray, shape: Sequence[int]
) -> NDArray[np.float32]:
    """An image rotated about an axis along z, with its `center` at `new_center` of a grid of this `shape`."""
    from scipy.ndimage import affine_transform

    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    mm = np.diag(spacing_mm)
    matrix = np.linalg.inv(mm) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ mm
    offset = center - matrix @ new_center
    return affine_transform(voxels, matrix, offset, output_shape=tuple(shape), order=1, output=np.float32)


def _from_the_front(density: NDArray, spacing_mm: Spacing, target: Mask, center: NDArray) -> NDArray[np.float32]:
    """The dose of a field whose rays run along -y, from anterior to posterior."""
    step = spacing_mm[1]
    along = density[:, ::-1] * step
    depth_mm = (np.cumsum(along, axis=1) - along / 2)[:, ::-1]
    beyond_mm = (center[1] - np.arange(density.shape[1])) * step  # past the isocenter
    dose = depth_dose(depth_mm) * ((SOURCE_MM / (SOURCE_MM + beyond_mm)) ** 2)[None, :, None]
    across, up = (_edges(target, axis, spacing_mm[axis]) for axis in (0, 2))
    return (dose * across[:, None, None] * up[None, None, :]).astype(np.float32)


def _edges(target: Mask, axis: int, step_mm: float) -> NDArray:
    """The profile of a field across the target and its margin: 1 inside, 0 outside, with blurred edges."""
    from scipy.special import erf

    inside = np.flatnonzero(target.any(axis=tuple(a for a in range(3) if a != axis)))
    low, high = inside[0] * step_mm - step_mm / 2 - MARGIN_MM, inside[-1] * step_mm + step_mm / 2 + MARGIN_MM
    x = np.arange(target.shape[axis]) * step_mm
    return (erf((x - low) / (np.sqrt(2) * PENUMBRA_MM)) - erf((x - high) / (np.sqrt(2) * PENUMBRA_MM))) / 2


def tumor_bed(labels: NDArray, spacing_mm: Spacing) -> Mask | None:
    """Where the tumor was, guessed from what is missing; None where nothing is, or the other side is missing, too.

    The bed of a removed kidney is the mirror image of the other kidney; of a removed adrenal gland, that of the other
    gland with a margin. The mirror is the plane through the vertebral bodies.
    """
    spine = np.nonzero(labels == organ("VBs").id)[0]
    if not spine.size:
        return None
    for names, margin_mm in ((KIDNEYS, 0.0), (tuple(ADRENALS[kidney] for kidney in KIDNEYS), BED_MARGIN_MM)):
        masks = [labels == organ(name).id for name in names]
        there = [mask for mask in masks if mask.any()]
        if len(there) == 1:
            return _mirrored(there[0], float(spine.mean()), margin_mm, spacing_mm)
    return None


def _mirrored(mask: Mask, plane: float, margin_mm: float, spacing_mm: Spacing) -> Mask | None:
    from scipy.ndimage import distance_transform_edt

    x, y, z = np.nonzero(mask)
    x = np.round(2 * plane - x).astype(int)
    inside = (x >= 0) & (x < mask.shape[0])
    mirrored = np.zeros_like(mask)
    mirrored[x[inside], y[inside], z[inside]] = True
    if margin_mm and mirrored.any():
        mirrored = distance_transform_edt(~mirrored, sampling=spacing_mm) <= margin_mm
    return mirrored if mirrored.any() else None


def teaching_dose(image: Scan, truth: NDArray, angles: tuple[float, ...] = OPPOSED) -> DoseMap | None:
    """The dose of the plan for the tumor bed of a child; None where no bed can be found."""
    bed = tumor_bed(truth, image.spacing_mm)
    return None if bed is None else plan_dose_gy(image, bed, angles)


def organ_dose_gy(dose_gy: DoseMap, mask: Mask, name: str) -> float | None:
    """The dose that a plan reports for an organ: the near-maximum of a serial one, else the mean; None if empty."""
    values = dose_gy[mask]
    if not values.size:
        return None
    serial = weight_of(name).architecture == "serial"
    return float(np.percentile(values, NEAR_MAXIMUM) if serial else values.mean(dtype=np.float64))


def dvh(dose_gy: DoseMap, mask: Mask, at_gy: NDArray) -> NDArray:
    """The cumulative dose-volume histogram: the share of a volume that receives at least each of these doses."""
    values = np.sort(dose_gy[mask])
    if not values.size:
        return np.zeros(len(at_gy))
    return 1 - np.searchsorted(values, at_gy, side="left") / values.size
