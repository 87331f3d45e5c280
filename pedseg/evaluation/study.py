"""The study: local, cross-center, federated and centralized training, scored on every center's test patients.

For each seed it trains one local model a center, a centralized model on the pooled cases and
the federated model, all by one plan and with the same number of gradient steps a center, and
tests each of them on the test patients of every center. What is finished is on disk; the same
call goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pedseg import memory, organs
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
from pedseg.evaluation.time_budget import with_local_steps, workload
from pedseg.evaluation.trained_models import Model, load_model
from pedseg.evaluation.virtual_data import CHILD_UNITS, centers_for, count_scans, data_folder, virtual_centers
from pedseg.federation import client_app
from pedseg.federation.config import PROFILES, FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.federation.starting_point import merged_plan
from pedseg.learning import devices, fingerprint, inference, network, plans, training
from pedseg.learning.preprocessing import Prepared
from pedseg.learning.recipe import RECIPES
from pedseg.learning.weights import Weights, get_weights, load_weights, save_weights, set_weights
from pedseg.resources import parallel_jobs

Point = dict[str, float | None]
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
            "A federation needs two: one subfolder a center.",
        )
    empty = [(d, split) for d in datasets for split in ("train", "test") if not d.split(split)]
    if empty:
        remedy = "Change the column `split` of its cases.tsv, or leave it empty: cases are then divided by patient."
        raise PedsegInputError(
            [InputProblem("E-SPLIT-EMPTY", str(d.folder), f"no case is for {split}.", remedy) for d, split in empty]
        )
    return datasets


class Study:
    """One run over given data sets: its models, where they stand on disk, and what they leave.

    Unless told: all models of the study, tested on the same centers' patients, by the plan of their fingerprints.
    """

    def __init__(
        self, datasets: Sequence[DataSet], out: Path, config: StudyConfig, timer: StageTimer, *,
        kinds: Sequence[tuple[str, tuple[str, ...]]] = (), tests: Sequence[DataSet] = (),
        plan: plans.Plan | None = None,
    ) -> None:  # fmt: skip
        self.datasets, self.out, self.config, self.timer = list(datasets), out, config, timer
        self.tests, self.planned = list(tests) or self.datasets, plan is not None
        self.centers = tuple(dataset.center for dataset in datasets)
        self.plan = plan or plan_of(self.datasets, config.federation)
        self.work = out / "work" / self._identity()
        usual = [("centralized", self.centers), *(("local", (c,)) for c in self.centers), ("federated", self.centers)]
        self.models = [
            Model(kind, trained_on, seed) for seed in range(config.seeds) for kind, trained_on in kinds or usual
        ]

    def _identity(self) -> str:
        """A name for this data, plan and these settings: with other ones the work starts anew."""
        files = [file for d in self.datasets for c in d.cases for file in (c.image_file, c.label_file) if file]
        stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        text = json.dumps([stats, self.plan.to_json(), self.config.federation.identity()])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _steps(self, model: Model) -> int:
        return self.config.federation.local_steps * len(model.trained_on)

    def run(self, seeds: Sequence[int] = ()) -> Iterator[tuple[str, int]]:
        """Train and test every model, or those of some seeds; yields (stage, units)."""
        cores = parallel_jobs()
        yield from run_concurrently([self._job(m, cores) for m in self.models if not seeds or m.seed in seeds], cores)

    def _job(self, model: Model, cores: int) -> Job:
        """The training of a model, and after it its tests."""
        threads = RECIPES[self.config.federation.profile].threads or cores  # of a network in training or test
        tests = [
            Job("testing", self.timer.measure("testing", self._test(model, dataset), own_thread=True), threads)
            for dataset in self.tests
        ]
        train = self._train_together(model) if model.is_federated else self._train_alone(model)
        ticks = self.timer.measure(model.stage, train, own_thread=True)
        networks = len(model.trained_on) if model.is_federated else 1  # that train at the same time
        return Job(model.stage, ticks, min(cores, threads * networks), tests)

    def _cases(self, model: Model, split: str) -> list[Prepared]:
        chosen = [dataset for dataset in self.datasets if dataset.center in model.trained_on]
        return [case for d in chosen for case in training.load_cases(d, d.split(split), self.plan)]

    def _plan(self, model: Model) -> plans.Plan:
        if model.kind.endswith("_gin"):
            return replace(self.plan, gin_probability=self.config.federation.gin_probability)
        return self.plan

    def weights_file(self, model: Model) -> Path:
        """Where the weights of a model lie."""
        return self.work / f"{model.name}.safetensors"

    def _train_alone(self, model: Model) -> Iterator[int]:
        """Train on the cases of one center, or on all pooled, in as many rounds as the federation has."""
        plan = self._plan(model)
        net = network.build(plan, model.seed).to(devices.fastest_device())
        file, steps = self.weights_file(model), self._steps(model)
        curve: list[Point] = []
        if file.exists():
            weights, _, metadata = load_weights(file)
            set_weights(net, weights)
            curve = json.loads(metadata["curve"])
            yield steps * len(curve)
        for round_ in range(len(curve), self.config.federation.rounds):
            losses = []
            for step in training.train(
                net, self._cases(model, "train"), plan, steps=steps, first_step=round_ * steps,
                total_steps=self.config.federation.rounds * steps, seed=model.seed,
            ):  # fmt: skip
                losses.append(step.loss)
                yield 1
            dice = inference.mean_dice(net, self._cases(model, "validation"), self.plan)
            curve.append(_point((round_ + 1) * steps, float(np.mean(losses)), dice))
            self._save(model, get_weights(net), plan, curve)
        memory.release_memory()

    def _train_together(self, model: Model) -> Iterator[int]:
        """Train by Flower in this process; rounds that are on disk are not trained again."""
        file = self.weights_file(model)
        if file.exists():
            yield self._steps(model) * self.config.federation.rounds
            return
        data, out = self.datasets[0].folder.parent, self.work / model.name
        config = replace(self.config.federation, data=data, out=out, seed=model.seed, evaluate_every=1)
        config = replace(config, max_share=1.0, max_norm_ratio=0.0)  # all data is here: nobody is taken at their word
        nodes = [{"data-dir": str(dataset.folder)} for dataset in self.datasets]
        curve: list[Point] = []
        weights: Weights = {}
        plan = self._plan(model) if self.planned else None
        grid = InProcessGrid(client_app.app, nodes, config.to_run_config())
        for round_ in train_rounds(grid, config, plan=plan):
            curve.append(_point(round_.number * config.local_steps, round_.train_loss, round_.validation_dsc))
            weights = round_.weights
            yield self._steps(model)
        self.timer.add_cpu(model.stage, grid.cpu_seconds)
        memory.release_memory()
        self._save(model, weights, self._plan(model), curve)

    def _save(self, model: Model, weights: Weights, plan: plans.Plan, curve: list[Point]) -> None:
        identity = {**asdict(model.model_key), "seed": model.seed}
        save_weights(self.weights_file(model), weights, plan, curve=json.dumps(curve), **identity)

    def _test(self, model: Model, dataset: DataSet) -> Iterator[int]:
        """Score one model on the test patients of one center."""
        trained, file = load_model(self.weights_file(model)), self.rows_file(model, dataset.center)
        kept = self.out / "predictions" if model.seed == 0 else None
        for _ in scoring.score_center(trained, dataset, file, kept=kept):
            yield TEST_UNITS

    def rows_file(self, model: Model, center: str) -> Path:
        """Where the rows of one model on one test center lie."""
        return self.work / f"{model.name}_on_{center.replace(' ', '-')}.csv"

    def finish(self) -> None:
        """Write cases.csv, failures.json, causes.csv, the weights and summary.json from what the jobs have left."""
        files = {(m, c): self.rows_file(m, c) for m in self.models for c in self.centers}
        rows = pd.concat(map(read_rows, files.values()), ignore_index=True)
        first = [file for (model, _), file in files.items() if model.seed == 0]
        failures, ratios = scoring.collect_failures(first, rows[rows["seed"] == 0], self.datasets)
        for model in self.models:
            target = self.out / "weights" / f"{model.name}.safetensors"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.weights_file(model), target)
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


def plan_of(datasets: Sequence[DataSet], config: FederationConfig) -> plans.Plan:
    """The plan for the training patients of these data sets."""
    prints = [fingerprint.fingerprint(dataset, dataset.split("train")) for dataset in datasets]
    memory.release_memory()
    return merged_plan(prints, config)


def _point(step: int, loss: float, dsc: float | None) -> Point:
    """One point of a learning curve: steps so far, mean loss of the round, mean DSC on the validation cases."""
    return {"step": step, "loss": round(loss, 5), "dsc": None if dsc is None or math.isnan(dsc) else round(dsc, 5)}
