"""The exhibit's files: scans and contours of a study's test patients as NIfTI, scores and failures as JSON.

A page without a kernel (`static/exhibit.js`) shows them: slices with the reading room's viewer, surfaces with NiiVue's
own script. The contours are what the recorded networks predict when the site is built. Rounded gray values halve
the size of the scans, most of which is noise.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.evaluation.failure_reasons import CAUSES
from pedseg.evaluation.failures import read_failures
from pedseg.evaluation.results import ModelKey, read_rows, rows_file
from pedseg.evaluation.severity import varied
from pedseg.evaluation.trained_models import LazyPredictions, weight_files
from pedseg.files import write_atomically
from pedseg.organs import EVALUATED, ORGANS, organ
from pedseg.scan import WINDOWS, Scan, write_nifti
from pedseg.viewer import npm
from pedseg.viewer.case_list import STUDY, ListedCase, list_cases
from pedseg.viewer.case_view import CaseView
from pedseg.viewer.failure_list import KINDS, LISTS, FailureEntry, FailureList, list_failures, map_cells
from pedseg.viewer.slices import SCRIPTS, javascript
from pedseg.workbook.figures import is_dark

NIIVUE = "@niivue/niivue@0.69.0"
NIIVUE_SHA256 = "6e9a6a471b428eb3b258a0086beca9187d95e43a781a39e8a519c6da246af485"
SOFT_TISSUE_HU = -200, 300
ROUNDED_HU = 10, 40  # in soft tissue, and beyond
FAILURE_MAP = tuple(Path(__file__).parents[1] / "viewer" / f"failure_map.{end}" for end in ("js", "css"))


@dataclass(frozen=True)
class Exhibit:
    """The exhibit of a study in the folder `out`; `fingerprint` names the state of the library that it shows."""

    study: Path
    out: Path
    fingerprint: str
    cases: int = 0  # so many of each center, 0 for all

    @property
    def is_current(self) -> bool:
        """Whether the folder holds this exhibit already."""
        file = self.out / "fingerprint"
        return file.is_file() and file.read_text() == self._fingerprint()

    def _fingerprint(self) -> str:
        """Of the library's state, of what is asked for, and of the files that are copied."""
        digest = hashlib.sha256(f"{self.fingerprint} {self.cases}".encode())
        digest.update(Path(__file__).read_bytes() + javascript(*SCRIPTS).encode())
        for file in FAILURE_MAP:
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def build(self) -> Iterator[str]:
        """Write scans, contours, scores, failures and NiiVue, unless they are there; yields each patient's title."""
        if self.is_current:
            return
        cases = self._cases()
        if not cases:
            problem = "it is no study of the virtual centers, whose patients can be scanned again."
            raise input_error("E-OTHER-CENTERS", self.study, problem, "Run `python3 run.py study` first.")
        shutil.rmtree(self.out, ignore_errors=True)
        fetch_scripts(self.out)
        models = weight_files(self.study)
        starts = {}
        for case in cases:
            starts[case.key.case] = self._write_case(case, models)
            yield case.title
        described = describe_study(self.study, cases, models, starts)
        write_atomically(self.out / "exhibit.json", json.dumps(described, separators=(",", ":")).encode())
        write_atomically(self.out / "fingerprint", self._fingerprint().encode())

    def _cases(self) -> list[ListedCase]:
        """The study's test patients, supine."""
        cases = [case for key, case in list_cases([], self.study).items() if key.kind == STUDY]
        if not self.cases:
            return cases
        centers = dict.fromkeys(case.key.center for case in cases)
        return [case for center in centers for case in [c for c in cases if c.key.center == center][: self.cases]]

    def _write_case(self, case: ListedCase, models: dict[ModelKey, Path]) -> list[int]:
        """Write scan, truth and predictions of one patient; gives the voxel to look at first."""
        scan, truth = case.open()
        predictions = LazyPredictions(scan, models)
        folder = self.out / case.key.case
        self._write(folder / "ct.nii.gz", scan, rounded(scan.voxels))
        assert truth is not None  # a phantom has one
        self._write(folder / "truth.nii.gz", scan, truth.voxels.astype(np.uint8))
        for key in models:
            self._write(folder / f"{key.file_name}.nii.gz", scan, predictions[key].astype(np.uint8))
        return [*CaseView(scan, truth.voxels).start_voxel()]

    @staticmethod
    def _write(file: Path, scan: Scan, voxels: NDArray) -> None:
        # As in the reading room: without a rotation, slices stay what was contoured.
        write_nifti(file, Scan(voxels, np.diag([*scan.spacing_mm, 1.0])), note="pedseg: a synthetic child")


