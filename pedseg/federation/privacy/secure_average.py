"""Federated averaging behind masks: the coordinator adds up what it cannot read, and the sum is the mean.

If a center of the circle is missing, the masks do not cancel: the round is void and the model stays. Whoever
was missing sits out the next round, after a second time the next two, then four, and so on; then it is
asked again, and at a new start if the others would be too few. Nobody may be asked twice in one round: two
sums over different circles differ by somebody's update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray

from pedseg.errors import InputProblem, input_error
from pedseg.federation import _flower
from pedseg.federation.averaging import in_order, to_arrays, to_weights
from pedseg.federation.checkpoints import Round
from pedseg.federation.enrollment import Center
from pedseg.federation.privacy import secure_aggregation
from pedseg.federation.privacy.policy import MASKS, AggregationGroup

OUT, VOID = "E-MASK-OUT", "E-MASK-VOID"


class MaskedAverage(FedAvg):
    """The mean of the centers' updates by their numbers of cases, of which the coordinator sees the sum alone.

    `run` must never come twice with the same keys of the centers.
    """

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run
        self.group: Sequence[Center] = ()
        self._missed: dict[str, int] = {}  # how often each was missing since it last answered
        self._back: dict[str, int] = {}  # in which round it is asked again
        self._before: Mapping[str, NDArray] = {}

    def invite(self, centers: Sequence[Center], number: int) -> None:
        """Choose who is asked in a round; refused if they are too few to hide behind each other.

        After a new start nobody sits out if the others would be too few: else the run could never go on.
        """
        there = [center for center in centers if self._back.get(center.name, 0) <= number]
        if len(there) < secure_aggregation.LEAST and not self.group:
            there = list(centers)
        self.group = there
        if len(there) < secure_aggregation.LEAST:
            found = f"{len(there)} centers are there."
            least = secure_aggregation.LEAST
            remedy = f"Masks hide nothing below {least} centers; the same command goes on when they are back."
            raise input_error("E-MASK-FEW", f"round {number}", found, remedy)

    def left_out(self, center: Center) -> InputProblem:
        """What is said of a center that was not asked."""
        found = f"it was missing behind masks, and sits out until round {self._back.get(center.name, 0)}."
        return InputProblem(OUT, center.name, found, "It is asked again then; look at its log.")

    def void(self, answered: Iterable[str], number: int) -> InputProblem:
        """What is said of a round in which somebody was missing."""
        missing = ", ".join(center.name for center in self.group if center.name not in set(answered))
        found = f"without it the masks of round {number} do not cancel."
        return InputProblem(
            VOID, missing, found, "The round is void and the model stays; the next one goes on without it."
        )

    def note(self, round_: Round) -> None:
        """Learn from a round who was there; the same rounds lead to the same circle after a new start."""
        for name in round_.losses:
            self._missed.pop(name, None)
            self._back.pop(name, None)
        for name in {one.file for one in round_.refused if one.code not in (OUT, VOID)}:
            self._back[name] = round_.number + 2 ** self._missed.get(name, 0) + 1
            self._missed[name] = self._missed.get(name, 0) + 1

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The questions of a round to the centers of the circle."""
        self._before = to_weights(arrays)
        config["server-round"] = server_round
        names, cases = (tuple(getattr(center, key) for center in self.group) for key in ("name", "cases"))
        group = AggregationGroup(self.run, names, cases).to_record()
        content = RecordDict({"arrays": arrays, "config": config, MASKS: group})
        return [Message(content, dst_node_id=center.node_id, message_type="train") for center in self.group]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The model with the sum of all updates; no arrays if one is missing. Replies are added up as they come."""
        sums: dict[str, NDArray] = {}
        said: list[RecordDict] = []
        for reply in replies:
            secure_aggregation.add(sums, to_weights(_flower.arrays_of(reply.content)["arrays"]))
            said.append(RecordDict({"metrics": _flower.metrics_of(reply.content)["metrics"]}))
        metrics = self.train_metrics_aggr_fn(said, self.weighted_by_key) if said else None
        if len(said) < len(self.group):
            return None, metrics
        change = secure_aggregation.decoded(sums)
        return to_arrays({name: start + change[name] for name, start in self._before.items()}), metrics

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """The mean of the replies' metrics."""
        return super().aggregate_evaluate(server_round, in_order(replies))


def whole_numbers(weights: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """What a masked update must look like: the shapes of the weights in uint32; takes no memory."""
    return {name: np.broadcast_to(np.uint32(0), array.shape) for name, array in weights.items()}
