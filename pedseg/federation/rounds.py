"""The rounds of a federation on the server: let every center train, combine the updates, write a checkpoint, go on.

First the centers send their fingerprints; the merged fingerprint gives one plan and one initial network. A federation
that was stopped is resumed from its last checkpoint, to the same final model to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from pedseg.errors import InputProblem, PedsegInputError
from pedseg.federation import _flower, center_state
from pedseg.federation.checkpoints import (
    Round,
    delete_checkpoints,
    newest_checkpoint,
    read_checkpoints,
    read_memory,
    save_final_model,
    write_checkpoint,
)
from pedseg.federation.config import FederationConfig, invalid_setting
from pedseg.federation.enrollment import Center, enroll
from pedseg.federation.in_process import SingleRunGrid, untouched_randomness
from pedseg.federation.partial_labels import AnnotatedHeadFedAvg
from pedseg.federation.privacy.secure_average import SecureAverage, masked_shapes
from pedseg.federation.replies import replies_in_order, valid_updates
from pedseg.federation.starting_point import starting_point
from pedseg.federation.stopping import check_scored, chosen_round, is_over, phase_of, plan_phases, with_best
from pedseg.federation.strategies import (
    MEMORY,
    OrderedFedAvg,
    Robust,
    in_order,
    keeps_memory,
    make_strategy,
    memory_of,
    remember,
)
from pedseg.federation.tracking import check_tracker, tracked
from pedseg.federation.training_task import TrainingTask, check_known
from pedseg.federation.update_comparison import APART, compared_updates
from pedseg.federation.update_validation import metric, no_reply, not_finite, validate_score
from pedseg.learning.network import build
from pedseg.learning.plans import Plan
from pedseg.learning.weights import Weights, get_weights, sha256_of


def train_rounds(
    grid: Grid, config: FederationConfig, strategy: Strategy | None = None, plan: Plan | None = None,
    weights: Weights | None = None,
) -> Iterator[Round]:  # fmt: skip
    """Train one model over all centers that `grid` reaches, one `Round` at a time.

    Ends after `config.rounds`, or by early stopping (`stopping`). Rounds that an earlier run with the same settings,
    centers and cases left under `config.out` are yielded first, from disk; the end leaves `federated.safetensors`
    there. Any Flower strategy can take the place of those that the configuration names; arrays that it keeps, such as a
    momentum, are kept with the last checkpoint. A given `plan` takes the place of the one that the fingerprints lead
    to, given `weights` that of the random ones: with both, the training of a model goes on. Raises `PedsegInputError`
    when a center cannot send its fingerprint, or when no center sends a valid update.
    """
    check_tracker(config)
    given = strategy is not None
    _refuse_ignored(config, given)
    with untouched_randomness():
        centers = enroll(grid, config)
        plan, start = starting_point([center.fingerprint for center in centers], config, plan, weights)
        strategy = strategy or _own_strategy(grid, config, centers, plan)
        beginning = Round(0, start or get_weights(build(plan, config.seed)), plan, math.nan, {})
    identity = _identity(config, plan, centers, strategy, start, given=given)
    yield from tracked(_play(grid, strategy, centers, beginning, identity, config), config)


def _play(
    grid: Grid, strategy: Strategy, centers: Sequence[Center], last: Round, identity: str, config: FederationConfig
) -> Iterator[Round]:
    """The rounds that are on disk, then those that are still to be trained; `last` is the model before the first."""
    folder = config.out / "rounds" if config.out else None
    known = folder if center_state.is_kept(grid, config) else None
    phases = plan_phases(newest_checkpoint(known, identity), config)
    for restored in read_checkpoints(known, identity):
        last = replace(restored, weights=_like(last.weights, restored.weights))
        _note(last, strategy)
        yield last
    over = is_over(last, phases, config)
    if over:
        _hand_over(last, centers, identity, config)
    _restore_memory(grid, strategy, config, known if last.number else None, last, over)
    while not is_over(last, phases, config):
        with untouched_randomness():
            new = _train_round(grid, strategy, centers, last, config, phases)
        last = with_best(new, last)
        if folder:
            memory = memory_of(strategy) | center_state.states_of(grid, config)
            write_checkpoint(folder, last, identity, config.keep_rounds, memory)
        _note(last, strategy)
        if is_over(last, phases, config):
            _hand_over(last, centers, identity, config)
        yield last
        check_scored(last, config)


def _restore_memory(
    grid: Grid, strategy: Strategy, config: FederationConfig, folder: Path | None, last: Round, over: bool
) -> None:
    """Let strategy and centers go on as if the run had never been stopped after its `last` round on disk."""
    wanted = center_state.states_of(grid, config) or (keeps_memory(strategy) and not over)
    memory = read_memory(folder, last) if folder and wanted else {}
    own = {label: array for label, array in memory.items() if not label.startswith(center_state.LABEL)}
    remember(strategy, own)
    center_state.restore_states(grid, config, memory)


def _refuse_ignored(config: FederationConfig, given: bool) -> None:
    """Refuse settings that ask for a strategy of pedseg's where another one is given."""
    for name in ("secure_aggregation", "head_average"):
        if given and getattr(config, name) != getattr(FederationConfig, name):
            raise invalid_setting(name, "another strategy was given.", "Choose one of the two.")