def rounded(voxels_hu: NDArray) -> NDArray[np.int16]:
    """Gray values rounded as `ROUNDED_HU` says, in soft tissue and beyond."""
    fine, coarse = (step * np.round(voxels_hu / step) for step in ROUNDED_HU)
    low, high = SOFT_TISSUE_HU
    return np.where((voxels_hu >= low) & (voxels_hu <= high), fine, coarse).astype(np.int16)


def fetch_scripts(out: Path) -> None:
    """Put NiiVue, the reading room's slice viewer and its map of failures into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as work:
        package = npm.fetch(NIIVUE, NIIVUE_SHA256, Path(work))
        shutil.copyfile(package / "dist" / "niivue.umd.js", out / "niivue.umd.js")
    write_atomically(out / "slices.js", f"{javascript(*SCRIPTS)}\nexport {{ SliceViewer }};\n".encode())
    for file in FAILURE_MAP:
        shutil.copyfile(file, out / file.name)


def describe_study(
    study: Path, cases: list[ListedCase], models: dict[ModelKey, Path], starts: dict[str, list[int]]
) -> dict[str, Any]:
    """Organs, windows, models, patients with their scores, and failures, as the page reads them."""
    rows = read_rows(rows_file(study))
    rows = rows[rows["seed"] == 0]
    shown = {case.key.case for case in cases}
    listed = [entry for entry in list_failures(study) if entry.group != "side" and entry.case_key.case in shown]
    entries = FailureList(listed, study)
    return {
        "organs": [
            {
                "id": o.id, "name": o.name, "plain": o.plain, "color": o.color, "dark": is_dark(o.color),
                "evaluated": o.name in EVALUATED,
            }
            for o in ORGANS
        ],
        "windows": {name: [center - width / 2, center + width / 2] for name, (center, width) in WINDOWS.items()},
        "models": [{"key": key.file_name, "title": str(key)} for key in models],
        "cases": [
            {
                "key": case.key.case, "center": case.key.center, "title": case.title, "start": starts[case.key.case],
                "scores": _scores(rows[rows["case"] == case.key.case], models),
            }
            for case in cases
        ],
        "failures": _failures(study, entries),
        "map": map_cells(entries) | {"tested": _counted(cases)},
        **_filters(entries),
    }  # fmt: skip


def _filters(entries: list[FailureEntry]) -> dict[str, dict[str, str]]:
    """Kinds, causes and lists that occur, with their words."""
    kinds, causes = ({key for entry in entries for key in getattr(entry, name)} for name in ("kinds", "causes"))
    groups = {entry.group for entry in entries}
    choices = {"kinds": (KINDS, kinds), "causes": (CAUSES, causes), "lists": (LISTS, groups)}
    return {name: {key: text for key, text in words.items() if key in keys} for name, (words, keys) in choices.items()}


def _counted(cases: list[ListedCase]) -> str:
    """How many patients of a center are shown, in words."""
    centers = [case.key.center for case in cases]
    return " or ".join(map(str, sorted({centers.count(center) for center in centers})))


def _scores(rows: pd.DataFrame, models: dict[ModelKey, Path]) -> dict[str, dict[int, list[float | None]]]:
    """For each model and organ id of one patient: true and predicted mL (None: absent), DSC, HD95 in mm."""
    scores: dict[str, dict[int, list[float | None]]] = {}
    for row in rows.itertuples():
        key = ModelKey(row.model, row.trained_on)
        if key in models:
            values = (row.volume_ml if row.present else None, row.predicted_ml, row.dsc, row.hd95_mm)
            rounded = [None if value is None or pd.isna(value) else round(float(value), 2) for value in values]
            scores.setdefault(key.file_name, {})[organ(row.organ).id] = rounded
    return scores


def _failures(study: Path, entries: list[FailureEntry]) -> list[dict[str, Any]]:
    """The lines of the list, the gravest first; `selected` marks a varied dozen to begin with."""
    shown = {entry.case_key.case for entry in entries}
    chosen = {(f.case, f.organ) for f in varied(f for f in read_failures(study) if f.case in shown)}
    return [
        {
            "case": entry.case_key.case, "center": entry.center, "organ": organ(entry.organ).id, "group": entry.group,
            "kinds": entry.kinds, "causes": entry.causes, "line": entry.line, "fragment": entry.fragment,
            "selected": (entry.case_key.case, entry.organ) in chosen,
            "failures": [
                {"model": failure.model.file_name, "sentence": failure.sentence, "voxel": failure.voxel}
                for failure in entry.failures
                if isinstance(failure.model, ModelKey)
            ],
        }
        for entry in entries
    ]  # fmt: skip
