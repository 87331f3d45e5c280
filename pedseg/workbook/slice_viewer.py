"""Interactive slice viewer: scroll through a scan with contours by plane, slice, window, organ and model.

Drawn by matplotlib in the kernel and sent as a picture, so that it needs nothing from the internet. Where no front end
for widgets answers (a page, a printed notebook), one slice is shown as a static figure.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from PIL import Image

from pedseg import scan as scans
from pedseg.organs import EVALUATED, ORGANS, Organ
from pedseg.scan import WINDOWS, Scan
from pedseg.workbook import figures
from pedseg.workbook.figures import DASHED, PLANES, contours, cut, draw_gray, fullest, size_mm

PIXELS = 620  # width and height of the picture
NO_MODEL = "none"


@dataclass(frozen=True)
class CaseImages:
    """A CT in RAS with label maps on its grid: the ground truth, and the prediction of each model by name."""

    image: Scan
    truth: NDArray | None = None
    predictions: Mapping[Any, NDArray] = field(default_factory=dict)


def view(image: Scan, truth: NDArray | None = None, predictions: Mapping[Any, NDArray] | None = None) -> SliceViewer:
    """A viewer for one scan (HU, RAS) with maps of organ ids on its grid."""
    images = CaseImages(image, truth, predictions or {})
    return SliceViewer({"scan": lambda: images})


class SliceViewer(widgets.VBox):
    """A slice with its controls; `cases` maps a title to a function that loads the images of a case.

    One case is held in memory at a time.
    """

    def __init__(self, cases: Mapping[str, Callable[[], CaseImages]]) -> None:
        self.cases = dict(cases)
        self.canvas = SliceCanvas()
        self.quiet = False
        self._make_controls()
        super().__init__(self._layout())
        self._open_case()

    def _make_controls(self) -> None:
        size = f"{PIXELS}px"
        self.picture = widgets.Image(format="png", layout=widgets.Layout(width=size, height=size))
        self.words = widgets.HTML()
        self.case = widgets.Dropdown(options=list(self.cases), description="Child")
        self.plane = widgets.ToggleButtons(options=list(PLANES), style={"button_width": "84px"}, tooltips=list(PLANES))
        self.slice = widgets.IntSlider(value=1, min=1, description="Slice", layout=widgets.Layout(width=size))
        self.window = widgets.Dropdown(options=list(WINDOWS), description="Window")
        self.model = widgets.Dropdown(options=[NO_MODEL], description="Model")
        self.truth = widgets.Checkbox(value=True, description="reference (solid)", indent=False)
        self.prediction = widgets.Checkbox(value=True, description="prediction (dashed)", indent=False)
        narrow, wide = widgets.Layout(width="170px", height="24px"), widgets.Layout(width="210px", min_height="26px")
        self.organs = {
            o.name: widgets.Checkbox(value=o.name in EVALUATED, description=o.plain, indent=False, layout=narrow)
            for o in ORGANS
        }
        self.groups = {
            name: widgets.Button(description=f"{name}: all / none", tooltip=f"{name}: all or none", layout=wide)
            for name in dict.fromkeys(o.group for o in ORGANS)
        }
        for name, button in self.groups.items():
            button.on_click(lambda _, group=name: self.toggle(group))
        self.case.observe(lambda _: self._open_case(), "value")
        self.plane.observe(lambda _: self._change_plane(), "value")
        for control in (self.slice, self.window, self.model, self.truth, self.prediction, *self.organs.values()):
            control.observe(lambda _: self.draw(), "value")

    def _layout(self) -> list[widgets.Widget]:
        row = widgets.Layout(overflow="hidden", min_height="26px")
        legend: list[widgets.Widget] = [self.truth, self.prediction]
        for group, button in self.groups.items():
            members = [o for o in ORGANS if o.group == group]
            lines = [widgets.HBox([widgets.HTML(line_sample(o)), self.organs[o.name]], layout=row) for o in members]
            legend += [button, *lines]
        side = widgets.VBox(legend, layout=widgets.Layout(width="260px", height=f"{PIXELS}px", overflow="hidden auto"))
        top = [widgets.HBox([self.case, self.model]), widgets.HBox([self.plane, self.window]), self.slice]
        return [*top, widgets.HBox([self.picture, side]), self.words]

    @contextmanager
    def _one_redraw(self) -> Iterator[None]:
        """Change several controls and draw once."""
        with suspend_callbacks(self):
            yield
        self.draw()

    def toggle(self, group: str) -> None:
        """Show all organs of a group, or none if all are shown."""
        members = [self.organs[o.name] for o in ORGANS if o.group == group]
        on = not all(member.value for member in members)
        with self._one_redraw():
            for member in members:
                member.value = on

    def _open_case(self) -> None:
        """Load the chosen case and keep plane, window, organs and, where it exists, the model."""
        self.images = self.cases[self.case.value]()
        models, before = [*self.images.predictions, NO_MODEL], self.model.value
        self.case.layout.display = None if len(self.cases) > 1 else "none"
        self.model.layout.display = self.prediction.layout.display = None if len(models) > 1 else "none"
        with self._one_redraw():
            self.model.options = models
            self.model.value = before if before in models and before != NO_MODEL else models[0]
            self._change_plane()

    def _change_plane(self) -> None:
        """Go to the slice of this plane that shows most of the evaluated organs."""
        truth, predictions = self.images.truth, self.images.predictions
        reference = truth if truth is not None else next(iter(predictions.values()), None)
        length = self.images.image.shape[PLANES[self.plane.value][0]]
        with self._one_redraw():
            self.slice.max = length
            index = length // 2 if reference is None else fullest(reference, self.plane.value, EVALUATED)
            self.slice.value = index + 1

    @property
    def index(self) -> int:
        """The index of the slice that is shown, from 0; the slider counts from 1 as the description does."""
        return self.slice.value - 1

    @property
    def layers(self) -> tuple[NDArray | None, NDArray | None]:
        """Truth and prediction, None where they are switched off or missing."""
        prediction = self.images.predictions.get(self.model.value)
        return self.images.truth if self.truth.value else None, prediction if self.prediction.value else None

    def draw(self) -> None:
        """Draw the chosen slice and describe it in words."""
        if self.quiet:
            return
        image, plane, index = self.images.image, self.plane.value, self.index
        chosen = [o for o in ORGANS if self.organs[o.name].value]
        self.picture.value = self.canvas.draw(image, plane, index, self.window.value, *self.layers, chosen)
        self.words.value = html.escape(describe(image, plane, index, *self.layers))

    def static(self) -> Figure:
        """The current slice as a figure with a legend."""
        truth, prediction = self.layers
        chosen = [name for name, box in self.organs.items() if box.value]
        options = {"truth": truth, "prediction": prediction, "organs": chosen, "window": self.window.value}
        image, plane, index = self.images.image, self.plane.value, self.index
        return figures.slice_figure(image, plane, index, title=self.case.value, **options)

    def _repr_mimebundle_(self, **kwargs):
        """The widget for front ends that know widgets, a picture for all others."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        alt = describe(self.images.image, self.plane.value, self.index, *self.layers)
        return with_picture(data, self.static(), alt)


