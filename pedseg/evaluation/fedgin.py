"""CT meets MR: a CT hospital and an MR hospital learn together, with and without GIN (FedGIN in three dimensions).

Polder brings portal venous CT, Fjord T2-weighted MR at 1.5 T, of different children. In the limited scenarios Fjord has
few patients, and Polder as many, twice or five times as many; in the complete scenario both bring all. For each seed
one network learns alone in each hospital, one in the federation, one in the federation with GIN, and one from all scans
in one place with GIN. All are tested on the same children of both hospitals in four ways of scanning: the two that were
learned, T1-weighted MR at 3 T, which nobody learned, and CT without contrast medium. One plan serves all scenarios, so
that these differ by patients alone; a local network that two scenarios share is trained once. What is finished is on
disk, `cases.csv` and `summary.json` are renewed after every seed of a scenario, and the same call goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pedseg import memory
from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import read_checked, read_dataset
from pedseg.evaluation import scoring
from pedseg.evaluation.concurrency import Progress, StageTimer
from pedseg.evaluation.config import FEDGIN_MODELS, FEDGIN_SCENARIOS, FEDGIN_TEST_PATIENTS, StudyConfig
from pedseg.evaluation.gains import summarize_gains
from pedseg.evaluation.reporting import write_results
from pedseg.evaluation.results import COLUMNS, ModelKey, read_rows
from pedseg.evaluation.study import TEST_UNITS, Study
from pedseg.evaluation.study_training import plan_of
from pedseg.evaluation.trained_models import Model
from pedseg.evaluation.virtual_data import CHILD_UNITS, write_datasets
from pedseg.files import write_atomically
from pedseg.phantoms.centers import FJORD, POLDER, POLDER_PORTAL, Center, planned_scans, with_protocol
from pedseg.phantoms.mr_scanner import T1W_3T

DATA = Path("runs/fedgin_data")
VALIDATION = 3  # patients
TEST_SEED = 1  # other children than any that is trained on
ALL_COLUMNS = (*COLUMNS, "scenario", "seen")
CT = replace(with_protocol(POLDER, POLDER_PORTAL), repeat_share=0.0)  # one scan a child
MR = replace(FJORD, repeat_share=0.0)
PLAIN = replace(POLDER_PORTAL, name="plain, soft", phase="none")
# What the test children are scanned by; the first two, named like the centers, are what was learned.
TESTS: dict[str, Center] = {
    "Polder": CT,
    "Fjord": MR,
    "Fjord T1w 3 T": with_protocol(MR, T1W_3T),
    "Polder plain": with_protocol(CT, PLAIN),
}
SPACING_MM = (5.0, 5.0, 5.0)  # a third of the voxels of the study, for there are many networks to train


@dataclass(frozen=True)
class Size:
    """How large the experiment is: training patients by scenario, validation and test patients, models."""

    scenarios: tuple[tuple[str, tuple[int, int]], ...] = tuple(FEDGIN_SCENARIOS.items())
    validation: int = VALIDATION
    test: int = FEDGIN_TEST_PATIENTS
    models: tuple[str, ...] = FEDGIN_MODELS


FULL = Size()


def select_size(scenarios: Sequence[str], models: Sequence[str] = (), test: int = FEDGIN_TEST_PATIENTS) -> Size:
    """The experiment with these scenarios and models alone, with none named all of them, and so many test patients.

    The plan is that of the largest scenario.
    """
    return Size(
        tuple(pair for pair in FULL.scenarios if not scenarios or pair[0] in scenarios),
        test=test,
        models=tuple(model for model in FEDGIN_MODELS if not models or model in models),
    )


def run_fedgin(out: Path, config: StudyConfig, *, data: Path = DATA, size: Size = FULL) -> Iterator[Progress]:
    """Run or resume the experiment; leaves cases.csv, summary.json and weights/ in `out`, the children in `data`."""
    timer, done = StageTimer(), 0
    for units, total in make_datasets(timer, data, size, config):
        done += units
        yield Progress("virtual children", done, total)
    experiment = Experiment(data, Path(out), config, size, timer)
    timer.resume(next(iter(experiment.studies.values())).work)
    for stage, units in experiment.run():
        done = min(done + units, total)
        yield Progress(stage, done, total)
    experiment.finish()
    yield Progress("done", total, total)


def make_datasets(timer: StageTimer, data: Path, size: Size, config: StudyConfig) -> Iterator[tuple[int, int]]:
    """Write all data sets, one tick of (units, units in all) a child; what is there is kept."""
    jobs = list(_to_make(data, size))
    scans = sum(len(planned_scans(center, **counts)) for center, _, counts, _ in jobs)
    total = scans * CHILD_UNITS + _training_units(size, config)
    for units in timer.measure("virtual children", write_datasets(jobs)):
        yield units, total


def _to_make(data: Path, size: Size) -> Iterator[tuple[Center, Path, dict[str, int], int]]:
    """Center, folder, patients by split and seed of every data set of the experiment."""
    for center, place in ((CT, 0), (MR, 1)):
        for patients in sorted({counts[place] for _, counts in size.scenarios}):
            counts = {"train": patients, "validation": size.validation, "test": 1}  # nobody needs it
            yield center, _folder(data / "train", center.name, patients), counts, 0
    for name, center in TESTS.items():
        counts = {"train": 0, "validation": 0, "test": size.test}
        yield center, _folder(data / "test", name, size.test), counts, TEST_SEED


def _folder(data: Path, name: str, patients: int) -> Path:
    return data / f"{name.replace(' ', '_')}_{patients}"


def _training_units(size: Size, config: StudyConfig) -> int:
    """Training and testing in units of about one training step."""
    steps, tests = config.federation.rounds * config.federation.local_steps, len(TESTS) * size.test * TEST_UNITS
    alone = len({(place, counts[place]) for _, counts in size.scenarios for place in (0, 1)}) * ("local" in size.models)
    common = len(set(size.models) - {"local"}) * len(size.scenarios)  # with two centers each
    return config.seeds * (alone * (steps + tests) + common * (2 * steps + tests))


class Experiment:
    """All scenarios over one folder of data sets: one study each, with one plan."""

    def __init__(self, data: Path, out: Path, config: StudyConfig, size: Size, timer: StageTimer) -> None:
        self.out, self.config, self.kinds = out, config, size.models
        self.tests = [replace(read_dataset(_folder(data / "test", name, size.test)), center=name) for name in TESTS]
        pairs = {
            name: [
                read_checked(_folder(data / "train", center, n))
                for center, n in zip(("Polder", "Fjord"), counts, strict=True)
            ]
            for name, counts in size.scenarios
        }
        largest = max(pairs.values(), key=lambda pair: sum(len(d.split("train")) for d in pair))
        plan = replace(plan_of(largest, replace(config.federation, gin_probability=0.0)), spacing_mm=SPACING_MM)
        self.owners: dict[tuple[str, int], Study] = {}  # local networks by center and patients, trained once
        self.studies: dict[str, Study] = {}
        for name, pair in pairs.items():
            self.studies[name] = self._study(pair, config, timer, plan)

    def _study(self, pair: list[DataSet], config: StudyConfig, timer: StageTimer, plan: Any) -> Study:
        centers = tuple(dataset.center for dataset in pair)
        new = [d for d in pair if (d.center, len(d.split("train"))) not in self.owners]
        alone = [("local", (d.center,)) for d in new if "local" in self.kinds]
        together = [(kind, centers) for kind in self.kinds if kind != "local"]
        study = Study(
            pair, self.out, config, timer, kinds=[*alone, *together], tests=self.tests, plan=plan, find_failures=False
        )
        self.owners |= {(d.center, len(d.split("train"))): study for d in new}
        return study

    def run(self) -> Iterator[tuple[str, int]]:
        """Train and test every model; what a run that is cut short should have comes first.

        That is all seeds of the first scenario, the first seed of the others (the last one, complete, before those
        between), then the rest.
        """
        first, *others = self.studies
        order = [(first, seed) for seed in range(self.config.seeds)]
        order += [(name, seed) for seed in range(self.config.seeds) for name in reversed(others)]
        for name, seed in order:
            yield from self.studies[name].run([seed])
            memory.release_memory()
            self.finish()

    def _models(self, name: str) -> Iterator[tuple[Study, Model]]:
        """The models of a scenario, those that another one has trained too, with the study that holds each."""
        study = self.studies[name]
        for seed in range(self.config.seeds):
            for dataset in study.datasets if "local" in self.kinds else ():
                owner = self.owners[dataset.center, len(dataset.split("train"))]
                yield owner, Model("local", (dataset.center,), seed)
            for model in study.models:
                if model.seed == seed and model.kind != "local":
                    yield study, model

    def rows(self) -> pd.DataFrame:
        """What is finished, with the columns of cases.csv, the scenario, and whether training saw such scans."""
        parts = [
            read_rows(study.rows_file(model, test.center)).assign(
                scenario=name, seen="yes" if test.center in model.trained_on else "no"
            )
            for name in self.studies
            for study, model in self._models(name)
            for test in self.tests
            if scoring.is_finished(study.rows_file(model, test.center), test)
        ]
        return pd.concat(parts, ignore_index=True)

    def finish(self) -> None:
        """Write cases.csv, summary.json and the weights of the first seed from what the jobs have left."""
        rows = self.rows()
        first = next(iter(self.studies.values()))
        files = {
            f"{name}_{model.name}": study.weights_file(model)
            for name in self.studies for study, model in self._models(name)
            if scoring.is_finished(study.rows_file(model, self.tests[-1].center), self.tests[-1])
        }  # fmt: skip
        for name, file in files.items():
            if "seed0" in name:
                write_atomically(self.out / "weights" / f"{name.replace(':', '-')}.safetensors", file.read_bytes())
        write_results(
            self.out,
            rows,
            files,
            settings=self.config.summary(),
            patients={
                name: {d.center: {s: len(d.split(s)) for s in ("train", "validation")} for d in study.datasets}
                for name, study in self.studies.items()
            },
            tests={dataset.center: len(dataset.split("test")) for dataset in self.tests},
            plan=json.loads(first.plan.to_json()),
            seconds={"total": first.timer.totals(), **first.timer.seconds},
            peak_memory_mib=first.timer.peak_mib(),
            **summarize_gains(rows),
        )


def table(out: Path) -> str:
    """Mean DSC over the five organs by scenario, model and test, as plain text."""
    means = json.loads((Path(out) / "summary.json").read_text(encoding="utf-8"))["means"]
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for line in means:
        model = line["scenario"], str(ModelKey(line["model"], line["trained_on"]))
        cells.setdefault(line["tested_on"], {})[model] = f"{line['five']['mean']:.3f}"
    table = pd.DataFrame(cells).fillna("")
    table.columns.name = "mean DSC, five organs"
    return table.to_string()
