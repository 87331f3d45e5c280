"""How updates are put together when some centers may be hostile or broken: Flower's robust strategies, by name.

The average follows everybody, and one center can drag it anywhere. The median and the trimmed
mean look at each weight by itself and leave out the extremes; Krum takes the whole update that
lies nearest to the others. All three need more honest centers than hostile ones, count every
center alike, and pay with some quality when nobody is hostile.
"""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg, FedMedian, FedTrimmedAvg, Krum

from pedseg.errors import input_error
from pedseg.federation.averaging import LEAST_NODES, OrderedFedAvg, in_order


class Robust(FedAvg):
    """A strategy that stands `hostile` centers, for as long as more than twice as many answer."""

    def __init__(self, hostile: int, **options) -> None:
        super().__init__(**{**LEAST_NODES, **options})
        self.hostile = hostile

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The replies put together in the order of the centers; refused if they are too few to outvote the hostile."""
        ordered = in_order(replies)
        if len(ordered) <= 2 * self.hostile:
            found = f"{len(ordered)} sound updates cannot outvote {self.hostile} hostile."
            remedy = "Wait for more centers (--min-centers), or trust more of them (--num-malicious)."
            raise input_error("E-TOO-FEW-CENTERS", f"round {server_round}", found, remedy)
        self.adapt(len(ordered))
        return super().aggregate_train(server_round, ordered)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """The mean of the replies' metrics."""
        return super().aggregate_evaluate(server_round, in_order(replies))

    def adapt(self, centers: int) -> None:
        """Set what depends on the number of updates."""


class OrderedMedian(Robust, FedMedian):
    """The median of each weight (Yin et al. 2018)."""


class OrderedTrimmedMean(Robust, FedTrimmedAvg):
    """The mean of each weight without the `hostile` highest and lowest (Yin et al. 2018)."""

    def adapt(self, centers: int) -> None:
        """Cut as many as are hostile from each end."""
        self.beta = (self.hostile + 0.01) / centers  # beneath a half even for 2 x hostile + 1 centers


class OrderedKrum(Robust, Krum):
    """The update that lies nearest to the others (Blanchard et al. 2017; proven from 2 x hostile + 3 centers up)."""

    def adapt(self, centers: int) -> None:
        """Judge by the neighbors that remain when the hostile are left out."""
        self.num_malicious_nodes = self.hostile


STRATEGIES = ("average", "median", "trimmed-mean", "krum")


def strategy_named(name: str, hostile: int = 1) -> FedAvg:
    """The strategy of that name, against `hostile` centers."""
    robust = {"median": OrderedMedian, "trimmed-mean": OrderedTrimmedMean, "krum": OrderedKrum}
    if name == "average":
        return OrderedFedAvg()
    if name not in robust:
        raise input_error("E-SETTING", "strategy", f"the value is {name!r}.", f"Give one of {', '.join(STRATEGIES)}.")
    return robust[name](hostile)