@contextmanager
def suspend_callbacks(page: Any) -> Iterator[None]:
    """Change controls while `page.quiet` tells their callbacks to do nothing."""
    before, page.quiet = page.quiet, True
    try:
        yield
    finally:
        page.quiet = before


def with_picture(data: dict[str, Any], figure: Figure, alt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The MIME bundle of a widget with a picture for front ends without widgets, and its metadata."""
    picture = figures.show(figure, alt)
    return {**data, **picture.data}, picture.metadata


def line_sample(o: Organ) -> str:
    """A short piece of an organ's line as HTML, for the legend."""
    style = {"dashdot": "dashed"}.get(o.line, o.line)
    css = f"display:inline-block;width:26px;border-top:3px {style} {o.color};margin:10px 4px 0 2px"
    return f'<span style="{css}"></span>'


def describe(image: Scan, plane: str, index: int, truth: NDArray | None, prediction: NDArray | None) -> str:
    """A slice in words: its position, the organs in it, missed organs and false organs."""
    axis = PLANES[plane][0]
    position_mm = index * image.spacing_mm[axis]
    text = [f"{plane.capitalize()} slice {index + 1} of {image.shape[axis]}, {position_mm:.0f} mm from the first."]
    true, predicted = (
        set() if labels is None else set(np.unique(cut(labels, plane, index))) - {0} for labels in (truth, prediction)
    )
    sentences = [("Here", true or predicted)]
    if truth is not None and prediction is not None:
        sentences += [("Missed", true - predicted), ("Predicted but not there", predicted - true)]
    text += [f"{word}: {', '.join(o.plain for o in ORGANS if o.id in ids)}." for word, ids in sentences if ids]
    return " ".join(text)


class SliceCanvas:
    """Draws slices fast: one matplotlib figure whose image and contours are replaced, never created anew."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(PIXELS / 100, PIXELS / 100), dpi=100, facecolor="black")
        self.agg = FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.grid: tuple | None = None

    def _prepare(self, image: Scan, plane: str) -> None:
        """Prepare the axes for slices of another shape, spacing or plane."""
        self.axes.clear()
        self.gray = draw_gray(self.axes, np.zeros((2, 2)), size_mm(image.shape, image.spacing_mm, plane), plane)
        self.axes.set_anchor("C")
        self.contours = [LineCollection([], linewidths=1.4, linestyles=style) for style in ("solid", DASHED)]
        for collection in self.contours:
            collection.set_path_effects([withStroke(linewidth=2.4, foreground=(0, 0, 0, 0.75))])
            self.axes.add_collection(collection, autolim=False)
        self.grid = (image.shape, image.spacing_mm, plane)

    def draw(
        self,
        image: Scan,
        plane: str,
        index: int,
        window: str,
        truth: NDArray | None,
        prediction: NDArray | None,
        organs: list[Organ],
    ) -> bytes:
        """The slice as PNG bytes."""
        if self.grid != (image.shape, image.spacing_mm, plane):
            self._prepare(image, plane)
        self.gray.set_data(scans.window(cut(image.voxels, plane, index), window))
        _, across, up, _ = PLANES[plane]
        pixel = (image.spacing_mm[across], image.spacing_mm[up])
        for collection, labels in zip(self.contours, (truth, prediction), strict=True):
            paths = [[] for _ in organs] if labels is None else contours(cut(labels, plane, index), organs, pixel)
            collection.set_segments([path for organ_paths in paths for path in organ_paths])
            collection.set_color([o.color for o, organ_paths in zip(organs, paths, strict=True) for _ in organ_paths])
        self.agg.draw()
        stream = io.BytesIO()
        Image.fromarray(np.asarray(self.agg.buffer_rgba())[..., :3]).save(stream, "PNG", compress_level=1)
        return stream.getvalue()
