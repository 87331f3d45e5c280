"""Charts of numbers: histogram of HU, learning and growth curves, tables as heat maps, dot plots with intervals, bars.

Nothing is told by color alone: every series has a line style or marker, too (Okabe–Ito palette), or a printed number.
`figures.show(figure, alt=...)` puts a chart into a notebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from pedseg.evaluation.dose import dvh
from pedseg.organs import NAMES, organ
from pedseg.scan import WINDOWS
from pedseg.workbook.figures import BLUE, DASHED, INK, ORANGE

# Color (Okabe-Ito), line style and marker of a series, by its place.
STYLES = [
    (BLUE, "solid", "o"),
    (ORANGE, "dashed", "s"),
    ("#009E73", "dashdot", "^"),
    ("#CC79A7", "dotted", "D"),
    ("#E69F00", (0, (6, 1)), "v"),
    (INK, (0, (1, 1)), "P"),
]
GRID = "#dddddd"
LEGEND = {"frameon": False, "fontsize": 9}
Points = Sequence[tuple[float, float]]
Estimate = tuple[float, float, float]  # value, lower and upper limit of its interval


def _axes(width: float = 7.0, height: float = 3.2, grid: str = "") -> tuple[Figure, Axes]:
    """A figure with a pair of axes, without the box around them; `grid` is the axis whose ticks get grid lines."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(axis=grid, color=GRID)  # type: ignore[arg-type]
    return figure, axes


def histogram(tissues: Mapping[str, NDArray], *, windows: Iterable[str] = ("soft tissue",)) -> Figure:
    """Histogram of HU, one line for each named set of voxels, with windows (level and width) as shaded bands.

    Each line is scaled to its own peak, so that a small organ can be seen beside a large one.
    """
    figure, axes = _axes()
    limits_hu = (-1050.0, 1000.0)
    for (name, values), (color, line, _) in zip(tissues.items(), cycle(STYLES), strict=False):
        counts, edges = np.histogram(np.ravel(values), bins=180, range=limits_hu)
        axes.plot((edges[:-1] + edges[1:]) / 2, counts / max(counts.max(), 1), color=color, linestyle=line, label=name)
    for place, name in enumerate(windows):
        level, width = WINDOWS[name]
        axes.axvspan(level - width / 2, level + width / 2, color="#777777", alpha=0.14, lw=0)
        axes.text(level, 1.08 + 0.1 * place, f"{name} window", ha="center", fontsize=8, color="#444444")
    axes.set(xlabel="Hounsfield units (HU)", ylabel="voxels (peak = 1)", xlim=limits_hu, ylim=(0, 1.3))
    axes.legend(loc="upper right", **LEGEND)
    return figure


def learning_curves(
    curves: Mapping[str, Points],
    *,
    x: str = "training step",
    y: str = "loss",
    smooth: int = 1,
    markers: bool = False,
    width: float = 7.0,
) -> Figure:
    """Lines of (x, y) points by name, smoothed by a moving average over `smooth` points; a NaN interrupts a line."""
    figure, axes = _axes(width, grid="y")
    for (name, points), (color, line, marker) in zip(curves.items(), cycle(STYLES), strict=False):
        if not points:
            continue
        xs, ys = np.asarray(points, dtype=float).T
        if 1 < smooth < len(ys):
            ys = np.convolve(ys, np.ones(smooth) / smooth, mode="valid")
            xs = xs[smooth - 1 :]
        axes.plot(xs, ys, color=color, linestyle=line, marker=marker if markers else None, label=name)
    axes.set(xlabel=x, ylabel=y)
    if len(curves) > 1:
        axes.legend(**LEGEND)
    return figure


def by_level(
    values: Mapping[str, Mapping[float, Sequence[float]]], labels: Mapping[float, str], *, x: str, y: str
) -> Figure:
    """Repeated values by name and level (for example noise): a line through their means, an open marker for each."""
    figure, axes = _axes(7.0, 3.6, grid="y")
    places = {level: place for place, level in enumerate(labels)}
    for (name, repeats), (color, line, marker) in zip(values.items(), cycle(STYLES), strict=False):
        means = [np.mean(repeated) for repeated in repeats.values()]
        axes.plot([places[level] for level in repeats], means, color=color, ls=line, label=name)
        points = [(places[level], value) for level, repeated in repeats.items() for value in repeated]
        axes.plot(*np.transpose(points), marker, color=color, markersize=6, markerfacecolor="none")
    axes.set_xticks(list(places.values()), list(labels.values()))
    axes.set(xlabel=x, ylabel=y, ylim=(0, None))
    axes.legend(**LEGEND)
    return figure


