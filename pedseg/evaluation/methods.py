"""Methods of federated learning compared, in three kinds of difference between two hospitals.

Polder and Neckar as in the study; each in its usual contrast phase only; and Neckar with a fifth of the training
patients. Every method trains in as many rounds and local steps from the same first weights; fine-tuning trains some
steps more at each center. Strengths (the proximal
term, the server's momentum and rate, the steps at home) are chosen by the mean DSC of validation patients with one more
seed, for each kind of difference. Each model is tested on the test patients of both hospitals; a hospital that keeps
weights of its own is tested with them. What is finished is on disk, and the same call goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from pedseg import memory
from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import read_checked
from pedseg.evaluation import scoring
from pedseg.evaluation.comparisons import bootstrap_interval, holm
from pedseg.evaluation.concurrency import Progress, StageTimer
from pedseg.evaluation.config import METHODS, METHODS_SCENARIOS, Candidates, StudyConfig
from pedseg.evaluation.reporting import write_results
from pedseg.evaluation.results import ModelKey, Results, read_rows, row_means
from pedseg.evaluation.signed_rank import wilcoxon_p
from pedseg.evaluation.study import TEST_UNITS, Study
from pedseg.evaluation.study_training import StudyTraining, plan_of
from pedseg.evaluation.trained_models import Model
from pedseg.evaluation.virtual_data import CHILD_UNITS, centers_for, write_datasets
from pedseg.learning.weights import load_weights
from pedseg.phantoms.centers import Center

DATA = Path("runs/methods_data")
SINGLE_PHASE = "single-phase"  # the scenario in which each hospital scans in its usual contrast phase only
EVERYBODY = "both"  # where a table tells of the patients of both hospitals, each in its own
Line = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How large the comparison is: training patients by scenario, validation and test patients, methods."""

    scenarios: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: METHODS_SCENARIOS)
    validation: int = 5
    test: int = 20
    methods: Mapping[str, Candidates] = field(default_factory=lambda: METHODS)


FULL = Size()


def run_methods(out: Path, config: StudyConfig, *, data: Path = DATA, size: Size = FULL) -> Iterator[Progress]:
    """Run or resume the comparison; leaves cases.csv and summary.json in `out`, the children in `data`."""
    timer, done, total = StageTimer(), 0, _units(config, size)
    timer.resume(out / "work")
    for units in timer.measure("virtual children", write_datasets(list(_to_make(data, config, size)))):
        done += units
        yield Progress("virtual children", min(done, total), total)
    for stage, units in MethodComparison(data, out, config, size, timer).run():
        done = min(done + units, total)
        yield Progress(stage, done, total)
    yield Progress("done", total, total)


def _to_make(data: Path, config: StudyConfig, size: Size) -> Iterator[tuple[Center, Path, dict[str, int], int]]:
    """Center, folder, patients by split and seed of every data set."""
    for scenario, train in size.scenarios.items():
        centers = centers_for(replace(config, single_phase=scenario == SINGLE_PHASE))
        for number, (center, patients) in enumerate(zip(centers, train, strict=True), 901):
            counts = {"train": patients, "validation": size.validation, "test": size.test}
            yield center, data / scenario / f"Dataset{number}_{center.name}", counts, 0


def _units(config: StudyConfig, size: Size) -> int:
    """Children, training and testing in units of about one training step."""
    steps = 2 * config.federation.rounds * config.federation.local_steps
    trials = 1 + sum(len(candidates) for candidates in size.methods.values() if len(candidates) > 1)
    models = 3 + len(size.methods)
    children = sum(sum(train) + 2 * (size.validation + size.test) for train in size.scenarios.values())
    tests = config.seeds * models * 2 * size.test * TEST_UNITS
    return children * CHILD_UNITS + len(size.scenarios) * ((trials + config.seeds * models) * steps + tests)


