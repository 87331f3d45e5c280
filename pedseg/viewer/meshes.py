"""Organs as surfaces: a mesh each in millimeters of the patient, and how far each point lies from the truth.

Voxels are stairs; a slight blur before meshing takes the stairs away, and fewer triangles go to the browser. What both
change is measured and kept with the mesh (`Surface.error_mm`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLUR = 0.7  # voxels
KEPT_SHARE, KEPT_LEAST = 0.3, 400  # of the triangles
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Surface:
    """One organ's surface: `vertices_mm` (n, 3) in the patient's RAS millimeters, `triangles` (m, 3) of their numbers.

    `error_mm`: 95 % of the mesh lie no farther than so from the border of the voxels.
    """

    vertices_mm: NDArray[np.float32]
    triangles: NDArray[np.uint32]
    error_mm: float


def surfaces(labels: NDArray[np.uint8], affine: NDArray, *, share: float = KEPT_SHARE) -> dict[int, Surface]:
    """The surface of every organ of a label map (x, y, z), by organ id; `share` of the triangles are kept."""
    from scipy.ndimage import find_objects

    found = {}
    for i, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            found[i] = _surface(labels[box] == i, box, np.asarray(affine, float), share)
    return found


def _surface(mask: NDArray[np.bool_], box: Box, affine: NDArray, share: float) -> Surface:
    """The mesh of one organ, given in its own box."""
    from fast_simplification import simplify
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    margin = 3
    padded = np.pad(mask, margin).astype(np.float32)
    soft = gaussian_filter(padded, BLUR)
    if soft.max() <= 0.5:  # too thin for the blur
        soft = padded
    vertices, faces, _, _ = marching_cubes(soft, 0.5)
    if len(faces) * share > KEPT_LEAST:
        vertices, faces = simplify(vertices.astype(np.float32), faces.astype(np.int32), 1 - share)
    border = Border.of(padded > 0.5, np.linalg.norm(affine[:3, :3], axis=0))
    error_mm = float(np.percentile(border.distance_mm(vertices), 95))
    corner = np.array([s.start for s in box]) - margin
    placed = (vertices + corner) @ affine[:3, :3].T + affine[:3, 3]
    if np.linalg.det(affine[:3, :3]) > 0:  # normals outward: skimage winds them for falling values
        faces = faces[:, ::-1]
    return Surface(placed.astype(np.float32), np.ascontiguousarray(faces, dtype=np.uint32), error_mm)


@dataclass(frozen=True)
class Border:
    """The border of a mask of voxels: the faces between voxels in it and voxels out of it.

    `faces_mm` (n, 3) are their centers, in millimeters from the first voxel's center; `halves_mm` (n, 3) how far each
    reaches, 0 along its own axis.
    """

    mask: NDArray[np.bool_]
    spacing_mm: NDArray[np.float64]
    faces_mm: NDArray[np.float64]
    halves_mm: NDArray[np.float64]
    tree: Any

    @classmethod
    def of(cls, mask: NDArray[np.bool_], spacing_mm: NDArray) -> Border:
        """The border of a mask (x, y, z) with at least one voxel in and one out."""
        from scipy.spatial import cKDTree

        spacing = np.asarray(spacing_mm, float)
        centers, halves = [], []
        for axis in range(3):
            found = np.argwhere(np.diff(mask.astype(np.int8), axis=axis)).astype(float)
            found[:, axis] += 0.5
            centers.append(found * spacing)
            halves.append(np.tile(np.where(np.arange(3) == axis, 0.0, spacing / 2), (len(found), 1)))
        faces_mm = np.concatenate(centers)
        return cls(mask, spacing, faces_mm, np.concatenate(halves), cKDTree(faces_mm, balanced_tree=False))

    def distance_mm(self, places: NDArray) -> NDArray[np.float32]:
        """Distance of places (n, 3), in voxels, from the border: exact to the nearest of eight faces."""
        points_mm = np.asarray(places, float) * self.spacing_mm
        _, near = self.tree.query(points_mm, k=min(8, len(self.faces_mm)))
        near = near.reshape(len(points_mm), -1)
        beside = np.maximum(0, np.abs(points_mm[:, None] - self.faces_mm[near]) - self.halves_mm[near])
        return np.linalg.norm(beside, axis=2).min(axis=1).astype(np.float32)

    def signed_mm(self, places: NDArray) -> NDArray[np.float32]:
        """The same, negative inside the mask."""
        voxels = np.clip(np.rint(places).astype(int), 0, np.array(self.mask.shape) - 1)
        return np.where(self.mask[tuple(voxels.T)], -1, 1) * self.distance_mm(places)


def distance_to_truth_mm(
    surface: Surface, truth: NDArray[np.uint8], i: int, affine: NDArray
) -> NDArray[np.float32] | None:
    """How far each vertex of a drawn organ lies from the true border, in mm: beyond it positive, short of it negative.

    `truth` is the label map (x, y, z) that `affine` places. None where the organ is not in it: there is no distance.
    """
    from scipy.ndimage import find_objects

    box = find_objects(truth, i)[i - 1]
    if box is None:
        return None
    affine = np.asarray(affine, float)
    places = (surface.vertices_mm - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    border = Border.of(np.pad(truth[box] == i, 1), np.linalg.norm(affine[:3, :3], axis=0))
    return border.signed_mm(places - [s.start - 1 for s in box])
