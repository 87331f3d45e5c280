"""How many local steps a study has time for on this machine: measured once, and kept for the same call again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pedseg.datasets.cases import DataSet
from pedseg.errors import input_error
from pedseg.evaluation.config import StudyConfig
from pedseg.files import write_atomically
from pedseg.learning import devices, inference, network, training
from pedseg.learning.plans import Plan
from pedseg.resources import parallel_jobs

FILE = "local_steps.json"


@dataclass(frozen=True)
class Workload:
    """What a study does: training steps for one local step a round, and predictions of one case each."""

    steps: int
    validations: int
    tests: int


def workload(config: StudyConfig, centers: int, validation: int, test: int) -> Workload:
    """The work of a study of so many centers with so many validation and test cases in all.

    Each center's cases are trained on three times (alone, in the federation, and pooled), and so they are validated.
    Each local model, the centralized and the federated one meet the test cases of all centers.
    """
    times = config.seeds * config.federation.rounds * 3
    return Workload(times * centers, times * validation, config.seeds * (centers + 2) * test)


def with_local_steps(config: StudyConfig, datasets: Sequence[DataSet], plan: Plan, out: Path) -> StudyConfig:
    """The configuration with as many local steps as `config.minutes` have room for.

    Making virtual children and preprocessing come on top. What was decided is in `out`, so that a study that was
    stopped goes on. Raises `PedsegInputError` if there is no time for one step a round.
    """
    file = out / FILE
    asked: dict[str, object] = {"minutes": config.minutes, "rounds": config.federation.rounds, "seeds": config.seeds}
    asked |= {"plan": plan.to_json(), "cases": sum(len(dataset.cases) for dataset in datasets)}
    decided = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if decided.get("asked") != asked:
        decided = {"asked": asked} | _measure(config, datasets, plan, out)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(decided, indent=1).encode())
    return replace(config, federation=replace(config.federation, local_steps=decided["local_steps"]))


def _measure(config: StudyConfig, datasets: Sequence[DataSet], plan: Plan, out: Path) -> dict[str, float]:
    """Local steps, and what a step and the prediction of a case take."""
    validation, test = (sum(len(d.split(split)) for d in datasets) for split in ("validation", "test"))
    work, (step, prediction) = workload(config, len(datasets), validation, test), _seconds(datasets[0], plan)
    side_by_side = parallel_jobs() if plan.recipe.threads else 1
    predicting = (work.validations + work.tests) * prediction
    local_steps = int((60 * config.minutes * side_by_side - predicting) / (work.steps * step))
    if local_steps < 1:
        least = (work.steps * step + predicting) / (60 * side_by_side)
        problem = f"{config.minutes} minutes have no room for one step a round: here that takes {least:.1f}."
        raise input_error("E-MINUTES", out, problem, "Give more minutes, fewer rounds, or fewer seeds.")
    return {"local_steps": local_steps, "seconds a step": step, "seconds a prediction": prediction}


def _seconds(dataset: DataSet, plan: Plan) -> tuple[float, float]:
    """What a training step takes, and what the prediction of one case does."""
    cases = training.load_cases(dataset, dataset.split("train")[: plan.batch], plan)
    net = network.build(plan).to(devices.fastest_device())
    inference.mean_dice(net, cases[:1], plan)  # the first one warms up
    start = time.perf_counter()
    inference.mean_dice(net, cases[:1], plan)
    return training.seconds_a_step(plan, cases), time.perf_counter() - start
