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
from pedseg.organs import EVALUATED, organ
from pedseg.scan import read_nifti
from pedseg.viewing import keys
from pedseg.viewing.children import Child, Children
from pedseg.viewing.controls import KEYS, LOOKS, NOBODY, NONE, Controls
from pedseg.viewing.correction import Correction
from pedseg.viewing.correction_panel import CorrectionPanel
from pedseg.viewing.failure_list import Entry
from pedseg.viewing.failure_panel import FailurePanel
from pedseg.viewing.light_box import LightBox
from pedseg.viewing.reading import TRUTH, Reading, Voxel
from pedseg.viewing.slices import limits
from pedseg.workbook import figures, lesson
from pedseg.workbook.viewer import SliceCanvas, describe


class Room(widgets.VBox):
    """The page. `predict` gives what each model draws of a scan, by the model's title, drawn when it is looked up."""

    def __init__(
        self, children: Children, entries: list[Entry], models: list[str], predict: Callable[[Any, Child], Mapping]
    ) -> None:
        self.known, self.predict = children, predict
        self.reading: Reading | None = None
        self.child: Child | None = None
        self._quiet = self._watched = False
        self.set = Controls(children.centers, models)
        self.box = LightBox(self.set)
        self.slices = self.box.slices
        self.failures = FailurePanel(entries, self.jump)
        self.corrections = CorrectionPanel(self.slices, self._save)
        panels = {
            "Organs": self.box.organs, "Failures": self.failures, "Two models": self.box.disagreements,
            "Correct": self.corrections, "Keys": widgets.HTML(KEYS),
        }  # fmt: skip
        super().__init__(self.set.page(self.slices.widget, panels))
        self.add_class("pedseg-room")
        self._listen()
        self.choose_center()

    def _listen(self) -> None:
        def on(act: Callable[[], object], *controls: widgets.Widget, name: str = "value") -> None:
            for control in controls:
                control.observe(lambda _: act(), name)

        own, slices = self.set, self.slices.widget
        on(self.choose_center, own.center)
        on(self.open_patient, own.patient)
        on(self.show_models, own.model, own.second)
        on(self._preset, own.window)
        on(lambda: self.slices.window(*own.range.value), own.range)
        on(self._style, own.look, own.opacity, *own.layers)
        on(lambda: setattr(slices, "arrangement", own.arrangement.value), own.arrangement)
        on(lambda: setattr(slices, "tool", own.tool.value), own.tool)
        on(self.box.show_solids, own.coloring)
        on(self._slide, *own.planes)
        on(self._moved, slices, name="at")
        on(self.box.list_disagreements, own.tabs, name="selected_index")
        self.slices.on_ready(self._seen)
        self.slices.on_key(lambda key: keys.press(self, key))
        self.slices.on_hover(self._hover)
        self.box.on_pick = self._picked

    def _seen(self, drawing: str) -> None:
        """A browser shows the page: only now is there time for the models, which keep the kernel busy for a while."""
        self._watched = True
        self.set.still.layout.display = "none"
        self.show_models()
        if drawing == "none":
            self.say(
                "This browser has no WebGL 2: the slices stay dark. Take another one, or set PEDSEG_VIEWER=pictures."
            )

    @contextmanager
    def carefully(self) -> Iterator[None]:
        """What goes wrong becomes a sentence on the page."""
        try:
            yield
        except PedsegInputError as error:
            self.say(" ".join(f"{each.file}: {each.finding} {each.remedy}" for each in error.findings))
        except Exception as error:  # a reader of the page gets a sentence, whatever it was
            self.say(f"This could not be shown ({type(error).__name__}: {error}). Choose another patient or model.")

    def say(self, trouble: str = "") -> None:
        """Put a sentence about trouble on the page, or take it away."""
        text = f'<div class="pedseg-trouble" role="alert">{html.escape(trouble)}</div>' if trouble else ""
        self.set.trouble.value = text

    @contextmanager
    def _silently(self) -> Iterator[None]:
        """Change controls without acting on it."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    # --- what one opens ---------------------------------------------------------------------------

    def choose_center(self) -> None:
        """List the patients of a center and open the first."""
        if not self._quiet:
            with self._silently():
                self._list_patients()
            self.open_patient()

    def _list_patients(self) -> None:
        found = self.known.of(self.set.center.value)
        self.set.patient.options = [(child.title, child.key) for child in found]
        self.set.patient.value = found[0].key

    def open_patient(self, at: Voxel | None = None) -> None:
        """Open the chosen patient: the scan and the truth at once, then what the model draws."""
        if self._quiet or self.set.patient.value is None:
            return
        self.say()
        with self.carefully():
            child = self.known.all[self.set.patient.value]
            scan, truth = child.open()
            self.reading = self.box.reading = Reading(
                scan, None if truth is None else truth.voxels, self.predict(scan, child)
            )
            self.child = child
            if not self._watched:
                self.set.still.value = self._still(self.reading)
            self._list_models()
            self.slices.show(scan, *self.set.range.value)
            self._measure(at or self.reading.start())
            self.box.drawn_by = []
            self.box.show_layers()
        if self._watched:
            self.show_models()

    def _still(self, reading: Reading) -> bytes:
        """One slice as a picture: it is there at once, while the browser still loads what leafs and turns."""
        organs = [organ(name) for name in EVALUATED]
        return SliceCanvas().draw(
            reading.scan, "axial", reading.start()[2], self.set.window.value, reading.truth, None, organs
        )  # fmt: skip

    def _list_models(self) -> None:
        """The models of this patient in both lists, the choice kept where it can be."""
        assert self.reading is not None
        names, model, second = list(self.reading.predictions), self.set.model, self.set.second
        was = model.value, second.value
        with self._silently():
            model.options, second.options = [*names, NOBODY], [NONE, *names]
            model.value = was[0] if was[0] in model.options else model.options[0]
            second.value = was[1] if was[1] in second.options else NONE

    def _measure(self, at: Voxel) -> None:
        """Set the sliders to a scan's size, go to a voxel and stand in front of the patient."""
        assert self.reading is not None
        scan = self.reading.scan
        with self._silently():
            for k, slider in enumerate(self.set.planes):
                slider.max = scan.shape[k] - 1
        self.go(at)
        middle = self.reading.place_mm(tuple((np.array(scan.shape) - 1) / 2))  # type: ignore[arg-type]
        self.box.look_from_the_front(middle, float(np.multiply(scan.shape, scan.spacing_mm).max()))

    @property
    def drawn_by(self) -> list[str]:
        """The models that are chosen: two, one or none."""
        chosen = dict.fromkeys((self.set.model.value, self.set.second.value))
        return [name for name in chosen if name not in (NOBODY, NONE, None)]

    def show_models(self) -> None:
        """Draw what the chosen models draw, in slices, in 3-D and in the table."""
        if self._quiet or self.reading is None:
            return
        with self.carefully():
            self.box.show(self.drawn_by)
            self._say_where()
            self.corrections.show(self.reading, [*self.drawn_by, *([TRUTH] if self.reading.truth is not None else [])])
            empty = " and ".join(name for name in self.drawn_by if not self.reading.volume_ml(name))
            self.say(f"{empty} drew nothing at all on this patient: every organ counts as missed." if empty else "")

    # --- what one does ----------------------------------------------------------------------------

    def _preset(self) -> None:
        low, high = limits(self.set.window.value)
        self.set.range.value = (int(low), int(high))

    def _style(self) -> None:
        lines, fill = LOOKS[self.set.look.value]
        hidden = [k for k, button in enumerate(self.set.layers) if not button.value]
        self.slices.widget.look = {
            "lines": lines, "fill": fill, "opacity": self.set.opacity.value, "width": 1.7, "hidden": hidden
        }  # fmt: skip

    def go(self, voxel: Voxel) -> None:
        """Move the crosshair in all slices and in 3-D."""
        self.slices.go(voxel)
        self._moved()

    def _slide(self) -> None:
        if not self._quiet:
            self.go(tuple(slider.value for slider in self.set.planes))  # type: ignore[arg-type]

    @property
    def at(self) -> Voxel | None:
        """The voxel under the crosshair."""
        found = tuple(int(v) for v in self.slices.widget.at)
        return found if len(found) == 3 else None  # type: ignore[return-value]

    def _moved(self) -> None:
        """The crosshair is somewhere else: sliders, words and 3-D follow."""
        if self.reading is None or self.at is None:
            return
        with self._silently():
            for slider, value in zip(self.set.planes, self.at, strict=True):
                slider.value = value
        self._say_where()
        self.box.point_at(self.at)

    def _say_where(self) -> None:
        if self.at is not None:
            self.set.words.value = self._words("crosshair", self.at)

    def _hover(self, voxel: Voxel) -> None:
        if self.reading is not None and all(0 <= v < n for v, n in zip(voxel, self.reading.scan.shape, strict=True)):
            self.set.under.value = self._words("pointer", voxel)

    def _words(self, what: str, voxel: Voxel) -> str:
        assert self.reading is not None
        models = tuple(self.drawn_by) if self._watched else ()  # nothing is drawn before there is time for it
        text = html.escape(self.reading.words(voxel, models))
        return f'<div class="pedseg-words pedseg-{what}" role="status"><b>{what}</b> {text}</div>'

    def _picked(self, place_mm: list[float]) -> None:
        """A click on a surface: the slices go there."""
        if self.reading is not None:
            self.go(self.reading.voxel_at(place_mm))

    def jump(self, entry: Entry) -> None:
        """Open an entry of the failure list where it happened."""
        if entry.child not in self.known.all:
            self.say(f"The scan of {entry.child[1]} is not on this machine; the sentence is all there is.")
            return
        with self._silently():
            self.set.center.value = entry.child[0]
            self._list_patients()
            self.set.patient.value = entry.child
        if self.child is None or self.child.key != entry.child:
            watched, self._watched = self._watched, False  # the model is chosen below
            self.open_patient(entry.voxel)
            self._watched = watched
        with self.carefully():
            self._look_at(entry)

    def _look_at(self, entry: Entry) -> None:
        assert self.reading is not None
        place = entry.voxel
        with self._silently():
            if entry.model in self.set.model.options:
                self.set.model.value = entry.model
        if entry.organ:
            self.box.organs.boxes[organ(entry.organ).id].value = True
            self.corrections.organ.value = entry.organ
            place = place or self.reading.middle_of(entry.model, organ(entry.organ).id)
        self.show_models()
        self.box.focus(organ(entry.organ).id if entry.organ else 0)
        self.slices.widget.marker = list(place or ())
        self.go(place or self.reading.start())

    def _save(self, correction: Correction) -> Path:
        assert self.child is not None
        original = read_nifti(self.child.image_file) if self.child.image_file else None
        return correction.save(lesson.runs() / "corrections", self.child.case, original)

    # --- where there is no browser ----------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs):
        """The page for front ends that know widgets, one slice as a picture for all others."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        if self.reading is None:
            return data
        scan, truth, index = self.reading.scan, self.reading.truth, self.reading.start()[2]
        figure = figures.slice_figure(scan, "axial", index, title=self.set.patient.label, truth=truth)
        data["image/png"] = base64.b64encode(figures.png(figure)).decode()
        return data, {"image/png": {"alt": describe(scan, "axial", index, truth, None), "width": 480}}
