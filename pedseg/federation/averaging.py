"""How the centers' models become one: federated averaging, and which updates are let in.

Each center counts by its number of training cases (McMahan et al. 2017). Floating-point sums
depend on the order of the terms, so the answers are put in the order of the centers first:
the same answers give the same bits, whoever answered first. An update that is not a number
everywhere, or has another shape, type, size or name than the model sent out, stays outside.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Set

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray

from pedseg.errors import InputProblem
from pedseg.federation import _flower

UPDATE_METRICS = frozenset({"num-examples", "train-loss", "center-index"})
SCORE_METRICS = frozenset({"num-examples", "validation-dsc", "center-index"})
LEAST_NODES = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1}
REMEDY = "The round goes on without this center; look at its log."


class OrderedFedAvg(FedAvg):
    """Flower's FedAvg over replies in the order of the centers, for any number of centers from one up.

    A reply tells its place as `center-index` in its metrics and its weight, the number of
    training cases, as `num-examples`.
    """

    def __init__(self, **options) -> None:
        super().__init__(**{**LEAST_NODES, **options})
        self.cases: int | None = None

    def expect(self, cases: int) -> None:
        """Tell how many training cases all centers of the coming round have together.

        Then replies are added up as they come and none is kept: they must come in the order of the centers.
        """
        self.cases = cases

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The mean of the replies' weights and metrics: the bits of Flower's FedAvg, if everybody has replied."""
        if self.cases is None:
            return super().aggregate_train(server_round, in_order(replies))
        sums: dict[str, NDArray] = {}
        said: list[RecordDict] = []
        for reply in replies:
            add(
                sums, _flower.arrays_of(reply.content)[self.arrayrecord_key], metric(reply, "num-examples") / self.cases
            )
            said.append(RecordDict({"metrics": _flower.metrics_of(reply.content)["metrics"]}))
        if not said:
            return None, None
        counted = sum(record["metrics"]["num-examples"] for record in said)  # type: ignore[misc]
        if counted != self.cases:  # somebody was left out
            for name in sums:  # not in place of the arrays: one without axes would stay as it is
                sums[name] *= self.cases / counted
        return to_arrays(sums), self.train_metrics_aggr_fn(said, self.weighted_by_key)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """The mean of the replies' metrics."""
        return super().aggregate_evaluate(server_round, in_order(replies))


def add(sums: dict[str, NDArray], arrays: ArrayRecord, share: float) -> None:
    """Add a center's share of its weights to the sums, in the number type of the weights as Flower does."""
    for name, array in arrays.items():
        part = array.numpy() * share
        if name in sums:
            sums[name] += part
        else:
            sums[name] = part


def in_order(replies: Iterable[Message]) -> list[Message]:
    """Replies by the place of their center; error replies first."""
    return sorted(replies, key=lambda reply: metric(reply, "center-index") if reply.has_content() else -1)


