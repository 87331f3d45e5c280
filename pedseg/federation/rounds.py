"""A federation, round by round: ask every center to train, average, keep the result, go on.

First the centers describe their cases in aggregate; the merged description gives one plan and
one initial network. After every round the global model is written to disk, so that a
federation that was stopped goes on where it was, with the same final model to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from pedseg.errors import input_error
from pedseg.federation.averaging import (
    SCORE_METRICS,
    OrderedFedAvg,
    has_metrics,
    in_order,
    metric,
    no_reply,
    to_arrays,
    to_weights,
)
from pedseg.federation.checkpoints import Round, keep, restore
from pedseg.federation.config import IDENTITY, RunConfig, settings
from pedseg.federation.enrollment import Center, enroll
from pedseg.federation.in_process import OneRunGrid, untouched_randomness
from pedseg.federation.privacy.secure_average import MaskedAverage, whole_numbers
from pedseg.federation.replies import answers, at_least_one, noting_losses, valid_updates
from pedseg.federation.strategies import strategy_named
from pedseg.learning.network import Weights, build, get_weights
from pedseg.learning.plans import Plan, make_plan, merge


def federate(
    grid: Grid, run_config: RunConfig, strategy: Strategy | None = None, plan: Plan | None = None
) -> Iterator[Round]:
    """Train one model over all centers that `grid` reaches, one `Round` at a time.

    `run_config` holds the keys of `DEFAULTS`. Rounds that an earlier run with the same settings,
    centers and cases left under `out` are yielded first, from disk. Any Flower strategy can take
    the place of those that `strategy` names; one with a memory of its own, such as momentum, forgets it when
    a run is taken up again. With a `plan`, that of the run's settings is not made. Raises `PedsegInputError` when a
    center cannot describe its data, or when no center brings a usable update.
    """
    config = settings(run_config)
    if strategy and config["masks"]:
        raise input_error("E-SETTING", "masks", "another strategy was given.", "Choose one of the two.")
    strategy = strategy or _strategy(grid, config)
    with untouched_randomness():
        centers = enroll(grid, config["centers"])
        merged = merge([center.fingerprint for center in centers])
        plan = plan or make_plan(merged, config["profile"], config["orientation"], gin=config["gin"])
        weights = get_weights(build(plan, config["seed"]))
    folder = Path(str(config["out"])) / "rounds" if config["out"] else None
    identity = _identity(config, plan, centers, strategy)
    done = 0
    for round_ in restore(folder, identity, config["rounds"]):
        done, weights = round_.number, round_.weights
        _note(strategy, round_)
        yield round_
    for number in range(done + 1, config["rounds"] + 1):
        with untouched_randomness():
            round_ = _play(grid, strategy, centers, plan, weights, number, config)
        if folder:
            keep(folder, round_, identity, config["keep-rounds"])
        weights = round_.weights
        _note(strategy, round_)
        yield round_


def _strategy(grid: Grid, config: Mapping[str, Any]) -> Strategy:
    if config["masks"]:
        return MaskedAverage(grid.name if isinstance(grid, OneRunGrid) else str(grid.run.run_id))
    return strategy_named(config["strategy"], config["hostile-centers"])


def _note(strategy: Strategy, round_: Round) -> None:
    if isinstance(strategy, MaskedAverage):
        strategy.note(round_)


def _play(
    grid: Grid,
    strategy: Strategy,
    centers: Sequence[Center],
    plan: Plan,
    weights: Weights,
    number: int,
    config: Mapping[str, Any],
) -> Round:
    """One round: send the model out, let the centers train, refuse what is unsound, average the rest."""
    steps = config["steps-per-round"]
    task = ConfigRecord(
        {
            "plan": plan.to_json(),
            "seed": config["seed"],
            "steps": steps,
            "first-step": (number - 1) * steps,
            "total-steps": config["rounds"] * steps,
            "clip": float(config["clip"]),
            "noise": float(config["noise"]),
        }
    )
    masks = strategy if isinstance(strategy, MaskedAverage) else None
    if masks:
        masks.invite(centers, number)
    questions = strategy.configure_train(number, to_arrays(weights), task, grid)
    by_node = {one.metadata.dst_node_id: one for one in questions}
    asked = [center for center in centers if center.node_id in by_node]
    if isinstance(strategy, OrderedFedAvg):
        strategy.expect(sum(center.cases for center in asked))
    unasked = [center for center in centers if center.node_id not in by_node]
    refused = [masks.left_out(center) if masks else no_reply(center.name) for center in unasked]
    losses: dict[str, float] = {}
    given = answers(grid, [by_node[center.node_id] for center in asked])
    replies = valid_updates(
        asked, given, whole_numbers(weights) if masks else weights, config["largest-update"], refused
    )
    arrays, metrics = strategy.aggregate_train(number, at_least_one(noting_losses(replies, losses), refused))
    if masks and arrays is None:
        refused.append(masks.void(losses, number))
    if arrays is not None:  # in the number types of the model: some strategies answer in float64
        weights = {name: array.astype(weights[name].dtype) for name, array in to_weights(arrays).items()}
    loss = float(metrics["train-loss"]) if metrics else math.nan  # type: ignore[arg-type]
    every = config["evaluate-every"]
    score = _evaluate(grid, strategy, plan, weights, number) if every and number % every == 0 else None
    return Round(number, weights, plan, loss, losses, score, tuple(refused))


def _evaluate(grid: Grid, strategy: Strategy, plan: Plan, weights: Weights, number: int) -> float | None:
    """Mean DSC over the validation cases of all centers; None if none has any."""
    task = ConfigRecord({"plan": plan.to_json()})
    replies = grid.send_and_receive(strategy.configure_evaluate(number, to_arrays(weights), task, grid))
    usable = [reply for reply in replies if has_metrics(reply, SCORE_METRICS) and metric(reply, "num-examples") > 0]
    metrics = strategy.aggregate_evaluate(number, in_order(usable)) if usable else None
    return float(metrics["validation-dsc"]) if metrics else None  # type: ignore[arg-type]


def _identity(config: Mapping[str, Any], plan: Plan, centers: Sequence[Center], strategy: Strategy) -> str:
    """What must be the same for a checkpoint to be taken up: settings, plan, centers, cases, strategy."""
    parts = [
        {key: config[key] for key in IDENTITY},
        plan.to_json(),
        [(center.index, center.name, center.cases, center.fingerprint.to_json()) for center in centers],
        type(strategy).__name__,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
