"""The reading room: one page with slices, 3-D, organs and failures, for people who look and do not program."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from pedseg.findings import PedsegInputError
from pedseg.scan import WINDOWS
from pedseg.viewing.children import Child, Children
from pedseg.viewing.failure_list import Entry
from pedseg.viewing.failure_panel import FailurePanel
from pedseg.viewing.organ_panel import OrganPanel
from pedseg.viewing.reading import TRUTH, Reading
from pedseg.viewing.slices import Slices, layer, limits
from pedseg.viewing.solids import Solids, legend, link
from pedseg.workbook import figures
from pedseg.workbook.figures import fullest

NOBODY = "nobody (truth alone)"
NONE = "no second model"
ARRANGEMENTS = {
    "three planes": "planes", "axial": "axial", "coronal": "coronal", "sagittal": "sagittal",
    "truth beside model": "beside",
}  # fmt: skip
LOOKS = {"lines": (True, False), "fill": (False, True), "both": (True, True)}
HEIGHT, SIDE_WIDTH = 560, 460
CSS = Path(__file__).with_name("room.css").read_text(encoding="utf-8")


class Room(widgets.VBox):
    """The page. `models` are weight files by title; `predict` gives label maps of a scan by model title, drawn late."""

    def __init__(
        self, children: Children, entries: list[Entry], models: list[str], predict: Callable[[Any, Child], Mapping]
    ) -> None:
        self.children_, self.predict, self.models = children, predict, models
        self.reading: Reading | None = None
        self.child: Child | None = None
        self._quiet = self._watched = False
        self.slices = Slices(HEIGHT)
        self.solids = {TRUTH: Solids(236, TRUTH), "model": Solids(236, "model")}
        link(self.solids[TRUTH], self.solids["model"])
        self.organs = OrganPanel(lambda _: self._show_organs())
        self.failures = FailurePanel(entries, self.jump)
        self._make_controls()
        super().__init__(self._arrange())
        self.add_class("pedseg-room")
        self._listen()
        self.choose_center()

    # --- the page ---------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        def drop(options, width, **more):
            return widgets.Dropdown(options=options, layout=widgets.Layout(width=width), **more)

        self.center = drop(self.children_.centers, "110px", tooltip="center")
        self.patient = drop([("", None)], "262px", tooltip="patient")
        self.model = drop([*self.models, NOBODY], "172px", tooltip="drawn by (dashed)")
        self.second = drop([NONE, *self.models], "172px", tooltip="second model (dotted)")
        self.window = widgets.ToggleButtons(options=list(WINDOWS), style={"button_width": "82px"})
        low, high = limits("soft tissue")
        self.range = widgets.IntRangeSlider(
            value=(int(low), int(high)), min=-1200, max=1600, step=10, readout=True, description="HU",
            style={"description_width": "24px"}, layout=widgets.Layout(width="270px"),
        )  # fmt: skip
        self.look = widgets.ToggleButtons(options=list(LOOKS), style={"button_width": "50px"})
        self.opacity = widgets.FloatSlider(
            value=0.9, min=0.1, max=1, step=0.1, readout=False, description="opacity",
            style={"description_width": "50px"}, layout=widgets.Layout(width="150px"),
        )  # fmt: skip
        self.arrangement = drop(list(ARRANGEMENTS.items()), "142px", tooltip="arrangement of the slices")
        self.tool = drop(
            [("right drag: window", "window"), ("right drag: measure", "measure"), ("right drag: move", "move")],
            "150px",
        )
        slim = {
            "layout": widgets.Layout(width="33%"),
            "style": {"description_width": "52px"},
            "continuous_update": True,
        }
        self.planes = [widgets.IntSlider(description=name, **slim) for name in ("sagittal", "coronal", "axial")]
        self.words = widgets.HTML(layout=widgets.Layout(min_height="20px"))
        self.under = widgets.HTML(layout=widgets.Layout(min_height="20px"))
        self.trouble = widgets.HTML()
        self.coloring = widgets.ToggleButtons(
            options=["organ colors", "distance to truth"], style={"button_width": "128px"}
        )
        self.scale = widgets.HTML(legend(), layout=widgets.Layout(display="none", width="100%"))
        self.solid_words = widgets.HTML()

    def _arrange(self) -> list[widgets.Widget]:
        row = widgets.Layout(width="100%", overflow="hidden", flex_flow="row wrap", align_items="center")
        top = widgets.HBox(
            [
                self.center,
                self.patient,
                _label("drawn by"),
                self.model,
                _label("and"),
                self.second,
                widgets.HTML(LINES),
            ],
            layout=row,
        )
        bar = widgets.HBox([self.window, self.range, self.look, self.opacity, self.arrangement, self.tool], layout=row)
        left = widgets.VBox(
            [self.slices.widget, widgets.HBox(self.planes[::-1], layout=row), self.words, self.under],
            layout=widgets.Layout(flex="1 1 440px", min_width="400px", overflow="hidden"),
        )
        pair = widgets.HBox(
            [self.solids[TRUTH].plot, self.solids["model"].plot], layout=widgets.Layout(width="100%", overflow="hidden")
        )
        self.tabs = widgets.Tab(
            [self.organs, self.failures, widgets.HTML(KEYS)], layout=widgets.Layout(width="100%", height="330px")
        )
        for k, title in enumerate(("Organs", "Failures", "Keys")):
            self.tabs.set_title(k, title)
        solid = widgets.VBox(
            [widgets.HBox([self.coloring, self.solid_words], layout=row), pair, self.scale],
            layout=widgets.Layout(width="100%", overflow="hidden"),
        )
        right = widgets.VBox(
            [solid, self.tabs], layout=widgets.Layout(flex=f"0 1 {SIDE_WIDTH}px", min_width="380px", overflow="hidden")
        )
        main = widgets.HBox([left, right], layout=widgets.Layout(width="100%", flex_flow="row wrap", overflow="hidden"))
        return [widgets.HTML(f"<style>{CSS}</style>"), top, bar, self.trouble, main]

    def _listen(self) -> None:
        self.center.observe(lambda _: self.choose_center(), "value")
        self.patient.observe(lambda _: self.open_patient(), "value")
        for control in (self.model, self.second):
            control.observe(lambda _: self.show_models(), "value")
        self.window.observe(lambda _: self._preset(), "value")
        self.range.observe(lambda _: self.slices.window(*self.range.value), "value")
        for control in (self.look, self.opacity):
            control.observe(lambda _: self._style(), "value")
        self.arrangement.observe(lambda _: setattr(self.slices.widget, "arrangement", self.arrangement.value), "value")
        self.tool.observe(lambda _: setattr(self.slices.widget, "tool", self.tool.value), "value")
        self.coloring.observe(lambda _: self._show_solids(), "value")
        for slider in self.planes:
            slider.observe(lambda _: self._slide(), "value")
        self.slices.widget.observe(lambda _: self._moved(), "at")
        for solid in self.solids.values():
            solid.on_pick(self._picked)
        self.slices.on_ready(self._seen)

    def _seen(self, drawing: str) -> None:
        """A browser shows the page: only now is there time for the models, which keep the kernel busy for a while."""
        self._watched = True
        self.show_models()
        if drawing == "none":
            self.say(
                "This browser has no WebGL 2, so the slices stay dark. Set PEDSEG_VIEWER=pictures, or another browser."
            )

    # --- what one opens ---------------------------------------------------------------------------

    @contextmanager
    def _carefully(self) -> Iterator[None]:
        """What goes wrong becomes a sentence on the page."""
        try:
            yield
        except PedsegInputError as error:
            self.say(" ".join(f"{each.file}: {each.finding} {each.remedy}" for each in error.findings))
        except Exception as error:  # a reader of the page gets a sentence, whatever it was
            self.say(f"This could not be shown ({type(error).__name__}: {error}). Choose another patient or model.")

    def say(self, trouble: str = "") -> None:
        """Put a sentence about trouble on the page, or take it away."""
        self.trouble.value = f'<div class="pedseg-trouble" role="alert">{html.escape(trouble)}</div>' if trouble else ""

    def choose_center(self) -> None:
        """List the patients of a center and open the first."""
        found = self.children_.of(self.center.value)
        self.patient.options = [(child.title, child.key) for child in found]

    def open_patient(self, at: tuple[int, int, int] | None = None) -> None:
        """Open the chosen patient: the scan and the truth at once, then what the model draws."""
        if self.patient.value is None or self._quiet:
            return
        self.say()
        with self._carefully():
            child = self.children_.all[self.patient.value]
            scan, truth = child.open()
            self.reading = Reading(scan, None if truth is None else truth.voxels, self.predict(scan, child))
            self.child = child
            self._list_models()
            self.slices.show(scan, self.window.value)
            self._preset()
            self._measure(at or self.reading.start())
            self._layers([])
        if self._watched:
            self.show_models()

    def _list_models(self) -> None:
        """The models of this patient in both lists, the choice kept where it can be."""
        assert self.reading is not None
        names, was = list(self.reading.predictions), (self.model.value, self.second.value)
        self._quiet = True
        self.model.options, self.second.options = [*names, NOBODY], [NONE, *names]
        self.model.value = was[0] if was[0] in self.model.options else (names or [NOBODY])[0]
        self.second.value = was[1] if was[1] in self.second.options else NONE
        self._quiet = False

    def _measure(self, at: tuple[int, int, int]) -> None:
        """Set the sliders to a scan's size and go to a voxel."""
        assert self.reading is not None
        self._quiet = True
        for k, slider in enumerate(self.planes):
            slider.max = self.reading.scan.shape[k] - 1
        self._quiet = False
        self.go(at)
        size_mm = np.multiply(self.reading.scan.shape, self.reading.scan.spacing_mm)
        middle = self.reading.place_mm(tuple((np.array(self.reading.scan.shape) - 1) / 2))
        for solid in self.solids.values():
            solid.look_from_the_front(middle, float(size_mm.max()))

    @property
    def drawn_by(self) -> list[str]:
        """The models that are chosen, one or two or none."""
        return [name for name in (self.model.value, self.second.value) if name not in (NOBODY, NONE, None)]

    def show_models(self) -> None:
        """Draw what the chosen models draw, in slices, in 3-D and in the table."""
        if self._quiet or self.reading is None:
            return
        with self._carefully():
            self._layers(self.drawn_by)
            self._fill_table()
            self._show_solids()
            self._say_where()
            empty = [name for name in self.drawn_by if not self.reading.volume_ml(name)]
            if empty:
                self.say(
                    f"{' and '.join(empty)}: nothing was drawn at all on this patient; there is nothing to compare."
                )

    def _layers(self, models: list[str]) -> None:
        assert self.reading is not None
        layers = [] if self.reading.truth is None else [layer(TRUTH, self.reading.truth, "solid", fill=0.35)]
        for name, style in zip(models, ("dashed", "dotted"), strict=False):
            labels = self.reading.labels(name)
            if labels is not None:
                layers.append(layer(name, labels, style, fill=0.5))
        self.slices.draw(layers)
        self._show_organs()

    def _fill_table(self) -> None:
        assert self.reading is not None
        name = self.drawn_by[0] if self.drawn_by else TRUTH
        known = name != TRUTH
        self.organs.show(
            self.reading.volume_ml(TRUTH), self.reading.volume_ml(name) if known else {},
            self.reading.scores(name) if known else {}, self.reading.distances_mm(name) if known else {}, name,
        )  # fmt: skip

    def _show_solids(self) -> None:
        if self.reading is None:
            return
        by_distance = self.coloring.value != "organ colors"
        self.scale.layout.display = None if by_distance else "none"
        self.solids[TRUTH].show(self.reading.surfaces(TRUTH))
        name = self.drawn_by[0] if self.drawn_by else None
        surfaces = self.reading.surfaces(name) if name else {}
        self.solids["model"].show(surfaces, self.reading.distances_mm(name) if by_distance and name else None)
        error = max([s.error_mm for s in surfaces.values()], default=0.0)
        said = f"left: truth · right: {name or 'nothing'}"
        note = f" · surfaces within {error:.1f} mm of the voxels" if surfaces else ""
        self.solid_words.value = f'<span class="pedseg-note">{html.escape(said)}{note}</span>'
        self._show_organs()

    def _show_organs(self) -> None:
        shown = self.organs.shown
        self.slices.widget.shown = shown
        for solid in self.solids.values():
            solid.only(shown)

    # --- what one does ----------------------------------------------------------------------------

    def _preset(self) -> None:
        low, high = limits(self.window.value)
        self.range.value = (int(low), int(high))
        self.slices.window(low, high)

    def _style(self) -> None:
        lines, fill = LOOKS[self.look.value]
        self.slices.widget.look = {"lines": lines, "fill": fill, "opacity": self.opacity.value, "width": 1.7}

    def go(self, voxel: tuple[int, int, int]) -> None:
        """Move the crosshair in all slices and in 3-D."""
        self.slices.go(voxel)
        self._moved()

    def _slide(self) -> None:
        if not self._quiet:
            self.go(tuple(slider.value for slider in self.planes))  # type: ignore[arg-type]

    def _moved(self) -> None:
        """The crosshair is somewhere else: sliders, words and 3-D follow."""
        if self.reading is None or len(self.slices.widget.at) != 3:
            return
        self._quiet = True
        for slider, value in zip(self.planes, self.slices.widget.at, strict=True):
            slider.value = value
        self._quiet = False
        self._say_where()
        for solid in self.solids.values():
            solid.point_at(self.reading.place_mm(tuple(self.slices.widget.at)))

    def _say_where(self) -> None:
        assert self.reading is not None
        voxel = tuple(int(v) for v in self.slices.widget.at)
        if len(voxel) == 3:
            models = tuple(self.drawn_by) if self._watched else ()  # nothing is drawn before there is time for it
            text = self.reading.words(voxel, models)  # type: ignore[arg-type]
            self.words.value = f'<div class="pedseg-words" role="status"><b>crosshair</b> {html.escape(text)}</div>'

    def _picked(self, organ_id: int, place_mm: list[float]) -> None:
        """A click on a surface: the slices go there."""
        if self.reading is not None:
            self.go(self.reading.voxel_at(place_mm))

    def jump(self, entry: Entry) -> None:
        """Open an entry of the failure list where it happened."""
        if entry.child not in self.children_.all:
            self.say(f"The scan of {entry.child[1]} is not on this machine; the sentence is all there is.")
            return
        self._quiet = True
        self.center.value = entry.child[0]
        self.patient.options = [(child.title, child.key) for child in self.children_.of(entry.child[0])]
        self.patient.value = entry.child
        self._quiet = False
        if self.child is None or self.child.key != entry.child:
            self.open_patient(entry.voxel)
        with self._carefully():
            self._look_at(entry)

    def _look_at(self, entry: Entry) -> None:
        assert self.reading is not None
        if entry.model in self.model.options:
            self.model.value = entry.model
        from pedseg.organs import organ

        place = entry.voxel
        if entry.organ:
            i = organ(entry.organ).id
            self.organs.boxes[i].value = True
            place = place or self.reading.middle_of(entry.model, i)
        self.slices.widget.marker = list(place or ())
        self.go(place or self.reading.start())

    # --- where there is no browser ----------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs):
        """The page for front ends that know widgets, one slice as a picture for all others."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        if self.reading is None:
            return data
        from pedseg.workbook.viewer import describe

        index = fullest(self.reading.truth, "axial") if self.reading.truth is not None else self.reading.start()[2]
        figure = figures.slice_figure(
            self.reading.scan, "axial", index, title=self.patient.label, truth=self.reading.truth
        )
        data["image/png"] = base64.b64encode(figures.png(figure)).decode()
        alt = describe(self.reading.scan, "axial", index, self.reading.truth, None)
        return data, {"image/png": {"alt": alt, "width": 480}}


def _label(text: str) -> widgets.HTML:
    return widgets.HTML(f'<span class="pedseg-note">&nbsp;{text}&nbsp;</span>')


LINES = """<span class="pedseg-note" aria-label="line styles">&nbsp; <i class="pedseg-line" style="border-style:solid"></i> truth
<i class="pedseg-line" style="border-style:dashed"></i> drawn <i class="pedseg-line" style="border-style:dotted"></i> second</span>"""
KEYS = """<div class="pedseg-keys">Click a slice, then:<br>
<kbd>↑</kbd> <kbd>↓</kbd> or wheel: one slice · <kbd>Page ↑</kbd> <kbd>Page ↓</kbd>: five<br>
<kbd>A</kbd> <kbd>C</kbd> <kbd>S</kbd>: which plane the arrows leaf through<br>
</div>"""
