"""Trained networks meet children: scores for a table, contours for the reading room."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pedseg import memory
from pedseg.evaluation.results import Arm
from pedseg.learning.network import build, set_weights
from pedseg.learning.plans import Plan
from pedseg.learning.prediction import predict
from pedseg.learning.training import load_weights
from pedseg.metrics import score_case
from pedseg.patients.datasets import Case, DataSet, load_image, load_labels
from pedseg.scan import Scan
from pedseg.workbook import lesson, scores
from pedseg.workbook.viewer import Sight


def examine(
    network, plan: Plan, datasets: Sequence[DataSet], *, model: str, trained_on: str, seed: int = 0
) -> list[dict[str, Any]]:
    """Let a network contour the test children of some centers; one row an organ, with the columns of cases.csv."""
    rows = []
    children = [(dataset, case) for dataset in datasets for case in dataset.split("test")]
    who = {"seed": seed, "model": model, "trained_on": trained_on}
    for dataset, case in lesson.progress(children, len(children), f"testing {scores.title(Arm(model, trained_on))}"):
        memory.give_back()
        scan, truth = load_image(case), load_labels(dataset, case)
        known = [name for name in plan.organs if name in case.annotated]
        child = {"tested_on": dataset.center, "patient": case.patient, "case": case.name}
        for score in score_case(truth.voxels, predict(network, scan, plan), scan.spacing_mm, known):
            rows.append({**who, **child, **vars(score)})
    return rows


def reading_room(datasets: Sequence[DataSet], study: Path) -> dict[str, Callable[[], Sight]]:
    """What the viewer opens: every test child, contoured by the models of a study when they are asked for."""
    models = weight_files(study)

    def open_case(dataset: DataSet, case: Case) -> Sight:
        scan = load_image(case)
        truth = load_labels(dataset, case).voxels if case.label_file else None
        return Sight(scan, truth, Contours(scan, models))

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
    files = sorted([*study.glob("seed0_*.safetensors"), *(study / "weights").glob("seed0_*.safetensors")])
    arms = {}
    for file in files:
        kind, _, trained_on = file.stem.removeprefix("seed0_").partition("_")
        arms[scores.title(Arm(kind, trained_on))] = file
    return dict(sorted(arms.items(), key=lambda item: (item[0] != "federated", item[0])))


class Contours(Mapping[str, NDArray]):
    """Label maps of one scan by model name, each drawn when it is first looked at."""

    def __init__(self, scan: Scan, models: Mapping[str, Path]) -> None:
        self.scan, self.models = scan, models
        self._drawn: dict[str, NDArray] = {}

    def __getitem__(self, name: str) -> NDArray:
        if name not in self._drawn:
            weights, plan, _ = load_weights(self.models[name])
            network = build(plan)
            set_weights(network, weights)
            self._drawn[name] = predict(network, self.scan, plan)
        return self._drawn[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)
