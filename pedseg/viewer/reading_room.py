"""The reading room: one page (ipywidgets, served by Voilà or in JupyterLab) with slices, 3-D, organs and failures."""

from __future__ import annotations

import html
from collections import ChainMap
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from pedseg.dicom.exporting import export
from pedseg.errors import PedsegInputError, input_error
from pedseg.evaluation.trained_models import weight_files
from pedseg.importing.contour_sets import read_contours
from pedseg.organs import EVALUATED, organ
from pedseg.scan import Scan, read_nifti, restore_axes
from pedseg.viewer import case_list, shortcuts
from pedseg.viewer.case_list import CaseKey, Cases, ListedCase
from pedseg.viewer.case_view import TRUTH, CaseView, Voxel
from pedseg.viewer.controls import CONTOUR_STYLES, NOTHING, Controls, sentence
from pedseg.viewer.correction_panel import CORRECTED, CorrectionPanel
from pedseg.viewer.failure_list import FailureEntry, FailurePanel, list_failures
from pedseg.viewer.files_panel import FilesPanel
from pedseg.viewer.image_views import ImageViews
from pedseg.viewer.models import GatedPredictions, Predict, study_predictions
from pedseg.viewer.slices import window_limits, window_name
from pedseg.workbook import figures, lesson
from pedseg.workbook.slice_viewer import SliceCanvas, describe, suspend_callbacks, with_picture

LARGE = 20_000_000  # voxels: contours wait until the browser has the scan
LISTS = {"dicom": case_list.list_ct, "nifti": case_list.list_nifti, "data": case_list.list_data}


