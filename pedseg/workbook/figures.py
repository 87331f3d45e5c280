"""Pictures of CT and MR slices with organ contours in radiological convention, and their display with alt text.

The patient's right is on the left of the picture, and lengths are true to scale whatever the voxel spacing. Every organ
has a color and a line style; where truth and prediction are drawn together, the truth is solid and the prediction
dashed. Charts of numbers are in `charts`, pictures of voxel grids in `voxel_figures`.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import contourpy
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
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
DPI = 165
DASHED = (0, (3, 2))


@dataclass(frozen=True)
class Picture:
    """The output of a notebook cell as MIME bundle and its metadata."""

    data: dict[str, Any]
    metadata: dict[str, Any]

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.data, self.metadata


def show(figure: Figure, alt: str) -> Picture:
    """The figure as a picture in the notebook, with an alt text for screen readers.

    JupyterLab and nbconvert ignore the alt text of a PNG output, so they get the same picture as HTML.
    """
    picture, width = base64.b64encode(png(figure)).decode(), round(figure.get_figwidth() * 80)
    tag = f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{picture}">'
    return Picture({"image/png": picture, "text/html": tag}, {"image/png": {"alt": alt, "width": width}})


class LiveFigure:
    """A picture that is replaced while a cell runs, for example a learning curve that grows round by round."""

    def __init__(self) -> None:
        self.handle: Any = None

    def show(self, figure: Figure, alt: str) -> None:
        """Show the figure in place of the one before."""
        from IPython.display import display

        if self.handle is None:
            self.handle = display(show(figure, alt), display_id=True)
        else:
            self.handle.update(show(figure, alt))


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, facecolor=PAPER)
    return stream.getvalue()


def cut(voxels: NDArray, plane: str, index: int) -> NDArray:
    """One slice of an RAS array as (up, across), ready for `imshow(origin="lower")`."""
    return np.take(voxels, index, axis=PLANES[plane][0]).T


def size_mm(shape: Sequence[int], spacing_mm: Sequence[float], plane: str) -> tuple[float, float]:
    """Width and height of a slice in mm."""
    _, across, up, _ = PLANES[plane]
    return shape[across] * spacing_mm[across], shape[up] * spacing_mm[up]


def fullest(labels: NDArray, plane: str = "axial", organs: Iterable[str] = ()) -> int:
    """The slice that shows most of the organs, each relative to its largest cross-section."""
    ids = [organ(name).id for name in organs] or [o.id for o in ORGANS]
    slices = np.moveaxis(labels, PLANES[plane][0], 0).reshape(labels.shape[PLANES[plane][0]], -1)
    areas = np.array([np.bincount(voxels, minlength=256)[ids] for voxels in slices])  # (slice, organ)
    return int(np.argmax((areas / np.maximum(1, areas.max(axis=0))).sum(axis=1)))


def organs_in(labels: NDArray) -> list[str]:
    """Names of the organs that a label map holds, in the order of the table."""
    ids = set(np.unique(labels))
    return [o.name for o in ORGANS if o.id in ids]


def contours(labels_slice: NDArray, organs: Sequence[Organ], spacing_mm: tuple[float, float]) -> list[list[NDArray]]:
    """Contours of each organ in a slice (up, across), as lists of points (across, up) in mm."""
    lines: list[list[NDArray]] = []
    ids = set(np.unique(labels_slice))
    for o in organs:
        if o.id not in ids:
            lines.append([])
            continue
        mask = np.pad(labels_slice == o.id, 1).astype(np.float32)
        paths = contourpy.contour_generator(z=mask).lines(0.5)
        # padded index 1 is voxel 0, whose center lies half a voxel from the edge
        lines.append([(np.asarray(points) - 0.5) * np.asarray(spacing_mm) for points in paths])
    return lines


def prepare_axes(axes: Axes, width_mm: float, height_mm: float, plane: str) -> None:
    """Orient axes in radiological convention, in mm, with the letters of the patient's sides."""
    axes.set(xlim=(width_mm, 0), ylim=(0, height_mm), aspect="equal", facecolor="black", xticks=[], yticks=[])
    for letter, x, y in zip(PLANES[plane][3], (0.03, 0.97, 0.5, 0.5), (0.5, 0.5, 0.97, 0.03), strict=True):
        write_on_image(axes, x, y, letter, fontsize=9, transform=axes.transAxes)


