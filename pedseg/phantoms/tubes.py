"""Centerlines of long, folded tubes (bowel, vessels): which piece of which tube lies nearest to a voxel.

All millimeters are those of the child itself, so that tubes are round at every age. A tube is sampled densely; a k-d
tree finds the nearest sample of each voxel, and with it everything the tube knows there: radius, filling, folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pedseg.phantoms.canvas import Box, Canvas, catmull_rom

BETWEEN_TUBES_MM = 1000.0  # added to `along` from one tube to the next, so that tubes can be told apart by it
ANOTHER_LOOP_MM = 25.0  # pieces of one tube that are farther apart along it are different loops


@dataclass(frozen=True)
class Nearest:
    """For every voxel: the nearest sample, the distance from the centerline, and the place along it, in mm."""

    index: NDArray
    distance: NDArray
    along: NDArray
    offset: NDArray  # (n, 3) from the nearest sample to the voxel


@dataclass(frozen=True)
class Centerlines:
    """Samples of tubes: `rows` are (x, y, z, and whatever varies along a tube), `along` is in mm."""

    rows: NDArray
    along: NDArray
    tangents: NDArray

    @classmethod
    def of_paths(cls, paths: list[NDArray], step_mm: float) -> Centerlines:
        """Smooth curves through the rows of every path."""
        curves = [catmull_rom(path, step_mm) for path in paths]
        tangents = [np.gradient(curve[:, :3], axis=0) for curve in curves]
        lengths = [np.linalg.norm(np.diff(curve[:, :3], axis=0), axis=1) for curve in curves]
        start, along = 0.0, []
        for length in lengths:
            along.append(start + np.concatenate([[0.0], np.cumsum(length)]))
            start = along[-1][-1] + BETWEEN_TUBES_MM
        rows, tangent = np.vstack(curves), np.vstack(tangents)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        return cls(rows, np.concatenate(along).astype(np.float32), tangent)

    def nearest(self, positions: NDArray, reach_mm: float) -> Nearest:
        """The nearest sample of each position; the distance is infinite beyond `reach_mm`."""
        far, index = cKDTree(self.rows[:, :3]).query(positions, distance_upper_bound=reach_mm)
        beyond = index == len(self.rows)
        index = np.where(beyond, 0, index).astype(np.int32)
        offset = (positions - self.rows[index, :3]).astype(np.float32)
        forward = np.einsum("ij,ij->i", offset, self.tangents[index])
        distance = np.sqrt(np.maximum(far * far - np.square(np.clip(forward, -2.0, 2.0)), 0.0))
        return Nearest(
            index, np.where(beyond, np.inf, distance).astype(np.float32), self.along[index] + forward, offset
        )

    def clearance(self, reach_mm: float) -> NDArray:
        """For every sample the distance from the nearest one of another tube, or of another loop of its own."""
        distance, index = cKDTree(self.rows[:, :3]).query(self.rows[:, :3], k=40, distance_upper_bound=reach_mm)
        along = np.append(self.along, np.inf)
        apart = np.abs(along[index] - self.along[:, None]) > ANOTHER_LOOP_MM
        return np.where(apart, distance, reach_mm).min(axis=1, initial=reach_mm)

    def frames(self) -> tuple[NDArray, NDArray]:
        """Two directions across every sample, which turn as little as possible from one to the next."""
        across = np.empty_like(self.tangents)
        normal = np.cross(self.tangents[0], (0.31, 0.87, 0.38))
        for i, tangent in enumerate(self.tangents):
            normal = normal - tangent * (normal @ tangent)
            normal /= np.linalg.norm(normal) + 1e-9
            across[i] = normal
        return across, np.cross(self.tangents, across)


def positions_mm(c: Canvas, box: Box, mask: NDArray) -> NDArray:
    """Where the voxels of a mask lie in the child, in mm, along x, y and z of its deformed body."""
    out = np.empty((int(mask.sum()), 3), np.float32)
    for column, (axis, scale) in enumerate(zip((c.x, c.y, c.z), c.scale, strict=True)):
        out[:, column] = axis[box][mask] * np.float32(scale)
    return out


def near(c: Canvas, box: Box, lines: Centerlines, reach_mm: float) -> NDArray:
    """The voxels of a box that may lie within `reach_mm` of a centerline, found on every third voxel or so."""
    step = tuple(int(n) for n in np.maximum(1, np.round(5.0 / c.spacing)))
    sparse = tuple(slice(s.start, s.stop, n) for s, n in zip(box, step, strict=True))
    every = np.ones(c.x[sparse].shape, bool)
    reach_mm = reach_mm + 0.8 * float(np.linalg.norm(c.spacing * step))
    within = lines.nearest(positions_mm(c, sparse, every), reach_mm).distance.reshape(every.shape) < np.inf
    for axis, n in enumerate(step):
        within = np.repeat(within, n, axis)
    return within[tuple(slice(0, s.stop - s.start) for s in box)]


def noise(positions: NDArray, wavelength_mm: float, rng: np.random.Generator, waves: int = 7) -> NDArray:
    """A random field over positions in mm, the same on every grid: waves in all directions, standard deviation 1."""
    total = np.zeros(len(positions), np.float32)
    for _ in range(waves):
        direction = rng.normal(0.0, 1.0, 3)
        direction *= 2 * np.pi / (wavelength_mm * rng.uniform(0.7, 1.4) * np.linalg.norm(direction))
        total += np.sin(positions @ direction.astype(np.float32) + np.float32(rng.uniform(0, 6.28)))
    return total * np.float32((2 / waves) ** 0.5)
