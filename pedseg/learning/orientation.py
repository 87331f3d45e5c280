"""Patient orientation: how far a patient is rolled about the long axis, and the scan rotated to supine.

Small networks that know where organs lie in the body learn fast, and fail on patients on their side. The principal
axes of the body's outline say how far a patient is rolled, the bones of the back say which way round. Angles are in
degrees, as in `Child.roll_deg`: 0 supine, -90 on the right side, 90 on the left, ±180 prone.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pedseg.learning.body_mask import coarse_body_mask, dilated_body_mask
from pedseg.scan import Scan

BONE_HU = 250.0
MIN_ROLL_DEG = 15.0  # a patient less rolled than this lies as patients on their back do


def roll_deg(scan: Scan) -> float:
    """How far the patient of a CT in RAS is rolled, -180 to 180; 0 where no body is seen.

    Principal axes of the body's outline, all slices on top of each other. A trunk is wider than deep, so
    the longer one runs from side to side; of its two normals the one away from the bones is the front.
    """
    mask, step = coarse_body_mask(scan)
    if not mask.any():
        return 0.0
    coarse = scan.voxels[:: step[0], :: step[1], :: step[2]]
    x, y = np.meshgrid(*(np.arange(mask.shape[a]) * step[a] * scan.spacing_mm[a] for a in (0, 1)), indexing="ij")
    outline, bones = mask.sum(axis=2), (mask & (coarse > BONE_HU)).sum(axis=2)
    points = np.stack([x.ravel(), y.ravel()])
    middle = np.average(points, axis=1, weights=outline.ravel())
    _, axes = np.linalg.eigh(np.cov(points, aweights=outline.ravel()))
    front = axes[:, 0]  # the shorter axis
    if bones.any():
        back = np.average(points, axis=1, weights=bones.ravel()) - middle
        front = front if front @ back < 0 else -front
    return float(np.rad2deg(np.arctan2(-front[0], front[1])))


def rotate_axial(scan: Scan, degrees: float, *, order: int = 1) -> Scan:
    """The scan resampled on a grid rotated by `degrees` in the axial plane; it holds the whole old one.

    The patient stays in place: the grid is rotated, and its affine says so. `order` 1 is
    linear (images), 0 nearest (labels); beyond the old grid is air, or background.
    """
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    spacing = np.asarray(scan.spacing_mm)
    directions = scan.affine[:3, :3] / spacing
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) * spacing
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
    """The CT, with its labels, rotated so that the patient lies supine; unchanged where the patient nearly does.

    A rotated scan loses its couch: no network has met one at a patient's side, and lungs were seen in it.
    """
    roll = roll_deg(scan)
    if abs(roll) < MIN_ROLL_DEG:
        return scan, labels
    return rotate_axial(remove_couch(scan), roll), None if labels is None else rotate_axial(labels, roll, order=0)


def remove_couch(scan: Scan) -> Scan:
    """The CT with air wherever more than about 6 mm lie between a voxel and the patient."""
    near = dilated_body_mask(scan)
    return scan if near is None else Scan(np.where(near, scan.voxels, scan.voxels.min()), scan.affine)
