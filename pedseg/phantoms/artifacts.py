"""CT artifacts and what lies around the patient: metal streaks, couch, vacuum cushion, edge of the field of view.

Streaks, as beam hardening and scatter cause them, are added to the reconstructed slices, not computed from
projections: bright and dark rays that fade with distance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.voxelization import ScanGrid

AIR_HU = -1000.0
STREAK_HU = 110.0  # beside a clip; the rays fade to a third of it within `STREAK_MM`
STREAK_MM = 20.0
CUSHION_MM = 40.0  # thickness under the flanks


def add_metal_streaks(image: NDArray, grid: ScanGrid, seed: int) -> None:
    """Bright and dark rays around every metal clip, in the slices that it touches."""
    phantom, affine = grid.phantom, grid.affine
    if not phantom.child.clips:
        return
    rng = np.random.default_rng((seed, 29))
    clips, count = ndimage.label(phantom.tissues == Tissue.CLIP, np.ones((3, 3, 3)))
    x, y = grid.centers_mm(0), grid.centers_mm(1)
    low_mm = affine[2, 3] + affine[2, 2] * (np.arange(image.shape[2]) - 0.5)
    for number in range(1, count + 1):
        voxels = np.argwhere(clips == number)
        middle = phantom.affine[:3, 3] + voxels.mean(axis=0) * phantom.spacing_mm
        rays = _rays(x[:, None] - middle[0], y[None, :] - middle[1], rng)
        low = phantom.affine[2, 3] + (voxels[:, 2].min() - 0.5) * phantom.spacing_mm[2]
        high = phantom.affine[2, 3] + (voxels[:, 2].max() + 0.5) * phantom.spacing_mm[2]
        covered = np.clip(np.minimum(low_mm + affine[2, 2], high) - np.maximum(low_mm, low), 0, None) / affine[2, 2]
        for k in np.flatnonzero(covered > 0):
            image[:, :, k] += rays * np.float32(covered[k])


def _rays(x: NDArray, y: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """HU to add around a clip at the origin; each ray goes on at the other side of the clip, and their mean is 0."""
    distance, angle = np.sqrt(x * x + y * y), np.arctan2(y, x)
    rays = np.zeros_like(distance)
    for waves, height in ((2, 0.5), (4, 0.6), (6, 0.5), (8, 0.5), (10, 0.4), (14, 0.3)):
        rays += height * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    near = 1 - np.exp(-np.square(distance / 4.0))  # the clip itself stays bright
    return (STREAK_HU * rays * near * np.exp(-distance / STREAK_MM)).astype(np.float32)


def add_couch(image: NDArray, grid: ScanGrid, shape: str) -> None:
    """The couch under the child: a flat board, or a curved shell, of carbon fiber around foam."""
    phantom = grid.phantom
    body = np.nonzero((phantom.tissues != Tissue.AIR).any(axis=(0, 2)))[0]
    back_mm = phantom.affine[1, 3] + (body[0] - 0.5) * phantom.spacing_mm[1]
    x, y = grid.centers_mm(0)[:, None], grid.centers_mm(1)[None, :]
    sag = 0.0 if shape == "flat" else np.square(x) / 900.0 - 1.0
    depth = back_mm - 1.5 - y + sag  # mm under the couch's surface
    skin, foam = (np.abs(depth - 2) < 2) | (np.abs(depth - 17) < 2), (depth > 4) & (depth < 15)
    layer = np.where(skin, -60.0, np.where(foam, -920.0, AIR_HU)).astype(np.float32)[:, :, None]
    air = image < -700
    outside = air & (depth[:, :, None] > 0)
    np.copyto(image, image + (layer - AIR_HU), where=outside)


def add_cushion(image: NDArray, grid: ScanGrid) -> None:
    """A vacuum cushion of foam beads in a sheath: molded to the child, raised at both sides to half its height.

    Where the couch is, it stays.
    """
    outside = grid.nearest(grid.phantom.tissues) == Tissue.AIR
    rows = np.nonzero(~outside.all(axis=(0, 2)))[0]
    y = grid.centers_mm(1)[None, :, None]
    back, front = y[0, rows[0], 0], y[0, rows[-1], 0]
    height = (y - back) / (front - back)  # 0 at the back, 1 at the front
    from_skin = ndimage.distance_transform_edt(outside, sampling=(grid.affine[0, 0], grid.affine[1, 1], 1e6))
    thick = CUSHION_MM * np.clip(1.0 - 1.2 * height, 0, 1)
    inside = outside & (from_skin < thick) & (height < 0.5) & (y > back - 2.0) & (image < -940)
    sheath = (from_skin < 3.0) | (from_skin > thick - 3.0)
    image += np.where(inside, np.where(sheath, np.float32(380), np.float32(45)), np.float32(0))


def outside_field_of_view(shape: tuple[int, ...], pixel_mm: float, field_mm: float) -> NDArray[np.bool_]:
    """The voxels outside of a round field of view (reconstruction diameter) in the middle of every slice."""
    x, y = ((np.arange(n) - (n - 1) / 2) * pixel_mm for n in shape[:2])
    return np.broadcast_to((np.hypot(x[:, None], y[None, :]) > field_mm / 2)[:, :, None], shape)
