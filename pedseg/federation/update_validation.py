"""Which updates of the centers are let into the global model.

An update that is not finite everywhere, that has another shape, type, size or name than the model sent out, or that
counts other cases than its center enrolled with, is refused by the name of its center, and the round goes on.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Set

import numpy as np
from flwr.app import Array, Message
from numpy.typing import NDArray

from pedseg.errors import InputProblem
from pedseg.federation import _flower
from pedseg.federation.enrollment import Center

UPDATE_METRICS = frozenset({"num-examples", "train-loss", "center-index"})
SCORE_METRICS = frozenset({"num-examples", "validation-dsc", "center-index"})
REMEDY = "The round goes on without this center; look at its log."


def validate_update(
    reply: Message | None, expected: Mapping[str, NDArray], center: Center, *, max_norm: float = 0.0
) -> InputProblem | None:
    """What is wrong with a center's update, or None. No reply at all is wrong, too.

    `expected` is the model that was sent out. `max_norm` bounds the L2 norm of the change over all weights; 0: any.
    """

    def refused(code: str, problem: str) -> InputProblem:
        return InputProblem(code, center.name, problem, REMEDY)

    if reply is None or reply.has_error():
        return no_reply(center.name, reply)
    records = reply.content
    if set(_flower.arrays_of(records)) != {"arrays"} or set(_flower.metrics_of(records)) != {"metrics"}:
        return refused("E-UPDATE-RECORDS", f"the reply holds the records {sorted(records)}.")
    metrics, arrays = _flower.metrics_of(records)["metrics"], _flower.arrays_of(records)["arrays"]
    if not has_metrics(reply, UPDATE_METRICS):
        return refused("E-UPDATE-METRICS", f"the metrics are {dict(metrics)}.")
    if (index := metrics["center-index"]) != center.index:
        return refused("E-UPDATE-CENTER", f"the reply came in the name of center {index}, not {center.index}.")
    if (cases := metrics["num-examples"]) != center.cases:
        return refused("E-UPDATE-CASES", f"the reply counts {cases} training cases, not {center.cases}.")
    if set(arrays) != set(expected):
        return refused("E-UPDATE-NAMES", f"missing or surplus arrays: {_first_few(set(arrays) ^ set(expected))}.")
    for name, array in arrays.items():
        if problem := _array_problem(array, expected[name]):
            return refused(problem[0], f"{name} {problem[1]}")
    if max_norm and (norm := update_norm(_flower.to_weights(arrays), expected)) > max_norm:
        return refused("E-UPDATE-NORM", f"the update has the L2 norm {norm:.4g}, more than {max_norm:.4g}.")
    return None


def validate_score(reply: Message | None, center: Center) -> InputProblem | None:
    """What is wrong with a center's validation score, or None; a center may send none, of zero cases."""
    if reply is None or reply.has_error():
        return no_reply(center.name, reply)
    if not has_metrics(reply, SCORE_METRICS):
        return InputProblem("E-SCORE", center.name, f"the reply holds {sorted(reply.content)}.", REMEDY)
    cases, dsc, index = (metric(reply, name) for name in ("num-examples", "validation-dsc", "center-index"))
    if cases < 0 or cases != int(cases) or not 0 <= dsc <= 1 or index != center.index:
        problem = f"a DSC of {dsc:g} over {cases:g} cases, as center {index:g}."
        return InputProblem("E-SCORE", center.name, problem, REMEDY)
    return None


def not_finite(weights: Mapping[str, NDArray], number: int) -> InputProblem | None:
    """What is wrong with a new global model that is not finite everywhere, or None."""
    wrong = [name for name, array in weights.items() if not np.isfinite(array).all()]
    if not wrong:
        return None
    problem = f"{_first_few(wrong)}: infinite or no numbers after the updates were combined."
    remedy = "The round is void and the last good model stays. Bound the updates (--max-update-norm)."
    return InputProblem("E-MODEL-NOT-FINITE", f"round {number}", problem, remedy)


def no_reply(center: str, error: Message | None = None) -> InputProblem:
    """The problem of a center that did not reply or is not there at all, or of its `error` in the place of a reply."""
    if error is None:
        return InputProblem("E-CENTER-SILENT", center, "no reply came.", REMEDY)
    return InputProblem("E-CENTER-ERROR", center, f"the center stopped with an error ({error.error.reason}).", REMEDY)


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


def _first_few(names: Iterable[str], limit: int = 3) -> str:
    """The first few names, and how many more there are."""
    ordered = sorted(names)
    return ", ".join(ordered[:limit]) + (f" and {len(ordered) - limit} more" if len(ordered) > limit else "")


def _array_problem(array: Array, expected: NDArray) -> tuple[str, str] | None:
    """Code and problem, or None for an array that fits.

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
