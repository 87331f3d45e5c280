"""From voxels to the rings that a planning system draws, and back.

A ring is a closed polygon in one plane of a scan, in (column, row) with pixel centers at whole numbers. It
runs half a pixel outside the voxels that it holds, so that it encloses their area and not only their
centers. A hole is cut in by a keyhole: a channel of no width that goes in and comes back the same way
(DICOM PS3.3 C.8.8.6.3), which readers that count crossings and readers that fill both understand.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]  # (points, 2): column, row


def trace(mask: NDArray[np.bool_]) -> list[Ring]:
    """The rings around a mask (column, row) of one plane; holes are joined to them by keyholes."""
    from contourpy import FillType, contour_generator

    if not mask.any():
        return []
    (c0, c1), (r0, r1) = (_extent(np.asarray(mask.any(axis=1 - axis))) for axis in (0, 1))
    plane = np.zeros((c1 - c0 + 2, r1 - r0 + 2))  # a rim of background closes what touches the border
    plane[1:-1, 1:-1] = mask[c0:c1, r0:r1]
    areas: Any
    areas, offsets = contour_generator(z=plane.T, fill_type=FillType.OuterOffset).filled(0.5, 2.0)  # type: ignore[misc]
    rings = []
    for points, starts in zip(areas, offsets, strict=True):
        outer, *holes = [points[a : b - 1] for a, b in itertools.pairwise(starts)]
        rings.append(_without_straights(_with_keyholes(outer, holes)) + np.array([c0 - 1, r0 - 1]))
    return rings


def _extent(line: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last + 1 of what is true."""
    where = np.flatnonzero(line)
    return int(where[0]), int(where[-1]) + 1


def _with_keyholes(outer: Ring, holes: Sequence[Ring]) -> Ring:
    """One ring out of an outer one and its holes, each joined at its nearest corner."""
    from scipy.spatial import cKDTree

    ring, left = outer, list(holes)
    while left:
        tree = cKDTree(ring)
        near = [tree.query(hole) for hole in left]
        place = int(np.argmin([distance.min() for distance, _ in near]))
        distance, corners = near[place]
        hole, inner = left.pop(place), int(distance.argmin())
        corner = int(corners[inner])
        around = np.roll(hole, -inner, axis=0)
        ring = np.concatenate([ring[: corner + 1], around, around[:1], ring[corner:]])
    return ring


def _without_straights(ring: Ring) -> Ring:
    """The same ring without the points in the middle of a straight line; where it turns back, they stay."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    ahead = (before * after).sum(axis=1) > 0
    return ring[~((np.abs(cross) < 1e-9) & ahead)]


def fill(rings: Sequence[Ring], planes: NDArray[np.intp], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The voxels (column, row, plane) whose centers lie inside an odd number of the rings of their plane.

    `planes` has the plane of each ring. All edges of all rings are treated at once: each turns the
    parity over of every pixel to its right, in the rows that it crosses. What lies outside `shape` is cut off.
    """
    toggles = np.zeros(shape, dtype=np.uint8)
    if len(rings):
        lengths = np.array([len(ring) for ring in rings])
        start = np.concatenate(rings)
        order = np.arange(len(start)) + 1
        order[np.cumsum(lengths) - 1] = np.cumsum(lengths) - lengths  # the last point goes on to the first
        column, row, plane = _crossings(start, start[order], np.repeat(planes, lengths), shape)
        np.bitwise_xor.at(toggles, (column, row, plane), np.uint8(1))
    return np.bitwise_xor.accumulate(toggles, axis=0, out=toggles).view(np.bool_)


def _crossings(
    start: Ring, end: Ring, plane: NDArray[np.intp], shape: tuple[int, int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """(column, row, plane) of the first pixel to the right of every edge, for each row that the edge crosses."""
    falls = (start[:, 1] > end[:, 1])[:, None]  # the two sides of a keyhole must give the same numbers
    start, end = np.where(falls, end, start), np.where(falls, start, end)
    first = np.clip(np.ceil(start[:, 1]), 0, shape[1]).astype(np.intp)  # rows of low <= row < high
    last = np.clip(np.ceil(end[:, 1]), 0, shape[1]).astype(np.intp)
    times = last - first
    edge = np.repeat(np.arange(len(times)), times)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(times) - times, times) + first[edge]
    a, b = start[edge], end[edge]
    x = a[:, 0] + (row - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    column = np.clip(np.ceil(x), 0, shape[0]).astype(np.intp)
    inside = column < shape[0]
    return column[inside], row[inside], plane[edge][inside]


def area(ring: Ring) -> float:
    """The area within a ring, in pixels; a keyhole takes its hole away."""
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
