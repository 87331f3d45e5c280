"""Organs as surfaces: a mesh each in millimeters of the patient, and how far each point lies from the truth.

Voxels are stairs; a slight blur before meshing takes the stairs away, and fewer triangles go to the browser. What both
change is measured and kept with the mesh (`Surface.error_mm`).
"""

from __future__ import annotations

from dataclasses import dataclass

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
    error_mm = _error_mm(vertices, padded > 0.5, np.linalg.norm(affine[:3, :3], axis=0))
    corner = np.array([s.start for s in box]) - margin
    placed = (vertices + corner) @ affine[:3, :3].T + affine[:3, 3]
    if np.linalg.det(affine[:3, :3]) > 0:  # normals outward: skimage winds them for falling values
        faces = faces[:, ::-1]
    return Surface(placed.astype(np.float32), np.ascontiguousarray(faces, dtype=np.uint32), error_mm)


def _error_mm(vertices: NDArray, mask: NDArray[np.bool_], spacing_mm: NDArray) -> float:
    """How far 95 % of the vertices (in voxels) lie at most from the border of the mask."""
    away = np.abs(_sample(signed_distance_mm(mask, spacing_mm), vertices))
    return float(np.percentile(away, 95))


def signed_distance_mm(mask: NDArray[np.bool_], spacing_mm: NDArray) -> NDArray[np.float32]:
    """Distance of every voxel center from the border of a mask, in mm: outside positive, inside negative."""
    from scipy.ndimage import distance_transform_edt as distance

    half = float(np.mean(spacing_mm)) / 2  # the border runs half a voxel from the nearest center beyond it
    outside = distance(~mask, sampling=spacing_mm)
    inside = distance(mask, sampling=spacing_mm)
    return (np.where(mask, half - inside, outside - half)).astype(np.float32)


def _sample(field: NDArray, places: NDArray) -> NDArray[np.float32]:
    """A field between its voxels, at places (n, 3) in voxels."""
    from scipy.ndimage import map_coordinates

    return map_coordinates(field, np.asarray(places).T, order=1, mode="nearest").astype(np.float32)


def distance_to_truth_mm(
    surface: Surface, truth: NDArray[np.uint8], i: int, affine: NDArray
) -> NDArray[np.float32] | None:
    """How far each vertex of a drawn organ lies from the true border, in mm: beyond it positive, short of it negative.

    `truth` is the label map (x, y, z) that `affine` places. None where the organ is not in it: there is no distance.
    """
    there = truth == i
    if not there.any():
        return None
    affine = np.asarray(affine, float)
    places = (surface.vertices_mm - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    filled = np.argwhere(there.any(axis=2)), np.flatnonzero(there.any(axis=(0, 1)))
    low = np.array([*filled[0].min(axis=0), filled[1][0]])
    high = np.array([*filled[0].max(axis=0), filled[1][-1]])
    low = np.floor(np.minimum(low, places.min(axis=0))).astype(int) - 1
    high = np.ceil(np.maximum(high, places.max(axis=0))).astype(int) + 2
    box = tuple(slice(max(0, a), b) for a, b in zip(low, high, strict=True))
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    return _sample(signed_distance_mm(there[box], spacing_mm), places - [s.start for s in box])
