"""Federated averaging where centers annotate different organs: the last layer is averaged organ by organ.

The marginal loss (`learning.loss`; Shi et al. 2021) keeps a center from learning that an organ which nobody drew there
is background, but says nothing about what that organ looks like: its rows of the last layer drift. So an organ's rows
are averaged over the centers that annotate it alone, each by its training cases that do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord
from numpy.typing import NDArray

from pedseg.federation import _flower
from pedseg.federation.enrollment import Center
from pedseg.federation.strategies import OrderedFedAvg, in_order
from pedseg.federation.update_validation import metric
from pedseg.learning.fingerprint import Fingerprint
from pedseg.learning.network import build, personal_names, shapes_only
from pedseg.learning.plans import Plan


class AnnotatedHeadFedAvg(OrderedFedAvg):
    """FedAvg that averages an organ's rows of the last layer over the centers that annotate it.

    An organ that nobody annotates who has replied, and the background, are averaged over all centers as usual.
    """

    def __init__(self, centers: Sequence[Center], plan: Plan) -> None:
        super().__init__()
        with shapes_only():
            self.head = personal_names(build(plan), "head")
        self.annotated = {center.index: _annotated(center.fingerprint, plan) for center in centers}

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The mean of the replies' weights and metrics, organ by organ in the last layer."""
        heads: dict[int, dict[str, NDArray]] = {}
        ordered = replies if self.cases is not None else in_order(replies)  # as they come, if that is their order
        arrays, metrics = super().aggregate_train(server_round, self._noting(ordered, heads))
        if arrays is None:
            return None, metrics
        weights = _flower.to_weights(arrays)
        total = np.sum([self.annotated[index] for index in heads], axis=0)
        for name in next(iter(heads.values())):
            rows = weights[name].reshape(len(total), -1).copy()
            parts = [self.annotated[index][:, None] * head[name].reshape(rows.shape) for index, head in heads.items()]
            rows[total > 0] = np.sum(parts, axis=0)[total > 0] / total[total > 0, None]
            weights[name] = rows.reshape(weights[name].shape)
        return _flower.to_arrays(weights), metrics

    def _noting(self, replies: Iterable[Message], heads: dict[int, dict[str, NDArray]]) -> Iterator[Message]:
        """The replies, whose last layers are noted by center."""
        for reply in replies:
            arrays = _flower.arrays_of(reply.content)[self.arrayrecord_key]
            last = {name: arrays[name].numpy() for name in arrays if name in self.head}
            heads[int(metric(reply, "center-index"))] = last
            yield reply


def _annotated(fingerprint: Fingerprint, plan: Plan) -> NDArray[np.float64]:
    """How many training cases annotate each class of the plan; none the background."""
    counts = fingerprint.organs
    return np.array([0, *(counts[name].annotated if name in counts else 0 for name in plan.organs)], dtype=float)
