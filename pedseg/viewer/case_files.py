"""What the files panel does: open scans, contours, models and studies of one's own, and write a contour set."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from pedseg.dicom.exporting import export
from pedseg.errors import input_error
from pedseg.evaluation.trained_models import weight_files
from pedseg.importing.contour_sets import read_contours
from pedseg.scan import Scan, read_nifti, restore_axes
from pedseg.viewer import case_list
from pedseg.viewer.case_list import Cases, ListedCase
from pedseg.viewer.correction_panel import CORRECTED
from pedseg.viewer.failure_list import list_failures
from pedseg.viewer.models import GatedPredictions, study_predictions

if TYPE_CHECKING:
    from pedseg.viewer.reading_room import ReadingRoom

LISTS = {"dicom": case_list.list_ct, "nifti": case_list.list_nifti, "data": case_list.list_data}


class CaseFiles:
    """The files of the open case, and what else is opened in the page."""

    def __init__(self, room: ReadingRoom) -> None:
        self.room = room
        self.models: dict[Hashable, Path] = {}  # opened in the page, by name
        self._gated: list[GatedPredictions] = []  # of the open case

    def open(self, kind: str, path: Path, name: str) -> str:
        """Open what the user has chosen (`files_panel.KINDS`); gives back what to say."""
        if not path.exists():
            raise input_error("E-FILE-MISSING", path, "there is no such file or folder.", "Check the path.")
        if kind in LISTS:
            return self._open_cases(LISTS[kind](path))
        if kind == "study":
            return self._open_study(path)
        case = self._open_case(path)
        if kind == "model":
            self.models[path.stem] = path
            self._add_model(case, path.stem)
            return self.room.show_set(path.stem)
        return self._add_contours(case, path, name.strip() or path.name.split(".")[0])

    def _open_case(self, path: Path) -> ListedCase:
        if self.room.case is None:
            raise input_error("E-NO-SCAN", path, "no scan is open.", "Open the scan first.")
        return self.room.case

    def _open_cases(self, cases: Cases) -> str:
        """Add cases to the list, and open the first."""
        if not cases:
            raise input_error("E-NO-SCAN", "what was chosen", "it holds no scan.", "Choose another folder.")
        room = self.room
        room.set_cases({**cases, **room.cases} | cases)
        first = next(iter(cases))
        room.select(first)
        room.open_patient()
        if room.case is None or room.case.key != first:
            return ""
        names = [name for name in room.case_view.sets if name not in room.case_view.models]
        contours = f"Contours: {', '.join(map(str, names))}." if names else "No contours lie beside it."
        return "\n".join([f"{len(cases)} scan(s) opened. {contours}", *self._messages(room.case)])

    @staticmethod
    def _messages(case: ListedCase) -> list[str]:
        return case.own.messages if case.own is not None else []

    def _open_study(self, study: Path) -> str:
        """Take models and failures of another study; its own, never the recorded one's."""
        files, room = weight_files(study), self.room
        if not files:
            remedy = "Choose the folder that `study` has written."
            raise input_error("E-NO-WEIGHTS", study, "no weights of a study are here.", remedy)
        entries = list_failures(study)
        kept = {key: case for key, case in room.cases.items() if key.kind not in case_list.OF_STUDY}
        room.predict = study_predictions(study)
        room.set_failures(entries)
        room.set_cases(kept | case_list.list_cases([], study))
        if room.cases:
            room.select(room.case.key if room.case and room.case.key in room.cases else next(iter(room.cases)))
            room.open_patient()
        return f"{len(files)} models and {len(entries)} failures of the study {study.name}."

    def _add_contours(self, case: ListedCase, file: Path, name: str) -> str:
        view = self.room.case_view
        if name in view.sets:
            raise input_error("E-SET-TWICE", file, f"there are contours called {name} already.", "Give another name.")
        if case.own is not None:
            labels = case.own.add_set(name, file)
            messages = case.own.messages
        else:
            contours = read_contours(file, view.scan)
            labels, messages = contours.labels.voxels, [*contours.messages]
        view.add(name, lambda: labels)
        return "\n".join([self.room.show_set(name), *messages])

    # --- models -----------------------------------------------------------------------------------

    def offer_models(self, case: ListedCase, predictions: Mapping[Hashable, NDArray]) -> None:
        """Offer the models that were opened in the page for another patient, too."""
        self._gated = [predictions] if isinstance(predictions, GatedPredictions) else []
        for name in self.models:
            self._add_model(case, name)

    def _add_model(self, case: ListedCase, name: Hashable) -> None:
        view, anyway = self.room.case_view, self.room.files.anyway
        gated = GatedPredictions(view.scan, {name: self.models[name]}, *case.origin, lambda: anyway.value)
        self._gated.append(gated)
        view.add(name, lambda: gated[name])
        view.models = [*view.models, name]

    # --- writing ----------------------------------------------------------------------------------

    def offer(self, shown: Iterable[Hashable]) -> None:
        """The contour sets that can be written: the corrected one, and those that are shown."""
        panel, case, view = self.room.files, self.room.case, self.room.case_view
        assert case is not None
        if panel.case is not case:
            panel.case = case
            beside = case.own.path if case.own is not None else case.image_file and case.image_file.parents[1]
            panel.set_case(beside, case.file_stem, dicom=case.own is not None and case.own.ct is not None)
        corrected = [CORRECTED] if CORRECTED in view.sets else []
        panel.set_sources([*dict.fromkeys([*corrected, *shown])])

    def write(self, source: Hashable, kind: str, file: Path) -> str:
        """Write a contour set of the open case; RTSTRUCT and SEG are read back. No file is overwritten."""
        case, view = self._open_case(file), self.room.case_view
        if file.exists():
            raise input_error("E-FILE", file, "this file exists already.", "Name another one.")
        start = self.room.corrections.start_from.value if source == CORRECTED else source
        by_program = "SEMIAUTOMATIC" if source == CORRECTED else "AUTOMATIC"
        note = next((gated.notes.get(start, "") for gated in self._gated if start in gated), "")
        labels = Scan(view.segmentation(source).labels, view.scan.affine)
        lines = export(
            self._on_own_grid(case, labels) if kind == "nnunet" else labels, file, kind=kind, name=file,
            ct=case.own.ct if case.own is not None else None, description=note,
            drawn_by=by_program if start in view.models else "MANUAL",
        )  # fmt: skip
        checked = "" if kind == "nnunet" else ", read back and compared. Nobody has approved it"
        return "\n".join([f"{source} written to {file}{checked}.", *lines, *filter(None, [note])])

    @staticmethod
    def _on_own_grid(case: ListedCase, labels: Scan) -> Scan:
        """A label map with the axes of the scan's own file."""
        if case.own is not None:
            return restore_axes(labels.voxels, case.own.grid)
        return restore_axes(labels.voxels, read_nifti(case.image_file)) if case.image_file else labels
