"""A federation, round by round: ask every center to train, average, keep the result, go on.

First the centers describe their cases in aggregate; the merged description gives one plan and
one initial network. After every round the global model is written to disk, so that a
federation that was stopped goes on where it was, with the same final model to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict, UserConfigValue
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from pedseg.federation.averaging import (
    SCORE_METRICS,
    flaw,
    has_metrics,
    in_order,
    metric,
    to_arrays,
    to_weights,
)
from pedseg.federation.checkpoints import Round, keep, restore
from pedseg.federation.in_process import untouched_randomness
from pedseg.federation.strategies import strategy_named
from pedseg.findings import Finding, PedsegInputError, refuse
from pedseg.learning.network import Weights, build, get_weights
from pedseg.learning.plans import Fingerprint, Plan, make_plan, merge

RunConfig = Mapping[str, UserConfigValue]
DEFAULTS: dict[str, UserConfigValue] = {
    "data": "runs/data",  # folder of data sets, one subfolder a center
    "profile": "lesson",
    "posture": "",  # the profile's own
    "gin": 0.0,  # share of the training samples that random convolutions change
    "rounds": 10,
    "steps-per-round": 85,
    "seed": 0,
    "out": "",  # folder of the weights and checkpoints; empty: nothing is written
    "centers": 0,  # wait for this many; 0: those that are there
    "evaluate-every": 0,  # rounds between two looks at the validation cases; 0: never
    "keep-rounds": 0,  # checkpoints to keep; 0: all
    "strategy": "average",  # or against hostile centers: median, trimmed-mean, krum
    "hostile-centers": 1,  # how many of them a robust strategy shall stand
    "largest-update": 0.0,  # L2 norm of the change of all weights in a round; 0: any
}
IDENTITY = (
    "profile", "posture", "rounds", "steps-per-round", "seed", "strategy", "hostile-centers", "largest-update"
)  # fmt: skip
LEAST = {
    "rounds": 1,
    "steps-per-round": 1,
    "seed": 0,
    "centers": 0,
    "evaluate-every": 0,
    "keep-rounds": 0,
    "hostile-centers": 0,
}


@dataclass(frozen=True)
class Center:
    """A center as the server knows it: its node, its place in the order, its name, its aggregate description."""

    node_id: int
    index: int
    name: str
    cases: int
    fingerprint: Fingerprint


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
    strategy = strategy or strategy_named(config["strategy"], config["hostile-centers"])
    with untouched_randomness():
        centers = enroll(grid, config["centers"])
        merged = merge([center.fingerprint for center in centers])
        plan = plan or make_plan(merged, config["profile"], config["posture"], gin=config["gin"])
        weights = get_weights(build(plan, config["seed"]))
    folder = Path(str(config["out"])) / "rounds" if config["out"] else None
    identity = _identity(config, plan, centers, strategy)
    done = 0
    for round_ in restore(folder, identity, config["rounds"]):
        done, weights = round_.number, round_.weights
        yield round_
    for number in range(done + 1, config["rounds"] + 1):
        with untouched_randomness():
            round_ = _play(grid, strategy, centers, plan, weights, number, config)
        if folder:
            keep(folder, round_, identity, config["keep-rounds"])
        weights = round_.weights
        yield round_


def settings(run_config: RunConfig) -> dict[str, Any]:
    """The run's settings with defaults filled in; a number below its least value is refused."""
    config: dict[str, Any] = {**DEFAULTS, **run_config}
    for key, least in LEAST.items():
        if not isinstance(config[key], int) or config[key] < least:
            raise refuse("E-SETTING", key, f"the value is {config[key]!r}.", f"Give a whole number from {least} up.")
    bound = config["largest-update"]
    if not isinstance(bound, int | float) or not 0 <= bound < math.inf:
        raise refuse("E-SETTING", "largest-update", f"the value is {bound!r}.", "Give a number from 0 up.")
    if not isinstance(config["gin"], int | float) or not 0 <= config["gin"] <= 1:
        raise refuse("E-SETTING", "gin", f"the value is {config['gin']!r}.", "Give a number from 0 to 1.")
    return config


