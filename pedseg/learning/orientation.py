"""How a patient lies, seen from the scan alone, and the same scan turned onto its back.

Small networks that know where organs lie in the body are fast learners and blind to posture; turning
the scan first gives them sight again. The long axis of the body's silhouette says how far a patient is
turned, the bones of the back say which way round. Angles are in degrees about the body's long axis, as
in `Child.roll_deg`: 0 supine, -90 on the right side, 90 on the left, ±180 prone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.scan import Scan, Spacing

Box = tuple[slice, slice, slice]

BONE_HU = 250.0
CROSS = ndimage.generate_binary_structure(2, 1)[:, :, None]  # in the slice
AIR_EDGE = 0.15  # of the way from the mean of air to that of the patient, at least
TISSUE_HU = -300.0  # darker is air, or lung
FEW = 3  # pieces of an MR scan that may be the patient
AT_LEAST_DEG = 15.0  # a patient less turned than this lies as patients on their back do


def roll_deg(scan: Scan) -> float:
    """How far the patient of a CT in RAS is turned, -180 to 180; 0 where no body is seen.

    Principal axes of the body's outline, all slices on top of each other. A trunk is wider than deep, so
    the longer one runs from side to side; of its two normals the one away from the bones is the front.
    """
    mask, step = body(scan)
    if not mask.any():
        return 0.0
    dense = scan.voxels[:: step[0], :: step[1], :: step[2]]
    x, y = np.meshgrid(*(np.arange(mask.shape[a]) * step[a] * scan.spacing_mm[a] for a in (0, 1)), indexing="ij")
    outline, bones = mask.sum(axis=2), (mask & (dense > BONE_HU)).sum(axis=2)
    points = np.stack([x.ravel(), y.ravel()])
    middle = np.average(points, axis=1, weights=outline.ravel())
    _, axes = np.linalg.eigh(np.cov(points, aweights=outline.ravel()))
    front = axes[:, 0]  # the shorter axis
    if bones.any():
        back = np.average(points, axis=1, weights=bones.ravel()) - middle
        front = front if front @ back < 0 else -front
    return float(np.rad2deg(np.arctan2(-front[0], front[1])))


def rotate_axial(scan: Scan, degrees: float, *, order: int = 1) -> Scan:
    """The scan on a grid turned by `degrees` in the axial plane; it holds the whole old one.

    Where the patient lies in the room stays as it was: the grid is turned, and its affine says so. `order` 1 is
    linear (images), 0 nearest (labels); beyond the old grid is air, or background.
    """
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    spacing = np.asarray(scan.spacing_mm)
    directions = scan.affine[:3, :3] / spacing
    to_old = directions @ np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])  # turned axes in mm
    affine = np.eye(4)
    affine[:3, :3] = to_old * spacing
    matrix = (np.linalg.inv(scan.affine) @ affine)[:3, :3]
    corners = np.array([(i, j) for i in (0, scan.shape[0] - 1) for j in (0, scan.shape[1] - 1)], dtype=float)
    spread = np.ptp(corners @ np.linalg.inv(matrix[:2, :2]).T, axis=0)
    shape = (*np.ceil(spread - 1e-6).astype(int) + 1, scan.shape[2])
    first = (np.array(scan.shape) - 1) / 2 - matrix @ ((np.array(shape) - 1) / 2)  # both grids share their middle
    affine[:3, 3] = scan.affine[:3, :3] @ first + scan.affine[:3, 3]
    outside = float(scan.voxels.min()) if order else 0.0
    voxels = scan.voxels.astype(np.float32) if order else scan.voxels
    out = ndimage.affine_transform(
        voxels, matrix, first, output_shape=shape, order=order, mode="grid-constant", cval=outside
    )
    return Scan(out, affine)


def to_supine(scan: Scan, labels: Scan | None = None) -> tuple[Scan, Scan | None]:
    """The scan, with its labels, turned so that the patient lies supine; unchanged where it nearly does.

    A turned scan loses its couch: no network has met one at a patient's side, and lungs were seen in it.
    """
    roll = roll_deg(scan)
    if abs(roll) < AT_LEAST_DEG:
        return scan, labels
    return rotate_axial(without_couch(scan), roll), None if labels is None else rotate_axial(labels, roll, order=0)


def without_couch(scan: Scan) -> Scan:
    """The scan with air wherever more than about 6 mm lie between a voxel and the patient."""
    near = near_body(scan)
    return scan if near is None else Scan(np.where(near, scan.voxels, scan.voxels.min()), scan.affine)


def near_body(scan: Scan) -> NDArray[np.bool_] | None:
    """The patient and about 6 mm around, as a mask over the scan's own voxels; None if nobody is seen."""
    mask, step = body(scan)
    if not mask.any():
        return None
    near = ndimage.binary_dilation(mask)
    for axis, every in enumerate(step):
        near = near.repeat(every, axis)
    return near[tuple(slice(0, n) for n in scan.shape)]