class MethodComparison:
    """All scenarios: for each the trials that choose strengths, and a study of all methods with the chosen ones."""

    def __init__(self, data: Path, out: Path, config: StudyConfig, size: Size, timer: StageTimer) -> None:
        self.data, self.out, self.config, self.size, self.timer = data, Path(out), config, size, timer
        self.studies: dict[str, Study] = {}
        self.trials: dict[str, list[Line]] = {}
        self.chosen: dict[str, dict[str, dict[str, Any]]] = {}

    def run(self) -> Iterator[tuple[str, int]]:
        """Choose the strengths, then train and test every model, seed by seed; yields (stage, units)."""
        for name in self.size.scenarios:
            folders = sorted(path for path in (self.data / name).iterdir() if path.is_dir())
            yield from self._prepare(name, [read_checked(folder) for folder in folders])
        for seed in range(self.config.seeds):
            for study in self.studies.values():
                yield from study.run([seed])
                memory.release_memory()
            self.finish(seed + 1)

    def _prepare(self, name: str, datasets: list[DataSet]) -> Iterator[tuple[str, int]]:
        """Try the strengths of a scenario, and make its study with the best."""
        plan, centers = plan_of(datasets, self.config.federation), tuple(d.center for d in datasets)
        candidates = {f"{kind}-{k}": s for kind, tried in self.size.methods.items() for k, s in enumerate(tried)}
        trial = self.out / "trials" / name
        training = StudyTraining(datasets, trial, self.config, self.timer, plan, self._scored_last(candidates))
        self.trials[name] = []
        for kind in ["federated", *(key for key in candidates if len(self.size.methods[key[:-2]]) > 1)]:
            model = Model(kind, centers, self.config.seeds)
            yield from (("choosing strengths", units) for units in training.train(model))
            curve = json.loads(load_weights(training.weights_file(model))[2]["curve"])
            self.trials[name].append({"model": kind, **candidates.get(kind, {}), "dsc": curve[-1]["dsc"]})
        kinds = [*(("local", (center,)) for center in centers), ("federated", centers)]
        kinds += [(kind, centers) for kind in self.size.methods]
        self.chosen[name] = self._chosen(name)
        methods = self._scored_last(self.chosen[name])
        self.studies[name] = Study(
            datasets, self.out / name, self.config, self.timer, kinds=kinds, plan=plan, methods=methods,
            find_failures=False,
        )  # fmt: skip

    def _scored_last(self, methods: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The settings of federations that meet the validation patients after their last round only, to save time."""
        last = {"evaluate_every": self.config.federation.rounds}
        return {"federated": last} | {kind: s if "home_steps" in s else s | last for kind, s in methods.items()}

    def _chosen(self, name: str) -> dict[str, dict[str, Any]]:
        """The settings of each method: of several candidates the one with the best DSC on validation patients."""
        scores = {line["model"]: line["dsc"] or 0.0 for line in self.trials[name]}
        return {
            kind: tried[max(range(len(tried)), key=lambda k: scores.get(f"{kind}-{k}", 0.0))]
            for kind, tried in self.size.methods.items()
        }

    def rows(self, seeds: int) -> pd.DataFrame:
        """What is finished of the first seeds, with the columns of cases.csv and the scenario."""
        parts = [
            read_rows(study.rows_file(model, test.center)).assign(scenario=name)
            for name, study in self.studies.items()
            for model in study.models
            for test in study.tests
            if model.seed < seeds and scoring.is_finished(study.rows_file(model, test.center), test)
        ]
        return pd.concat(parts, ignore_index=True)

    def finish(self, seeds: int) -> None:
        """Write cases.csv and summary.json of the first seeds."""
        rows = self.rows(seeds)
        files = {
            f"{name}_{file.stem}": file
            for name, study in self.studies.items()
            for model in study.models
            for file in sorted(study.work.glob(f"{model.name}*.safetensors"))
            if model.seed < seeds
        }
        first = next(iter(self.studies.values()))
        write_results(
            self.out,
            rows,
            files,
            settings=self.config.summary() | {"seeds": list(range(seeds))},
            patients={name: _patients(study) for name, study in self.studies.items()},
            chosen=self.chosen,
            trials={"seed": self.config.seeds, **self.trials},
            plan=json.loads(first.plan.to_json()),
            seconds={"total": self.timer.totals(), **self.timer.seconds},
            peak_memory_mib=self.timer.peak_mib(),
            comparisons=list(compare_methods(rows)),
        )


def _patients(study: Study) -> dict[str, dict[str, int]]:
    splits = ("train", "validation", "test")
    return {d.center: {split: len({c.patient for c in d.split(split)}) for split in splits} for d in study.datasets}


def compare_methods(rows: pd.DataFrame) -> Iterator[Line]:
    """Each method beside federated averaging, by scenario and hospital: mean DSC over the evaluated organs.

    Patients are tested in their own hospital; seeds are averaged first. `low` and `high` bound the 95 % bootstrap
    interval of the mean difference over patients; `p` is of Wilcoxon's signed-rank test, with Holm over the methods.
    """
    for scenario, part in rows.groupby("scenario", sort=False):
        results = Results(part)
        for center in [*results.centers, EVERYBODY]:
            baseline, *others = _models(results)
            first = _by_patient(results, baseline, center)
            lines = [_difference(results, model, baseline, center) for model in others]
            corrected = holm([line["p"] for line in lines])
            where = {"scenario": scenario, "tested_on": center}
            yield {**where, "model": baseline, "mean": fmean(first), "patients": len(first)}
            yield from (where | line | {"p_holm": p} for line, p in zip(lines, corrected, strict=True))


def _models(results: Results) -> list[str]:
    """The kinds of models, federated averaging first, then each hospital's own network, then the methods."""
    kinds = sorted({key.model for key in results.model_keys})
    return sorted(kinds, key=lambda kind: (kind != "federated", kind != "local"))


def _by_patient(results: Results, model: str, center: str, seed: int | None = None) -> pd.Series:
    """Mean DSC over the evaluated organs by patient, of one hospital or of all, each in its own."""
    homes = results.centers if center == EVERYBODY else [center]
    keys = {home: ModelKey(model, home) if model == "local" else results.kind(model) for home in homes}
    tables = [
        row_means(results.patient_means(key.at(home), "dsc", results.evaluated, seed=seed))
        for home, key in keys.items()
        if key
    ]
    return pd.concat(tables)


def _difference(results: Results, model: str, baseline: str, center: str) -> Line:
    """A method minus federated averaging in the same patients."""
    first, second = (_by_patient(results, kind, center) for kind in (model, baseline))
    differences = (first - second[first.index]).to_numpy()
    low, high = bootstrap_interval(differences, np.mean) or (None, None)
    seeds = [
        fmean(_by_patient(results, model, center, seed)) - fmean(_by_patient(results, baseline, center, seed))
        for seed in results.seeds
    ]
    line = {"model": model, "mean": fmean(first), "patients": len(first), "difference": float(differences.mean())}
    return line | {"low": low, "high": high, "p": wilcoxon_p(differences), "seeds": seeds}


def table(out: Path) -> str:
    """Federated averaging, and what each method adds to it, in the patients of both hospitals, as plain text."""
    lines = json.loads((Path(out) / "summary.json").read_text(encoding="utf-8"))["comparisons"]
    cells: dict[str, dict[str, str]] = {}
    for line in lines:
        if line["tested_on"] == EVERYBODY:
            gain = f"{line['difference']:+.3f} ({line['low']:+.3f} to {line['high']:+.3f})" if "low" in line else ""
            cells.setdefault(line["scenario"], {})[str(ModelKey(line["model"], ""))] = gain or f"{line['mean']:.3f}"
    shown = pd.DataFrame(cells)
    shown.columns.name = "mean DSC, nine organs"
    return shown.to_string()
