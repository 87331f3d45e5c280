"""Mask to polygons and polygons to mask: marching squares, keyhole contours for holes, even-odd (XOR) filling.

A polygon is closed and lies in one plane of a scan, in (column, row) with pixel centers at whole numbers. It
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

Polygon = NDArray[np.float64]  # (points, 2): column, row


def mask_to_polygons(mask: NDArray[np.bool_]) -> list[Polygon]:
    """The polygons around a mask (column, row) of one plane; holes are joined to them by keyholes."""
    from contourpy import FillType, contour_generator

    if not mask.any():
        return []
    columns, rows = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    c0, r0 = columns[0], rows[0]
    crop = mask[c0 : columns[-1] + 1, r0 : rows[-1] + 1]
    plane = np.pad(crop, 1).astype(float)  # a rim of background closes what touches the border
    areas: Any
    areas, offsets = contour_generator(z=plane.T, fill_type=FillType.OuterOffset).filled(0.5, 2.0)  # type: ignore[misc]
    polygons = []
    for points, starts in zip(areas, offsets, strict=True):
        outer, *holes = [points[a : b - 1] for a, b in itertools.pairwise(starts)]
        polygons.append(_without_collinear_points(_with_keyholes(outer, holes)) + np.array([c0 - 1, r0 - 1]))
    return polygons


def _with_keyholes(outer: Polygon, holes: Sequence[Polygon]) -> Polygon:
    """One polygon out of an outer one and its holes, each joined at its nearest corner."""
    from scipy.spatial import cKDTree

    polygon, left = outer, list(holes)
    while left:
        tree = cKDTree(polygon)
        nearest = [tree.query(hole) for hole in left]
        place = int(np.argmin([distance.min() for distance, _ in nearest]))
        distance, corners = nearest[place]
        hole, inner = left.pop(place), int(distance.argmin())
        corner = int(corners[inner])
        around = np.roll(hole, -inner, axis=0)
        polygon = np.concatenate([polygon[: corner + 1], around, around[:1], polygon[corner:]])
    return polygon


def _without_collinear_points(polygon: Polygon) -> Polygon:
    """The same polygon without the points in the middle of a straight line; where it turns back, they stay."""
    before, after = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    ahead = (before * after).sum(axis=1) > 0
    return polygon[~((np.abs(cross) < 1e-9) & ahead)]


def polygons_to_mask(
    polygons: Sequence[Polygon], planes: NDArray[np.intp], shape: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """The voxels (column, row, plane) whose centers lie inside an odd number of the polygons of their plane.

    `planes` has the plane of each polygon. All edges of all polygons are treated at once: each turns the
    parity over of every pixel to its right, in the rows that it crosses. What lies outside `shape` is cut off.
    """
    toggles = np.zeros(shape, dtype=np.uint8)
    if len(polygons):
        column, row, plane = _crossings(polygons, planes, shape)
        within = column < shape[0]
        np.bitwise_xor.at(toggles, (column[within], row[within], plane[within]), np.uint8(1))
    return np.bitwise_xor.accumulate(toggles, axis=0, out=toggles).view(np.bool_)


def _crossings(
    polygons: Sequence[Polygon], planes: NDArray[np.intp], shape: Sequence[int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """(column, row, plane) of the first pixel to the right of every edge, for each row that the edge crosses.

    The column is `shape[0]` where an edge has no pixel of the scan to its right.
    """
    lengths = np.array([len(polygon) for polygon in polygons])
    start = np.concatenate(polygons)
    following = np.arange(len(start)) + 1
    following[np.cumsum(lengths) - 1] = np.cumsum(lengths) - lengths  # the last point goes on to the first
    end, plane = start[following], np.repeat(planes, lengths)
    falls = (start[:, 1] > end[:, 1])[:, None]  # the two sides of a keyhole must give the same numbers
    start, end = np.where(falls, end, start), np.where(falls, start, end)
    first = np.clip(np.ceil(start[:, 1]), 0, shape[1]).astype(np.intp)  # rows of low <= row < high
    last = np.clip(np.ceil(end[:, 1]), 0, shape[1]).astype(np.intp)
    times = last - first
    edge = np.repeat(np.arange(len(times)), times)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(times) - times, times) + first[edge]
    a, b = start[edge], end[edge]
    x = a[:, 0] + (row - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    return np.clip(np.ceil(x), 0, shape[0]).astype(np.intp), row, plane[edge]


def polygon_area(polygon: Polygon) -> float:
    """The area within a polygon, in pixels (shoelace formula); a keyhole takes its hole away."""
    x, y = polygon.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def resolve_overlaps(
    polygons: Sequence[Polygon], planes: NDArray[np.intp], shape: tuple[int, int]
) -> tuple[list[Polygon], NDArray[np.intp], int]:
    """Polygons whose even-odd filling is what they `enclose_together`, their planes, and how many planes were changed.

    DICOM tells what a keyhole and what CLOSEDPLANAR_XOR mean, and not what several CLOSED_PLANAR contours of a ROI in
    one plane mean together. Planning systems write holes and islands so on purpose, and doubles by mistake.
    """
    changed: dict[int, list[Polygon]] = {}
    for plane in np.flatnonzero(np.bincount(planes) > 1).tolist():
        mask = enclose_together([polygons[i] for i in np.flatnonzero(planes == plane).tolist()], shape)
        if mask is not None:
            changed[plane] = mask_to_polygons(mask)
    pairs = [pair for pair in zip(planes.tolist(), polygons, strict=True) if pair[0] not in changed]
    pairs += [(plane, polygon) for plane, traced in changed.items() for polygon in traced]
    return [polygon for _, polygon in pairs], np.array([plane for plane, _ in pairs], dtype=np.intp), len(changed)


def enclose_together(polygons: Sequence[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The pixels (column, row) of one plane that separate contours enclose; None if an even-odd filling finds the same.

    A contour within another one is a hole, within a hole an island. One that runs along another one, less than half a
    pixel beside it, is the same drawn twice. Contours that cross are joined.
    """
    column, row, number = _crossings(polygons, np.arange(len(polygons)), (*shape, len(polygons)))
    place = row * (shape[0] + 1) + column
    order = np.argsort(place, kind="stable")
    place = place[order]
    run = np.diff(place, append=place[-1:])  # pixels from one crossing to the next
    inside = np.bitwise_xor.accumulate(number[order, None] == np.arange(len(polygons)), axis=0)
    pixels = inside * run[:, None].astype(np.float32)
    sizes, shared = pixels.sum(axis=0), inside.T.astype(np.float32) @ pixels
    depth: dict[int, int] = {}  # of those that count, the largest first: 0 an area, 1 a hole in it, 2 an island in it
    for i in (i for i in np.argsort(-sizes, kind="stable").tolist() if sizes[i]):
        near = [j for j in depth if 10 * shared[i, j] >= 9 * sizes[i]]
        around = [j for j in near if shared[i, j] == sizes[i] or _is_rim(polygons[i], polygons[j], shape)]
        if not any(_drawn_twice(polygons[i], polygons[j], shape) for j in around if 4 * sizes[i] >= sizes[j]):
            depth[i] = 1 + max((depth[j] for j in around), default=-1)
    rank = np.array([[*depth].index(i) + 1 if i in depth else 0 for i in range(len(polygons))])
    even = np.array([depth.get(i, 1) % 2 == 0 for i in range(len(polygons))])
    ranked = inside * rank
    filled = even[np.argmax(ranked, axis=1)] & (ranked.max(axis=1) > 0)  # by the smallest contour around a run
    if np.array_equal(filled[run > 0], inside.sum(axis=1)[run > 0] % 2 == 1):
        return None
    mask = np.zeros(shape[1] * (shape[0] + 1), dtype=bool)
    mask[place[0] : place[-1]] = np.repeat(filled, run)
    return mask.reshape(shape[1], shape[0] + 1)[:, : shape[0]].T


def _drawn_twice(inner: Polygon, outer: Polygon, shape: tuple[int, int]) -> bool:
    """Whether two contours run less than half a pixel beside each other on average, and nowhere two."""
    perimeter = float(np.linalg.norm(outer - np.roll(outer, 1, axis=0), axis=1).sum())
    return polygon_area(outer) - polygon_area(inner) <= 0.5 * perimeter and _is_rim(outer, inner, shape)


def _is_rim(polygon: Polygon, other: Polygon, shape: tuple[int, int]) -> bool:
    """Whether the pixels of one polygon that another one lacks are nowhere two thick: exported lines are thinned."""
    a, b = polygons_to_mask([polygon, other], np.arange(2), (*shape, 2)).transpose(2, 0, 1)
    rest = a & ~b
    return not np.any(rest[1:, 1:] & rest[:-1, 1:] & rest[1:, :-1] & rest[:-1, :-1])
