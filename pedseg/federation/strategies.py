"""Flower strategies that combine the centers' updates: federated averaging, and robust ones against malicious centers.

Floating-point sums depend on the order of the terms, so replies are put in the order of the centers first: the same
replies give the same bits, whoever replied first. Averaging counts each center by its training cases (McMahan et al.
2017), and one malicious center can drag it anywhere. The median and the trimmed mean look at each weight by itself and
leave out the extremes; Krum takes the whole update that lies nearest to the others. These three need more honest
centers than malicious ones, count every center alike, and pay with some quality when nobody is malicious.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedMedian, FedTrimmedAvg, Krum, Strategy
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.federation import _flower
from pedseg.federation.config import FederationConfig
from pedseg.federation.update_validation import metric

MEMORY = ("current_arrays", "momentum_vector", "m_t", "v_t")  # where Flower's strategies keep arrays


class OrderedStrategy(FedAvg):
    """A Flower strategy over replies in the order of the centers, for any number of centers from one up."""

    def __init__(self, **options) -> None:
        super().__init__(**{"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1, **options})

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """The mean of the replies' metrics."""
        return super().aggregate_evaluate(server_round, in_order(replies))


class OrderedFedAvg(OrderedStrategy):
    """Flower's FedAvg with the same bits in whatever order the replies come.

    A reply tells its center's place as `center-index` in its metrics and its weight, the number of training cases, as
    `num-examples`.
    """

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.cases: int | None = None

    def expect(self, cases: int) -> None:
        """Tell how many training cases all centers of the coming round have together.

        Then replies are added up as they come and none is kept: they must come in the order of the centers.
        """
        self.cases = cases

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The mean of the replies' weights and metrics: the bits of Flower's FedAvg, if every center has replied."""
        if self.cases is None:
            return super().aggregate_train(server_round, in_order(replies))
        sums: dict[str, NDArray] = {}
        metrics: list[RecordDict] = []
        for reply in replies:
            arrays, share = _flower.arrays_of(reply.content)[self.arrayrecord_key], metric(reply, "num-examples")
            _add(sums, arrays, share / self.cases)
            metrics.append(metrics_only(reply))
        if not metrics:
            return None, None
        counted = sum(record["metrics"]["num-examples"] for record in metrics)  # type: ignore[misc]
        if counted != self.cases:  # a center was left out
            for name in sums:  # not in place of the arrays: one without axes would stay as it is
                sums[name] *= self.cases / counted
        return _flower.to_arrays(sums), self.train_metrics_aggr_fn(metrics, self.weighted_by_key)


class Robust(OrderedStrategy):
    """A strategy that tolerates `num_malicious` centers, as long as more than twice as many reply."""

    def __init__(self, num_malicious: int, **options) -> None:
        super().__init__(**options)
        self.num_malicious = num_malicious

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The replies combined in the order of the centers; refused if too few to outvote the malicious ones."""
        ordered = in_order(replies)
        if len(ordered) <= 2 * self.num_malicious:
            problem = f"{len(ordered)} valid updates cannot outvote {self.num_malicious} malicious."
            remedy = "Wait for more centers (--min-centers), or trust more of them (--num-malicious)."
            raise input_error("E-TOO-FEW-CENTERS", f"round {server_round}", problem, remedy)
        self.adapt(len(ordered))
        return super().aggregate_train(server_round, ordered)

    def adapt(self, centers: int) -> None:
        """Set what depends on the number of updates."""


class OrderedMedian(Robust, FedMedian):
    """The median of each weight (Yin et al. 2018)."""


class OrderedTrimmedMean(Robust, FedTrimmedAvg):
    """The mean of each weight without the `num_malicious` highest and lowest (Yin et al. 2018)."""

    def adapt(self, centers: int) -> None:
        """Cut as many as are malicious from each end."""
        self.beta = (self.num_malicious + 0.01) / centers  # below a half even for 2 x num_malicious + 1 centers


class OrderedKrum(Robust, Krum):
    """The update nearest to the others (Blanchard et al. 2017; proven from 2 x num_malicious + 3 centers up)."""

    def adapt(self, centers: int) -> None:
        """Judge by the neighbors that remain when the malicious are left out."""
        self.num_malicious_nodes = self.num_malicious


class OrderedFedAvgM(OrderedStrategy, FedAvgM):
    """Federated averaging with a momentum over the rounds (Hsu et al. 2019)."""


class OrderedFedAdam(OrderedStrategy, FedAdam):
    """Adam on the server, with the mean update as its gradient (Reddi et al. 2021)."""


def make_strategy(config: FederationConfig) -> FedAvg:
    """The strategy that the configuration names."""
    if config.strategy == "fedavgm":
        rate, momentum = config.server_learning_rate, config.server_momentum
        return OrderedFedAvgM(server_learning_rate=rate, server_momentum=momentum)
    if config.strategy == "fedadam":
        return OrderedFedAdam(eta=config.server_learning_rate)
    robust = {"median": OrderedMedian, "trimmed-mean": OrderedTrimmedMean, "krum": OrderedKrum}
    if config.strategy in robust:
        return robust[config.strategy](config.num_malicious)
    return OrderedFedAvg()  # SCAFFOLD, too: its control variates are with the centers (`center_state`)


def keeps_memory(strategy: Strategy) -> bool:
    """Whether a strategy keeps arrays from round to round, such as a momentum."""
    return any(hasattr(strategy, name) for name in MEMORY)


def memory_of(strategy: Strategy) -> dict[str, NDArray]:
    """The arrays that a strategy keeps from round to round, by attribute, kind, place and key."""
    arrays: dict[str, NDArray] = {}
    for name in MEMORY:
        value = getattr(strategy, name, None)
        kind = "record" if isinstance(value, ArrayRecord) else type(value).__name__
        parts = _flower.to_weights(value) if isinstance(value, ArrayRecord) else value or {}
        items = enumerate(parts.items() if isinstance(parts, dict) else ((kind, part) for part in parts))
        arrays |= {f"{name}|{kind}|{index:06d}|{key}": part for index, (key, part) in items}
    return arrays


def remember(strategy: Strategy, arrays: Mapping[str, NDArray]) -> None:
    """The inverse of `memory_of`: a strategy goes on as if its run had never been stopped."""
    parts: dict[tuple[str, str], list[tuple[str, NDArray]]] = {}
    for label in sorted(arrays):
        name, kind, _, key = label.split("|", 3)
        parts.setdefault((name, kind), []).append((key, arrays[label]))
    for (name, kind), items in parts.items():
        by_kind = {"record": _flower.to_arrays(dict(items)), "list": [part for _, part in items], "dict": dict(items)}
        setattr(strategy, name, by_kind[kind])


def in_order(replies: Iterable[Message]) -> list[Message]:
    """Replies by the index of their center; error replies first."""
    return sorted(replies, key=lambda reply: metric(reply, "center-index") if reply.has_content() else -1)


def metrics_only(reply: Message) -> RecordDict:
    """A reply's metrics as Flower averages them, without its arrays."""
    return RecordDict({"metrics": _flower.metrics_of(reply.content)["metrics"]})


def _add(sums: dict[str, NDArray], arrays: ArrayRecord, share: float) -> None:
    """Add a center's share of its weights to the sums, in the number type of the weights as Flower does."""
    for name, array in arrays.items():
        part = array.numpy() * share
        if name in sums:
            sums[name] += part
        else:
            sums[name] = part
