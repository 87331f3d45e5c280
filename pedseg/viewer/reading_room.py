"""The reading room: one page (ipywidgets, served by Voilà or in JupyterLab) with slices, 3-D, organs and failures."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

import ipywidgets as widgets

from pedseg.organs import EVALUATED, organ
from pedseg.viewer import shortcuts
from pedseg.viewer.case_files import CaseFiles
from pedseg.viewer.case_list import CaseKey, ListedCase
from pedseg.viewer.case_view import TRUTH, CaseView, Voxel
from pedseg.viewer.controls import NOTHING, Controls
from pedseg.viewer.correction_panel import CORRECTED, CorrectionPanel
from pedseg.viewer.failure_list import FailureEntry
from pedseg.viewer.failure_panel import FailurePanel
from pedseg.viewer.files_panel import FilesPanel
from pedseg.viewer.image_views import ImageViews
from pedseg.viewer.models import Predict, grid_note
from pedseg.viewer.navigation import Navigation
from pedseg.viewer.page_errors import PageErrors
from pedseg.viewer.score_panel import ScorePanel
from pedseg.viewer.slices import window_name
from pedseg.workbook import figures, lesson
from pedseg.workbook.slice_viewer import SliceCanvas, describe, suspend_callbacks, with_picture


class ReadingRoom(widgets.VBox):
    """The page. `predict` gives the predictions of `models` on a scan, which may be computed when looked up."""

    def __init__(
        self, cases: Mapping[CaseKey, ListedCase], failures: list[FailureEntry], models: Sequence[Hashable],
        predict: Predict, start: Path | None = None,
    ) -> None:  # fmt: skip
        self.cases, self.predict = dict(cases), predict
        self.case: ListedCase | None = None  # the open one
        self.quiet = self._in_browser = self._waiting = False
        self.controls = Controls([*dict.fromkeys(key.center for key in cases)], models)
        self.errors = PageErrors(self.controls.error)
        self.views = ImageViews(self.controls)
        self.slices = self.views.slices
        self.failures = self._failure_panel(failures)
        self.corrections = CorrectionPanel(self.slices, self._drafts_changed, self.errors.guard)
        self.case_files = CaseFiles(self)
        opening, writing = self.errors.guard_text(self.case_files.open), self.errors.guard_text(self.case_files.write)
        self.files = FilesPanel(opening, writing, start or Path.cwd())
        self.scores = ScorePanel(lambda: self.failures, lambda name: self.navigation.look_at(name), self.open_patient)
        panels = {
            "Organs": self.views.organs, "Failures": self.failures, "Differences": self.views.disagreements,
            "Correct": self.corrections, "Dose": self.views.dose, "Score": self.scores, "Files": self.files,
            "Keys": widgets.HTML(shortcuts.HELP),
        }  # fmt: skip
        super().__init__(self.controls.page(self.slices, panels))
        self.add_class("pedseg-room")
        self.shortcuts = shortcuts.shortcut_actions(self.controls, self.views, lambda: self.failures, self.corrections)
        self._connect()
        if self.cases:
            self.choose_center()

    def _connect(self) -> None:
        """Let every control do what it says; without an open case only the case list and the files do anything."""

        def if_open(act: Callable[..., object]) -> Callable[..., object]:
            return self.errors.guard(lambda *arguments: act(*arguments) if self.case is not None else None)

        controls, slices, on = self.controls, self.slices, self.errors.connect
        on(self.choose_center, controls.center)
        on(self.open_patient, controls.patient)
        on(if_open(self.show_models), controls.reference, controls.model, controls.second)
        on(if_open(self.views.show_surfaces), controls.coloring)
        on(if_open(self.views.fill_panels), controls.tabs, name="selected_index")
        on(if_open(self._pen_switched), self.corrections.on)
        on(self._ready, slices, name="ready")
        on(if_open(lambda: self._show_models_soon() if self._waiting else None), slices, name="whole")
        on(if_open(self.views.webgl_changed), slices, name="webgl")
        controls.reset.on_click(lambda _: self.reset())
        controls.again_3d.on_click(if_open(lambda _: self.views.restart_3d()))
        slices.on_key = if_open(self.press)
        self.navigation = Navigation(controls, self.views, self.errors, if_open)

    @property
    def case_view(self) -> CaseView:
        """The open case with its contour sets."""
        return self.views.case_view

    def press(self, key: str) -> None:
        """Do what a keyboard shortcut stands for; other keys do nothing."""
        if not (self.views.is_open(self.scores) and self.scores.press(key)):
            self.shortcuts.get(key, lambda: None)()

    def reset(self) -> None:
        """Zoom, place and window as at first."""
        self.navigation.reset()
        if self.case is not None:
            self.views.view_from_front()

    def _ready(self) -> None:
        """A browser shows the page: only now is there time for the models, which keep the kernel busy for a while."""
        self._in_browser = True
        self.controls.preview.layout.display = "none"
        if self.case is not None:
            self._show_models_soon()

    def _show_models_soon(self) -> None:
        """Show contours and surfaces: of a large scan when the browser has it, so that its slices need not wait."""
        self._waiting = self.slices.is_loading
        if not self._waiting:
            self.show_models()

    # --- opening a case ---------------------------------------------------------------------------

    def choose_center(self) -> None:
        """List the patients of a center and open the first."""
        if not self.quiet:
            with suspend_callbacks(self):
                self._list_patients()
            self.open_patient()

    def _list_patients(self) -> None:
        keys = [key for key in self.cases if key.center == self.controls.center.value]
        same = [key for key in keys if self.case is not None and key.case == self.case.key.case]  # in other voxels
        self.controls.patient.options = [(self.cases[key].title, key) for key in keys]
        self.controls.patient.value = [*same, *keys][0]

    def open_patient(self) -> None:
        """Open the chosen patient: the scan at once, then the contours."""
        if not self.quiet and self.controls.patient.value is not None and self._open() and self._in_browser:
            self._show_models_soon()

    def _open(self, voxel: Voxel | None = None) -> bool:
        """Show the scan of the chosen patient, with the truth if it is known; whether that could be done."""
        self.errors.show()
        case, old = self.cases[self.controls.patient.value], self.case
        with self.errors.caught(f" Still shown: {old.title}." if old else " Choose another patient."):
            scan, truth = case.open()
            predictions = self.predict(scan, case, lambda: self.files.anyway.value)
            view = self.scores.case_view(case.key, scan, truth, predictions, case.contours())
            view.note = grid_note(predictions, scan)
            if voxel is None and old is not None and case.shows_same(old):
                voxel = view.to_voxel(self.case_view.to_mm(self.slices.crosshair))
            if old is not None and old.own is not None and old is not case:
                old.own.close()
            self.case = case
            self.views.open(view, case.axes)
            self.case_files.offer_models(case, predictions)
            self._show_case(case, view, voxel or view.start_voxel())
            return True
        if old is not None:
            self.select(old.key)
        return False

    def _show_case(self, case: ListedCase, view: CaseView, voxel: Voxel) -> None:
        """Let lists, sliders, drafts and 3-D be those of another case."""
        self.corrections.set_case(view, lesson.runs() / "drafts" / case.file_stem)
        if self.corrections.has_drafts:
            view.add(CORRECTED, self.corrections.corrected)
        if not self._in_browser:
            self.controls.preview.value = self._preview()
        self._list_sets()
        self.navigation.set_size(view.scan.shape)
        self.case_files.offer(self.views.shown)
        self.navigation.move_crosshair(voxel)
        self.views.view_from_front()
        if view.truth is not None:
            self.views.show_contours()

    def set_cases(self, cases: Mapping[CaseKey, ListedCase]) -> None:
        """List other cases; the open one stays on the page."""
        self.cases = dict(cases)
        with suspend_callbacks(self):
            self.controls.center.options = [*dict.fromkeys(key.center for key in self.cases)]

    def set_failures(self, entries: list[FailureEntry]) -> None:
        """List the failures of another study."""
        old, self.failures = self.failures, self._failure_panel(entries)
        tabs = self.controls.tabs
        tabs.children = [self.failures if panel is old else panel for panel in tabs.children]

    def show_set(self, name: Hashable) -> str:
        """Show a new contour set: as the reference if there is none, else beside it."""
        self._list_sets()
        is_first = self.case_view.reference is None
        with suspend_callbacks(self):
            (self.controls.reference if is_first else self.controls.model).value = name
        self.show_models()
        return f"{name} is shown as {'A, solid' if is_first else 'B, dashed'}."

    def _list_sets(self) -> None:
        """Offer the contour sets of this patient."""
        assert self.case is not None
        view = self.case_view
        sets = [name for name in view.sets if name not in view.models]
        with suspend_callbacks(self):
            self.controls.set_models(sets, view.models, view.reference, at_once=not self.case.is_own)
            sources = [*sets, *view.models] if self.case.is_own else [*view.models, *sets]
            self.corrections.set_sources([name for name in sources if name != CORRECTED])

    def select(self, key: CaseKey) -> None:
        """Select a patient in the lists, without opening it."""
        with suspend_callbacks(self):
            self.controls.center.value = key.center
            self._list_patients()
            self.controls.patient.value = key

    def _preview(self) -> bytes:
        """One slice as a picture: it is there at once, while the browser still loads the interactive views."""
        view, organs = self.case_view, [organ(name) for name in EVALUATED]
        index, window = view.start_voxel()[2], window_name(self.slices.window) or "soft tissue"
        return SliceCanvas().draw(view.scan, "axial", index, window, view.truth, None, organs)

    def show_models(self) -> None:
        """Show the reference and the chosen contour sets in slices, in 3-D and in the table."""
        if self.quiet:
            return
        self.errors.show()
        view, models = self.case_view, self.controls.chosen_models
        with self.errors.caught():
            self._set_reference(self.controls.chosen_reference)
        with self.errors.caught():
            try:
                self.views.show(models)
            finally:
                self.case_files.offer(self.views.shown)
            self.scores.set_model(models[0] if models else None)
            self.navigation.describe_crosshair()
            empty = [str(model) for model in self.views.models if not view.segmentation(model).volume_ml]
            if empty:
                missed = " Every organ counts as missed." if view.reference == TRUTH else ""
                self.errors.show(f"{' and '.join(empty)} drew nothing at all on this patient.{missed}")

    def _set_reference(self, name: Hashable) -> None:
        """Compare with this contour set; with none where it cannot be read."""
        view, view.reference = self.case_view, None
        try:
            view.segmentation(name)
            view.reference = name
        except Exception:
            with suspend_callbacks(self):
                self.controls.reference.value = NOTHING
            raise

    # --- failures and corrections -----------------------------------------------------------------

    def _failure_panel(self, entries: list[FailureEntry]) -> FailurePanel:
        return FailurePanel(entries, self.open_failure, lambda: self.controls.bring_to_front(self.failures))

    def open_failure(self, entry: FailureEntry) -> None:
        """Open the case of an entry of the failure list, at the place of the failure."""
        if entry.case_key not in self.cases:
            name = entry.case_key.case
            self.errors.show(f"The scan of {name} is not on this machine; the sentence is all there is.")
            return
        self.select(entry.case_key)
        is_open = self.case is not None and self.case.key == entry.case_key
        if is_open or self._open(entry.voxel):
            with self.errors.caught():
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
        self.navigation.move_crosshair(voxel or self.case_view.start_voxel())

    def _drafts_changed(self) -> None:
        """A draft has changed: the corrected contours are made anew when they are looked at."""
        is_new = CORRECTED not in self.case_view.sets
        self.case_view.add(CORRECTED, self.corrections.corrected)
        if is_new:
            self._list_sets()
            self.case_files.offer(self.views.shown)
            self.files.source.value = CORRECTED
        elif CORRECTED in self.views.shown:
            self.views.show_contours()

    def _pen_switched(self) -> None:
        """The pen rests: what is shown of the corrected contours is measured again."""
        if not self.corrections.on.value and CORRECTED in self.views.shown:
            self.show_models()

    # --- where there is no browser ----------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs):
        """The page for front ends that know widgets, one slice as a picture for all others."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        if self.case is None:
            return data
        scan, truth, index = self.case_view.scan, self.case_view.truth, self.case_view.start_voxel()[2]
        figure = figures.slice_figure(scan, "axial", index, title=self.controls.patient.label, truth=truth)
        return with_picture(data, figure, describe(scan, "axial", index, truth, None))