def write_on_image(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """White text that can be read on bone, too."""
    label = axes.text(x, y, text, color="white", ha="center", va="center", **options)
    label.set_path_effects([withStroke(linewidth=2, foreground=(0, 0, 0, 0.8))])


def draw_gray(
    axes: Axes, gray: NDArray, extent_mm: tuple[float, float], plane: str, interpolation: str = "bilinear"
) -> AxesImage:
    """A slice (up, across) of gray values from 0 to 1, in radiological convention; `extent_mm` is (width, height)."""
    width, height = extent_mm
    image = axes.imshow(
        gray, cmap="gray", vmin=0, vmax=1, origin="lower", extent=(0, width, 0, height), interpolation=interpolation
    )
    prepare_axes(axes, width, height, plane)
    return image


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
    """One slice at a named window (level and width), with organ contours: truth solid, prediction dashed.

    `image` is a CT in RAS; `truth` and `prediction` are maps of organ ids on its grid. Without `organs` all are drawn.
    With only one map, each organ has its own line style.
    """
    index = image.shape[PLANES[plane][0]] // 2 if index is None else index
    gray = scans.window(cut(image.voxels, plane, index), window)
    draw_gray(axes, gray, size_mm(image.shape, image.spacing_mm, plane), plane)
    chosen = [organ(name) for name in organs] or list(ORGANS)
    compare = truth is not None and prediction is not None
    for labels, style in ((truth, "solid"), (prediction, DASHED)):
        if labels is not None:
            draw_contours(axes, cut(labels, plane, index), chosen, image.spacing_mm, plane, style if compare else None)
    reference = truth if truth is not None else prediction
    if names and reference is not None:
        name_organs(axes, cut(reference, plane, index), chosen, image.spacing_mm, plane)


def draw_contours(axes: Axes, labels_slice: NDArray, organs: list[Organ], spacing_mm, plane: str, style=None) -> None:
    """Contours of the organs of a slice; without `style`, each in its own line style."""
    _, across, up, _ = PLANES[plane]
    for o, lines in zip(organs, contours(labels_slice, organs, (spacing_mm[across], spacing_mm[up])), strict=True):
        if lines:
            collection = LineCollection(lines, colors=o.color, linestyles=style or o.line, linewidths=1.4)
            collection.set_path_effects([line_border(o.color)])
            axes.add_collection(collection, autolim=False)


def line_border(color: str) -> withStroke:
    """A border around a line that keeps dark colors visible on dark tissue and light colors on bright tissue."""
    return withStroke(linewidth=2.4, foreground=(1, 1, 1, 0.75) if is_dark(color) else (0, 0, 0, 0.75))


def is_dark(color: str) -> bool:
    """Whether a line of this color is hard to see on a dark picture."""
    red, green, blue = to_rgb(color)
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.25


def name_organs(axes: Axes, labels_slice: NDArray, organs: list[Organ], spacing_mm, plane: str) -> None:
    """Write the plain names of the larger organs into them, the largest first, none over another."""
    _, across, up, _ = PLANES[plane]
    pixel = (spacing_mm[across], spacing_mm[up])
    letter, line = 0.014 * labels_slice.shape[1] * pixel[0], 0.045 * labels_slice.shape[0] * pixel[1]  # mm, about
    taken: list[tuple[float, float, float]] = []
    for o in sorted(organs, key=lambda o: -np.count_nonzero(labels_slice == o.id)):
        rows, columns = np.nonzero(labels_slice == o.id)
        if len(rows) * pixel[0] * pixel[1] < 150:
            break
        # the organ's own pixel nearest to its center: a crescent is not named in its hollow
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        x, y, half = (columns[nearest] + 0.5) * pixel[0], (rows[nearest] + 0.5) * pixel[1], letter * len(o.plain) / 2
        if not any(abs(x - a) < half + b and abs(y - c) < line for a, c, b in taken):
            taken.append((x, y, half))
            write_on_image(axes, x, y, o.plain, fontsize=7)


def slice_figure(image: Scan, plane: str = "axial", index: int | None = None, *, title: str = "", **options) -> Figure:
    """One slice as a figure of its own; `options` as in `draw_slice`."""
    return slices_figure({title: (image, options)}, plane, index)


def planes_figure(image: Scan, at: Sequence[int] | None = None, **options) -> Figure:
    """Axial, coronal and sagittal slice through one voxel `at` (x, y, z), the middle by default."""
    at = [n // 2 for n in image.shape] if at is None else at
    return slices_figure(
        {plane: (image, {"plane": plane, "index": int(at[axis]), **options}) for plane, (axis, *_) in PLANES.items()}
    )


def slices_figure(
    pictures: Mapping[str, tuple[Scan, dict]],
    plane: str = "axial",
    index: int | None = None,
    *,
    columns: int = 0,
    **common: Any,
) -> Figure:
    """Slices side by side, all to the same scale, each with its title, with one legend for all.

    `pictures` maps a title to (image, options of `draw_slice`), which overrule the `common` ones. With `columns`, they
    fill rows of so many in a wider figure; the slices of a column should be equally wide.
    """
    panels = [(image, {"plane": plane, "index": index, **common, **extra}) for image, extra in pictures.values()]
    sizes = [size_mm(image.shape, image.spacing_mm, options["plane"]) for image, options in panels]
    handles = _legend_handles(panels)
    figure_width, entries = (11.25, 7) if columns else (5.0, 3) if len(sizes) == 1 else (9.0, 5)
    columns = columns or len(sizes)
    rows = [sizes[start : start + columns] for start in range(0, len(sizes), columns)]
    widths = [width for width, _ in rows[0]]
    heights = [figure_width * max(height for _, height in row) / sum(widths) for row in rows]
    legend_rows = -(-len(handles) // entries)
    size = (figure_width, sum(heights) + 0.35 * len(rows) + 0.22 * legend_rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), columns, width_ratios=widths, height_ratios=heights, squeeze=False).ravel()
    for panel_axes, title, (image, options) in zip(axes, pictures, panels, strict=False):
        draw_slice(panel_axes, image, **options)
        panel_axes.set_title(title, fontsize=10)
    for empty in axes[len(panels) :]:
        empty.set_axis_off()
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=entries, frameon=False, fontsize=8)
    return figure


def _legend_handles(panels: list[tuple[Scan, dict]]) -> list[Line2D]:
    """Color and line style of each organ seen in the panels, then of reference and prediction if compared."""
    ids: set[int] = set()
    compare = False
    for image, options in panels:
        plane, index = options["plane"], options["index"]
        truth, prediction = options.get("truth"), options.get("prediction")
        index = image.shape[PLANES[plane][0]] // 2 if index is None else index
        wanted = {organ(name).id for name in options.get("organs", ())} or {o.id for o in ORGANS}
        for labels in (truth, prediction):
            ids |= set() if labels is None else set(np.unique(cut(labels, plane, index))) & wanted
        compare |= truth is not None and prediction is not None
    visible = [o for o in ORGANS if o.id in ids]
    handles = [Line2D([], [], color=o.color, ls="solid" if compare else o.line, lw=2, label=o.plain) for o in visible]
    if compare and visible:
        handles.append(Line2D([], [], color=INK, linestyle="solid", label="reference (solid)"))
        handles.append(Line2D([], [], color=INK, linestyle=DASHED, label="prediction (dashed)"))
    return handles


def rescale_to_window(scan: Scan, percent: float = 99.5) -> Scan:
    """An MR image (no HU) rescaled to the soft-tissue window: from 0 to a percentile of its gray values."""
    level, width = scans.WINDOWS["soft tissue"]
    highest = max(float(np.percentile(scan.voxels, percent)), 1e-6)
    return Scan(level - width / 2 + width * scan.voxels / highest, scan.affine)