def enroll(grid: Grid, expected: int = 0) -> list[Center]:
    """Ask every center to describe its training cases in aggregate; centers in their order.

    Waits until `expected` centers (at least one) are connected. Raises `PedsegInputError` with
    everything that the centers answered in place of a description.
    """
    while len(nodes := sorted(grid.get_node_ids())) < max(1, expected):
        time.sleep(0.5)
    questions = [Message(RecordDict(), dst_node_id=node, message_type="query.fingerprint") for node in nodes]
    replies = {reply.metadata.src_node_id: reply for reply in grid.send_and_receive(questions)}
    failed = []
    for node in nodes:
        if node not in replies:
            failed.append(Finding("E-CENTER-SILENT", f"node {node}", "no answer came.", "Look at this center's log."))
        elif replies[node].has_error():
            reason = f"the center stopped with an error ({replies[node].error.reason})."
            failed.append(Finding("E-CENTER-ERROR", f"node {node}", reason, "Mend what the message names."))
    if failed:
        raise PedsegInputError(failed)
    centers = sorted((_introduce(reply) for reply in replies.values()), key=lambda center: center.index)
    if min(len({center.index for center in centers}), len({center.name for center in centers})) < len(centers):
        found = ", ".join(f"{center.index} {center.name}" for center in centers)
        remedy = "Give each center its own partition-id and its own name."
        raise refuse("E-CENTER-TWICE", "federation", f"two centers have the same number or name: {found}.", remedy)
    return centers


def _introduce(reply: Message) -> Center:
    """What a center says of itself; refused if it is not understood or if there is nothing to learn from."""
    node = f"node {reply.metadata.src_node_id}"
    try:
        answer = reply.content.config_records["fingerprint"]
        index, cases, fingerprint = int(str(answer["center-index"])), int(str(answer["cases"])), str(answer["json"])
        center = Center(
            reply.metadata.src_node_id, index, str(answer["center"]), cases, Fingerprint.from_json(fingerprint)
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise refuse(
            "E-CENTER-ANSWER", node, f"its answer is not understood ({error}).", "Install the same pedseg there."
        ) from error
    if cases < 1 or cases != center.fingerprint.cases:
        raise refuse(
            "E-NO-CASES",
            center.name,
            f"it counts {cases} training cases.",
            "Give the center at least one labeled case.",
        )
    return center


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
        }
    )
    replies = grid.send_and_receive(strategy.configure_train(number, to_arrays(weights), task, grid))
    sound, refused = sift(replies, centers, weights, config["largest-update"])
    if not sound:
        raise PedsegInputError(refused)
    arrays, metrics = strategy.aggregate_train(number, sound)
    if arrays is not None:  # in the number types of the model: some strategies answer in float64
        weights = {name: array.astype(weights[name].dtype) for name, array in to_weights(arrays).items()}
    losses = _losses(sound, centers)
    loss = float(metrics["train-loss"]) if metrics else math.nan  # type: ignore[arg-type]
    every = config["evaluate-every"]
    score = _evaluate(grid, strategy, plan, weights, number) if every and number % every == 0 else None
    return Round(number, weights, plan, loss, losses, score, tuple(refused))


def sift(
    replies: Iterable[Message], centers: Sequence[Center], weights: Weights, largest_update: float = 0.0
) -> tuple[list[Message], list[Finding]]:
    """Part the sound updates, in the order of the centers, from findings about the others."""
    by_node = {reply.metadata.src_node_id: reply for reply in replies}
    sound, refused = [], []
    for center in centers:
        reply = by_node.get(center.node_id)
        known = {"center": center.name, "index": center.index, "cases": center.cases}
        finding = flaw(reply, weights, **known, largest_update=largest_update)  # type: ignore[arg-type]
        if finding:
            refused.append(finding)
        elif reply:
            sound.append(reply)
    return in_order(sound), refused


def _losses(sound: Sequence[Message], centers: Sequence[Center]) -> dict[str, float]:
    names = {center.node_id: center.name for center in centers}
    return {names[reply.metadata.src_node_id]: metric(reply, "train-loss") for reply in sound}


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
