"""The study: local, cross-center, federated and centralized training, scored on every center's test patients.

For each seed it trains one local model a center, a centralized model on the pooled cases and
the federated model, all by one plan and with the same number of gradient steps a center, and
tests each of them on the test patients of every center. What is finished is on disk; the same
call goes on from there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from filecmp import cmp
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from pedseg import organs
from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import read_centers
from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.evaluation import scoring
from pedseg.evaluation.concurrency import Job, Progress, StageTimer, run_concurrently
from pedseg.evaluation.config import StudyConfig
from pedseg.evaluation.failures import write_failures
from pedseg.evaluation.fairness import ages_of, fairness
from pedseg.evaluation.reporting import write_results
from pedseg.evaluation.results import read_rows
from pedseg.evaluation.statistics import summarize_rows
from pedseg.evaluation.study_training import Methods, StudyTraining, plan_of
from pedseg.evaluation.time_budget import with_local_steps, workload
from pedseg.evaluation.trained_models import Model, load_model
from pedseg.evaluation.virtual_data import CHILD_UNITS, centers_for, count_scans, data_folder, virtual_centers
from pedseg.federation.config import PROFILES
from pedseg.learning import plans
from pedseg.learning.recipe import RECIPES
from pedseg.resources import parallel_jobs

OF_THESE_WEIGHTS = ("shift.csv", "shift.json", "rescans.csv")  # what other verbs find of a study's models
TEST_UNITS = 2  # a case is tested in about as long as so many training steps


def run_study(data: Path | None, out: Path, config: StudyConfig) -> Iterator[Progress]:
    """Run or resume the study; leaves tables, summary, weights and predictions in `out`.

    `data` is a folder of data sets, one a center; None takes the virtual centers as `config` describes them. Raises
    `PedsegInputError` with every finding before anything is trained.
    """
    _check_options(data, config)
    timer, done, children = StageTimer(), 0, 0
    if data is None:
        data, centers = data_folder(config), centers_for(config)
        scans, tests = count_scans(centers, config.extra_patients)
        children = scans * CHILD_UNITS
        total = children + training_units(config, len(centers), tests)
        for units in timer.measure("virtual children", virtual_centers(data, centers, config.extra_patients)):
            done += units
            yield Progress("virtual children", done, total)
    yield Progress("reading the scans", done, max(done, 1))
    datasets = _read_two_or_more(data)
    plan = plans.with_filters(plan_of(datasets, config.federation), config.filters) if config.filters else None
    if config.minutes:
        yield Progress("measuring a step", done, max(done, 1))
        config = with_local_steps(config, datasets, plan or plan_of(datasets, config.federation), Path(out))
    study = Study(datasets, Path(out), config, timer, plan=plan)
    timer.resume(study.work)
    tests = sum(len(dataset.split("test")) for dataset in study.datasets)
    total = children + training_units(config, len(study.datasets), tests)
    for stage, units in study.run():
        done = min(done + units, total)
        yield Progress(stage, done, total)
    study.finish()
    yield Progress("done", total, total)


def _check_options(data: Path | None, config: StudyConfig) -> None:
    """Refuse, before a child is made, what could not be done or would be passed over."""
    if data is not None and (config.single_phase or config.resolution or config.extra_patients):
        text = "single phase, resolution and extra patients are options of virtual children, and these data are given."
        raise input_error("E-GIVEN-DATA", data, text, "Leave these options out, or the data.")
    if config.filters:
        plans.check_filters(config.federation.network or config.federation.profile)
    if config.minutes and config.federation.local_steps != PROFILES[config.federation.profile]["local_steps"]:
        problem = f"{config.minutes} minutes and {config.federation.local_steps} local steps are given."
        raise input_error("E-MINUTES", "--minutes", problem, "Give one of them.")


def training_units(config: StudyConfig, centers: int, tests: int) -> int:
    """The size of training and testing in units of about one training step."""
    work = workload(config, centers, 0, tests)
    return work.steps * config.federation.local_steps + work.tests * TEST_UNITS


def _read_two_or_more(data: Path) -> list[DataSet]:
    datasets = read_centers(data)
    if len(datasets) < 2:
        raise input_error(
            "E-TOO-FEW-CENTERS",
            data,
            f"{len(datasets)} data set found.",
            "A federation needs two: a subfolder for each center.",
        )
    empty = [(d, split) for d in datasets for split in ("train", "test") if not d.split(split)]
    if empty:
        remedy = "Change the column `split` of its cases.tsv, or leave it empty: cases are then divided by patient."
        raise PedsegInputError(
            [InputProblem("E-SPLIT-EMPTY", str(d.folder), f"no case is for {split}.", remedy) for d, split in empty]
        )
    return datasets


class Study(StudyTraining):
    """One run over given data sets: its models, where they stand on disk, and what they leave.

    Unless told: all models of the study, tested on the same centers' patients, by the plan of their fingerprints.
    """

    def __init__(
        self, datasets: Sequence[DataSet], out: Path, config: StudyConfig, timer: StageTimer, *,
        kinds: Sequence[tuple[str, tuple[str, ...]]] = (), tests: Sequence[DataSet] = (),
        plan: plans.Plan | None = None, methods: Methods = MappingProxyType({}), find_failures: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(datasets, out, config, timer, plan, methods)
        self.find_failures = find_failures  # of the first seed; that takes half of the time of a test
        self.tests = list(tests) or self.datasets
        usual = [("centralized", self.centers), *(("local", (c,)) for c in self.centers), ("federated", self.centers)]
        self.models = [
            Model(kind, trained_on, seed) for seed in range(config.seeds) for kind, trained_on in kinds or usual
        ]

    def run(self, seeds: Sequence[int] = ()) -> Iterator[tuple[str, int]]:
        """Train and test every model, or those of some seeds; yields (stage, units)."""
        cores = parallel_jobs()
        chosen = [m for m in self.models if (not seeds or m.seed in seeds) and not self.home_steps(m)]
        yield from run_concurrently([self._job(model, cores) for model in chosen], cores)

    def _job(self, model: Model, cores: int) -> Job:
        """The training of a model, and after it its tests."""
        threads = RECIPES[self.config.federation.profile].threads or cores  # of a network in training or test
        tests = [
            Job("testing", self.timer.measure("testing", self._test(model, dataset), own_thread=True), threads)
            for dataset in self.tests
        ]
        if model.kind == "federated":
            alike = [m for m in self.models if (m.trained_on, m.seed) == (model.trained_on, model.seed)]
            tests = [*(self._job(m, cores) for m in alike if self.home_steps(m)), *tests]
        ticks = self.timer.measure(model.stage, self.train(model), own_thread=True)
        together = model.is_federated and not self.home_steps(model)
        networks = len(model.trained_on) if together else 1  # that train at the same time
        return Job(model.stage, ticks, min(cores, threads * networks), tests)

    def _test(self, model: Model, dataset: DataSet) -> Iterator[int]:
        """Score one model on the test patients of one center."""
        trained, file = load_model(self.weights_file(model, dataset.center)), self.rows_file(model, dataset.center)
        kept = self.work / "predictions" if self.find_failures and model.seed == 0 else None
        for _ in scoring.score_center(trained, dataset, file, kept=kept):
            yield TEST_UNITS

    def rows_file(self, model: Model, center: str) -> Path:
        """Where the rows of one model on one test center lie."""
        return self.work / f"{model.name}_on_{center.replace(' ', '-')}.csv"

    def _copy_models(self) -> None:
        """Put weights and pictures of this study where readers find them; those of an earlier one go.

        With other weights, what `shift` and `failures` found of the earlier ones goes as well.
        """
        files = {self.out / "weights" / f"{model.name}.safetensors": self.weights_file(model) for model in self.models}
        others = [file for file in (self.out / "weights").glob("seed*.safetensors") if file not in files]
        if others or any(file.is_file() and not cmp(file, mine, shallow=False) for file, mine in files.items()):
            others += [self.out / name for name in OF_THESE_WEIGHTS]
        for file in others:
            file.unlink(missing_ok=True)
        (self.out / "weights").mkdir(parents=True, exist_ok=True)
        for file, mine in files.items():
            shutil.copyfile(mine, file)
        if (self.work / "predictions").is_dir():
            shutil.rmtree(self.out / "predictions", ignore_errors=True)
            shutil.copytree(self.work / "predictions", self.out / "predictions")

    def finish(self) -> None:
        """Write cases.csv, failures.json, causes.csv, the weights and summary.json from what the jobs have left."""
        files = {(m, c): self.rows_file(m, c) for m in self.models for c in self.centers}
        rows = pd.concat(map(read_rows, files.values()), ignore_index=True)
        first = [file for (model, _), file in files.items() if model.seed == 0]
        failures, ratios = scoring.collect_failures(first, rows[rows["seed"] == 0], self.datasets)
        self._copy_models()
        write_failures(self.out, failures, ratios)
        write_results(
            self.out,
            rows,
            {model.name: self.weights_file(model) for model in self.models},
            settings=self.config.summary(),
            data={d.center: {s: len(d.split(s)) for s in ("train", "validation", "test")} for d in self.datasets},
            plan=json.loads(self.plan.to_json()),
            left_out=[name for name in organs.NAMES if name not in self.plan.organs],
            seconds={"total": self.timer.totals(), **self.timer.seconds},
            peak_memory_mib=self.timer.peak_mib(),
            statistics=summarize_rows(rows),
            fairness=list(fairness(rows, ages_of(self.datasets))),
        )
