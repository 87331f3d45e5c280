"""What leaves a hospital, and how little of it can be made to tell: the ledger, clipping and noise.

The ledger counts every byte of every answer by what it is. Clipping bounds how far one center can
move the model; Gaussian noise on top hides what it was moved by, up to a loss of privacy that is
measured by epsilon (Dwork and Roth 2014).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from flwr.app import Message, RecordDict
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from pedseg.federation import _flower
from pedseg.federation.averaging import update_norm
from pedseg.findings import refuse
from pedseg.scan import write_whole

Weights = Mapping[str, NDArray]


@dataclass(frozen=True)
class Entry:
    """One answer that left a center: its number, round and kind, and its bytes by what they are.

    `weights_bytes` are numbers of the model, `metrics_bytes` are scores and counts, `text_bytes`
    everything else that the app said; `sent_bytes` is the whole as it left, with envelope and seal.
    """

    number: int
    round: int
    kind: str
    weights_bytes: int
    metrics_bytes: int
    text_bytes: int
    sent_bytes: int


def weigh(answer: Message, *, number: int, round_: int, kind: str, sent_bytes: int = 0) -> Entry:
    """The ledger's entry for an answer; without an envelope, what is sent is the content."""
    if answer.has_error():
        said = len(str(answer.error.reason).encode())
        return Entry(number, round_, kind, 0, 0, said, sent_bytes or said)
    content = answer.content
    parts = (content.array_records, content.metric_records, content.config_records)
    weights, metrics, text = (len(_flower.records_to_bytes(RecordDict(dict(part)))) for part in parts)
    return Entry(number, round_, kind, weights, metrics, text, sent_bytes or weights + metrics + text)


class Ledger:
    """A center's ledger on disk, a table of tab-separated values; an answer is entered once, whatever crashes."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def entries(self) -> list[Entry]:
        """Everything that left so far."""
        if not self.file.exists():
            return []
        lines = self.file.read_text(encoding="utf-8").splitlines()[1:]
        return [Entry(int(n), int(round_), kind, *map(int, sizes)) for n, round_, kind, *sizes in map(str.split, lines)]

    def enter(self, entry: Entry) -> None:
        """Add an entry, unless this answer stands there."""
        known = self.entries()
        if any(one.number == entry.number for one in known):
            return
        rows = [[one.name for one in fields(Entry)], *(list(asdict(one).values()) for one in (*known, entry))]
        write_whole(self.file, "".join("\t".join(map(str, row)) + "\n" for row in rows).encode())


def clipped(weights: Weights, before: Weights, largest: float) -> dict[str, NDArray]:
    """The same update, shortened to the length `largest` (L2 norm over all weights) if it is longer."""
    length = update_norm(weights, before)
    factor = min(1.0, largest / length) if length else 1.0
    return {name: (start + factor * (weights[name] - start)).astype(start.dtype) for name, start in before.items()}


def noisy(
    weights: Weights, before: Weights, *, largest: float, noise: float, rng: np.random.Generator
) -> dict[str, NDArray]:
    """The update clipped to `largest`, with Gaussian noise of `noise` times that bound on every weight.

    `rng` must not be guessable: `np.random.default_rng()` takes its seed from the system.
    """
    if largest <= 0 or noise < 0:
        raise refuse(
            "E-SETTING", "noise", f"bound {largest}, noise {noise}.", "Give a bound above 0 and noise from 0 up."
        )
    short = clipped(weights, before, largest)
    spread = noise * largest
    return {name: (array + rng.normal(0.0, spread, array.shape)).astype(array.dtype) for name, array in short.items()}


def epsilon(noise: float, rounds: int, delta: float = 1e-5) -> float:
    """The privacy that a center loses over `rounds` noisy answers, as epsilon at `delta`.

    It holds against whoever reads every single answer, the coordinator included, for any two data
    sets that the center might have: their clipped updates differ by twice the bound at most. Exact for
    Gaussian noise (Balle and Wang 2018); several rounds are one with less noise. Infinite without noise.
    """
    if noise <= 0:
        return math.inf
    distance = 2.0 * math.sqrt(rounds) / noise  # between the two, in standard deviations

    def surplus(eps: float) -> float:
        tail = math.exp(eps + norm.logcdf(-distance / 2 - eps / distance))
        return float(norm.cdf(distance / 2 - eps / distance) - tail - delta)

    return float(brentq(surplus, 0.0, distance**2 + 40 * distance + 40)) if surplus(0.0) > 0 else 0.0