def to_arrays(weights: Mapping[str, NDArray]) -> ArrayRecord:
    """Weights by name as Flower sends them."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in weights.items()})


def to_weights(arrays: ArrayRecord) -> dict[str, NDArray]:
    """Weights by name as NumPy arrays; no pickle is loaded."""
    return {name: array.numpy() for name, array in arrays.items()}


def validate_update(
    reply: Message | None,
    expected: Mapping[str, NDArray],
    *,
    center: str,
    index: int,
    cases: int,
    largest_update: float = 0.0,
) -> InputProblem | None:
    """What is wrong with a center's update, or None. No reply at all is wrong, too.

    `expected` is the model that was sent out, `index` and `cases` what the center said of
    itself when the federation began. `largest_update` bounds the length (L2 norm) of the
    change over all weights; 0: any.
    """

    def refused(code: str, problem: str) -> InputProblem:
        return InputProblem(code, center, problem, REMEDY)

    if reply is None:
        return no_reply(center)
    if reply.has_error():
        return refused("E-CENTER-ERROR", f"the center stopped with an error ({reply.error.reason}).")
    records = reply.content
    if set(_flower.arrays_of(records)) != {"arrays"} or set(_flower.metrics_of(records)) != {"metrics"}:
        return refused("E-UPDATE-RECORDS", f"the answer holds the records {sorted(records)}.")
    metrics, arrays = _flower.metrics_of(records)["metrics"], _flower.arrays_of(records)["arrays"]
    if not has_metrics(reply, UPDATE_METRICS):
        return refused("E-UPDATE-METRICS", f"the metrics are {dict(metrics)}.")
    if metrics["center-index"] != index:
        return refused(
            "E-UPDATE-CENTER", f"the answer came in the name of center {metrics['center-index']}, not {index}."
        )
    if metrics["num-examples"] != cases:
        return refused("E-UPDATE-CASES", f"the answer counts {metrics['num-examples']} training cases, not {cases}.")
    if set(arrays) != set(expected):
        return refused("E-UPDATE-NAMES", f"missing or surplus arrays: {_some(set(arrays) ^ set(expected))}.")
    for name, array in arrays.items():
        if problem := _array_flaw(array, expected[name]):
            return refused(problem[0], f"{name} {problem[1]}")
    if largest_update and (norm := update_norm(to_weights(arrays), expected)) > largest_update:
        return refused("E-UPDATE-NORM", f"the update has the length {norm:.4g}, more than {largest_update:.4g}.")
    return None


def no_reply(center: str) -> InputProblem:
    """What is said of a center that did not answer, or is not there at all."""
    return InputProblem("E-CENTER-SILENT", center, "no answer came.", REMEDY)


def update_norm(weights: Mapping[str, NDArray], expected: Mapping[str, NDArray]) -> float:
    """How far an update moves the model: the L2 norm of the difference over all weights, in double precision."""
    squares = (
        np.square(weights[name].astype(np.float64) - before.astype(np.float64)).sum()
        for name, before in expected.items()
    )
    return math.sqrt(sum(squares))


def has_metrics(reply: Message, names: Set[str]) -> bool:
    """Whether a reply holds one record of metrics with exactly these names, each a finite number."""
    if not reply.has_content() or set(_flower.metrics_of(reply.content)) != {"metrics"}:
        return False
    metrics = _flower.metrics_of(reply.content)["metrics"]
    return set(metrics) == names and all(_is_number(value) for value in metrics.values())


def metric(reply: Message, name: str) -> float:
    """One number of a reply's metrics."""
    return _flower.metrics_of(reply.content)["metrics"][name]  # type: ignore[return-value]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _some(names: Iterable[str], limit: int = 3) -> str:
    """The first few names, and how many more there are."""
    ordered = sorted(names)
    return ", ".join(ordered[:limit]) + (f" and {len(ordered) - limit} more" if len(ordered) > limit else "")


def _array_flaw(array: Array, expected: NDArray) -> tuple[str, str] | None:
    """Code and finding, or None for an array that fits.

    The header is read before the data, so that an array that claims to be huge is never made.
    """
    try:
        shape, dtype, size = _npy_header(array)
    except (ValueError, KeyError, TypeError, EOFError, SyntaxError) as error:
        return "E-UPDATE-ARRAY", f"is no NumPy array ({error})."
    if shape != expected.shape:
        return "E-UPDATE-SHAPE", f"has the shape {shape}, not {expected.shape}."
    if dtype != expected.dtype:
        return "E-UPDATE-TYPE", f"holds {dtype}, not {expected.dtype}."
    if size != expected.nbytes:
        return "E-UPDATE-SIZE", f"brings {size} bytes, not {expected.nbytes}."
    if not np.isfinite(array.numpy()).all():
        return "E-UPDATE-NOT-FINITE", "holds values that are infinite or no numbers."
    return None


def _npy_header(array: Array) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, number type and bytes of data that an array in NumPy's .npy format announces and brings."""
    if array.stype != "numpy.ndarray":
        raise ValueError(f"serialized as {array.stype}")
    stream = io.BytesIO(array.data)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[np.lib.format.read_magic(stream)](stream)
    return shape, dtype, len(array.data) - stream.tell()
