"""Trained networks meet children: scores for a table, contours for the reading room, failures and what causes cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pedseg import memory
from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.evaluation import reporting
from pedseg.evaluation.domain_shift import evaluate_shift
from pedseg.evaluation.failure_reasons import Failure
from pedseg.evaluation.failures import by_severity
from pedseg.evaluation.misplacement import from_contours
from pedseg.evaluation.results import ModelKey
from pedseg.learning.inference import predict
from pedseg.learning.plans import Plan
from pedseg.learning.training import load_network
from pedseg.metrics import score_case
from pedseg.scan import Scan
from pedseg.workbook import lesson, scores
from pedseg.workbook.slice_viewer import CaseImages

A_FEW = ("contrast phase", "80 kV", "on the side; turned first", "on the side; as they lie")  # causes


def examine(
    network, plan: Plan, datasets: Sequence[DataSet], *, model: str, trained_on: str, seed: int = 0
) -> list[dict[str, Any]]:
    """Let a network contour the test children of some centers; one row an organ, with the columns of cases.csv."""
    rows = []
    children = [(dataset, case) for dataset in datasets for case in dataset.split("test")]
    who = {"seed": seed, "model": model, "trained_on": trained_on}
    for dataset, case in lesson.progress(
        children, len(children), f"testing {scores.title(ModelKey(model, trained_on))}"
    ):
        memory.release_memory()
        scan, truth = load_image(case), load_labels(dataset, case)
        known = [name for name in plan.organs if name in case.trusted]
        child = {"tested_on": dataset.center, "patient": case.patient, "case": case.name}
        for score in score_case(truth.voxels, predict(network, scan, plan), scan.spacing_mm, known):
            rows.append({**who, **child, **vars(score)})
    return rows


def reading_room(datasets: Sequence[DataSet], study: Path) -> dict[str, Callable[[], CaseImages]]:
    """What the viewer opens: every test child, contoured by the models of a study when they are asked for."""
    models = weight_files(study)

    def open_case(dataset: DataSet, case: Case) -> CaseImages:
        scan = load_image(case)
        truth = load_labels(dataset, case).voxels if case.label_file else None
        return CaseImages(scan, truth, Contours(scan, models))

    return {
        describe(dataset, case): lambda dataset=dataset, case=case: open_case(dataset, case)  # type: ignore[misc]
        for dataset in datasets
        for case in dataset.split("test")
    }


def describe(dataset: DataSet, case: Case) -> str:
    """A child in a few words, for a list: center, name, age, what is missing."""
    age = "" if case.age_months is None else f", {case.age_months // 12} y {case.age_months % 12} m"
    gone = [{"Kidney_L": "no left kidney", "Kidney_R": "no right kidney"}.get(name, "") for name in case.absent]
    return f"{dataset.center}: {case.name}{age}" + "".join(f", {text}" for text in gone if text)


def weight_files(study: Path) -> dict[str, Path]:
    """The weights of a study's first seed, by what their model is called; the federated one first."""
    model_keys = {
        scores.title(model_key): file for (seed, model_key), file in reporting.weight_files(study).items() if seed == 0
    }
    return dict(sorted(model_keys.items(), key=lambda item: (item[0] != "federated", item[0])))


def drawings(network, plan: Plan, datasets: Sequence[DataSet]) -> Iterator[tuple[Case, Scan, NDArray]]:
    """What a network draws of the test children of some data sets: case, scan and label map of each."""
    children = [case for dataset in datasets for case in dataset.split("test")]
    for case in lesson.progress(children, len(children), "children"):
        memory.release_memory()
        scan = load_image(case)
        yield case, scan, predict(network, scan, plan)


def failures(datasets: Sequence[DataSet], study: Path) -> list[Failure]:
    """What is misplaced in the test children of some data sets, drawn now by each model of a study; the worst first."""
    files = reporting.weight_files(study, [dataset.center for dataset in datasets])
    model_keys = {file: model_key for (seed, model_key), file in files.items() if seed == 0}
    models = {file.stem: file for file in model_keys}
    children = [(dataset, case) for dataset in datasets for case in dataset.split("test")]
    found: list[Failure] = []
    for dataset, case in lesson.progress(children, len(children), "children"):
        memory.release_memory()
        scan, truth = load_image(case), load_labels(dataset, case).voxels
        for name, drawn in Contours(scan, models).items():
            found += from_contours(truth, drawn, scan.spacing_mm, case, model_keys[models[name]])
    return by_severity(found)


def recorded_failures(study: Path) -> list[Failure]:
    """What went wrong with the test children of a study, the worst first; empty where that was not recorded."""
    file = study / "failures.json"
    return [Failure.from_json(line) for line in json.loads(file.read_text("utf-8"))] if file.is_file() else []


def costs(study: Path) -> list[dict[str, Any]]:
    """What each cause costs each kind of model, as recorded; else a few causes, measured now on a few children."""
    if not (study / "shift.json").is_file():
        out = lesson.runs() / f"causes-{study.name}-{lesson.size()}"
        lesson.show_message("No recorded costs are here: a few causes are measured now, on a few children.")
        measured = evaluate_shift(study, out, patients=lesson.budget(2, test=1), names=A_FEW, workers=1)
        for _ in lesson.progress(measured, text="causes"):
            memory.release_memory()
        study = out
    return json.loads((study / "shift.json").read_text("utf-8"))["costs"]


class Contours(Mapping[str, NDArray]):
    """Label maps of one scan by model name, each drawn when it is first looked at.

    `orientations` says of single models how they meet the patient's posture, where it is not as their plan says.
    """

    def __init__(self, scan: Scan, models: Mapping[str, Path], orientations: Mapping[str, str] | None = None) -> None:
        self.scan, self.models, self.orientations = scan, models, orientations or {}
        self._drawn: dict[str, NDArray] = {}

    def __getitem__(self, name: str) -> NDArray:
        if name not in self._drawn:
            network, plan = load_network(self.models[name])
            plan = replace(plan, orientation=self.orientations.get(name, plan.orientation))
            self._drawn[name] = predict(network, self.scan, plan)
        return self._drawn[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)
