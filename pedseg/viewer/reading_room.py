"""The reading room: one page with slices, 3-D, organs and failures, for people who look and do not program."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from pedseg.errors import PedsegInputError
from pedseg.organs import EVALUATED, organ
from pedseg.scan import read_nifti
from pedseg.viewer import shortcuts
from pedseg.viewer.case_list import Child, Children
from pedseg.viewer.case_view import TRUTH, Reading, Voxel
from pedseg.viewer.controls import KEYS, LOOKS, NOBODY, NONE, Controls
from pedseg.viewer.correction import Correction
from pedseg.viewer.correction_panel import CorrectionPanel
from pedseg.viewer.failure_list import Entry
from pedseg.viewer.failure_panel import FailurePanel
from pedseg.viewer.image_views import LightBox
from pedseg.viewer.slices import limits
from pedseg.workbook import figures, lesson
from pedseg.workbook.slice_viewer import SliceCanvas, describe, quietly, with_picture


class Room(widgets.VBox):
    """The page. `predict` gives what each model draws of a scan, by the model's title, drawn when it is looked up."""

    def __init__(
        self, children: Children, entries: list[Entry], models: list[str], predict: Callable[[Any, Child], Mapping]
    ) -> None:
        self.known, self.predict = children, predict
        self.reading: Reading | None = None
        self.child: Child | None = None
        self.quiet = self._watched = False
        self.set = Controls(children.centers, models)
        self.box = LightBox(self.set)
        self.slices = self.box.slices
        self.failures = FailurePanel(entries, self.jump)
        self.corrections = CorrectionPanel(self.slices, self.show_errors()(self._save))
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
                control.observe(self.show_errors()(lambda _: act()), name)

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
        self.slices.on_key = lambda key: shortcuts.press(self, key)
        self.slices.on_hover = self.show_errors()(self._hover)
        self.box.on_pick = self.show_errors()(self._picked)

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
    def show_errors(self, more: str = "") -> Iterator[None]:
        """What goes wrong becomes a sentence on the page, with `more` behind it."""
        try:
            yield
        except PedsegInputError as error:
            self.say(" ".join(f"{each.file}: {each.problem} {each.remedy}" for each in error.problems) + more)
        except Exception as error:  # a reader of the page gets a sentence, whatever it was
            self.say(f"That could not be done ({type(error).__name__}: {error}).{more}")

    def say(self, trouble: str = "") -> None:
        """Put a sentence about trouble on the page, or take it away."""
        text = f'<div class="pedseg-trouble" role="alert">{html.escape(trouble)}</div>' if trouble else ""
        self.set.trouble.value = text

    # --- what one opens ---------------------------------------------------------------------------

    def choose_center(self) -> None:
        """List the patients of a center and open the first."""
        if not self.quiet:
            with quietly(self):
                self._list_patients()
            self.open_patient()

    def _list_patients(self) -> None:
        found = self.known.of(self.set.center.value)
        self.set.patient.options = [(child.title, child.key) for child in found]
        self.set.patient.value = found[0].key

    def open_patient(self) -> None:
        """Open the chosen patient: the scan and the truth at once, then what the model draws."""
        if not self.quiet and self.set.patient.value is not None and self._open() and self._watched:
            self.show_models()

    def _open(self, at: Voxel | None = None) -> bool:
        """Show scan and truth of the chosen patient, without any model; whether that could be done."""
        self.say()
        child = self.known.all[self.set.patient.value]
        with self.show_errors(f" Still shown: {self.child.title}." if self.child else " Choose another patient."):
            scan, truth = child.open()
            reading = Reading(scan, None if truth is None else truth.voxels, self.predict(scan, child))
            self.child, self.reading, self.box.reading, self.box.drawn_by = child, reading, reading, []
            self.set.under.value = ""
            self.corrections.turn_to(reading)
            if not self._watched:
                self.set.still.value = self._still(reading)
            self._list_models()
            self.slices.show(scan, *self.set.range.value)
            self._measure(at or reading.start())
            self.box.show_layers()
            return True
        if self.child is not None:
            self._name(self.child.key)
        return False

    def _name(self, key: tuple[str, str, str]) -> None:
        """Let the lists name a patient, without opening anybody."""
        with quietly(self):
            self.set.center.value = key[0]
            self._list_patients()
            self.set.patient.value = key

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
        with quietly(self):
            model.options, second.options = [*names, NOBODY], [NONE, *names]
            model.value = was[0] if was[0] in model.options else model.options[0]
            second.value = was[1] if was[1] in second.options else NONE

    def _measure(self, at: Voxel) -> None:
        """Set the sliders to a scan's size, go to a voxel and stand in front of the patient."""
        assert self.reading is not None
        scan = self.reading.scan
        with quietly(self):
            for k, slider in enumerate(self.set.planes):
                slider.max = scan.shape[k] - 1
        self.go(at)
        self.box.look_from_the_front()

    @property
    def drawn_by(self) -> list[str]:
        """The models that are chosen: two, one or none."""
        chosen = dict.fromkeys((self.set.model.value, self.set.second.value))
        return [name for name in chosen if name not in (NOBODY, NONE, None)]

    def show_models(self) -> None:
        """Draw what the chosen models draw, in slices, in 3-D and in the table."""
        if self.quiet or self.reading is None:
            return
        with self.show_errors():
            try:
                self.box.show(self.drawn_by)
            finally:
                self.corrections.offer([*self.box.drawn_by, *([TRUTH] if self.reading.truth is not None else [])])
            self._say_where()
            empty = " and ".join(str(name) for name in self.drawn_by if not self.reading.volume_ml(name))
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
        if not self.quiet:
            self.go(tuple(slider.value for slider in self.set.planes))  # type: ignore[arg-type]

    def _moved(self) -> None:
        """The crosshair is somewhere else: sliders, words and 3-D follow."""
        if self.reading is None or self.slices.at is None:
            return
        with quietly(self):
            for slider, value in zip(self.set.planes, self.slices.at, strict=True):
                slider.value = value
        self._say_where()
        self.box.point_at(self.slices.at)

    def _say_where(self) -> None:
        if self.slices.at is not None:
            self.set.words.value = self._words("crosshair", self.slices.at)

    def _hover(self, voxel: Voxel) -> None:
        if self.reading is not None and all(0 <= v < n for v, n in zip(voxel, self.reading.scan.shape, strict=True)):
            self.set.under.value = self._words("pointer", voxel)

    def _words(self, what: str, voxel: Voxel) -> str:
        assert self.reading is not None
        text = html.escape(self.reading.words(voxel, self.box.drawn_by))
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
        self._name(entry.child)
        here = self.child is not None and self.child.key == entry.child
        if here or self._open(entry.voxel):
            with self.show_errors():
                self._look_at(entry)

    def _look_at(self, entry: Entry) -> None:
        assert self.reading is not None
        place = entry.voxel
        with quietly(self):
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
        return correction.save(lesson.runs() / "corrections", self.child.stem, original)

    # --- where there is no browser ----------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs):
        """The page for front ends that know widgets, one slice as a picture for all others."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        if self.reading is None:
            return data
        scan, truth, index = self.reading.scan, self.reading.truth, self.reading.start()[2]
        figure = figures.slice_figure(scan, "axial", index, title=self.set.patient.label, truth=truth)
        return with_picture(data, figure, describe(scan, "axial", index, truth, None))
