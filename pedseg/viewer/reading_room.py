"""The reading room: one page (ipywidgets, served by Voilà or in JupyterLab) with slices, 3-D, organs and failures."""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ipywidgets as widgets
from numpy.typing import NDArray

from pedseg.errors import PedsegInputError
from pedseg.evaluation.reader_scores import ScoreBook
from pedseg.organs import EVALUATED, organ
from pedseg.scan import Scan, read_nifti
from pedseg.viewer import shortcuts
from pedseg.viewer.case_list import CaseKey, ListedCase
from pedseg.viewer.case_view import TRUTH, CaseView, Voxel
from pedseg.viewer.contour_editing import Correction, CorrectionPanel
from pedseg.viewer.controls import CONTOUR_STYLES, Controls, sentence
from pedseg.viewer.failure_list import FailureEntry
from pedseg.viewer.failure_panel import FailurePanel
from pedseg.viewer.image_views import ImageViews
from pedseg.viewer.score_panel import ScorePanel
from pedseg.viewer.slices import window_limits
from pedseg.workbook import figures, lesson
from pedseg.workbook.slice_viewer import SliceCanvas, describe, suspend_callbacks, with_picture

Predict = Callable[[Scan, ListedCase], Mapping[Hashable, NDArray]]


class ReadingRoom(widgets.VBox):
    """The page. `predict` gives the predictions of `models` on a scan, which may be computed when looked up."""

    def __init__(
        self,
        cases: Mapping[CaseKey, ListedCase],
        failures: list[FailureEntry],
        models: list[Hashable],
        predict: Predict,
    ) -> None:
        self.cases, self.predict = cases, predict
        self.case: ListedCase | None = None  # the open one
        self.quiet = self._in_browser = False
        self.controls = Controls([*dict.fromkeys(key.center for key in cases)], models)
        self.views = ImageViews(self.controls)
        self.slices = self.views.slices
        self.failures = FailurePanel(failures, self.open_failure)
        self.corrections = CorrectionPanel(self.slices, self.show_errors()(self._save))
        scored = ScoreBook(lesson.runs() / "scores"), getattr(failures, "study", None)
        self.scores = ScorePanel(*scored, self.show_errors()(self._look_at), self.open_patient)
        panels = {
            "Organs": self.views.organs, "Failures": self.failures, "Two models": self.views.disagreements,
            "Correct": self.corrections, "Dose": self.views.dose, "Score": self.scores,
            "Keys": widgets.HTML(shortcuts.HELP),
        }  # fmt: skip
        super().__init__(self.controls.page(self.slices, panels))
        self.add_class("pedseg-room")
        self.shortcuts = shortcuts.shortcut_actions(self.controls, self.views, self.failures, self.corrections)
        self._connect()
        self.choose_center()

    def _connect(self) -> None:
        """Let every control do what it says; without an open case only the case list does anything."""

        def on(act: Callable[[], object], *sources: widgets.Widget, name: str = "value") -> None:
            for source in sources:
                source.observe(self.show_errors()(lambda _: act()), name)

        def if_open(act: Callable[..., object]) -> Callable[..., object]:
            return self.show_errors()(lambda *arguments: act(*arguments) if self.case is not None else None)

        controls, slices = self.controls, self.slices
        on(self.choose_center, controls.center)
        on(self.open_patient, controls.patient)
        on(if_open(self.show_models), controls.model, controls.second)
        on(self._set_window, controls.window)
        on(lambda: slices.set_window(*controls.range.value), controls.range)
        on(self._set_contour_style, controls.contour_style, controls.opacity, *controls.layers)
        on(lambda: setattr(slices, "arrangement", controls.arrangement.value), controls.arrangement)
        on(lambda: setattr(slices, "drag_mode", controls.drag_mode.value), controls.drag_mode)
        on(if_open(self.views.show_surfaces), controls.coloring)
        on(self._slider_moved, *controls.planes)
        on(if_open(self._crosshair_moved), slices, name="crosshair")
        on(if_open(self.views.list_disagreements), controls.tabs, name="selected_index")
        on(if_open(self.views.show_dose), controls.tabs, name="selected_index")
        slices.observe(lambda change: self._ready(change["new"].split()[0]), "ready")
        slices.on_key = if_open(self.press)
        slices.on_hover = if_open(self._describe_pointer)
        self.views.on_pick = if_open(lambda position_mm: self.move_crosshair(self.case_view.to_voxel(position_mm)))

    @property
    def case_view(self) -> CaseView:
        """The open case with its predictions."""
        return self.views.case_view

    def press(self, key: str) -> None:
        """Do what a keyboard shortcut stands for; other keys do nothing."""
        if self.views.is_open(self.scores) and self.scores.press(key):
            return
        self.shortcuts.get(key, lambda: None)()

    def _ready(self, drawing: str) -> None:
        """A browser shows the page: only now is there time for the models, which keep the kernel busy for a while."""
        self._in_browser = True
        self.controls.preview.layout.display = "none"
        if self.case is not None:
            self.show_models()
        if drawing == "none":
            self.show_error(
                "This browser has no WebGL 2: the slices stay dark. Use another one, or set PEDSEG_VIEWER=matplotlib."
            )

    @contextmanager
    def show_errors(self, addition: str = "") -> Iterator[None]:
        """Show an error as a sentence on the page, with `addition` behind it."""
        try:
            yield
        except PedsegInputError as error:
            problems = (f"{problem.file}: {problem.problem} {problem.remedy}" for problem in error.problems)
            self.show_error(" ".join(problems) + addition)
        except Exception as error:  # a reader of the page gets a sentence, whatever it was
            self.show_error(f"That could not be done ({type(error).__name__}: {error}).{addition}")

    def show_error(self, text: str = "") -> None:
        """Show an error message on the page, or remove it."""
        self.controls.error.value = sentence(text, "error", role="alert") if text else ""

    # --- opening a case ---------------------------------------------------------------------------

    def choose_center(self) -> None:
        """List the patients of a center and open the first."""
        if not self.quiet:
            with suspend_callbacks(self):
                self._list_patients()
            self.open_patient()

    def _list_patients(self) -> None:
        keys = [key for key in self.cases if key.center == self.controls.center.value]
        self.controls.patient.options = [(self.cases[key].title, key) for key in keys]
        self.controls.patient.value = keys[0]

    def open_patient(self) -> None:
        """Open the chosen patient: the scan and the truth at once, then the predictions."""
        if not self.quiet and self.controls.patient.value is not None and self._open() and self._in_browser:
            self.show_models()

    def _open(self, voxel: Voxel | None = None) -> bool:
        """Show scan and truth of the chosen patient, without predictions; whether that could be done."""
        self.show_error()
        case = self.cases[self.controls.patient.value]
        with self.show_errors(f" Still shown: {self.case.title}." if self.case else " Choose another patient."):
            scan, truth = case.open()
            seen, predictions = self.scores.blind(case.key, truth, self.predict(scan, case))
            view = CaseView(scan, None if seen is None else seen.voxels, predictions)
            self.case, self.views.case_view, self.views.models = case, view, []
            self.controls.pointer_info.value = ""
            self.corrections.set_case(view)
            if not self._in_browser:
                self.controls.preview.value = self._preview()
            with suspend_callbacks(self):
                self.controls.set_models(view.predictions)
                for k, slider in enumerate(self.controls.planes):
                    slider.max = scan.shape[k]
            self.slices.show(scan, *self.controls.range.value)
            self.move_crosshair(voxel or view.start_voxel())
            self.views.view_from_front()
            self.views.show_contours()
            return True
        if self.case is not None:
            self._select(self.case.key)
        return False

    def _select(self, key: CaseKey) -> None:
        """Select a patient in the lists, without opening it."""
        with suspend_callbacks(self):
            self.controls.center.value = key.center
            self._list_patients()
            self.controls.patient.value = key

    def _preview(self) -> bytes:
        """One slice as a picture: it is there at once, while the browser still loads the interactive views."""
        view, organs = self.case_view, [organ(name) for name in EVALUATED]
        index, window = view.start_voxel()[2], self.controls.window.value
        return SliceCanvas().draw(view.scan, "axial", index, window, view.truth, None, organs)

    def show_models(self) -> None:
        """Show the predictions of the chosen models in slices, in 3-D and in the table."""
        if self.quiet:
            return
        with self.show_errors():
            models = self.controls.chosen_models
            try:
                self.views.show(models)
            finally:
                sources = [*self.views.models, *([TRUTH] if self.case_view.truth is not None else [])]
                self.corrections.set_sources(sources)
            self.scores.set_model(models[0] if models else None)
            self._describe_crosshair()
            empty = " and ".join(str(model) for model in models if not self.case_view.segmentation(model).volume_ml)
            missed = f"{empty} drew nothing at all on this patient: every organ counts as missed."
            self.show_error(missed if empty else "")

    # --- controls and mouse -----------------------------------------------------------------------

    def _set_window(self) -> None:
        self.controls.range.value = window_limits(self.controls.window.value)

    def _set_contour_style(self) -> None:
        hidden = [k for k, button in enumerate(self.controls.layers) if not button.value]
        style = CONTOUR_STYLES[self.controls.contour_style.value]
        self.slices.contour_style = style | {"opacity": self.controls.opacity.value, "hidden": hidden}

    def move_crosshair(self, voxel: Voxel) -> None:
        """Move the crosshair in all slices and in 3-D."""
        self.slices.crosshair = [*voxel]
        self._crosshair_moved()

    def _slider_moved(self) -> None:
        if not self.quiet:
            x, y, z = (slider.value - 1 for slider in self.controls.planes)
            self.move_crosshair((x, y, z))

    def _crosshair_moved(self) -> None:
        """Let sliders, description and 3-D follow the crosshair."""
        with suspend_callbacks(self):
            for slider, index in zip(self.controls.planes, self.slices.crosshair, strict=True):
                slider.value = index + 1
        self._describe_crosshair()
        self.views.move_3d_crosshair()

    def _describe_crosshair(self) -> None:
        self.controls.crosshair_info.value = self._describe("crosshair", tuple(self.slices.crosshair))

    def _describe_pointer(self, voxel: Voxel) -> None:
        if all(0 <= v < n for v, n in zip(voxel, self.case_view.scan.shape, strict=True)):
            self.controls.pointer_info.value = self._describe("pointer", voxel)

    def _describe(self, what: str, voxel: Voxel) -> str:
        text = html.escape(self.case_view.describe_voxel(voxel, self.views.models))
        return f'<div class="pedseg-info pedseg-{what}" role="status"><b>{what}</b> {text}</div>'

    # --- failures and corrections -----------------------------------------------------------------

    def open_failure(self, entry: FailureEntry) -> None:
        """Open the case of an entry of the failure list, at the place of the failure."""
        if entry.case_key not in self.cases:
            name = entry.case_key.case
            self.show_error(f"The scan of {name} is not on this machine; the sentence is all there is.")
            return
        self._select(entry.case_key)
        is_open = self.case is not None and self.case.key == entry.case_key
        if is_open or self._open(entry.voxel):
            with self.show_errors():
                self._show_failure(entry)

    def _show_failure(self, entry: FailureEntry) -> None:
        voxel, organ_id = entry.voxel, organ(entry.organ).id if entry.organ else 0
        with suspend_callbacks(self):
            if entry.model in dict(self.controls.model.options).values():
                self.controls.model.value = entry.model
        if organ_id:
            self.views.organs.boxes[organ_id].value = True
            self.corrections.organ.value = entry.organ
            voxel = voxel or self.case_view.segmentation(entry.model).organ_center(organ_id)
        self.show_models()
        self.views.focus(organ_id)
        self.slices.marker = list(voxel or ())
        self.move_crosshair(voxel or self.case_view.start_voxel())

    def _look_at(self, name: str) -> None:
        """Go to an organ as the model has drawn it, and let it stand out."""
        if self.case is not None:
            self.move_crosshair(self.views.look_at(name) or self.case_view.start_voxel())

    def _save(self, correction: Correction) -> Path:
        assert self.case is not None
        original = read_nifti(self.case.image_file) if self.case.image_file else None
        return correction.save(lesson.runs() / "corrections", self.case.file_stem, original)

    # --- where there is no browser ----------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs):
        """The page for front ends that know widgets, one slice as a picture for all others."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        if self.case is None:
            return data
        scan, truth, index = self.case_view.scan, self.case_view.truth, self.case_view.start_voxel()[2]
        figure = figures.slice_figure(scan, "axial", index, title=self.controls.patient.label, truth=truth)
        return with_picture(data, figure, describe(scan, "axial", index, truth, None))