def air_edge(air: float, patient: float, spread: float) -> float:
    """The gray value between the air around a patient and the patient, in whatever unit: no HU is asked for.

    Of the groups that `two_groups` gives. The edge lies two standard deviations below the mean of the brighter group:
    in a CT, whose soft tissues are nearly alike, below fat and above what a couch is seen as. In an MR scan they are
    spread so widely that this would be air; there it is a little above the mean of the darker group.
    """
    return max(air + AIR_EDGE * (patient - air), patient - 2 * spread)


def two_groups(voxels: NDArray) -> tuple[float, float, float]:
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
    dark_mean, patient = float(above_lowest[~bright].mean()), float(above_lowest[bright].mean())
    return dark_mean + lowest, patient + lowest, float(above_lowest[bright].std())


def body(scan: Scan, *, above: float = TISSUE_HU) -> tuple[NDArray[np.bool_], tuple[int, int, int]]:
    """The patient without the couch, as a mask over every so many voxels along x, y, z; empty if nobody is seen.

    Seen at about 6 mm, what is denser than -300 HU (brighter than `above`) and survives an erosion is body or couch;
    the largest piece is the patient, as the shells of couches, tubes and blankets are too thin. Then lungs within its
    surroundings are filled slice by slice, which brings thin chest walls back.
    """
    x, y, z = (max(1, round(6.0 / mm)) for mm in scan.spacing_mm)
    dense = scan.voxels[::x, ::y, ::z] > above
    core = _largest_opened(dense)
    if core is None:
        return np.zeros_like(dense), (x, y, z)
    near = tuple(slice(max(0, edge.start - 2), edge.stop + 2) for edge in _bounds(core)[:2])  # a chest wall beyond
    whole = np.zeros_like(dense)
    whole[near] = ndimage.binary_fill_holes(dense[near], structure=_IN_PLANE)
    grown = _largest_opened(whole)
    assert grown is not None  # it holds the core
    return grown, (x, y, z)


def body_box(scan: Scan, *, margin_mm: float = 6.0, above: float = TISSUE_HU) -> Box:
    """The box around the patient, without the couch: slices along x, y, z; the whole scan if it is empty."""
    mask, step = body(scan, above=above)
    return box_around(mask, scan.spacing_mm, margin_mm=margin_mm, step=step, shape=scan.shape)


def box_around(
    mask: NDArray[np.bool_], spacing_mm: Spacing, *, margin_mm: float = 6.0,
    step: tuple[int, int, int] = (1, 1, 1), shape: tuple[int, ...] = (),
) -> Box:  # fmt: skip
    """The box around a mask over every `step`-th voxel of a scan of `shape`, and a margin; all if it is empty."""
    shape = shape or mask.shape
    if not mask.any():
        return tuple(slice(0, n) for n in shape)  # type: ignore[return-value]
    box = []
    for edge, every, mm, voxels in zip(_bounds(mask), step, spacing_mm, shape, strict=True):
        margin = int(np.ceil(margin_mm / mm))
        box.append(slice(max(0, edge.start * every - margin), min(voxels, edge.stop * every + margin)))
    return tuple(box)  # type: ignore[return-value]


_IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])


def body_mask(scan: Scan) -> NDArray[np.bool_]:
    """The patient over the scan's own voxels, lungs and dark walls included; no HU is asked for.

    A CT shows the couch: the patient is the largest piece in the box around what is thick. In an MR scan nothing
    but the patient shines, and dark muscle can part the skin from all that is inside: the piece that spans most counts.
    """
    air, patient, spread = two_groups(scan.voxels)
    edge = air_edge(air, patient, spread)
    if edge <= (air + patient) / 2:
        return _widest(scan.voxels > edge)
    mask = np.zeros(scan.shape, dtype=bool)
    box = body_box(scan, above=edge, margin_mm=0.0)
    dense = ndimage.binary_opening(scan.voxels[box] > edge, structure=CROSS)  # shells of a couch that touches the back
    pieces, number = ndimage.label(dense)
    if number:
        mask[box] = pieces == _largest(pieces)[0]
    return spanned(mask)


def _widest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of the few largest connected pieces, each with what it spans, the one that holds most."""
    pieces, _ = ndimage.label(mask)
    return max((spanned(pieces == piece) for piece in _largest(pieces, FEW)), key=np.count_nonzero, default=mask)


def _largest(pieces: NDArray[np.int32], number: int = 1) -> list[int]:
    """The numbers of the largest connected pieces, the largest first."""
    sizes = np.bincount(pieces.ravel())[1:]
    return [1 + int(place) for place in np.argsort(-sizes, kind="stable")[:number]]


def spanned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask with everything that lies between two of its voxels from side to side, or from back to front.

    The bias field of an MR scan can darken a wall until it has a gap, where filling holes would leak.
    """
    along = [
        np.logical_or.accumulate(mask, axis) & np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis), axis)
        for axis in (0, 1)
    ]
    return along[0] | along[1]


def _largest_opened(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest connected piece after erosion by one voxel, grown back; None if nothing survives."""
    pieces, number = ndimage.label(ndimage.binary_erosion(mask, border_value=1))
    if number == 0:
        return None
    return ndimage.binary_dilation(pieces == _largest(pieces)[0]) & mask


def _bounds(mask: NDArray[np.bool_]) -> Box:
    """The box around a mask that is not empty."""
    return ndimage.find_objects(mask.astype(np.uint8))[0]
