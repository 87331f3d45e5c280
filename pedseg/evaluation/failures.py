"""Which contours went wrong, how, where to look, and what is known that makes it likely.

Found by rule, never by hand. From the rows of cases.csv: the worst tenth of every organ and model, organs that were
missed, organs that were drawn though absent. From the contours themselves (`from_contours`, in `misplaced`): left and
right swapped, parts that lie elsewhere, contours that leak or lie beside their organ. One contour may fail in more
than one way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import ceil
from statistics import median
from typing import Any

from pedseg.datasets.cases import Case
from pedseg.evaluation.failure_reasons import KINDS, Failure, Look, called, explain, ml
from pedseg.evaluation.misplacement import from_contours, look
from pedseg.evaluation.results import PRESENT, ModelKey
from pedseg.organs import EVALUATED, organ

__all__ = [
    "KINDS",
    "Failure",
    "Look",
    "by_severity",
    "explain",
    "from_contours",
    "from_rows",
    "look",
    "worst",
]

FALSE_ML = 1.0  # less than this, drawn of an absent organ, is no false organ
WORST_SHARE = 0.1
GOOD_DSC = 0.95  # nothing so good is called a failure, though it be the worst of its organ
Rows = Iterable[Mapping[str, Any]]
Cases = Mapping[tuple[str, str], Case]  # by test center and case
Looks = Mapping[tuple[ModelKey, str, str, str], Look]  # by model, test center, case and organ


def from_rows(
    rows: Rows, cases: Cases | None = None, looks: Looks | None = None, usual_phase: Mapping[str, str] | None = None
) -> list[Failure]:
    """Missed organs, false organs and the worst tenth of each organ and model, from rows of the first seed.

    `cases` and `looks` tell what is known besides; without them the sentences say less and `voxel` is None.
    """
    rows = list(rows)
    first = min((int(row["seed"]) for row in rows), default=0)
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if int(row["seed"]) == first:
            groups[row["organ"], row["model"], row["trained_on"]].append(row)
    usual_ml = _usual_volumes(rows)
    found = [each for group in groups.values() for each in _of_one_organ(group, usual_ml)]
    return [_told(*each, cases or {}, looks or {}, usual_phase or {}) for each in found]


def _usual_volumes(rows: list[Mapping[str, Any]]) -> dict[str, float]:
    """The median true volume of every organ, where it is present."""
    volumes: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if PRESENT[str(row["present"])]:
            volumes[row["organ"]].append(float(row["volume_ml"]))
    return {name: median(each) for name, each in volumes.items()}


Found = tuple[Mapping[str, Any], str, float, str, float, str]  # row, kind, amount, unit, severity, what happened


def _of_one_organ(rows: list[Mapping[str, Any]], usual_ml: Mapping[str, float]) -> list[Found]:
    """What went wrong with one organ under one model, over all test cases."""
    plain = organ(rows[0]["organ"]).plain
    found: list[Found] = []
    for row in rows:
        drawn_ml, true_ml = float(row["predicted_ml"]), float(row["volume_ml"])
        if PRESENT[str(row["present"])] and drawn_ml == 0:
            what = f"draws no {plain}, though {ml(true_ml)} of it are there"
            found.append((row, "missed", true_ml, "mL", 1.0, what))
        elif not PRESENT[str(row["present"])] and drawn_ml >= FALSE_ML:
            share = min(1.0, drawn_ml / usual_ml.get(row["organ"], drawn_ml))
            what = f"draws {ml(drawn_ml)} of {plain}, and there is none in this scan"
            found.append((row, "false", drawn_ml, "mL", share, what))
    drawn = sorted((float(row["dsc"]), k) for k, row in enumerate(rows) if row["dsc"] not in ("", None))
    typical = median(dsc for dsc, _ in drawn) if drawn else 0.0
    for dsc, k in drawn[: ceil(WORST_SHARE * len(drawn))]:
        if dsc < GOOD_DSC and float(rows[k]["predicted_ml"]) > 0:
            what = f"draws the {plain} with a DSC of {dsc:.2f}, where its median is {typical:.2f}"
            found.append((rows[k], "worst", dsc, "DSC", 1 - dsc, what))
    return found


def _told(
    row: Mapping[str, Any], kind: str, amount: float, unit: str, severity: float, what: str,
    cases: Cases, looks: Looks, usual_phase: Mapping[str, str],
) -> Failure:  # fmt: skip
    """The failure of a row, with its sentence."""
    model_key, center, name = ModelKey(row["model"], row["trained_on"]), row["tested_on"], row["organ"]
    seen = looks.get((model_key, center, row["case"], name))
    why = explain(
        kind, name, cases.get((center, row["case"])), model_key, tested_on=center, volume_ml=float(row["volume_ml"]),
        cut=seen.cut if seen else False, usual_phase=usual_phase,
    )  # fmt: skip
    return Failure(
        row["case"], center, name, model_key.model, model_key.trained_on, kind, amount, unit, severity,
        seen.voxel if seen else None, f"{called(model_key)} {what}. {why}",
    )  # fmt: skip


def by_severity(failures: Iterable[Failure]) -> list[Failure]:
    """The worst first; of equally bad ones the larger first, then by model, organ and case."""

    def key(f: Failure) -> tuple:
        size = f.amount if f.unit == "mL" else 0.0
        return -f.severity, -size, f.model, f.trained_on, f.organ, f.tested_on, f.case, f.kind

    return sorted(failures, key=key)


def worst(failures: Iterable[Failure], count: int = 12, *, a_kind: int = 3, an_organ: int = 2) -> list[Failure]:
    """The worst ones without tiresome repeats: a contour once, a kind `a_kind`, an organ `an_organ` times.

    Evaluated organs come first; the others fill up.
    """
    chosen: list[Failure] = []
    seen: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for each in sorted(by_severity(failures), key=lambda failure: failure.organ not in EVALUATED):
        limits = {
            ("contour", each.tested_on, each.case, each.organ): 1,
            ("kind", each.kind): a_kind,
            ("organ", each.organ): an_organ,
        }
        if len(chosen) < count and all(seen[key] < most for key, most in limits.items()):
            chosen.append(each)
            for key in limits:
                seen[key] += 1
    return chosen
