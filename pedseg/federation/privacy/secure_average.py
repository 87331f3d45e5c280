"""Federated averaging with secure aggregation: the coordinator adds up masked updates, and the sum is the mean.

If a center of the group is missing, the masks do not cancel: the round is void and the model stays. A center that was
missing sits out the next round, after a second time the next two, then four, and so on; then it is asked again, and
after a restart if the others would be too few. No center may be asked twice in one round: two sums over different
groups differ by a single update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from pedseg.errors import InputProblem, input_error
from pedseg.federation import _flower
from pedseg.federation.checkpoints import Round
from pedseg.federation.enrollment import Center
from pedseg.federation.privacy import secure_aggregation
from pedseg.federation.privacy.policy import GROUP, AggregationGroup
from pedseg.federation.strategies import OrderedStrategy, metrics_only

OUT, VOID = "E-MASK-OUT", "E-MASK-VOID"


class SecureAverage(OrderedStrategy):
    """The mean of the centers' updates by their numbers of cases, of which the coordinator sees the sum alone.

    `run` must never come twice with the same keys of the centers.
    """

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run
        self.group: Sequence[Center] = ()
        self._times_missed: dict[str, int] = {}  # since the center last replied
        self._back: dict[str, int] = {}  # in which round it is asked again
        self._before: Mapping[str, NDArray] = {}

    def choose_group(self, centers: Sequence[Center], number: int) -> None:
        """Choose which centers are asked in a round; refused if they are too few to hide behind each other.

        After a restart no center sits out if the others would be too few: else the run could never go on.
        """
        least = secure_aggregation.MIN_CENTERS
        group = [center for center in centers if self._back.get(center.name, 0) <= number]
        if len(group) < least and not self.group:
            group = list(centers)
        self.group = group
        if len(group) < least:
            remedy = f"Masks hide nothing below {least} centers; the same command goes on when they are back."
            raise input_error("E-MASK-FEW", f"round {number}", f"{len(group)} centers are there.", remedy)

    def left_out(self, center: Center) -> InputProblem:
        """The problem of a center that was not asked."""
        problem = f"it was missing in secure aggregation, and sits out until round {self._back.get(center.name, 0)}."
        return InputProblem(OUT, center.name, problem, "It is asked again then; look at its log.")

    def void(self, replied: Iterable[str], number: int) -> InputProblem:
        """The problem of a round in which a center was missing, or sent something else than a masked update."""
        names = [center.name for center in self.group]
        missing = [name for name in names if name not in set(replied)]
        problem = f"without it the masks of round {number} do not cancel."
        remedy = "The round is void and the model stays; the next one goes on without it."
        if not missing:
            problem = f"the sum of round {number} is not that of updates: one of them sent something else."
            remedy = "The round is void and the model stays. Masks hide who it was: ask all."
        return InputProblem(VOID, ", ".join(missing or names), problem, remedy)

    def note(self, round_: Round) -> None:
        """Note who was missing in a round; the same rounds lead to the same group after a restart."""
        for name in round_.losses:
            self._times_missed.pop(name, None)
            self._back.pop(name, None)
        missing = {problem.file for problem in round_.refused if problem.code not in (OUT, VOID)}
        for name in missing - set(round_.losses):  # a missing score is no missing update
            self._back[name] = round_.number + 2 ** self._times_missed.get(name, 0) + 1
            self._times_missed[name] = self._times_missed.get(name, 0) + 1

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The messages of a round to the centers of the group."""
        self._before = _flower.to_weights(arrays)
        config["server-round"] = server_round
        names, cases = (tuple(getattr(center, key) for center in self.group) for key in ("name", "cases"))
        group = AggregationGroup(self.run, names, cases).to_record()
        content = RecordDict({"arrays": arrays, "config": config, GROUP: group})
        return [Message(content, dst_node_id=center.node_id, message_type="train") for center in self.group]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The model with the sum of all updates, added up as they come; no arrays if one is missing or none.

        No honest share changes a weight by more than `MAX_CHANGE`; where masks do not cancel the sum is far larger.
        """
        sums: dict[str, NDArray] = {}
        said: list[RecordDict] = []
        for reply in replies:
            secure_aggregation.add_masked(sums, _flower.to_weights(_flower.arrays_of(reply.content)["arrays"]))
            said.append(metrics_only(reply))
        metrics = self.train_metrics_aggr_fn(said, self.weighted_by_key) if said else None
        if len(said) < len(self.group):
            return None, metrics
        change = secure_aggregation.from_fixed_point(sums)
        most = secure_aggregation.MAX_CHANGE * len(said)
        if any(np.abs(array).max(initial=0.0) > most for array in change.values()):
            return None, metrics
        return _flower.to_arrays({name: start + change[name] for name, start in self._before.items()}), metrics


def masked_shapes(weights: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """What a masked update must look like: the shapes of the weights in uint32; takes no memory."""
    return {name: np.broadcast_to(np.uint32(0), array.shape) for name, array in weights.items()}
