"""Which contours failed, how, where, and what is known that makes it likely: failure detection by rules.

From the rows of cases.csv: the worst tenth of every organ and model, organs that were missed, organs that were
predicted though absent. From the contours themselves (`misplacement`): left and right swapped, parts that lie
elsewhere, contours that leak or lie beside their organ. One contour may fail in more than one way.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import ceil
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pedseg.datasets.cases import Case
from pedseg.evaluation.failure_reasons import ErrorLocation, Failure, explain, ml, model_phrase
from pedseg.evaluation.results import ModelKey
from pedseg.organs import EVALUATED, organ

FALSE_ML = 1.0  # less than this, predicted of an absent organ, is no false organ
WORST_SHARE = 0.1
GOOD_DSC = 0.95  # nothing so good is called a failure, though it be the worst of its organ
Cases = Mapping[tuple[str, str], Case]  # by test center and case
LocationKey = tuple[ModelKey, str, str, str]  # model, test center, case and organ
Locations = Mapping[LocationKey, ErrorLocation]


class _Detected(NamedTuple):
    """A row that fails by a rule: how, how much, and in words."""

    row: pd.Series
    kind: str
    amount: float
    unit: str
    severity: float
    text: str


def from_rows(
    rows: pd.DataFrame,
    cases: Cases | None = None,
    locations: Locations | None = None,
    usual_phase: Mapping[str, str] | None = None,
) -> list[Failure]:
    """Missed organs, false organs and the worst tenth of each organ and model, from rows of the first seed.

    `cases` and `locations` hold what is known besides; without them the sentences say less and `voxel` is None.
    """
    usual_ml = rows[rows["present"]].groupby("organ")["volume_ml"].median()
    first = rows[rows["seed"] == rows["seed"].min()]
    return [
        _failure(detected, cases or {}, locations or {}, usual_phase or {})
        for _, group in first.groupby(["organ", "model", "trained_on"], sort=False)
        for detected in _of_one_organ(group, usual_ml)
    ]


def _of_one_organ(rows: pd.DataFrame, usual_ml: pd.Series) -> Iterator[_Detected]:
    """What went wrong with one organ under one model, over all test cases."""
    name = rows["organ"].iloc[0]
    plain = organ(name).plain
    for _, row in rows.iterrows():
        predicted_ml, true_ml = row["predicted_ml"], row["volume_ml"]
        if row["present"] and predicted_ml == 0:
            text = f"draws no {plain}, though {ml(true_ml)} of it are there"
            yield _Detected(row, "missed", true_ml, "mL", 1.0, text)
        elif not row["present"] and predicted_ml >= FALSE_ML:
            share = min(1.0, predicted_ml / usual_ml.get(name, predicted_ml))
            text = f"draws {ml(predicted_ml)} of {plain}, and there is none in this scan"
            yield _Detected(row, "false", predicted_ml, "mL", share, text)
    ranked = rows.dropna(subset="dsc").sort_values("dsc", kind="stable")
    for _, row in ranked[: ceil(WORST_SHARE * len(ranked))].iterrows():
        if row["dsc"] < GOOD_DSC and row["predicted_ml"] > 0:
            text = f"draws the {plain} with a DSC of {row['dsc']:.2f}, where its median is {ranked['dsc'].median():.2f}"
            yield _Detected(row, "worst", row["dsc"], "DSC", 1 - row["dsc"], text)


def _failure(detected: _Detected, cases: Cases, locations: Locations, usual_phase: Mapping[str, str]) -> Failure:
    """The failure of a row, with its sentence."""
    row, kind = detected.row, detected.kind
    model_key, center = ModelKey(row["model"], row["trained_on"]), row["tested_on"]
    case, name = row["case"], row["organ"]
    location = locations.get((model_key, center, case, name))
    reasons = explain(
        kind, name, cases.get((center, case)), model_key, tested_on=center, volume_ml=row["volume_ml"],
        cut=location.cut if location else False, usual_phase=usual_phase,
    )  # fmt: skip
    return Failure(
        case, center, name, model_key.model, model_key.trained_on, kind, float(detected.amount), detected.unit,
        float(detected.severity), location.voxel if location else None,
        f"{model_phrase(model_key)} {detected.text}. {reasons}",
    )  # fmt: skip


def read_failures(study: Path) -> list[Failure]:
    """The recorded failures of a study, the worst first; empty where none were recorded."""
    file = study / "failures.json"
    return [Failure.from_json(line) for line in json.loads(file.read_text("utf-8"))] if file.is_file() else []


def by_severity(failures: Iterable[Failure]) -> list[Failure]:
    """The worst first; of equally bad ones the larger first, then by model, organ and case."""

    def key(f: Failure) -> tuple:
        size = f.amount if f.unit == "mL" else 0.0
        return -f.severity, -size, f.model, f.trained_on, f.organ, f.tested_on, f.case, f.kind

    return sorted(failures, key=key)


def worst(failures: Iterable[Failure], count: int = 12, *, a_kind: int = 3, an_organ: int = 2) -> list[Failure]:
    """The worst ones without repeats: a contour once, a kind `a_kind`, an organ `an_organ` times.

    Evaluated organs come first; the others fill up.
    """
    chosen: list[Failure] = []
    seen: Counter[tuple[str, ...]] = Counter()
    for failure in sorted(by_severity(failures), key=lambda failure: failure.organ not in EVALUATED):
        limits = {
            ("contour", failure.tested_on, failure.case, failure.organ): 1,
            ("kind", failure.kind): a_kind,
            ("organ", failure.organ): an_organ,
        }
        if len(chosen) < count and all(seen[key] < most for key, most in limits.items()):
            chosen.append(failure)
            seen.update(limits.keys())
    return chosen
