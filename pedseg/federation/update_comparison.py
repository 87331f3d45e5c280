"""The updates of a round beside each other: which one moves the model too far, or against all others.

What one update is cannot be judged by itself: a center that sends a hundred times its change, or the opposite of it,
sends finite numbers of the right shapes. Honest centers train as many steps from the same model, and their updates are
about equally long. Until all are there they lie in a temporary folder, so that the memory of the server does not grow
with the number of centers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
from flwr.app import Message, RecordDict
from numpy.typing import NDArray

from pedseg.errors import InputProblem
from pedseg.federation import _flower
from pedseg.federation.enrollment import Center
from pedseg.learning.weights import Weights

FAR, APART, AGAINST = "E-UPDATE-FAR", "E-UPDATES-APART", "E-UPDATE-AGAINST"
OPPOSITE = -0.1  # cosine to each other update; honest ones have .1 to .35, and about 0 when training ends
VALUES = 2**20  # of all updates, that are multiplied at a time


def compared_updates(
    updates: Iterable[tuple[Center, Message]], model: Weights, ratio: float, norms: dict[str, float],
    refused: list[InputProblem],
) -> Iterator[tuple[Center, Message]]:  # fmt: skip
    """The updates that may be combined, in their order; all L2 norms are noted by center, the others are `refused`.

    An update is refused if it is more than `ratio` times as long as the median of the others, or points away from each
    of them. Of two centers nobody can say which one lies: both are let through, and `APART` is noted of both.
    """
    with tempfile.TemporaryDirectory(prefix="pedseg-updates-") as folder:
        held = [(center, *_put_down(reply, model, Path(folder) / str(center.index))) for center, reply in updates]
        products = _products([file.with_suffix(".change") for _, _, file in held])
        lengths = np.sqrt(products.diagonal())
        norms |= {center.name: float(length) for (center, _, _), length in zip(held, lengths, strict=True)}
        if len(held) == 2 and lengths.max() > ratio * lengths.min():
            refused.append(_apart(norms, ratio))
        for place, (center, reply, file) in enumerate(held):
            problem = _problem(center.name, place, products, ratio) if len(held) > 2 else None
            if problem:
                refused.append(problem)
            else:
                yield center, _flower.with_content(reply, _flower.records_from_bytes(file.read_bytes()))


def _put_down(reply: Message, model: Weights, file: Path) -> tuple[Message, Path]:
    """A reply without its content, which is in the file now; beside it how each weight is changed, as doubles."""
    weights = _flower.to_weights(_flower.arrays_of(reply.content)["arrays"])
    file.write_bytes(_flower.records_to_bytes(reply.content))
    with file.with_suffix(".change").open("wb") as changes:
        for name, before in model.items():
            (weights[name].astype(np.float64) - before).tofile(changes)
    return _flower.with_content(reply, RecordDict()), file


def _products(files: list[Path]) -> NDArray:
    """The scalar product of every two changes: rows and columns in the order of the files."""
    rows = [np.memmap(file, np.float64, "r") for file in files]
    products, step = np.zeros((len(rows), len(rows))), max(1, VALUES // max(1, len(rows)))
    for start in range(0, len(rows[0]) if rows else 0, step):
        part = np.stack([row[start : start + step] for row in rows])
        products += part @ part.T
    return products


def _problem(name: str, place: int, products: NDArray, ratio: float) -> InputProblem | None:
    """What is wrong with the update at a place, beside all others."""
    lengths = np.sqrt(products.diagonal())
    usual = median(np.delete(lengths, place))
    if lengths[place] > ratio * usual:
        problem = f"it moves the model by {lengths[place]:.3g}, the others by {usual:.3g} (median)."
        return InputProblem(FAR, name, problem, "The round goes on without it; ask the center (--max-norm-ratio).")
    sizes = lengths[place] * lengths
    cosines = np.delete(np.divide(products[place], sizes, out=np.zeros(len(sizes)), where=sizes > 0), place)
    if cosines.max() < OPPOSITE:
        problem = f"it moves the model against each of the others (cosine {cosines.max():.2f} at most)."
        return InputProblem(AGAINST, name, problem, "The round goes on without it; ask the center.")
    return None


def _apart(norms: dict[str, float], ratio: float) -> InputProblem:
    lengths = ", ".join(f"{name} {norm:.3g}" for name, norm in norms.items())
    problem = f"one moves the model more than {ratio:g} times as far as the other: {lengths}."
    remedy = "Nobody can say which of two is wrong: the round is void and the model stays. Ask both (--max-norm-ratio)."
    return InputProblem(APART, " and ".join(norms), problem, remedy)
