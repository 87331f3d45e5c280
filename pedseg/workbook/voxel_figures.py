"""Pictures of voxels: patches side by side, one slice on two grids, one organ on several grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pedseg.organs import organ
from pedseg.scan import Scan, window
from pedseg.workbook.figures import PLANES, contours, cut, draw_gray, fullest, line_border, prepare_axes, size_mm


def patches(
    pictures: Mapping[str, NDArray],
    spacing_mm: Sequence[float],
    *,
    index: int | None = None,
    same_scale: bool = True,
) -> Figure:
    """Axial slices of patches side by side, for example before and after each augmentation.

    `pictures` maps a title to an (x, y, z) array; gray runs over the 1st to 99th percentile of the first patch (of
    each slice, if not `same_scale`).
    """
    first = next(iter(pictures.values()))
    low, high = np.percentile(first, (1, 99))
    slices = {}
    for title, voxels in pictures.items():
        level = first.shape[2] // 2 if index is None else index
        gray = cut(voxels, "axial", min(level, voxels.shape[2] - 1))
        if not same_scale:
            low, high = np.percentile(gray, (1, 99))
        gray = np.clip((gray - low) / (high - low + 1e-9), 0, 1)
        slices[title] = (gray, size_mm(voxels.shape, spacing_mm, "axial"))
    return _side_by_side(slices, "axial", panel_inches=9.0 / max(len(slices), 3))


def two_grids(image: Scan, resampled: Scan) -> Figure:
    """The same coronal slice as scanned and as the network sees it, each voxel visible, both true to scale."""
    slices = {}
    for scan, title in ((image, "as scanned"), (resampled, "as the network sees it")):
        spacing = " × ".join(f"{mm:g}" for mm in np.round(scan.spacing_mm, 2))
        gray = window(cut(scan.voxels, "coronal", scan.shape[1] // 2))
        slices[f"{title}: {spacing} mm"] = (gray, size_mm(scan.shape, scan.spacing_mm, "coronal"))
    return _side_by_side(slices, "coronal", panel_inches=4.5)


def _side_by_side(slices: Mapping[str, tuple[NDArray, tuple[float, float]]], plane: str, panel_inches: float) -> Figure:
    """Slices by title: gray values from 0 to 1 and (width, height) in mm."""
    width, height = next(iter(slices.values()))[1]
    size = (panel_inches * len(slices), panel_inches * height / width + 0.35)
    figure = Figure(figsize=size, layout="constrained")
    all_axes = figure.subplots(1, len(slices), squeeze=False)[0]
    for axes, (title, (gray, extent_mm)) in zip(all_axes, slices.items(), strict=True):
        draw_gray(axes, gray, extent_mm, plane, interpolation="nearest")
        axes.set_title(title, fontsize=9)
    return figure


def label_grids(maps: Mapping[str, Scan], name: str, *, plane: str = "coronal", margin_mm: float = 6.0) -> Figure:
    """An organ on several grids, voxel by voxel, all to the same scale; over each, its contour in the first in white.

    `maps` holds label maps in RAS by title; the organ must be in the first, and the slice is the one that shows most
    of it there. Each title is followed by the organ's number of voxels.
    """
    first, (axis, across, up, _) = next(iter(maps.values())), PLANES[plane]
    level = fullest(first.voxels, plane, [name])
    level_mm, pixel = edges_mm(first, axis)[level : level + 2].mean(), (first.spacing_mm[across], first.spacing_mm[up])
    (lines,) = contours(cut(first.voxels, plane, level), [organ(name)], pixel)
    points = np.concatenate(lines)  # (points, 2), mm from the edge of the first map
    low, high = points.min(axis=0) - margin_mm, points.max(axis=0) + margin_mm
    edge = np.array([edges_mm(first, across)[0], edges_mm(first, up)[0]])
    width, height = high - low
    figure = Figure(figsize=(9.0, 9.0 / len(maps) * height / width + 0.5), layout="constrained")
    all_axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (title, labels) in zip(all_axes, maps.items(), strict=True):
        _draw_label_voxels(axes, labels, name, plane, level_mm, edge + low)
        contour = LineCollection([line - low for line in lines], colors="white", linewidths=1.6)
        contour.set_path_effects([line_border("white")])
        axes.add_collection(contour, autolim=False)
        prepare_axes(axes, width, height, plane)
        axes.set_title(f"{title}\n{np.count_nonzero(labels.voxels == organ(name).id)} voxels", fontsize=10)
    return figure


def edges_mm(scan: Scan, axis: int) -> NDArray[np.float64]:
    """Where the voxels of a scan in RAS begin and end along one axis, in mm: one number more than voxels."""
    return scan.affine[axis, 3] + scan.spacing_mm[axis] * (np.arange(scan.shape[axis] + 1) - 0.5)


def _draw_label_voxels(axes: Axes, labels: Scan, name: str, plane: str, level_mm: float, origin_mm: NDArray) -> None:
    """The voxels of a slice with their edges, those of one organ in its color; `origin_mm` becomes (0, 0)."""
    axis, across, up, _ = PLANES[plane]
    index = int(np.searchsorted(edges_mm(labels, axis), level_mm)) - 1
    x, y = edges_mm(labels, across) - origin_mm[0], edges_mm(labels, up) - origin_mm[1]
    inside = cut(labels.voxels, plane, index) == organ(name).id
    colors = ListedColormap(["#222222", organ(name).color])
    axes.pcolormesh(x, y, inside, cmap=colors, vmin=0, vmax=1, edgecolors="#777777", linewidth=0.4)