def _own_strategy(grid: Grid, config: FederationConfig, centers: Sequence[Center], plan: Plan) -> Strategy:
    """The strategy that the configuration names."""
    if config.secure_aggregation:
        return SecureAverage(grid.name if isinstance(grid, SingleRunGrid) else str(grid.run.run_id))
    return AnnotatedHeadFedAvg(centers, plan) if config.head_average == "annotating" else make_strategy(config)


def _note(round_: Round, strategy: Strategy) -> None:
    """What follows a round, whether it was trained or read: secure aggregation notes who was missing."""
    if isinstance(strategy, SecureAverage):
        strategy.note(round_)


def _hand_over(last: Round, centers: Sequence[Center], identity: str, config: FederationConfig) -> None:
    """Write the final model of a run that is over, if it has a folder; later checkpoints there are of other runs."""
    if config.out:
        folder = config.out / "rounds"
        delete_checkpoints(folder, lambda number: number > last.number)
        chosen = chosen_round(last, folder, identity, config)
        save_final_model(last, chosen, config.out, "+".join(center.name for center in centers), config.seed)


def _train_round(
    grid: Grid, strategy: Strategy, centers: Sequence[Center], before: Round, config: FederationConfig,
    phases: tuple[int, ...],
) -> Round:  # fmt: skip
    """The next round: send the model out, let the centers train, refuse invalid updates, combine the rest."""
    number, plan, weights = before.number + 1, before.plan, before.weights
    secure = strategy if isinstance(strategy, SecureAverage) else None
    requests, refused = _requests(grid, strategy, centers, plan, weights, number, config, phases)
    asked = [center for center, _ in requests]
    replies = replies_in_order(grid, [message for _, message in requests])
    expected = masked_shapes(weights) if secure else weights
    updates = valid_updates(asked, replies, expected, config.max_update_norm, refused)
    if isinstance(strategy, OrderedFedAvg):
        strategy.expect(sum(center.cases for center in asked))
    losses: dict[str, float] = {}
    norms: dict[str, float] = {}
    if config.max_norm_ratio and not isinstance(strategy, SecureAverage | Robust):  # masks hide norms, the robust judge
        updates = compared_updates(updates, weights, config.max_norm_ratio, norms, refused)
    new, metrics = _combine(strategy, _noting(updates, losses, refused), weights, number, refused)
    refused += [secure.void(losses, number)] if secure and new is weights else []
    scores = _evaluate(grid, strategy, centers, plan, new, number, config, refused)
    cases = {center.name: center.cases for center in asked if center.name in losses}
    others = {"cases": cases, "scores": scores, "norms": norms, "phases": phases}
    dsc = scores.pop("", None)
    return Round(number, new, plan, _mean_loss(metrics), losses, dsc, tuple(refused), **others)  # type: ignore[arg-type]


