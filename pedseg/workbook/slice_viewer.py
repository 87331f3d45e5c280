"""Leaf through a scan: plane, slice, window, organs, truth and prediction, in any notebook.

Drawn by matplotlib in the kernel and shown as a picture, so that it needs nothing from the
internet. Where no front end answers (a page, a printed notebook) the same object shows one
slice as a static figure.
"""

from __future__ import annotations

import base64
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
from pedseg.workbook.figures import PLANES, contours, cut, fullest, prepare_axes, size_mm

PIXELS = 620  # width and height of the picture
DASHES = (0, (3, 2))
NOTHING = "none"


@dataclass(frozen=True)
class Sight:
    """What there is to see of one case: a CT in RAS, the truth, and what each model drew, on its grid."""

    image: Scan
    truth: NDArray | None = None
    predictions: Mapping[str, NDArray] = field(default_factory=dict)


def view(image: Scan, truth: NDArray | None = None, predictions: Mapping[str, NDArray] | None = None) -> SliceViewer:
    """A viewer for one scan (HU, RAS) with maps of organ ids on its grid."""
    sight = Sight(image, truth, predictions or {})
    return SliceViewer({"scan": lambda: sight})


class SliceViewer(widgets.VBox):
    """A picture with its controls; `cases` maps a title to a function that loads what there is to see.

    One case is held in memory at a time.
    """

    def __init__(self, cases: Mapping[str, Callable[[], Sight]]) -> None:
        self.cases = dict(cases)
        self.canvas = SliceCanvas()
        self.picture = widgets.Image(format="png", layout=widgets.Layout(width=f"{PIXELS}px", height=f"{PIXELS}px"))
        self.words = widgets.HTML()
        self.quiet = False
        self._make_controls()
        super().__init__(self._arrange())
        self._open()

    def _make_controls(self) -> None:
        self.case = widgets.Dropdown(options=list(self.cases), description="Child")
        self.plane = widgets.ToggleButtons(options=list(PLANES), style={"button_width": "84px"}, tooltips=list(PLANES))
        self.index = widgets.IntSlider(description="Slice", layout=widgets.Layout(width=f"{PIXELS}px"))
        self.window = widgets.Dropdown(options=list(WINDOWS), description="Window")
        self.model = widgets.Dropdown(options=[NOTHING], description="Drawn by")
        self.truth = widgets.Checkbox(value=True, description="truth (solid)", indent=False)
        self.prediction = widgets.Checkbox(value=True, description="prediction (dashed)", indent=False)
        self.organs = {
            one.name: widgets.Checkbox(
                value=one.name in EVALUATED,
                description=one.plain,
                indent=False,
                layout=widgets.Layout(width="170px", height="24px"),
            )
            for one in ORGANS
        }
        wide = widgets.Layout(width="210px", min_height="26px")
        self.groups = {
            name: widgets.Button(description=f"{name}: all / none", tooltip=f"{name}: all or none", layout=wide)
            for name in dict.fromkeys(one.group for one in ORGANS)
        }
        for name, button in self.groups.items():
            button.on_click(lambda _, group=name: self.toggle(group))
        self.case.observe(lambda _: self._open(), "value")
        self.plane.observe(lambda _: self._turn(), "value")
        for control in (self.index, self.window, self.model, self.truth, self.prediction, *self.organs.values()):
            control.observe(lambda _: self.draw(), "value")

    def _arrange(self) -> list[widgets.Widget]:
        line = widgets.Layout(overflow="hidden", min_height="26px")
        keys: list[widgets.Widget] = [self.truth, self.prediction]
        for group, button in self.groups.items():
            members = [one for one in ORGANS if one.group == group]
            rows = [widgets.HBox([widgets.HTML(swatch(o)), self.organs[o.name]], layout=line) for o in members]
            keys += [button, *rows]
        side = widgets.VBox(keys, layout=widgets.Layout(width="260px", height=f"{PIXELS}px", overflow="hidden auto"))
        return [
            widgets.HBox([self.case, self.model]),
            widgets.HBox([self.plane, self.window]),
            self.index,
            widgets.HBox([self.picture, side]),
            self.words,
        ]

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Change several controls and draw once."""
        with quietly(self):
            yield
        self.draw()

    def toggle(self, group: str) -> None:
        """Show all organs of a group, or none if all are shown."""
        members = [self.organs[one.name] for one in ORGANS if one.group == group]
        on = not all(member.value for member in members)
        with self._together():
            for member in members:
                member.value = on

    def _open(self) -> None:
        """Load the chosen case and keep plane, window, organs and, where it exists, the model."""
        self.sight = self.cases[self.case.value]()
        models, before = [*self.sight.predictions, NOTHING], self.model.value
        for control, needed in ((self.case, len(self.cases) > 1), (self.model, len(models) > 1)):
            control.layout.display = None if needed else "none"
        self.prediction.layout.display = self.model.layout.display
        with self._together():
            self.model.options = models
            self.model.value = before if before in models and before != NOTHING else models[0]
            self._turn()

    def _turn(self) -> None:
        """Go to the slice of this plane that shows most of the evaluated organs."""
        reference = (
            self.sight.truth if self.sight.truth is not None else next(iter(self.sight.predictions.values()), None)
        )
        length = self.sight.image.shape[PLANES[self.plane.value][0]]
        with self._together():
            self.index.max = length - 1
            self.index.value = length // 2 if reference is None else fullest(reference, self.plane.value, EVALUATED)

    @property
    def layers(self) -> tuple[NDArray | None, NDArray | None]:
        """Truth and prediction as far as they are switched on."""
        prediction = self.sight.predictions.get(self.model.value)
        return self.sight.truth if self.truth.value else None, prediction if self.prediction.value else None

    def draw(self) -> None:
        """Draw the chosen slice and say in words what it shows."""
        if self.quiet:
            return
        truth, prediction = self.layers
        chosen = [one for one in ORGANS if self.organs[one.name].value]
        plane, index = self.plane.value, self.index.value
        self.picture.value = self.canvas.draw(
            self.sight.image, plane, index, self.window.value, truth, prediction, chosen
        )
        self.words.value = html.escape(describe(self.sight.image, plane, index, truth, prediction))

    def static(self) -> Figure:
        """The slice as it stands now, as a figure with a key."""
        truth, prediction = self.layers
        chosen = [name for name, box in self.organs.items() if box.value]
        options = {"truth": truth, "prediction": prediction, "organs": chosen, "window": self.window.value}
        return figures.slice_figure(
            self.sight.image, self.plane.value, self.index.value, title=self.case.value, **options
        )

    def _repr_mimebundle_(self, **kwargs):
        """The widget for front ends that know widgets, a picture for all others."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        alt = describe(self.sight.image, self.plane.value, self.index.value, *self.layers)
        return with_picture(data, self.static(), alt)