def growth(curves: Mapping[str, Points], dots: Mapping[str, Points]) -> Figure:
    """Growth curves of (age in years, mL) by name, and measured points by the same names, on a logarithmic scale."""
    figure, axes = _axes(7.0, 4.2, grid="y")
    for (name, points), (color, line, marker) in zip(curves.items(), cycle(STYLES), strict=False):
        axes.plot(*np.transpose(points), color=color, linestyle=line)
        if name in dots:
            axes.plot(*np.transpose(dots[name]), marker, color=color, markersize=5, markerfacecolor="none")
        axes.annotate(name, points[-1], (6, 0), textcoords="offset points", va="center", fontsize=9, color=color)
    axes.set(xlabel="age in years", ylabel="volume in mL", yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    return figure


def table(values: Mapping[str, Mapping[str, float]], *, title: str = "") -> Figure:
    """A table as a heat map with the number in each cell, high ones dark: rows by name, columns by name."""
    rows, columns = list(values), list(dict.fromkeys(c for row in values.values() for c in row))
    numbers = np.array([[values[row].get(column, np.nan) for column in columns] for row in rows], dtype=float)
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    figure, axes = _axes(1.9 + 1.35 * len(columns), 0.9 + 0.45 * len(rows))
    image = axes.imshow(numbers, cmap="YlGnBu", vmin=low, vmax=high + 1e-9, aspect="auto")
    for (row, column), value in np.ndenumerate(numbers):
        text = "–" if np.isnan(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
        dark = not np.isnan(value) and np.dot(image.to_rgba(value)[:3], (0.299, 0.587, 0.114)) < 0.5
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
    values: Mapping[str, Mapping[str, Estimate]],
    *,
    x: str = "mean DSC",
    zero: bool = False,
    width: float = 7.0,
) -> Figure:
    """Dot plot: one row per organ, one dot per model with its interval, `values[model][organ] = (value, low, high)`.

    Rows that are no organs keep their names. `zero` draws the line of no difference.
    """
    organs = list(dict.fromkeys(name for by_organ in values.values() for name in by_organ))
    figure, axes = _axes(width, 1.2 + 0.36 * len(organs), grid="x")
    offsets = np.linspace(0.26, -0.26, len(values)) if len(values) > 1 else [0.0]
    for (model, by_organ), (color, _, marker), offset in zip(values.items(), cycle(STYLES), offsets, strict=False):
        known = [(index, *by_organ[name]) for index, name in enumerate(organs) if name in by_organ]
        if not known:
            continue
        y, value, low, high = np.asarray(known, dtype=float).T
        error = np.abs([value - low, high - value])
        axes.errorbar(value, y - offset, xerr=error, fmt=marker, color=color, markersize=5, elinewidth=1.2, label=model)
    if zero:
        axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(organs)), [organ(name).plain if name in NAMES else name for name in organs])
    axes.set(xlabel=x, ylim=(len(organs) - 0.5, -0.5))
    figure.legend(loc="outside upper center", ncols=4 if width > 6 else 2, **LEGEND)
    return figure


def beside_band(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Bands of what two people reach, a gray bar an organ with a line at its median, and the models' medians on it.

    `lines` are those of `observer_band.beside_the_band`.
    """
    figure, axes = _axes(7.0, 1.3 + 0.36 * len(lines), grid="x")
    for y, line in enumerate(lines):
        axes.barh(
            y, line["high"] - line["low"], 0.7, line["low"], color="#cccccc", label="two people" if not y else None
        )
        axes.plot([line["median"]] * 2, [y - 0.35, y + 0.35], color=INK, linewidth=1.4)
    for (role, (color, _, marker)), offset in zip(
        zip(lines[0]["models"], STYLES, strict=False), (-0.2, 0, 0.2), strict=True
    ):
        values = [line["models"][role]["median"] for line in lines]
        places = np.arange(len(lines)) + offset
        axes.plot(values, places, marker, color=color, markersize=5, label=role)
    axes.set_yticks(range(len(lines)), [organ(line["organ"]).plain for line in lines])
    axes.set(xlabel="median DSC", ylim=(len(lines) - 0.5, -0.5))
    figure.legend(loc="outside upper center", ncols=4, **LEGEND)
    return figure


def bars(values: Mapping[str, float], *, x: str) -> Figure:
    """Horizontal bar chart, each bar with its number."""
    figure, axes = _axes(7.0, 0.9 + 0.32 * len(values))
    axes.bar_label(axes.barh(list(values), list(values.values()), color=BLUE), fmt="%.3g", padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel=x)
    return figure


def dose_volume(dose_gy: NDArray, contours: Mapping[str, NDArray], organs: Sequence[str]) -> Figure:
    """Cumulative dose-volume histograms of some organs, by one or two sets of contours: the first solid, then dashed.

    `contours` are label maps by name, on the grid of the dose.
    """
    figure, axes = _axes(6.0, 3.1, grid="both")
    at_gy = np.linspace(0.0, max(1.0, 1.02 * float(dose_gy.max())), 200)
    for name in organs:
        for (what, labels), line in zip(contours.items(), ("solid", DASHED), strict=False):
            mask = labels == organ(name).id
            label = f"{organ(name).plain}, {what}" + ("" if mask.any() else ": none")
            (curve,) = axes.plot(at_gy, 100 * dvh(dose_gy, mask, at_gy), color=organ(name).color, ls=line, label=label)
            curve.set(linewidth=2.2, path_effects=[withStroke(linewidth=3, foreground="#777777")])
    axes.set(xlabel="dose in Gy", ylabel="volume that gets it, in %", xlim=(0, at_gy[-1]), ylim=(0, 103))
    figure.legend(loc="outside upper center", ncols=2, **LEGEND)
    return figure


def scores_against(table: pd.DataFrame) -> Figure:
    """Scores of readers (1 to 5) against DSC, an open marker for each score, by reader, spread so that none hides."""
    figure, axes = _axes(7.0, 3.4, grid="both")
    readers = sorted(set(table["reader"]))
    offsets = np.linspace(-0.18, 0.18, len(readers)) if len(readers) > 1 else [0.0]
    for reader, (color, _, marker), offset in zip(readers, cycle(STYLES), offsets, strict=False):
        part = table[table["reader"] == reader]
        spread = np.random.default_rng(0).uniform(-0.06, 0.06, len(part))
        y = part["score"] + offset + spread
        axes.plot(part["dsc"], y, marker, color=color, markersize=6, markerfacecolor="none", label=reader)
    axes.set(xlabel="DSC", ylabel="score", ylim=(0.6, 5.4), xlim=(None, 1.0), yticks=range(1, 6))
    axes.legend(loc="upper left", **LEGEND)
    return figure
