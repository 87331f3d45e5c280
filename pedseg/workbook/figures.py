"""Pictures of scans: slices, contours, windows, always in the radiologist's convention.

The patient's right is on the left of the picture and lengths are true to scale whatever the
voxel spacing. Every organ has a color and a line style; where truth and prediction are drawn
together the truth is solid, the prediction dashed, and the organs are named in the picture.
Charts of numbers are in `charts`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import contourpy
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from pedseg import scan as scans
from pedseg.organs import ORGANS, Organ, organ
from pedseg.scan import Scan

# Plane: (axis the slice cuts, axis across, axis up, letters left, right, top, bottom).
PLANES = {
    "axial": (2, 0, 1, "RLAP"),
    "coronal": (1, 0, 2, "RLSI"),
    "sagittal": (0, 1, 2, "APSI"),
}
INK, PAPER, ORANGE, BLUE = "#222222", "white", "#D55E00", "#0072B2"
DPI = 110


def show(figure: Figure, alt: str):
    """The figure as a picture in the notebook, with a sentence for those who cannot see it."""
    from IPython.display import Image

    return Image(data=png(figure), format="png", alt=alt, width=round(figure.get_figwidth() * 80))


class Live:
    """A picture that is replaced while a cell runs, for example a curve that grows round by round."""

    def __init__(self) -> None:
        self.handle: Any = None

    def show(self, figure: Figure, alt: str) -> None:
        """Show the figure, in place of the one before."""
        from IPython.display import display

        if self.handle is None:
            self.handle = display(show(figure, alt), display_id=True)
        else:
            self.handle.update(show(figure, alt))


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI * 1.5, facecolor=PAPER)
    return stream.getvalue()


def as_html(figure: Figure, alt: str) -> str:
    """The figure as an `<img>` that stands in a self-contained page."""
    import html

    picture = base64.b64encode(png(figure)).decode()
    return f'<img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{picture}">'


def cut(voxels: NDArray, plane: str, index: int) -> NDArray:
    """One slice of an RAS array as (up, across), ready for `imshow(origin="lower")`."""
    return np.take(voxels, index, axis=PLANES[plane][0]).T


def size_mm(shape: Sequence[int], spacing_mm: Sequence[float], plane: str) -> tuple[float, float]:
    """Width and height of a slice in mm."""
    _, across, up, _ = PLANES[plane]
    return shape[across] * spacing_mm[across], shape[up] * spacing_mm[up]


def fullest(labels: NDArray, plane: str = "axial", organs: Iterable[str] = ()) -> int:
    """The slice that shows most of the organs, each measured by its largest cut: a mere tip counts little."""
    wanted = [organ(name).id for name in organs] or [o.id for o in ORGANS]
    slices = np.moveaxis(labels, PLANES[plane][0], 0).reshape(labels.shape[PLANES[plane][0]], -1)
    areas = np.array([np.bincount(piece, minlength=256)[wanted] for piece in slices])  # (slice, organ)
    return int(np.argmax((areas / np.maximum(1, areas.max(axis=0))).sum(axis=1)))


def contours(labels_slice: NDArray, organs: Sequence[Organ], spacing_mm: tuple[float, float]) -> list[list[NDArray]]:
    """Outlines of each organ in a slice (up, across), as lists of points (across, up) in mm."""
    lines: list[list[NDArray]] = []
    present = set(np.unique(labels_slice))
    for one in organs:
        if one.id not in present:
            lines.append([])
            continue
        mask = np.pad(labels_slice == one.id, 1).astype(np.float32)
        found = contourpy.contour_generator(z=mask).lines(0.5)
        # padded index 1 is voxel 0, whose center lies half a voxel from the rim
        lines.append([(np.asarray(points) - 0.5) * np.asarray(spacing_mm) for points in found])
    return lines


def prepare_axes(axes: Axes, width_mm: float, height_mm: float, plane: str) -> None:
    """Orient a slice as radiologists hang it, in mm, with the letters of the sides."""
    axes.set(xlim=(width_mm, 0), ylim=(0, height_mm), aspect="equal", facecolor="black")
    axes.set_xticks([])
    axes.set_yticks([])
    for letter, x, y in zip(PLANES[plane][3], (0.03, 0.97, 0.5, 0.5), (0.5, 0.5, 0.97, 0.03), strict=True):
        text = axes.text(x, y, letter, transform=axes.transAxes, color="white", ha="center", va="center", fontsize=9)
        text.set_path_effects([withStroke(linewidth=2, foreground=(0, 0, 0, 0.8))])  # readable on bone, too


def draw_slice(
    axes: Axes,
    image: Scan,
    plane: str = "axial",
    index: int | None = None,
    *,
    window: str = "soft tissue",
    truth: NDArray | None = None,
    prediction: NDArray | None = None,
    organs: Iterable[str] = (),
    names: bool = False,
) -> None:
    """One slice with the outlines of its organs: truth solid, prediction dashed.

    `image` is a CT in RAS; `truth` and `prediction` are maps of organ ids on its grid. Without
    `organs` all are drawn. With only one map, each organ has its own line style.
    """
    index = image.shape[PLANES[plane][0]] // 2 if index is None else index
    width, height = size_mm(image.shape, image.spacing_mm, plane)
    axes.imshow(
        scans.window(cut(image.voxels, plane, index), window),
        cmap="gray", vmin=0, vmax=1, origin="lower", extent=(0, width, 0, height), interpolation="bilinear",
    )  # fmt: skip
    prepare_axes(axes, width, height, plane)
    chosen = [organ(name) for name in organs] or list(ORGANS)
    both = truth is not None and prediction is not None
    for labels, style in ((truth, "solid"), (prediction, (0, (3, 2)))):
        if labels is not None:
            draw_contours(axes, cut(labels, plane, index), chosen, image.spacing_mm, plane, style if both else None)
    reference = truth if truth is not None else prediction
    if names and reference is not None:
        name_organs(axes, cut(reference, plane, index), chosen, image.spacing_mm, plane)


def draw_contours(axes: Axes, labels_slice: NDArray, organs: list[Organ], spacing_mm, plane: str, style=None) -> None:
    """Outlines of the organs of one slice; without `style`, each in its own line style."""
    _, across, up, _ = PLANES[plane]
    for one, lines in zip(organs, contours(labels_slice, organs, (spacing_mm[across], spacing_mm[up])), strict=True):
        if lines:
            collection = LineCollection(lines, colors=one.color, linestyles=style or one.line, linewidths=1.4)
            collection.set_path_effects([halo(one.color)])
            axes.add_collection(collection, autolim=False)


def halo(color: str) -> withStroke:
    """A rim around a line that keeps dark colors visible on a dark picture and light ones on a light."""
    return withStroke(linewidth=2.4, foreground=(1, 1, 1, 0.75) if is_dark(color) else (0, 0, 0, 0.75))


def is_dark(color: str) -> bool:
    """Whether a line of this color gets lost on a dark picture."""
    red, green, blue = to_rgb(color)
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.25


def name_organs(axes: Axes, labels_slice: NDArray, organs: list[Organ], spacing_mm, plane: str) -> None:
    """Write the plain names of the larger organs where they lie, the largest first, none over another."""
    _, across, up, _ = PLANES[plane]
    pixel = (spacing_mm[across], spacing_mm[up])
    letter, line = 0.014 * labels_slice.shape[1] * pixel[0], 0.045 * labels_slice.shape[0] * pixel[1]  # mm, about
    taken: list[tuple[float, float, float]] = []
    for one in sorted(organs, key=lambda o: -np.count_nonzero(labels_slice == o.id)):
        rows, columns = np.nonzero(labels_slice == one.id)
        if len(rows) * pixel[0] * pixel[1] < 150:
            break
        # the organ's own pixel nearest to its center: a crescent is not named in its hollow
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        x, y, half = (columns[nearest] + 0.5) * pixel[0], (rows[nearest] + 0.5) * pixel[1], letter * len(one.plain) / 2
        if any(abs(x - a) < half + b and abs(y - c) < line for a, c, b in taken):
            continue
        taken.append((x, y, half))
        text = axes.text(x, y, one.plain, color="white", fontsize=7, ha="center", va="center")
        text.set_path_effects([withStroke(linewidth=2, foreground=(0, 0, 0, 0.8))])


def legend(figure: Figure, organs: Iterable[str], *, compare: bool = False, columns: int = 5) -> None:
    """A key below the pictures: each organ's color and line style, truth and prediction if compared."""
    handles = [
        Line2D([], [], color=one.color, ls="solid" if compare else one.line, lw=2, label=one.plain)  # type: ignore[arg-type]
        for one in map(organ, organs)
    ]
    if compare:
        handles.append(Line2D([], [], color=INK, linestyle="solid", label="truth (solid)"))
        handles.append(Line2D([], [], color=INK, linestyle=(0, (3, 2)), label="prediction (dashed)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def present(labels: NDArray) -> list[str]:
    """Names of the organs that a label map holds, in the order of the table."""
    ids = set(np.unique(labels))
    return [one.name for one in ORGANS if one.id in ids]


def as_shown(scan: Scan, percent: float = 99.5) -> Scan:
    """A scan of any gray scale, such as MR, brought into the soft-tissue window: from 0 to its brightest part."""
    low, width = scans.WINDOWS["soft tissue"][0] - scans.WINDOWS["soft tissue"][1] / 2, scans.WINDOWS["soft tissue"][1]
    return Scan(low + width * scan.voxels / max(float(np.percentile(scan.voxels, percent)), 1e-6), scan.affine)


def slice_figure(image: Scan, plane: str = "axial", index: int | None = None, *, title: str = "", **options) -> Figure:
    """One slice as a figure of its own; `options` as in `draw_slice`."""
    return slices_figure({title: (image, options)}, plane, index)


def slices_figure(
    pictures: Mapping[str, tuple[Scan, dict]], plane: str = "axial", index: int | None = None, **common: Any
) -> Figure:
    """Slices side by side, all to the same scale, one title each, with one common key.

    `pictures` maps a title to (image, options of `draw_slice`), which overrule the `common` ones.
    """
    options = [{"plane": plane, "index": index, **common, **extra} for _, extra in pictures.values()]
    images = [image for image, _ in pictures.values()]
    sizes = [
        size_mm(image.shape, image.spacing_mm, extra["plane"]) for image, extra in zip(images, options, strict=True)
    ]
    width, height = sum(size[0] for size in sizes), max(size[1] for size in sizes)
    shown, compare = _shown(list(zip(images, options, strict=True)))
    figure_width, columns = (5.0, 3) if len(sizes) == 1 else (9.0, 5)
    figure = Figure(
        figsize=(figure_width, figure_width * height / width + 0.35 + 0.22 * -(-(len(shown) + 2 * compare) // columns)),
        layout="constrained",
    )
    axes = figure.subplots(1, len(sizes), width_ratios=[size[0] for size in sizes], squeeze=False)[0]
    for one, title, image, extra in zip(axes, pictures, images, options, strict=True):
        draw_slice(one, image, **extra)
        one.set_title(title, fontsize=10)
    if shown:
        legend(figure, shown, compare=compare, columns=columns)
    return figure


def _shown(pictures: list[tuple[Scan, dict]]) -> tuple[list[str], bool]:
    """Which organs can be seen and need a place in the key, and whether truth meets prediction."""
    ids: set[int] = set()
    for image, extra in pictures:
        plane, index = extra["plane"], extra["index"]
        index = image.shape[PLANES[plane][0]] // 2 if index is None else index
        wanted = [organ(name).id for name in extra.get("organs", ())] or [one.id for one in ORGANS]
        for labels in (extra.get("truth"), extra.get("prediction")):
            ids |= set() if labels is None else set(np.unique(cut(labels, plane, index))) & set(wanted)
    both = any(extra.get("truth") is not None and extra.get("prediction") is not None for _, extra in pictures)
    return [one.name for one in ORGANS if one.id in ids], both


def planes_figure(image: Scan, at: Sequence[int] | None = None, **options) -> Figure:
    """Axial, coronal and sagittal slice through one voxel `at` (x, y, z), the middle by default."""
    at = [n // 2 for n in image.shape] if at is None else at
    pictures = {
        plane: (image, {"plane": plane, "index": int(at[cut_axis[0]]), **options}) for plane, cut_axis in PLANES.items()
    }
    return slices_figure(pictures)