@contextmanager
def quietly(page: Any) -> Iterator[None]:
    """Change controls while `page.quiet` says that what they show is not to be followed."""
    before, page.quiet = page.quiet, True
    try:
        yield
    finally:
        page.quiet = before


def with_picture(data: dict[str, Any], figure: Figure, alt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mime bundle of a widget with a picture for front ends that know no widgets, and its metadata."""
    picture = base64.b64encode(figures.png(figure)).decode()
    return {**data, "image/png": picture}, {"image/png": {"alt": alt, "width": 480}}


def swatch(one: Organ) -> str:
    """A short piece of an organ's line, for the key."""
    style = {"dashdot": "dashed"}.get(one.line, one.line)
    css = f"display:inline-block;width:26px;border-top:3px {style} {one.color};margin:10px 4px 0 2px"
    return f'<span style="{css}"></span>'


def describe(image: Scan, plane: str, index: int, truth: NDArray | None, prediction: NDArray | None) -> str:
    """A slice in words: where it is, which organs it shows, which were missed or drawn without being there."""
    axis = PLANES[plane][0]
    place_mm = index * image.spacing_mm[axis]
    text = [f"{plane.capitalize()} slice {index + 1} of {image.shape[axis]}, {place_mm:.0f} mm from the first."]
    there = set() if truth is None else set(np.unique(cut(truth, plane, index))) - {0}
    drawn = set() if prediction is None else set(np.unique(cut(prediction, plane, index))) - {0}
    sentences = [("Here", there or drawn)]
    if truth is not None and prediction is not None:
        sentences += [("Missed", there - drawn), ("Drawn but not there", drawn - there)]
    text += [f"{word}: {', '.join(o.plain for o in ORGANS if o.id in ids)}." for word, ids in sentences if ids]
    return " ".join(text)


class SliceCanvas:
    """Draws slices fast: one figure whose image and lines are exchanged, never made anew."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(PIXELS / 100, PIXELS / 100), dpi=100, facecolor="black")
        self.agg = FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.grid: tuple | None = None

    def _lay_out(self, image: Scan, plane: str) -> None:
        """Prepare axes for slices of another shape, spacing or plane."""
        width, height = size_mm(image.shape, image.spacing_mm, plane)
        self.axes.clear()
        prepare_axes(self.axes, width, height, plane)
        self.axes.set_anchor("C")
        blank = np.zeros((2, 2))
        self.gray = self.axes.imshow(
            blank, cmap="gray", vmin=0, vmax=1, origin="lower", extent=(0, width, 0, height), interpolation="bilinear"
        )
        self.axes.set(xlim=(width, 0), ylim=(0, height))
        self.lines = [LineCollection([], linewidths=1.4, linestyles=style) for style in ("solid", DASHES)]
        for collection in self.lines:
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
            self._lay_out(image, plane)
        self.gray.set_data(scans.window(cut(image.voxels, plane, index), window))
        _, across, up, _ = PLANES[plane]
        pixel = (image.spacing_mm[across], image.spacing_mm[up])
        for collection, labels in zip(self.lines, (truth, prediction), strict=True):
            found = [] if labels is None else contours(cut(labels, plane, index), organs, pixel)
            collection.set_segments([line for lines in found for line in lines])
            collection.set_color([one.color for one, lines in zip(organs, found, strict=False) for _ in lines])
        self.agg.draw()
        stream = io.BytesIO()
        Image.fromarray(np.asarray(self.agg.buffer_rgba())[..., :3]).save(stream, "PNG", compress_level=1)
        return stream.getvalue()
