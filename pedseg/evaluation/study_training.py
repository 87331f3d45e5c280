"""How the models of a study are trained: alone, together by Flower in this process, or further at each center.

What is finished is on disk under a name for data, plan and settings; the same call goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from pedseg import memory
from pedseg.datasets.cases import DataSet
from pedseg.errors import PedsegInputError
from pedseg.evaluation.concurrency import StageTimer
from pedseg.evaluation.config import StudyConfig
from pedseg.evaluation.trained_models import Model
from pedseg.federation import center_state, client_app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.federation.starting_point import merged_plan
from pedseg.learning import devices, fingerprint, inference, network, plans, training
from pedseg.learning.preprocessing import Prepared
from pedseg.learning.weights import Weights, get_weights, load_weights, save_weights, set_weights

Point = dict[str, float | None]
Methods = Mapping[str, Mapping[str, Any]]


class StudyTraining:
    """The training of models over given data sets, by one plan: that of their fingerprints, unless told.

    `methods` are settings of the federations of some kinds; a kind with `home_steps` is the federated model of its
    seed, trained on by each center for so many steps on its own cases.
    """

    def __init__(
        self, datasets: Sequence[DataSet], out: Path, config: StudyConfig, timer: StageTimer,
        plan: plans.Plan | None = None, methods: Methods = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.datasets, self.out, self.config, self.timer = list(datasets), out, config, timer
        self.methods, self.planned = methods, plan is not None
        self.centers = tuple(dataset.center for dataset in datasets)
        self.plan = plan or plan_of(self.datasets, config.federation)
        self.work = out / "work" / self._identity()

    def _identity(self) -> str:
        """A name for this data, plan and these settings: with other ones the work starts anew."""
        states = [dataset.state_of(case) for dataset in self.datasets for case in dataset.cases]
        methods = {kind: dict(settings) for kind, settings in self.methods.items()}
        text = json.dumps([states, self.plan.to_json(), self.config.federation.identity(), methods])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def steps(self, model: Model) -> int:
        """Training steps of a round, of all its centers together."""
        return self.config.federation.local_steps * len(model.trained_on)

    def train(self, model: Model) -> Iterator[int]:
        """Train a model, or what is missing of it on disk; yields one tick of units for each piece."""
        if self.home_steps(model):
            return self._train_at_home(model)
        return self._train_together(model) if model.is_federated else self._train_alone(model)

    def home_steps(self, model: Model) -> int:
        """How many steps each center trains the federated model on, at home."""
        return self.methods.get(model.kind, {}).get("home_steps", 0)

    def _cases(self, model: Model, split: str) -> list[Prepared]:
        chosen = [dataset for dataset in self.datasets if dataset.center in model.trained_on]
        return [case for d in chosen for case in training.load_cases(d, d.split(split), self.plan)]

    def _plan(self, model: Model) -> plans.Plan:
        if model.kind.endswith("_gin"):
            return replace(self.plan, gin_probability=self.config.federation.gin_probability)
        return self.plan

    def weights_file(self, model: Model, center: str = "") -> Path:
        """Where the weights of a model lie; those of a center, if it has other ones than the federation."""
        own = self.work / f"{model.name}_at_{center}.safetensors"
        return own if center and own.exists() else self.work / f"{model.name}.safetensors"

    def _train_alone(self, model: Model) -> Iterator[int]:
        """Train on the cases of one center, or on all pooled, in as many rounds as the federation has."""
        plan = self._plan(model)
        net = network.build(plan, model.seed).to(devices.fastest_device())
        file, steps = self.weights_file(model), self.steps(model)
        curve: list[Point] = []
        if kept := _kept(file):
            weights, _, metadata = kept
            set_weights(net, weights)
            curve = json.loads(metadata["curve"])
            yield steps * len(curve)
        left = range(len(curve), self.config.federation.rounds)
        cases, held_out = (self._cases(model, split) if left else [] for split in ("train", "validation"))
        for round_ in left:
            losses = []
            for step in training.train(
                net, cases, plan, steps=steps, first_step=round_ * steps,
                total_steps=self.config.federation.rounds * steps, seed=model.seed,
            ):  # fmt: skip
                losses.append(step.loss)
                yield 1
            dice = inference.mean_dice(net, held_out, self.plan)
            curve.append(_point((round_ + 1) * steps, float(np.mean(losses)), dice))
            self._save(model, get_weights(net), plan, curve)
        memory.release_memory()

    def _train_together(self, model: Model) -> Iterator[int]:
        """Train by Flower in this process; rounds that are on disk are not trained again."""
        if _kept(self.weights_file(model)):
            yield self.steps(model) * self.config.federation.rounds
            return
        data, out = self.datasets[0].folder.parent, self.work / model.name
        scored = any(dataset.split("validation") for dataset in self.datasets)
        config = replace(self.config.federation, data=data, out=out, seed=model.seed, evaluate_every=int(scored))
        config = replace(config, max_share=1.0, max_norm_ratio=0.0)  # all data is here: nobody is taken at their word
        config = replace(config, **self.methods.get(model.kind, {}))
        nodes = [{"data-dir": str(dataset.folder)} for dataset in self.datasets]
        curve: list[Point] = []
        weights: Weights = {}
        plan = self._plan(model) if self.planned else None
        grid = InProcessGrid(client_app.app, nodes, config.to_run_config())
        for round_ in train_rounds(grid, config, plan=plan):
            curve.append(_point(round_.number * config.local_steps, round_.train_loss, round_.validation_dsc))
            weights = round_.weights
            yield self.steps(model)
        self.timer.add_cpu(model.stage, grid.cpu_seconds)
        memory.release_memory()
        for dataset, context in zip(self.datasets, grid.contexts.values(), strict=True):
            if config.personal_weights:
                own = center_state.with_personal(weights, context.state)
                self._save(model, own, self._plan(model), [], f"_at_{dataset.center}")
        self._save(model, weights, self._plan(model), curve)

    def _train_at_home(self, model: Model) -> Iterator[int]:
        """Train the federated model on at each center, with the falling half of a learning-rate cycle."""
        steps, losses, scores = self.home_steps(model), [], []
        weights, plan, _ = load_weights(self.weights_file(replace(model, kind="federated")))
        for dataset in self.datasets if not _kept(self.weights_file(model)) else ():
            net = network.build(plan).to(devices.fastest_device())
            set_weights(net, weights)
            cases = training.load_cases(dataset, dataset.split("train"), plan)
            for step in training.train(
                net, cases, plan, steps=steps, first_step=steps, total_steps=2 * steps, seed=model.seed
            ):
                losses.append(step.loss)
                yield 1
            held_out = training.load_cases(dataset, dataset.split("validation"), plan)
            scores.append(inference.mean_dice(net, held_out, plan))
            self._save(model, get_weights(net), plan, [], f"_at_{dataset.center}")
        if scores:
            self._save(model, weights, plan, [_point(steps, float(np.mean(losses)), float(np.mean(scores)))])

    def _save(self, model: Model, weights: Weights, plan: plans.Plan, curve: list[Point], where: str = "") -> None:
        identity = {**asdict(model.model_key), "seed": model.seed}
        file = self.work / f"{model.name}{where}.safetensors"
        save_weights(file, weights, plan, curve=json.dumps(curve), **identity)


def plan_of(datasets: Sequence[DataSet], config: FederationConfig) -> plans.Plan:
    """The plan for the training patients of these data sets."""
    prints = [fingerprint.fingerprint(dataset, dataset.split("train")) for dataset in datasets]
    memory.release_memory()
    return merged_plan(prints, config)


def _kept(file: Path) -> tuple[Weights, plans.Plan, dict[str, str]] | None:
    """What was trained before; None where nothing lies, or a file that is damaged: then the model is trained anew."""
    try:
        return load_weights(file)
    except PedsegInputError:
        return None


def _point(step: int, loss: float, dsc: float | None) -> Point:
    """One point of a learning curve: steps so far, mean loss of the round, mean DSC on the validation cases."""
    return {"step": step, "loss": round(loss, 5), "dsc": None if dsc is None or math.isnan(dsc) else round(dsc, 5)}
