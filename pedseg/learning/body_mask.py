"""Body segmentation by thresholds: which voxels of a CT or MR scan are the patient, and the bounding box around them.

In a CT the patient is what is denser than -300 HU, without the couch. Where no HU is known (`body_mask`), the threshold
between air and patient comes from Otsu's method.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.scan import Scan, Spacing

Box = tuple[slice, slice, slice]

TISSUE_HU = -300.0  # darker is air, or lung
AIR_SHARE = 0.15  # of the way from the mean of air to that of the patient, at least
MR_COMPONENTS = 3  # of an MR scan that may be the patient
IN_PLANE_CROSS = ndimage.generate_binary_structure(2, 1)[:, :, None]
_IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])


def coarse_body_mask(scan: Scan, *, above: float = TISSUE_HU) -> tuple[NDArray[np.bool_], tuple[int, int, int]]:
    """The patient without the couch, as a mask over every so many voxels along x, y, z; empty if nobody is seen.

    At about 6 mm, what is denser than -300 HU (brighter than `above`) and survives an erosion is body or couch;
    the largest component is the patient, as the shells of couches, tubes and blankets are too thin. Then lungs within
    its surroundings are filled slice by slice, which brings thin chest walls back.
    """
    x, y, z = (max(1, round(6.0 / mm)) for mm in scan.spacing_mm)
    dense = scan.voxels[::x, ::y, ::z] > above
    core = _largest_after_opening(dense)
    if core is None:
        return np.zeros_like(dense), (x, y, z)
    near = tuple(slice(max(0, edge.start - 2), edge.stop + 2) for edge in bounds(core)[:2])  # a chest wall beyond
    filled = np.zeros_like(dense)
    filled[near] = ndimage.binary_fill_holes(dense[near], structure=_IN_PLANE)
    mask = _largest_after_opening(filled)
    assert mask is not None  # it holds the core
    return mask, (x, y, z)


def dilated_body_mask(scan: Scan) -> NDArray[np.bool_] | None:
    """The patient and about 6 mm around, over the CT's own voxels; None if nobody is seen."""
    mask, step = coarse_body_mask(scan)
    if not mask.any():
        return None
    dilated = ndimage.binary_dilation(mask)
    for axis, repeats in enumerate(step):
        dilated = dilated.repeat(repeats, axis)
    return dilated[tuple(slice(0, n) for n in scan.shape)]


def body_box(scan: Scan, *, margin_mm: float = 6.0, above: float = TISSUE_HU) -> Box:
    """The bounding box of the patient without the couch: slices along x, y, z; the whole scan if nobody is seen."""
    mask, step = coarse_body_mask(scan, above=above)
    return bounding_box(mask, scan.spacing_mm, margin_mm=margin_mm, step=step, shape=scan.shape)


def bounding_box(
    mask: NDArray[np.bool_],
    spacing_mm: Spacing,
    *,
    margin_mm: float = 6.0,
    step: tuple[int, int, int] = (1, 1, 1),
    shape: tuple[int, ...] = (),
) -> Box:
    """The box around a mask over every `step`-th voxel of a scan of `shape`, and a margin; all if it is empty."""
    shape = shape or mask.shape
    if not mask.any():
        return tuple(slice(0, n) for n in shape)  # type: ignore[return-value]
    box = []
    for edge, every, mm, voxels in zip(bounds(mask), step, spacing_mm, shape, strict=True):
        margin = int(np.ceil(margin_mm / mm))
        box.append(slice(max(0, edge.start * every - margin), min(voxels, edge.stop * every + margin)))
    return tuple(box)  # type: ignore[return-value]


def body_mask(scan: Scan) -> NDArray[np.bool_]:
    """The patient over the scan's own voxels, lungs and dark walls included; no HU is asked for.

    A CT shows the couch: the patient is the largest component in the box around what is thick. In an MR scan nothing
    but the patient shines, and dark muscle can part the skin from all that is inside: the component that spans most
    counts.
    """
    air, patient, sd = otsu_groups(scan.voxels)
    threshold = air_threshold(air, patient, sd)
    if threshold <= (air + patient) / 2:
        components, _ = ndimage.label(scan.voxels > threshold)
        spans = [spanned(components == number) for number in _largest(components, MR_COMPONENTS)]
        return max(spans, key=np.count_nonzero, default=components > 0)
    mask = np.zeros(scan.shape, dtype=bool)
    box = body_box(scan, above=threshold, margin_mm=0.0)
    opened = ndimage.binary_opening(scan.voxels[box] > threshold, structure=IN_PLANE_CROSS)  # off go shells of a couch
    components, number = ndimage.label(opened)
    if number:
        mask[box] = components == _largest(components)[0]
    return spanned(mask)


def otsu_groups(voxels: NDArray) -> tuple[float, float, float]:
    """Mean of the darker group of gray values, mean and standard deviation of the brighter one.

    Otsu's threshold (1979) parts values into the two groups that differ most; of the roots of the values, for a few
    tissues of an MR scan are far brighter than the others.
    """
    from skimage.filters import threshold_otsu

    lowest = float(voxels.min())
    above_lowest = voxels - np.float32(lowest)
    bright = above_lowest > (float(threshold_otsu(np.sqrt(above_lowest))) ** 2 if above_lowest.any() else 0.0)
    if not bright.any():
        return lowest, lowest, 0.0
    dark_mean, bright_mean = float(above_lowest[~bright].mean()), float(above_lowest[bright].mean())
    return dark_mean + lowest, bright_mean + lowest, float(above_lowest[bright].std())


def air_threshold(air: float, patient: float, sd: float) -> float:
    """The gray value between the air around a patient and the patient, from what `otsu_groups` gives.

    It lies two standard deviations below the mean of the brighter group: in a CT, whose soft tissues are nearly alike,
    below fat and above what a couch looks like. In an MR scan they are spread so widely that this would be air; there
    it is a little above the mean of the darker group.
    """
    return max(air + AIR_SHARE * (patient - air), patient - 2 * sd)


def spanned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask with everything that lies between two of its voxels from side to side, or from back to front.

    The bias field of an MR scan can darken a wall until it has a gap, where filling holes would leak.
    """
    along = [
        np.logical_or.accumulate(mask, axis) & np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis), axis)
        for axis in (0, 1)
    ]
    return along[0] | along[1]


def _largest(components: NDArray[np.int32], number: int = 1) -> list[int]:
    """The labels of the largest connected components, the largest first."""
    sizes = np.bincount(components.ravel())[1:]
    return [1 + int(place) for place in np.argsort(-sizes, kind="stable")[:number]]


def _largest_after_opening(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest connected component after erosion by one voxel, dilated back; None if nothing survives."""
    components, number = ndimage.label(ndimage.binary_erosion(mask, border_value=1))
    if number == 0:
        return None
    return ndimage.binary_dilation(components == _largest(components)[0]) & mask


def bounds(mask: NDArray[np.bool_]) -> Box:
    """The box around a mask that is not empty."""
    return ndimage.find_objects(mask.astype(np.uint8))[0]
