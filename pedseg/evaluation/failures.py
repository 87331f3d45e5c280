"""Which contours failed and how: failure detection by rules, from the rows of cases.csv and from the contours.

From the rows: the worst tenth of every organ and model, organs that were missed, organs that were predicted though
absent. From the contours themselves (`misplacement`): left and right swapped, parts that lie elsewhere, contours that
leak or lie beside their organ. One contour may fail in more than one way. `severity` puts them in order,
`failure_reasons` says what is known to make them more frequent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path

import pandas as pd

from pedseg.datasets.cases import Case
from pedseg.evaluation import failure_reasons
from pedseg.evaluation.failure import ContourFacts, Failure, ml, model_phrase
from pedseg.evaluation.failure_reasons import Facts, RiskRatio
from pedseg.evaluation.results import ModelKey
from pedseg.files import write_atomically
from pedseg.organs import organ

FALSE_ML = 1.0  # less than this, predicted of an absent organ, is no false organ
WORST_SHARE = 0.1
GOOD_DSC = 0.95  # nothing so good is called a failure, though it be the worst of its organ
MIN_CONTOURS = 100  # with fewer no risk ratios are counted
Cases = Mapping[tuple[str, str], Case]  # by test center and case
ContourKey = tuple[ModelKey, str, str, str]  # model, test center, case and organ


def from_rows(rows: pd.DataFrame) -> list[Failure]:
    """Missed organs, false organs and the worst tenth of each organ and model, from rows of the first seed."""
    first = rows[rows["seed"] == rows["seed"].min()]
    groups = first.groupby(["organ", "model", "trained_on"], sort=False)
    return [failure for _, group in groups for failure in _of_one_organ(group)]


def _of_one_organ(rows: pd.DataFrame) -> Iterator[Failure]:
    """What went wrong with one organ under one model, over all test cases."""
    plain = organ(rows["organ"].iloc[0]).plain
    for _, row in rows.iterrows():
        predicted_ml, true_ml = row["predicted_ml"], row["volume_ml"]
        if row["present"] and predicted_ml == 0:
            yield _failure(row, "missed", true_ml, "mL", f"draws no {plain}, though {ml(true_ml)} of it are there")
        elif not row["present"] and predicted_ml >= FALSE_ML:
            text = f"draws {ml(predicted_ml)} of {plain}, and there is none in this scan"
            yield _failure(row, "false", predicted_ml, "mL", text)
    defined = rows.dropna(subset="dsc")
    for _, row in defined[defined["dsc"] <= worst_dsc(rows)].iterrows():
        if row["predicted_ml"] > 0:
            median = defined["dsc"].median()
            text = f"draws the {plain} with a DSC of {row['dsc']:.2f}, where its median is {median:.2f}"
            yield _failure(row, "worst", row["dsc"], "DSC", text)


def worst_dsc(rows: pd.DataFrame) -> float:
    """The highest DSC in the worst tenth of the rows of one organ and model that is not good; 0 without any."""
    dsc = rows["dsc"].dropna().sort_values().iloc[: ceil(WORST_SHARE * rows["dsc"].count())]
    return float(dsc[dsc < GOOD_DSC].max()) if (dsc < GOOD_DSC).any() else 0.0


def _failure(row: pd.Series, kind: str, amount: float, unit: str, text: str) -> Failure:
    """The failure of a row. Of true T, predicted P and their intersection, T + P - 2 I is wrong."""
    dsc = 0.0 if pd.isna(row["dsc"]) else row["dsc"]
    wrong_ml = round(float((row["volume_ml"] + row["predicted_ml"]) * (1 - dsc)), 2)
    model_key = ModelKey(row["model"], row["trained_on"])
    return Failure(
        row["case"], row["tested_on"], row["organ"], model_key.model, model_key.trained_on, kind, float(amount), unit,
        wrong_ml, None, f"{model_phrase(model_key)} {text}.",
    )  # fmt: skip


def with_reasons(
    failures: Iterable[Failure],
    rows: pd.DataFrame,
    cases: Cases,
    contours: Mapping[ContourKey, ContourFacts] | None = None,
    usual: Mapping[str, str] | None = None,
) -> tuple[list[Failure], dict[str, RiskRatio]]:
    """The failures with place, dose and reasons, and the risk ratio of each cause over all contours of the rows.

    `cases` and `contours` hold what is known besides, `usual` the phase that the models of each center have learned.
    Without rows, or with few, nothing is counted: the facts stand alone.
    """
    failures, contours = [*failures], contours or {}
    facts = _facts(rows, cases, contours, usual or {})
    failed = {failure.contour for failure in failures}
    counted = pd.DataFrame(
        [(f"{key[3]} {key[0]}", key in failed, [*known]) for key, known in facts.items()],
        columns=["stratum", "failed", "facts"],
    )
    ratios = failure_reasons.risk_ratios(counted) if len(counted) >= MIN_CONTOURS else {}
    return [_with_reasons(failure, contours, facts, ratios) for failure in failures], ratios


def _facts(
    rows: pd.DataFrame, cases: Cases, contours: Mapping[ContourKey, ContourFacts], usual: Mapping[str, str]
) -> dict[ContourKey, Facts]:
    """What is known of every tested contour of the first seed."""
    first = rows[rows["seed"] == rows["seed"].min()]
    medians = first[first["present"]].groupby("organ")["volume_ml"].median()
    facts = {}
    for row in first.itertuples():
        key = ModelKey(row.model, row.trained_on), row.tested_on, row.case, row.organ
        facts[key] = failure_reasons.known_facts(
            row.organ, cases.get((row.tested_on, row.case)), key[0], tested_on=row.tested_on, volume_ml=row.volume_ml,
            median_ml=medians.get(row.organ, 0.0), cut=key in contours and contours[key].cut, usual=usual,
        )  # fmt: skip
    return facts


def _with_reasons(
    failure: Failure,
    contours: Mapping[ContourKey, ContourFacts],
    facts: Mapping[ContourKey, Facts],
    ratios: Mapping[str, RiskRatio],
) -> Failure:
    known, contour = facts.get(failure.contour, {}), contours.get(failure.contour)
    return replace(
        failure,
        voxel=failure.voxel or (contour.voxel if contour else None),
        dose_gy=contour.dose_gy if contour else None,
        causes=failure_reasons.causes_of(known, ratios),
        sentence=f"{failure.sentence} {failure_reasons.explain(known, ratios)}",
    )


def write_failures(study: Path, failures: Iterable[Failure], ratios: Mapping[str, RiskRatio]) -> None:
    """Write failures.json, and causes.csv with the risk ratio of each cause."""
    lines = [failure.as_json() for failure in failures]
    text = failure_reasons.ratio_table(ratios).to_csv(index=False, float_format="%.4g", lineterminator="\n")
    write_atomically(study / "causes.csv", text.encode())
    write_atomically(study / "failures.json", json.dumps(lines, indent=1, ensure_ascii=False).encode())


def read_failures(study: Path) -> list[Failure]:
    """The recorded failures of a study, the gravest first; empty where none were recorded."""
    file = study / "failures.json"
    return [Failure.from_json(line) for line in json.loads(file.read_text("utf-8"))] if file.is_file() else []