class ReadingRoom(widgets.VBox):
    """The page. `predict` gives the predictions of `models` on a scan, which may be computed when looked up."""

    def __init__(
        self,
        cases: Mapping[CaseKey, ListedCase],
        failures: list[FailureEntry],
        models: Sequence[Hashable],
        predict: Predict,
        start: Path | None = None,
    ) -> None:
        self.cases, self.predict = dict(cases), predict
        self.own_models: dict[Hashable, Path] = {}  # by name, opened in the page
        self.case: ListedCase | None = None  # the open one
        self.quiet = self._in_browser = self._waiting = False
        self.controls = Controls([*dict.fromkeys(key.center for key in cases)], models)
        self.views = ImageViews(self.controls)
        self.slices = self.views.slices
        self.failures = FailurePanel(failures, self.open_failure)
        self.corrections = CorrectionPanel(self.slices, self._drafts_changed, lambda act: self.show_errors()(act))
        self.files = FilesPanel(self._guarded(self.open_source), self._guarded(self.write), start or Path.cwd())
        panels = {
            "Organs": self.views.organs, "Failures": self.failures, "Differences": self.views.disagreements,
            "Correct": self.corrections, "Files": self.files, "Keys": widgets.HTML(shortcuts.HELP),
        }  # fmt: skip
        super().__init__(self.controls.page(self.slices, panels))
        self.add_class("pedseg-room")
        self.shortcuts = shortcuts.shortcut_actions(self.controls, self.views, lambda: self.failures, self.corrections)
        self._connect()
        if self.cases:
            self.choose_center()

    def _connect(self) -> None:
        """Let every control do what it says; without an open case only the case list and the files do anything."""

        def on(act: Callable[[], object], *sources: widgets.Widget, name: str = "value") -> None:
            for source in sources:
                source.observe(self.show_errors()(lambda _: act()), name)

        def if_open(act: Callable[..., object]) -> Callable[..., object]:
            return self.show_errors()(lambda *arguments: act(*arguments) if self.case is not None else None)

        controls, slices = self.controls, self.slices
        on(self.choose_center, controls.center)
        on(self.open_patient, controls.patient)
        on(if_open(self.show_models), controls.reference, controls.model, controls.second)
        on(self._window_chosen, controls.window)
        on(lambda: setattr(slices, "window", [*controls.range.value]), controls.range)
        on(self._window_set, slices, name="window")
        on(self._set_contour_style, controls.contour_style, controls.opacity, controls.smooth, *controls.layers)
        on(lambda: setattr(slices, "arrangement", controls.arrangement.value), controls.arrangement)
        on(lambda: setattr(slices, "drag_mode", controls.drag_mode.value), controls.drag_mode)
        on(if_open(self.views.show_surfaces), controls.coloring)
        on(self._slider_moved, *controls.planes)
        on(if_open(self._crosshair_moved), slices, name="crosshair")
        on(if_open(self.views.list_disagreements), controls.tabs, name="selected_index")
        on(if_open(self._pen_switched), self.corrections.on)
        on(self._ready, slices, name="ready")
        on(if_open(self._scan_arrived), slices, name="whole")
        on(if_open(self._webgl_changed), slices, name="webgl")
        controls.reset.on_click(lambda _: self.reset())
        controls.again_3d.on_click(if_open(lambda _: self._restart_3d()))
        slices.on_key = if_open(self.press)
        slices.on_hover = if_open(self._describe_pointer)
        self.views.on_pick = if_open(lambda position_mm: self.move_crosshair(self.case_view.to_voxel(position_mm)))

    @property
    def case_view(self) -> CaseView:
        """The open case with its contour sets."""
        return self.views.case_view

    def press(self, key: str) -> None:
        """Do what a keyboard shortcut stands for; other keys do nothing."""
        self.shortcuts.get(key, lambda: None)()

    def reset(self) -> None:
        """Zoom, place and window as at first."""
        self.slices.reset_count += 1
        self.slices.window = [*window_limits("soft tissue")]
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
        self._waiting = self.case_view.scan.voxels.size > LARGE and self.slices.whole != self.slices.scan["id"]
        if not self._waiting:
            self.show_models()

    def _scan_arrived(self) -> None:
        if self._waiting and self.slices.whole == self.slices.scan["id"]:
            self._waiting = False
            self.show_models()

    def _webgl_changed(self) -> None:
        """The browser has no 3-D, or has lost it: say so, and leave the rest as it is."""
        if self.slices.webgl != "ok":
            self.views.make_plots()

    def _restart_3d(self) -> None:
        self.slices.webgl = "ok"
        self.views.plots = {}
        self.views.make_plots()
        self.views.show_surfaces()

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
        """Open the chosen patient: the scan at once, then the contours."""
        if not self.quiet and self.controls.patient.value is not None and self._open() and self._in_browser:
            self._show_models_soon()

    def _open(self, voxel: Voxel | None = None) -> bool:
        """Show the scan of the chosen patient, with the truth if it is known; whether that could be done."""
        self.show_error()
        case = self.cases[self.controls.patient.value]
        with self.show_errors(f" Still shown: {self.case.title}." if self.case else " Choose another patient."):
            scan, truth = case.open()
            predictions = self.predict(scan, case, lambda: self.files.anyway.value)
            own = {} if truth is None else {TRUTH: truth.voxels}
            contours: Mapping[Hashable, NDArray] = ChainMap(predictions, case.contours())  # type: ignore[arg-type]
            view = CaseView(scan, own.get(TRUTH), contours, [*predictions])
            if self.case is not None and self.case.own is not None and self.case is not case:
                self.case.own.close()
            self.case = case
            self.controls.pointer_info.value = ""
            self.views.open(view, case.axes)
            self._open_models(predictions)
            self.corrections.set_case(view, lesson.runs() / "drafts" / case.file_stem)
            if self.corrections.drafts and self.corrections.drafts.organs:
                view.add(CORRECTED, self._corrected)
            if not self._in_browser:
                self.controls.preview.value = self._preview()
            self._list_sets()
            with suspend_callbacks(self):
                for k, slider in enumerate(self.controls.planes):
                    slider.max = scan.shape[k]
            self._offer_files()
            self.move_crosshair(voxel or view.start_voxel())
            self.views.view_from_front()
            if truth is not None:
                self.views.show_contours()
            return True
        if self.case is not None:
            self._select(self.case.key)
        return False

    def _open_models(self, predictions: Mapping[Hashable, NDArray]) -> None:
        """Offer the models that were opened in the page for this patient, too."""
        self._gated = [predictions] if isinstance(predictions, GatedPredictions) else []
        for name in self.own_models:
            self._add_model(name)

    def _add_model(self, name: Hashable) -> None:
        assert self.case is not None
        view, own = self.case_view, self.case.own
        header = own.ct.header if own is not None and own.ct is not None else {}
        path = own.path if own is not None else Path(self.case.key.case)
        files = {name: self.own_models[name]}
        gated = GatedPredictions(view.scan, files, path, header, lambda: self.files.anyway.value)
        self._gated.append(gated)
        view.add(name, lambda: gated[name])
        view.models = [*view.models, name]

    def _list_sets(self) -> None:
        """Offer the contour sets of this patient."""
        assert self.case is not None
        view = self.case_view
        sets = [name for name in view.sets if name not in view.models]
        with suspend_callbacks(self):
            self.controls.set_models(sets, view.models, view.reference, at_once=not self.case.is_own)
            sources = [*sets, *view.models] if self.case.is_own else [*view.models, *sets]
            self.corrections.set_sources([name for name in sources if name != CORRECTED])

    def _select(self, key: CaseKey) -> None:
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
        self.show_error()
        view, models = self.case_view, self.controls.chosen_models
        with self.show_errors():
            self._set_reference(self.controls.chosen_reference)
        with self.show_errors():
            try:
                self.views.show(models)
            finally:
                self._offer_files()
            self._describe_crosshair()
            empty = [str(model) for model in self.views.models if not view.segmentation(model).volume_ml]
            if empty:
                missed = " Every organ counts as missed." if view.reference == TRUTH else ""
                self.show_error(f"{' and '.join(empty)} drew nothing at all on this patient.{missed}")

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

    # --- files ------------------------------------------------------------------------------------

    def _guarded(self, act: Callable[..., str]) -> Callable[..., str]:
        def guarded(*arguments: Any) -> str:
            self.show_error()
            with self.show_errors():
                return act(*arguments)
            return ""

        return guarded

    def open_source(self, kind: str, path: Path, name: str) -> str:
        """Open what the user has chosen (`files_panel.KINDS`); gives back what to tell."""
        if not path.exists():
            raise input_error("E-FILE-MISSING", path, "there is no such file or folder.", "Check the path.")
        if kind in LISTS:
            return self._open_cases(LISTS[kind](path))
        if kind == "study":
            return self.open_study(path)
        if self.case is None:
            raise input_error("E-NO-SCAN", path, "no scan is open.", "Open the scan first.")
        if kind == "model":
            self.own_models[path.stem] = path
            self._add_model(path.stem)
            return self._show_set(path.stem)
        return self._add_contours(path, name.strip() or path.name.split(".")[0])

    def _open_cases(self, cases: Cases) -> str:
        """Add cases to the list, and open the first."""
        if not cases:
            raise input_error("E-NO-SCAN", "what was chosen", "it holds no scan.", "Choose another folder.")
        self.cases = {**cases, **self.cases} | cases
        first = next(iter(cases))
        with suspend_callbacks(self):
            self.controls.center.options = [*dict.fromkeys(key.center for key in self.cases)]
        self._select(first)
        self.open_patient()
        if self.case is None or self.case.key != first:
            return ""
        found = [name for name in self.case_view.sets if name not in self.case_view.models]
        messages = self.case.own.messages if self.case.own else []
        contours = f"Contours: {', '.join(map(str, found))}." if found else "No contours lie beside it."
        return "\n".join([f"{len(cases)} scan(s) opened. {contours}", *messages])

    def open_study(self, study: Path) -> str:
        """Take models and failures of another study; its own, never the recorded one's."""
        files = weight_files(study)
        if not files:
            problem = "no weights of a study are here."
            raise input_error("E-NO-WEIGHTS", study, problem, "Choose the folder that `study` has written.")
        entries = list_failures(study)
        self.cases = {key: case for key, case in self.cases.items() if key.kind not in case_list.OF_STUDY}
        self.cases |= case_list.list_cases([], study)
        self.predict = study_predictions(study)
        index = list(self.controls.tabs.children).index(self.failures)
        self.failures = FailurePanel(entries, self.open_failure)
        children = list(self.controls.tabs.children)
        self.controls.tabs.children = [*children[:index], self.failures, *children[index + 1 :]]
        with suspend_callbacks(self):
            self.controls.center.options = [*dict.fromkeys(key.center for key in self.cases)]
        if self.cases:
            key = self.case.key if self.case is not None and self.case.key in self.cases else next(iter(self.cases))
            self._select(key)
            self.open_patient()
        return f"{len(files)} models and {len(entries)} failures of the study {study.name}."

    def _add_contours(self, file: Path, name: str) -> str:
        assert self.case is not None
        view, own = self.case_view, self.case.own
        if name in view.sets:
            raise input_error("E-SET-TWICE", file, f"there are contours called {name} already.", "Give another name.")
        if own is not None:
            own.files[name] = file
            try:
                labels = own.read_set(name, file)
            except PedsegInputError:
                del own.files[name]
                raise
            messages = own.messages
        else:
            contours = read_contours(file, view.scan)
            labels, messages = contours.labels.voxels, [*contours.messages]
        view.add(name, lambda: labels)
        return "\n".join([self._show_set(name), *messages])

    def _show_set(self, name: Hashable) -> str:
        """Show a new contour set: as the reference if there is none, else beside it."""
        self._list_sets()
        with suspend_callbacks(self):
            control = self.controls.reference if self.case_view.reference is None else self.controls.model
            control.value = name
        self.show_models()
        return f"{name} is shown as {'A, solid' if control is self.controls.reference else 'B, dashed'}."

    def _offer_files(self) -> None:
        """The contour sets that can be written: those that are shown, and the corrected one."""
        assert self.case is not None
        view, own = self.case_view, self.case.own
        sources = [*dict.fromkeys([*([CORRECTED] if CORRECTED in view.sets else []), *self.views.shown])]
        if self.files.case is not self.case:
            self.files.case = self.case
            beside = own.path if own is not None else self.case.image_file
            self.files.set_case(sources, beside, self.case.file_stem, dicom=own is not None and own.ct is not None)
        self.files.set_sources(sources)

    def write(self, source: Hashable, kind: str, file: Path) -> str:
        """Write a contour set of the open case; RTSTRUCT and SEG are read back. No file is overwritten."""
        assert self.case is not None
        if file.exists():
            raise input_error("E-FILE", file, "this file exists already.", "Name another one.")
        view, own = self.case_view, self.case.own
        start = self.corrections.start_from.value if source == CORRECTED else source
        gated = next((gated for gated in self._gated if start in gated), None)
        drawn = "MANUAL" if start not in view.models else "SEMIAUTOMATIC" if source == CORRECTED else "AUTOMATIC"
        labels = Scan(view.segmentation(source).labels, view.scan.affine)
        ct = own.ct if own is not None else None
        if kind == "nnunet":
            labels = self._on_own_grid(labels)
        note = gated.notes.get(start, "") if gated is not None else ""
        given: dict[str, Any] = {"kind": kind, "ct": ct, "name": file, "description": note, "drawn_by": drawn}
        lines = export(labels, file, **given)
        checked = "" if kind == "nnunet" else ", read back and compared. Nobody has approved it"
        return "\n".join([f"{source} written to {file}{checked}.", *lines, *filter(None, [note])])

    def _on_own_grid(self, labels: Scan) -> Scan:
        assert self.case is not None
        if self.case.own is not None:
            return restore_axes(labels.voxels, self.case.own.grid)
        return restore_axes(labels.voxels, read_nifti(self.case.image_file)) if self.case.image_file else labels

    # --- controls and mouse -----------------------------------------------------------------------

    def _window_chosen(self) -> None:
        if self.controls.window.value is not None:
            self.slices.window = [*window_limits(self.controls.window.value)]

    def _window_set(self) -> None:
        """A window was set, by button, slider or mouse: all of them say so."""
        low, high = self.slices.window
        self.controls.range.value = (low, high)
        self.controls.window.value = window_name((low, high))

    def _set_contour_style(self) -> None:
        hidden = [k for k, button in enumerate(self.controls.layers) if not button.value]
        style = CONTOUR_STYLES[self.controls.contour_style.value]
        others = {"opacity": self.controls.opacity.value, "smooth": self.controls.smooth.value, "hidden": hidden}
        self.slices.contour_style = style | others

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

    def _corrected(self) -> NDArray[np.uint8]:
        labels = self.corrections.corrected()
        return np.zeros(self.case_view.scan.shape, np.uint8) if labels is None else labels

    def _drafts_changed(self) -> None:
        """A draft has changed: the corrected contours are made anew when they are looked at."""
        is_new = CORRECTED not in self.case_view.sets
        self.case_view.add(CORRECTED, self._corrected)
        if is_new:
            self._list_sets()
            self._offer_files()
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
