"""The clinical weight of failures: which to look at first, one line a child and organ.

Wrong sides and false or missed kidneys come first, then organs that the study evaluates and serial organs (harmed by a
hot spot, however small), then all others; within each, wrong mL times the organ's weight. `organ_weights.tsv` gives
every weight with its reason. They are choices for a lesson, not a clinical standard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pedseg import tables
from pedseg.evaluation.failure import KINDS, Failure
from pedseg.evaluation.statistics import KIDNEYS
from pedseg.organs import EVALUATED

WEIGHTS = Path(__file__).with_name("organ_weights.tsv")
TIERS = {1: "wrong side, or a false or missed kidney", 2: "an evaluated or serial organ", 3: "another organ"}


@dataclass(frozen=True)
class OrganWeight:
    """How much a wrong mL of an organ counts, and why; `architecture` is `serial` or `parallel`."""

    organ: str
    architecture: str
    weight: float
    reason: str
    source: str


@cache
def organ_weights() -> dict[str, OrganWeight]:
    """The table of weights by organ."""
    rows = tables.read_rows(WEIGHTS, "organ")
    return {
        row["organ"]: OrganWeight(row["organ"], row["architecture"], float(row["weight"]), row["reason"], row["source"])
        for row in rows
    }


def weight_of(name: str) -> OrganWeight:
    """The weight of an organ; one that the table does not hold counts 1 and as parallel."""
    return organ_weights().get(name) or OrganWeight(name, "parallel", 1.0, "not in the table", "our choice")


def tier(failure: Failure) -> int:
    """Which of the `TIERS` a failure belongs to."""
    if failure.kind == "swapped" or (failure.organ in KIDNEYS and failure.kind in ("false", "missed")):
        return 1
    return 2 if failure.organ in EVALUATED or weight_of(failure.organ).architecture == "serial" else 3


def weighted_ml(failure: Failure) -> float:
    """The wrong volume times the weight of the organ."""
    return failure.wrong_ml * weight_of(failure.organ).weight


def by_severity(failures: Iterable[Failure]) -> list[Failure]:
    """The gravest first; of equal ones by organ, case, model and kind."""
    return sorted(failures, key=lambda f: (tier(f), -weighted_ml(f), f.organ, f.tested_on, f.case, f.model_key, f.kind))


def by_organ(failures: Iterable[Failure]) -> list[tuple[Failure, ...]]:
    """All failures of all models on each organ of each scan, the gravest first."""
    lines: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in by_severity(failures):
        lines.setdefault((failure.tested_on, failure.case, failure.organ), []).append(failure)
    return [tuple(group) for group in lines.values()]


def varied(failures: Iterable[Failure], count: int = 12) -> list[Failure]:
    """The gravest ones without repeats: a contour once, a kind three times at most, an organ twice."""
    chosen: list[Failure] = []
    seen = dict.fromkeys(KINDS, 0)
    for worst, *_ in by_organ(failures):
        kind, organ = worst.kind, worst.organ
        if len(chosen) < count and seen[kind] < 3 and seen.get(organ, 0) < 2:
            chosen.append(worst)
            seen[kind], seen[organ] = seen[kind] + 1, seen.get(organ, 0) + 1
    return chosen
