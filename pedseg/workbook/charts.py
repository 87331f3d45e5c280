"""Charts of numbers: histograms, learning and growth curves, the four-column table, organs with intervals, grids.

Every chart says its message twice: by color and by line style, marker or printed number.
`figures.show(figure, alt=...)` puts it into a notebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from pedseg.organs import NAMES, organ
from pedseg.scan import WINDOWS, Scan, window
from pedseg.workbook.figures import BLUE, ORANGE, PLANES, contours, cut, fullest, halo, prepare_axes, size_mm

# Marker, line and color by order of appearance (Okabe-Ito; readable in gray through the markers).
STYLES = [
    (BLUE, "solid", "o"),
    (ORANGE, "dashed", "s"),
    ("#009E73", "dashdot", "^"),
    ("#CC79A7", "dotted", "D"),
    ("#E69F00", (0, (6, 1)), "v"),
    ("#222222", (0, (1, 1)), "P"),
]


def _figure(width: float = 7.0, height: float = 3.2) -> tuple[Figure, Axes]:
    """A plain figure with one pair of axes, without the box around them."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def histogram(
    tissues: Mapping[str, NDArray], *, windows: Iterable[str] = ("soft tissue",), limits_hu=(-1050.0, 1000.0)
) -> Figure:
    """How often each HU occurs, one line for every named set of voxels, with windows as shaded bands.

    Each line is scaled to its own peak, so that a small organ is seen beside a large one.
    """
    figure, axes = _figure()
    for (name, values), (color, line, _) in zip(tissues.items(), _styles(tissues), strict=True):
        counts, edges = np.histogram(np.ravel(values), bins=180, range=limits_hu)
        axes.plot((edges[:-1] + edges[1:]) / 2, counts / max(counts.max(), 1), color=color, linestyle=line, label=name)
    for shade, name in enumerate(windows):
        center, width = WINDOWS[name]
        axes.axvspan(center - width / 2, center + width / 2, color="#777777", alpha=0.14, lw=0)
        axes.text(center, 1.08 + 0.1 * shade, f"{name} window", ha="center", fontsize=8, color="#444444")
    axes.set(xlabel="Hounsfield units (HU)", ylabel="voxels (peak = 1)", xlim=limits_hu, ylim=(0, 1.3))
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    return figure


def learning_curves(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x: str = "training step",
    y: str = "loss",
    smooth: int = 1,
    markers: bool = False,
) -> Figure:
    """Lines of (x, y) points by name, smoothed by a running mean over `smooth` points."""
    figure, axes = _figure()
    for (name, points), (color, line, marker) in zip(curves.items(), _styles(curves), strict=True):
        if not points:
            continue
        xs, ys = np.asarray(points, dtype=float).T
        if 1 < smooth < len(ys):
            ys = np.convolve(ys, np.ones(smooth) / smooth, mode="valid")
            xs = xs[smooth - 1 :]
        axes.plot(xs, ys, color=color, linestyle=line, marker=marker if markers else None, label=name)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(axis="y", color="#dddddd")
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=8)
    return figure


def by_level(
    values: Mapping[str, Mapping[float, Sequence[float]]], labels: Mapping[float, str], *, x: str, y: str
) -> Figure:
    """Lines through the means of repeated values by name and level; each repetition is an open mark."""
    figure, axes = _figure(7.0, 3.6)
    places = {level: place for place, level in enumerate(labels)}
    for (name, by), (color, line, marker) in zip(values.items(), _styles(values), strict=True):
        axes.plot([places[level] for level in by], [np.mean(v) for v in by.values()], color=color, ls=line, label=name)
        spots = [(places[level], value) for level, repeated in by.items() for value in repeated]
        axes.plot(*np.transpose(spots), marker, color=color, markersize=6, markerfacecolor="none")
    axes.set_xticks(list(places.values()), list(labels.values()))
    axes.set(xlabel=x, ylabel=y, ylim=(0, None))
    axes.grid(axis="y", color="#dddddd")
    axes.legend(frameon=False, fontsize=8)
    return figure