def _requests(
    grid: Grid, strategy: Strategy, centers: Sequence[Center], plan: Plan, weights: Weights, number: int,
    config: FederationConfig, phases: tuple[int, ...],
) -> tuple[list[tuple[Center, Message]], list[InputProblem]]:  # fmt: skip
    """The centers that are asked in a round with their messages, and what is to be said of the others."""
    secure = strategy if isinstance(strategy, SecureAverage) else None
    if secure:
        secure.choose_group(centers, number)
    task = TrainingTask.of_round(number, plan, config, *phase_of(number, phases)).to_record()
    messages = strategy.configure_train(number, _flower.to_arrays(weights), task, grid)
    by_node = {message.metadata.dst_node_id: message for message in messages}
    check_known(task)
    asked = [(center, by_node[center.node_id]) for center in centers if center.node_id in by_node]
    others = (center for center in centers if center.node_id not in by_node)
    return asked, [secure.left_out(center) if secure else no_reply(center.name) for center in others]


def _combine(
    strategy: Strategy, replies: Iterable[Message], weights: Weights, number: int, refused: list[InputProblem]
) -> tuple[Weights, MetricRecord | None]:
    """The new model and the mean metrics. Where no good model comes out, the round is void: the last good one stays."""
    memory = {name: value for name, value in vars(strategy).items() if name in MEMORY}
    with np.errstate(all="ignore"):  # finite updates can have a sum that is not
        arrays, metrics = strategy.aggregate_train(number, replies)
        new = _like(weights, _flower.to_weights(arrays)) if arrays else weights
    if problem := not_finite(new, number):
        refused.append(problem)
    if problem or any(entry.code == APART for entry in refused):
        vars(strategy).update(memory)
        return weights, metrics
    return new, metrics


def _noting(
    updates: Iterable[tuple[Center, Message]], losses: dict[str, float], refused: Sequence[InputProblem]
) -> Iterator[Message]:
    """The valid updates, whose losses are noted by center; refused if there is none."""
    for center, reply in updates:
        losses[center.name] = metric(reply, "train-loss")
        yield reply
    if not losses:
        raise PedsegInputError(refused)


def _mean_loss(metrics: MetricRecord | None) -> float:
    return float(metrics["train-loss"]) if metrics else math.nan  # type: ignore[arg-type]


def _like(model: Weights, new: Mapping[str, NDArray]) -> Weights:
    """New weights in the order and the number types of the model: files sort names, some strategies give float64.

    Flower's FedAvgM pairs arrays by their order, and the id of a request in a mailbox follows from it.
    """
    return {name: new[name].astype(array.dtype, copy=False) for name, array in model.items()}


def _evaluate(
    grid: Grid, strategy: Strategy, centers: Sequence[Center], plan: Plan, weights: Weights, number: int,
    config: FederationConfig, refused: list[InputProblem],
) -> dict[str, float]:  # fmt: skip
    """Mean DSC over the validation cases by center, and over all as ""; empty if this round is not evaluated."""
    if not config.evaluate_every or number % config.evaluate_every:
        return {}
    task = ConfigRecord({"plan": plan.to_json()})
    messages = strategy.configure_evaluate(number, _flower.to_arrays(weights), task, grid)
    replies = {reply.metadata.src_node_id: reply for reply in grid.send_and_receive(messages)}
    valid: dict[str, Message] = {}
    for center in centers:
        problem = validate_score(replies.get(center.node_id), center)
        if problem:
            refused.append(problem)
        elif metric(replies[center.node_id], "num-examples") > 0:
            valid[center.name] = replies[center.node_id]
    metrics = strategy.aggregate_evaluate(number, in_order(valid.values())) if valid else None
    scores = {name: metric(reply, "validation-dsc") for name, reply in valid.items()}
    return {**scores, "": float(metrics["validation-dsc"])} if metrics else {}  # type: ignore[arg-type]


def _identity(
    config: FederationConfig, plan: Plan, centers: Sequence[Center], strategy: Strategy, start: Weights | None, *,
    given: bool,
) -> str:  # fmt: skip
    """What must be the same for a checkpoint to be resumed: settings, plan, centers, data, strategy, given weights.

    Not the number of rounds: it may grow, and every checkpoint holds the phases that it was trained in (`stopping`). Of
    a strategy that was `given` its settings, too; the others follow from the configuration.
    """
    parts = [
        {name: value for name, value in config.identity().items() if name != "rounds"},
        plan.to_json(),
        [(center.index, center.name, center.cases, center.data) for center in centers],
        type(strategy).__name__,
        {name: value for name, value in vars(strategy).items() if given and isinstance(value, int | float | str)},
        *([sha256_of(start)] if start else []),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
