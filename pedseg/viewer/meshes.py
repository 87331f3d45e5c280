"""Organ surfaces by marching cubes, and surface distances: how far a predicted surface lies from the true one, in mm.

Voxels have steps; a slight blur before marching cubes removes them, and decimation sends fewer triangles to the
browser. The error that both make is measured and kept with the mesh (`Surface.error_mm`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLUR = 0.7  # voxels
KEPT_SHARE, MIN_TRIANGLES = 0.3, 400  # of the triangles; smaller meshes are not decimated
MARGIN = 3  # voxels around an organ, for the blur
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Surface:
    """One organ's mesh: `vertices_mm` (n, 3) in patient coordinates (RAS), `triangles` (m, 3) of vertex numbers.

    `error_mm`: 95 % of the vertices lie at most so far from the boundary of the voxels.
    """

    vertices_mm: NDArray[np.float32]
    triangles: NDArray[np.uint32]
    error_mm: float


def organ_surfaces(labels: NDArray[np.uint8], affine: NDArray, *, share: float = KEPT_SHARE) -> dict[int, Surface]:
    """The surface of every organ of a label map (x, y, z), by organ id; `share` of the triangles are kept."""
    from scipy.ndimage import find_objects

    boxes = {i: box for i, box in enumerate(find_objects(labels), start=1) if box is not None}
    return {i: _surface(labels[box] == i, box, np.asarray(affine, float), share) for i, box in boxes.items()}


def _surface(mask: NDArray[np.bool_], box: Box, affine: NDArray, share: float) -> Surface:
    """The mesh of one organ, given in its bounding box."""
    from fast_simplification import simplify
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    padded = np.pad(mask, MARGIN).astype(np.float32)
    blurred = gaussian_filter(padded, BLUR)
    if blurred.max() <= 0.5:  # too thin for the blur
        blurred = padded
    vertices, faces, _, _ = marching_cubes(blurred, 0.5)
    if len(faces) * share > MIN_TRIANGLES:
        vertices, faces = simplify(vertices.astype(np.float32), faces.astype(np.int32), 1 - share)
    boundary = MaskBoundary.of(padded > 0.5, np.linalg.norm(affine[:3, :3], axis=0))
    error_mm = float(np.percentile(boundary.distance_mm(vertices), 95))
    corner = np.array([s.start for s in box]) - MARGIN
    vertices_mm = (vertices + corner) @ affine[:3, :3].T + affine[:3, 3]
    if np.linalg.det(affine[:3, :3]) > 0:  # normals outward: skimage winds them for falling values
        faces = faces[:, ::-1]
    return Surface(vertices_mm.astype(np.float32), np.ascontiguousarray(faces, dtype=np.uint32), error_mm)


@dataclass(frozen=True)
class MaskBoundary:
    """The boundary of a voxel mask: all faces between a voxel inside and a voxel outside.

    `faces_mm` (n, 3) are their centers, in millimeters from the first voxel's center; `halves_mm` (n, 3) how far each
    extends, 0 along its own axis.
    """

    mask: NDArray[np.bool_]
    spacing_mm: NDArray[np.float64]
    faces_mm: NDArray[np.float64]
    halves_mm: NDArray[np.float64]
    tree: Any

    @classmethod
    def of(cls, mask: NDArray[np.bool_], spacing_mm: NDArray) -> MaskBoundary:
        """The boundary of a mask (x, y, z) with at least one voxel inside and one outside."""
        from scipy.spatial import cKDTree

        spacing = np.asarray(spacing_mm, float)
        centers, halves = [], []
        for axis in range(3):
            faces = np.argwhere(np.diff(mask.astype(np.int8), axis=axis)).astype(float)
            faces[:, axis] += 0.5
            centers.append(faces * spacing)
            halves.append(np.tile(np.where(np.arange(3) == axis, 0.0, spacing / 2), (len(faces), 1)))
        faces_mm = np.concatenate(centers)
        return cls(mask, spacing, faces_mm, np.concatenate(halves), cKDTree(faces_mm, balanced_tree=False))

    def distance_mm(self, points: NDArray) -> NDArray[np.float32]:
        """Distance of points (n, 3), in voxels, from the boundary: exact to the nearest of eight faces."""
        points_mm = np.asarray(points, float) * self.spacing_mm
        _, nearest = self.tree.query(points_mm, k=min(8, len(self.faces_mm)))
        nearest = nearest.reshape(len(points_mm), -1)
        beside = np.maximum(0, np.abs(points_mm[:, None] - self.faces_mm[nearest]) - self.halves_mm[nearest])
        return np.linalg.norm(beside, axis=2).min(axis=1).astype(np.float32)

    def signed_distance_mm(self, points: NDArray) -> NDArray[np.float32]:
        """The same, negative inside the mask."""
        voxels = np.clip(np.rint(points).astype(int), 0, np.array(self.mask.shape) - 1)
        return np.where(self.mask[tuple(voxels.T)], -1, 1) * self.distance_mm(points)


def distance_to_truth_mm(
    surface: Surface, truth: NDArray[np.uint8], organ_id: int, affine: NDArray
) -> NDArray[np.float32] | None:
    """Signed distance of each vertex from the true surface, in mm: beyond it positive, short of it negative.

    `truth` is the label map (x, y, z) that `affine` places. None where the organ is absent from it.
    """
    from scipy.ndimage import find_objects

    box = find_objects(truth, organ_id)[organ_id - 1]
    if box is None:
        return None
    affine = np.asarray(affine, float)
    points = (surface.vertices_mm - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    boundary = MaskBoundary.of(np.pad(truth[box] == organ_id, 1), np.linalg.norm(affine[:3, :3], axis=0))
    return boundary.signed_distance_mm(points - [s.start - 1 for s in box])
