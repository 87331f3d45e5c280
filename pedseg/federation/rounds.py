"""The rounds of a federation on the server: let every center train, combine the updates, write a checkpoint, go on.

First the centers send their fingerprints; the merged fingerprint gives one plan and one initial network. A federation
that was stopped is resumed from its last checkpoint, to the same final model to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation.checkpoints import Round, read_checkpoints, save_final_model, write_checkpoint
from pedseg.federation.config import FederationConfig, invalid_setting
from pedseg.federation.enrollment import Center, enroll
from pedseg.federation.in_process import SingleRunGrid, untouched_randomness
from pedseg.federation.privacy.secure_average import SecureAverage, masked_shapes
from pedseg.federation.replies import replies_in_order, valid_updates
from pedseg.federation.strategies import OrderedFedAvg, in_order, make_strategy
from pedseg.federation.update_validation import SCORE_METRICS, has_metrics, metric, no_reply
from pedseg.learning.fingerprint import merge
from pedseg.learning.network import build
from pedseg.learning.plans import Plan, make_plan
from pedseg.learning.weights import Weights, get_weights, sha256_of


def train_rounds(
    grid: Grid, config: FederationConfig, strategy: Strategy | None = None, plan: Plan | None = None,
    weights: Weights | None = None,
) -> Iterator[Round]:  # fmt: skip
    """Train one model over all centers that `grid` reaches, one `Round` at a time.

    Rounds that an earlier run with the same settings, centers and cases left under `config.out` are yielded first,
    from disk; the last one leaves `federated.safetensors` there. Any Flower strategy can take the place of those that
    the configuration names; one with a state of its own, such as momentum, loses it when a run is resumed. A given
    `plan` takes the place of the one that the fingerprints lead to, given `weights` that of the random ones: with both,
    the training of a model goes on. Raises `PedsegInputError` when a center cannot send its fingerprint, or when no
    center sends a valid update.
    """
    if strategy and config.secure_aggregation:
        raise invalid_setting("secure_aggregation", "another strategy was given.", "Choose one of the two.")
    if config.secure_aggregation:
        strategy = SecureAverage(grid.name if isinstance(grid, SingleRunGrid) else str(grid.run.run_id))
    strategy = strategy or make_strategy(config.strategy, config.num_malicious)
    with untouched_randomness():
        centers = enroll(grid, config.min_available_centers)
        merged = merge([center.fingerprint for center in centers])
        gin = config.gin_probability
        plan = plan or make_plan(merged, config.profile, config.orientation, gin_probability=gin)
        start, weights = weights, weights or get_weights(build(plan, config.seed))
    folder = config.out / "rounds" if config.out else None
    identity = _identity(config, plan, centers, strategy, start)
    done = 0
    for round_ in read_checkpoints(folder, identity, config.rounds):
        done, weights = round_.number, round_.weights
        _finish(round_, strategy, config)
        yield round_
    for number in range(done + 1, config.rounds + 1):
        with untouched_randomness():
            round_ = _train_round(grid, strategy, centers, plan, weights, number, config)
        if folder:
            write_checkpoint(folder, round_, identity, config.keep_rounds)
        weights = round_.weights
        _finish(round_, strategy, config)
        yield round_


def _finish(round_: Round, strategy: Strategy, config: FederationConfig) -> None:
    """What follows a round, whether it was trained or read: secure aggregation notes it, the last model is written."""
    if isinstance(strategy, SecureAverage):
        strategy.note(round_)
    if round_.number == config.rounds:
        save_final_model(round_, config.out)


def _train_round(
    grid: Grid, strategy: Strategy, centers: Sequence[Center], plan: Plan, weights: Weights, number: int,
    config: FederationConfig,
) -> Round:  # fmt: skip
    """One round: send the model out, let the centers train, refuse invalid updates, combine the rest."""
    secure = strategy if isinstance(strategy, SecureAverage) else None
    if secure:
        secure.choose_group(centers, number)
    messages = strategy.configure_train(number, _flower.to_arrays(weights), _task(plan, number, config), grid)
    by_node = {message.metadata.dst_node_id: message for message in messages}
    asked = [center for center in centers if center.node_id in by_node]
    others = (center for center in centers if center.node_id not in by_node)
    refused = [secure.left_out(center) if secure else no_reply(center.name) for center in others]
    losses: dict[str, float] = {}

    def updates() -> Iterator[Message]:
        replies = replies_in_order(grid, [by_node[center.node_id] for center in asked])
        expected = masked_shapes(weights) if secure else weights
        for center, reply in valid_updates(asked, replies, expected, config.max_update_norm, refused):
            losses[center.name] = metric(reply, "train-loss")
            yield reply
        if not losses:
            raise PedsegInputError(refused)

    if isinstance(strategy, OrderedFedAvg):
        strategy.expect(sum(center.cases for center in asked))
    arrays, metrics = strategy.aggregate_train(number, updates())
    refused += [secure.void(losses, number)] if secure and arrays is None else []
    new = _typed_like(weights, arrays)
    dsc = _evaluate(grid, strategy, plan, new, number, config)
    return Round(number, new, plan, _mean_loss(metrics), losses, dsc, tuple(refused))


def _mean_loss(metrics: MetricRecord | None) -> float:
    return float(metrics["train-loss"]) if metrics else math.nan  # type: ignore[arg-type]


def _typed_like(weights: Weights, arrays: ArrayRecord | None) -> Weights:
    """What a strategy gives, in the number types of the model (some reply in float64); the model itself if nothing."""
    if arrays is None:
        return weights
    return {name: array.astype(weights[name].dtype) for name, array in _flower.to_weights(arrays).items()}


def _task(plan: Plan, number: int, config: FederationConfig) -> ConfigRecord:
    """What a center must know to train in a round; the learning rate follows the steps over all rounds."""
    return ConfigRecord(
        {
            "plan": plan.to_json(),
            "seed": config.seed,
            "local-steps": config.local_steps,
            "first-step": (number - 1) * config.local_steps,
            "total-steps": config.rounds * config.local_steps,
            "clipping-norm": config.clipping_norm,
            "noise-multiplier": config.noise_multiplier,
        }
    )


def _evaluate(
    grid: Grid, strategy: Strategy, plan: Plan, weights: Weights, number: int, config: FederationConfig
) -> float | None:
    """Mean DSC over the validation cases of all centers; None if none has any, or if this round is not evaluated."""
    if not config.evaluate_every or number % config.evaluate_every:
        return None
    task = ConfigRecord({"plan": plan.to_json()})
    replies = grid.send_and_receive(strategy.configure_evaluate(number, _flower.to_arrays(weights), task, grid))
    valid = [reply for reply in replies if has_metrics(reply, SCORE_METRICS) and metric(reply, "num-examples") > 0]
    metrics = strategy.aggregate_evaluate(number, in_order(valid)) if valid else None
    return float(metrics["validation-dsc"]) if metrics else None  # type: ignore[arg-type]


def _identity(
    config: FederationConfig, plan: Plan, centers: Sequence[Center], strategy: Strategy, start: Weights | None
) -> str:
    """What must be the same for a checkpoint to be resumed: settings, plan, centers, cases, strategy, given weights."""
    parts = [
        config.identity(),
        plan.to_json(),
        [(center.index, center.name, center.cases, center.fingerprint.to_json()) for center in centers],
        type(strategy).__name__,
        *([sha256_of(start)] if start else []),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
