"""Voxels of a phantom in the coordinates of one standard 5-year-old, and implicit shapes (ellipsoids, tubes) in them.

Every voxel knows where it would lie in the standard child (x right, y anterior, z superior, in mm, origin in the
middle of the body at the second lumbar vertebra). Shapes are defined there once; age, build, posture and a smooth
random deformation (cubic B-splines) come from the coordinates alone. `fill` gives an organ the free voxels that are
nearest to its shape until its volume is reached, so organs press against each other instead of overlapping.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Box = tuple[slice, ...]  # three slices
Point = tuple[float, float, float]
DOMAIN_MM = np.array([[-180.0, -160.0, -260.0], [180.0, 160.0, 260.0]])
KNOT_MM = 52.0
CORNERS = np.array(list(product((False, True), repeat=3)))  # of a box: at its lower or upper end along x, y and z
THINNEST_SHEET = 0.8  # of a voxel: of a sheet along an axis, one voxel in five is missing
SPECK = 2  # voxels in a slice that nobody would contour beside a larger piece
MAX_DEFORMATION_MM = 8.0  # how far the random deformation may carry a voxel, in mm of the standard child


def bspline(t: NDArray) -> NDArray:
    """The cubic B-spline of unit knot distance."""
    t = np.abs(t)
    return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0.0)).astype(np.float32)


def bspline_basis(values: NDArray, axis: int) -> NDArray:
    """Weights (values, knots) of the cubic B-splines along one axis of the standard child."""
    knots = np.arange(DOMAIN_MM[0, axis], DOMAIN_MM[1, axis] + 1, KNOT_MM)
    return bspline((np.asarray(values).reshape(-1, 1) - knots) / KNOT_MM)


def catmull_rom(points: NDArray, step_mm: float) -> NDArray:
    """A Catmull-Rom spline through rows of (x, y, z, radius), sampled about every `step_mm`."""
    points = np.asarray(points, dtype=np.float32)
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    lengths = np.sqrt(np.square(np.diff(points[:, :3], axis=0)).sum(axis=1))
    counts = np.maximum(1, np.round(lengths / step_mm)).astype(int)
    segment = np.repeat(np.arange(len(counts)), counts)
    t = ((np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts, counts)) / counts[segment])[:, None]
    p0, p1, p2, p3 = (padded[segment + i] for i in range(4))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.vstack([curve, points[-1:]]).astype(np.float32)


def rotation_matrix(angles_deg: ArrayLike) -> NDArray:
    """Rotation matrix: about x, then y, then z, in degrees."""
    out = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(angles_deg)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        axial = np.eye(3)
        axial[i, i] = axial[j, j] = np.cos(angle)
        axial[i, j], axial[j, i] = -np.sin(angle), np.sin(angle)
        out = axial @ out
    return out


def _slices(start: NDArray, stop: NDArray) -> Box:
    return slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])


@dataclass(frozen=True)
class Shape:
    """An implicit shape: a field over a box of voxels that grows outward from an organ; `along` follows a tube."""

    box: Box
    field: NDArray
    along: NDArray = dataclasses.field(default_factory=lambda: np.zeros(0))


class Canvas:
    """Voxels of one child: standard coordinates `x, y, z`, height above the couch `up`, `labels` and `tissues`."""

    def __init__(
        self, scale: NDArray, roll_deg: float, extent_mm: NDArray, spacing_mm: Point, rng: np.random.Generator
    ) -> None:
        """`extent_mm` (2, 3): lower and upper end of the field of view around the origin, in mm of the room."""
        spacing = np.asarray(spacing_mm, dtype=float)
        shape = np.ceil((extent_mm[1] - extent_mm[0]) / spacing).astype(int)
        first = extent_mm.mean(axis=0) - spacing * (shape - 1) / 2
        self.affine = np.diag([*spacing, 1.0])
        self.affine[:3, 3] = first
        self.spacing, self.scale, self.shape, self.first = spacing, scale, tuple(shape), first
        self.voxel_ml = float(spacing.prod()) / 1000
        self.rotation = rotation_matrix((0.0, 0.0, roll_deg))
        room_x, room_y, room_z = (first[a] + spacing[a] * np.arange(shape[a]) for a in range(3))
        room = np.stack(np.meshgrid(room_x, room_y, indexing="ij"), -1)
        flat = room @ self.rotation[:2, :2] / scale[:2]  # in the body
        self.undeformed = flat.astype(np.float32), (room_z / scale[2]).astype(np.float32)
        self.up = np.broadcast_to(room_y.astype(np.float32)[None, :, None], self.shape)
        basis_x, basis_y = (bspline_basis(flat[..., axis], axis) for axis in (0, 1))
        self.basis_xy = (basis_x[:, :, None] * basis_y[:, None, :]).reshape(len(room_x) * len(room_y), -1)
        self.basis_z = bspline_basis(self.undeformed[1], 2)
        self.x, self.y, self.z = (
            p + np.clip(self.random_field(rng, 3.8), -MAX_DEFORMATION_MM, MAX_DEFORMATION_MM)
            for p in (flat[..., 0:1].astype(np.float32), flat[..., 1:2].astype(np.float32), self.undeformed[1])
        )
        self.labels = np.zeros(self.shape, np.uint8)
        self.tissues = np.zeros(self.shape, np.uint8)
        self.free = np.zeros(self.shape, bool)

    def resolves(self, thickness_mm: ArrayLike, voxels: float = THINNEST_SHEET) -> NDArray:
        """Whether a sheet (mm of the standard child) is thicker than a share of a voxel; others are full of holes."""
        return np.asarray(thickness_mm) > voxels * float((self.spacing[:2] / self.scale[:2]).max())

    def random_field(self, rng: np.random.Generator, sd: float) -> NDArray:
        """A smooth random field over the voxels that moves with the body; `sd` is that of its knots."""
        knots = rng.normal(0.0, sd, (self.basis_xy.shape[1], self.basis_z.shape[1])).astype(np.float32)
        return (self.basis_xy @ knots @ self.basis_z.T).reshape(self.shape)

    def box(self, low: ArrayLike, high: ArrayLike) -> Box:
        """The voxels that can hold the standard child's box from `low` to `high` (mm)."""
        return _slices(*self.bounds(np.asarray(low), np.asarray(high)))

    def bounds(self, low: NDArray, high: NDArray) -> tuple[NDArray, NDArray]:
        """First voxels, and those behind the last, of many boxes of the standard child (..., 3), in mm."""
        start_mm = (low - MAX_DEFORMATION_MM) * self.scale
        stop_mm = (high + MAX_DEFORMATION_MM) * self.scale
        corners = np.where(CORNERS, stop_mm[..., None, :], start_mm[..., None, :])
        index = (corners @ self.rotation.T - self.first) / self.spacing
        start = np.clip(np.floor(index.min(axis=-2)).astype(int), 0, self.shape)
        return start, np.clip(np.ceil(index.max(axis=-2)).astype(int) + 1, start, self.shape)

    def offsets(self, box: Box, middle: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """How far the voxels of a box lie from a point, along x, y and z."""
        return self.x[box] - middle[0], self.y[box] - middle[1], self.z[box] - middle[2]

    def ellipsoid(
        self, center: ArrayLike, half_axes: ArrayLike, angles_deg: ArrayLike = (0.0, 0.0, 0.0), reach: float = 1.5
    ) -> Shape:
        """Distance from a center in units of the half axes (1 on the surface), out to `reach`."""
        rotation = rotation_matrix(angles_deg)
        half = np.sqrt((rotation**2) @ np.square(half_axes)) * reach
        middle = np.asarray(center, dtype=np.float32)
        box = self.box(middle - half, middle + half)
        rows = (rotation.T / np.asarray(half_axes)[:, None]).astype(np.float32)
        offsets = self.offsets(box, middle)
        field = np.float32(0)
        for row in rows:
            part = sum(weight * offset for weight, offset in zip(row, offsets, strict=True) if abs(weight) > 1e-6)
            field = field + part * part
        return Shape(box, np.sqrt(field))

    def tube(self, points: ArrayLike, reach_mm: float = 6.0, step_mm: float = 9.0) -> Shape:
        """Signed distance from a bent tube's surface in mm (negative inside); `points` are rows (x, y, z, radius)."""
        curve = catmull_rom(np.asarray(points), step_mm)
        radius = curve[:, 3:]
        box = self.box((curve[:, :3] - radius - reach_mm).min(axis=0), (curve[:, :3] + radius + reach_mm).max(axis=0))
        field = np.full([s.stop - s.start for s in box], np.inf, np.float32)
        along = np.zeros_like(field)
        first = np.array([s.start for s in box])
        reach = np.maximum(radius[1:], radius[:-1]) + reach_mm
        ends = np.stack([curve[:-1, :3], curve[1:, :3]])
        start, stop = self.bounds(ends.min(axis=0) - reach, ends.max(axis=0) + reach)
        start, stop = np.maximum(start, first), np.minimum(stop, [s.stop for s in box])
        for i in np.flatnonzero((stop > start).all(axis=1)):
            local = _slices(start[i] - first, stop[i] - first)
            distance, t = self._to_segment(_slices(start[i], stop[i]), curve[i], curve[i + 1])
            nearer = distance < field[local]
            np.copyto(field[local], distance, where=nearer)
            np.copyto(along[local], t + i, where=nearer)
        return Shape(box, field, along / max(1, len(curve) - 1))

    def _to_segment(self, box: Box, a: NDArray, b: NDArray) -> tuple[NDArray, NDArray]:
        """Distance (mm) of voxels from one cone-shaped piece of a tube, and where along it they lie (0 to 1)."""
        direction = (b - a)[:3]
        px, py, pz = self.x[box] - a[0], self.y[box] - a[1], self.z[box] - a[2]
        t = px * direction[0] + py * direction[1] + pz * direction[2]
        t /= max(1e-6, float(direction @ direction))
        t = np.minimum(np.maximum(t, 0, out=t), 1, out=t)  # np.clip takes twice as long on small boxes
        px -= t * direction[0]
        py -= t * direction[1]
        pz -= t * direction[2]
        return np.sqrt(px * px + py * py + pz * pz) - (a[3] + t * (b[3] - a[3])), t

    def fill(
        self,
        shape: Shape,
        tissue: int,
        organ: int = 0,
        *,
        volume_ml: float | None = None,
        level: float = 0.0,
        where: NDArray | None = None,
        connected: bool = False,
    ) -> NDArray:
        """Give free voxels to an organ: the innermost ones up to its volume, or all below `level`; returns the mask.

        `where` (over the whole canvas) narrows what is allowed; `connected` keeps the largest component only.
        """
        box = shape.box
        allowed = self.free[box] & np.isfinite(shape.field)
        if where is not None:
            allowed &= where[box]
        if volume_ml is not None:
            values = shape.field[allowed]
            count = round(volume_ml / self.voxel_ml)
            level = float(np.partition(values, count)[count]) if count < values.size else np.inf
        mask = allowed & (shape.field < level)
        if connected:
            mask = largest_component(without_specks(mask))
        self.paint(box, mask, tissue, organ)
        return mask

    def paint(self, box: Box, mask: NDArray, tissue: int, organ: int = 0) -> None:
        """Write tissue and label into the voxels of a box and mark them as taken."""
        self.tissues[box][mask] = tissue
        self.labels[box][mask] = organ
        self.free[box][mask] = False


def union(a: Shape, b: Shape) -> Shape:
    """The union of two implicit shapes: the smaller value of both fields."""
    box = tuple(slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a.box, b.box, strict=True))
    field = np.full([s.stop - s.start for s in box], np.inf, np.float32)
    for part in (a, b):
        local = tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(part.box, box, strict=True))
        field[local] = np.minimum(field[local], part.field)
    return Shape(box, field)


def without_specks(mask: NDArray) -> NDArray:
    """The mask without pieces of one or two voxels beside larger ones of the same slice."""
    pieces, _ = ndimage.label(mask, ndimage.generate_binary_structure(3, 1) & [[[False, True, False]]])
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    large = (sizes > SPECK)[pieces]
    return mask & (large | ~large.any(axis=(0, 1)))


def largest_component(mask: NDArray, corners: bool = False) -> NDArray:
    """The largest connected component of a mask (6 neighbors, or 26 with those at `corners`)."""
    components, count = ndimage.label(mask, np.ones((3, 3, 3)) if corners else None)
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return components == sizes.argmax()