def growth(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    dots: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x: str = "age in years",
    y: str = "volume in mL",
) -> Figure:
    """Lines of (x, y) points by name, and dots by the same names, on a scale where equal steps are equal factors."""
    figure, axes = _figure(7.0, 4.2)
    for (name, points), (color, line, marker) in zip(curves.items(), _styles(curves), strict=True):
        axes.plot(*np.transpose(points), color=color, linestyle=line)
        if name in dots:
            axes.plot(*np.transpose(dots[name]), marker, color=color, markersize=5, markerfacecolor="none")
        axes.annotate(name, points[-1], (6, 0), textcoords="offset points", va="center", fontsize=9, color=color)
    axes.set(xlabel=x, ylabel=y, yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color="#dddddd")
    return figure


def _styles(names: Iterable[str]) -> list[tuple]:
    """A style for each name, in order."""
    return [STYLES[index % len(STYLES)] for index, _ in enumerate(names)]


def table(
    values: Mapping[str, Mapping[str, float]],
    *,
    title: str = "",
    best: str = "high",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """A table whose cells carry their number and a shade: rows by name, columns by name.

    Used for the four columns of the study: model by row, center tested by column or the reverse.
    """
    rows, columns = list(values), list(dict.fromkeys(c for row in values.values() for c in row))
    numbers = np.array([[values[row].get(column, np.nan) for column in columns] for row in rows], dtype=float)
    low, high = limits or (np.nanmin(numbers), np.nanmax(numbers))
    figure = Figure(figsize=(1.9 + 1.35 * len(columns), 0.9 + 0.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    colors = "YlGnBu" if best == "high" else "YlGnBu_r"
    axes.imshow(numbers, cmap=colors, vmin=low, vmax=high + 1e-9, aspect="auto")
    middle = (low + high) / 2
    for row, column in np.ndindex(numbers.shape):
        value = numbers[row, column]
        dark = value > middle + 0.1 * (high - low) if best == "high" else value < middle - 0.1 * (high - low)
        text = "–" if np.isnan(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
        axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(columns)), columns, fontsize=9)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def dots(
    values: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    x: str = "mean DSC",
    limits: tuple[float, float] | None = None,
    zero: bool = False,
) -> Figure:
    """One row an organ, one dot a model with its interval: `values[model][organ] = (value, low, high)`.

    Rows that are no organs keep their names. `zero` marks where a difference would be none.
    """
    organs = list(dict.fromkeys(name for by_organ in values.values() for name in by_organ))
    figure, axes = _figure(7.0, 1.2 + 0.36 * len(organs))
    offsets = np.linspace(0.26, -0.26, len(values)) if len(values) > 1 else [0.0]
    for (model, by_organ), (color, _, marker), offset in zip(values.items(), _styles(values), offsets, strict=True):
        known = [(index, *by_organ[name]) for index, name in enumerate(organs) if name in by_organ]
        if not known:
            continue
        y, value, low, high = np.asarray(known, dtype=float).T
        error = np.abs([value - low, high - value])
        axes.errorbar(value, y - offset, xerr=error, fmt=marker, color=color, markersize=5, elinewidth=1.2, label=model)
    if zero:
        axes.axvline(0, color="#222222", linewidth=0.8)
    axes.set_yticks(range(len(organs)), [organ(name).plain if name in NAMES else name for name in organs])
    axes.set_ylim(len(organs) - 0.5, -0.5)
    axes.set(xlabel=x, xlim=limits)
    axes.grid(axis="x", color="#dddddd")
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def bars(values: Mapping[str, float], *, x: str, color: str = BLUE) -> Figure:
    """One bar a name with its number written at its end."""
    figure, axes = _figure(7.0, 0.9 + 0.32 * len(values))
    drawn = axes.barh(list(values), list(values.values()), color=color)
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel=x)
    return figure


def strip(
    pictures: Mapping[str, NDArray],
    spacing_mm: Sequence[float],
    *,
    plane: str = "axial",
    index: int | None = None,
    window_name: str = "",
    alike: bool = True,
) -> Figure:
    """Small slices side by side, for example one patch before and after each augmentation.

    `pictures` maps a title to an (x, y, z) array; gray runs over the 1st to 99th percentile of
    the first (of each slice, if not `alike`), or through a named HU window.
    """
    first = next(iter(pictures.values()))
    low, high = np.percentile(first, (1, 99))
    index = first.shape[PLANES[plane][0]] // 2 if index is None else index
    width, height = size_mm(first.shape, spacing_mm, plane)
    each = 9.0 / max(len(pictures), 3)
    figure = Figure(figsize=(each * len(pictures), each * height / width + 0.35), layout="constrained")
    for axes, (title, voxels) in zip(
        figure.subplots(1, len(pictures), squeeze=False)[0], pictures.items(), strict=True
    ):
        if not alike:
            low, high = np.percentile(np.take(voxels, index, PLANES[plane][0]), (1, 99))
        gray = window(voxels, window_name) if window_name else np.clip((voxels - low) / (high - low + 1e-9), 0, 1)
        w, h = size_mm(voxels.shape, spacing_mm, plane)
        axes.imshow(
            cut(gray, plane, min(index, gray.shape[PLANES[plane][0]] - 1)),
            cmap="gray", vmin=0, vmax=1, origin="lower", extent=(0, w, 0, h),
        )  # fmt: skip
        prepare_axes(axes, w, h, plane)
        axes.set_title(title, fontsize=9)
    return figure


def grids(image: Scan, coarse: Scan, plane: str = "coronal") -> Figure:
    """The same slice on two voxel grids, voxel edges kept visible, both true to scale in mm."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    for axes, one, title in zip(
        figure.subplots(1, 2), (image, coarse), ("as scanned", "as the network sees it"), strict=True
    ):
        width, height = size_mm(one.shape, one.spacing_mm, plane)
        gray = window(cut(one.voxels, plane, one.shape[PLANES[plane][0]] // 2))
        axes.imshow(
            gray, cmap="gray", vmin=0, vmax=1, origin="lower", extent=(0, width, 0, height), interpolation="nearest"
        )
        prepare_axes(axes, width, height, plane)
        spacing = " × ".join(f"{mm:g}" for mm in np.round(one.spacing_mm, 2))
        axes.set_title(f"{title}: {spacing} mm", fontsize=10)
    return figure


def label_grids(maps: Mapping[str, Scan], name: str, *, plane: str = "coronal", margin_mm: float = 6.0) -> Figure:
    """One organ on several grids, voxel by voxel, all to the same scale; over each, the contour of the first in white.

    `maps` holds label maps in RAS by title; the organ must be in the first, and the slice is the one that shows most
    of it there. Each title is followed by the organ's number of voxels.
    """
    first, (axis, across, up, _) = next(iter(maps.values())), PLANES[plane]
    level = fullest(first.voxels, plane, [name])
    level_mm, pixel = edges_mm(first, axis)[level : level + 2].mean(), (first.spacing_mm[across], first.spacing_mm[up])
    (lines,) = contours(cut(first.voxels, plane, level), [organ(name)], pixel)
    points = np.concatenate(lines)  # (points, 2), mm from the rim of the first map
    low, high = points.min(axis=0) - margin_mm, points.max(axis=0) + margin_mm
    rim = np.array([edges_mm(first, across)[0], edges_mm(first, up)[0]])
    wide, tall = high - low
    figure = Figure(figsize=(9.0, 9.0 / len(maps) * tall / wide + 0.5), layout="constrained")
    for axes, (title, one) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        _label_voxels(axes, one, name, plane, level_mm, rim + low)
        outline = LineCollection([line - low for line in lines], colors="white", linewidths=1.6)
        outline.set_path_effects([halo("white")])
        axes.add_collection(outline, autolim=False)
        prepare_axes(axes, wide, tall, plane)
        axes.set_title(f"{title}\n{np.count_nonzero(one.voxels == organ(name).id)} voxels", fontsize=10)
    return figure


def edges_mm(scan: Scan, axis: int) -> NDArray[np.float64]:
    """Where the voxels of a scan in RAS begin and end along one axis, in mm: one number more than voxels."""
    return scan.affine[axis, 3] + scan.spacing_mm[axis] * (np.arange(scan.shape[axis] + 1) - 0.5)


def _label_voxels(axes: Axes, labels: Scan, name: str, plane: str, level_mm: float, origin_mm: NDArray) -> None:
    """The voxels of a slice with their edges, those of one organ in its color; `origin_mm` becomes (0, 0)."""
    axis, across, up, _ = PLANES[plane]
    index = int(np.searchsorted(edges_mm(labels, axis), level_mm)) - 1
    x, y = edges_mm(labels, across) - origin_mm[0], edges_mm(labels, up) - origin_mm[1]
    inside = cut(labels.voxels, plane, index) == organ(name).id
    colors = ListedColormap(["#222222", organ(name).color])
    axes.pcolormesh(x, y, inside, cmap=colors, vmin=0, vmax=1, edgecolors="#777777", linewidth=0.4)
