"""What GIN gains, organ by organ: means and paired tests from the rows of the experiment with CT and MR.

As in the study: the unit is the patient, seeds are averaged, signed-rank tests with Holm over the organs, here the five
of the published one. Left and right kidney count as one organ, the mean of those that a child has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from pedseg.evaluation.comparisons import bootstrap_interval, compare_paired, holm
from pedseg.evaluation.results import MARGINS, ModelAtCenter, Results, row_means

# The five organs of the published experiment, and what they are in the table of organs.
FIVE: dict[str, tuple[str, ...]] = {
    "liver": ("Liver",),
    "kidneys": ("Kidney_L", "Kidney_R"),
    "spleen": ("Spleen",),
    "pancreas": ("Pancreas",),
    "gallbladder": ("Gallbladder",),
}
Line = dict[str, Any]


def summarize_gains(rows: pd.DataFrame) -> dict[str, Any]:
    """The lines of `means`, `gains` and `overall` of summary.json, from typed rows of the experiment's cases.csv."""
    return {"means": list(means(rows)), "gains": list(gains(rows)), "overall": list(overall(rows))}


def _scenarios(rows: pd.DataFrame) -> Iterator[tuple[str, Results]]:
    """The scores of each scenario."""
    for name, part in rows.groupby("scenario", sort=False):
        yield str(name), Results(part)


def five_organs(results: Results, at: ModelAtCenter, seed: int | None = None) -> pd.DataFrame:
    """DSC by patient (rows) and organ of the five (columns), over seeds or in one; NaN where the organ is absent."""
    table = results.patient_means(at, "dsc", [organ for organs in FIVE.values() for organ in organs], seed=seed)
    return pd.DataFrame({name: row_means(table[list(organs)]) for name, organs in FIVE.items()}).sort_index()


def means(rows: pd.DataFrame) -> Iterator[Line]:
    """One line a scenario, model and test: mean DSC of each of the five organs, over the five and over all.

    `low` and `high` bound the 95 % bootstrap interval over patients, `seeds` are the means of the single seeds.
    """
    for scenario, results in _scenarios(rows):
        for at in sorted(results.tested, key=lambda at: (at.model, at.trained_on)):
            table = five_organs(results, at)
            if table.empty:
                continue
            low, high = bootstrap_interval(row_means(table).to_numpy(), np.mean) or (None, None)
            seeds = [_over_organs(five_organs(results, at, seed)) for seed in results.seeds]
            yield {
                **{"scenario": scenario, **asdict(at)},
                **{organ: _defined(mean) for organ, mean in row_means(table.T).items()},
                "five": {"mean": _over_organs(table), "low": low, "high": high, "seeds": seeds},
                "all": asdict(results.organ_mean(at, "dsc", results.organs)),
            }


def _over_organs(table: pd.DataFrame) -> float | None:
    """The mean of the organs' means, from values by patient and organ."""
    means = row_means(table.T).dropna()
    return fmean(means) if len(means) else None


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def gains(rows: pd.DataFrame) -> Iterator[Line]:
    """Federated with GIN minus federated without, and minus centralized with GIN, by scenario, test and organ.

    Holm over the five organs.
    """
    for line, results, pair in _contrasted(rows):
        sides = [five_organs(results, at) for at in pair]
        pairs = {organ: pd.concat([side[organ] for side in sides], axis=1, join="inner").dropna() for organ in FIVE}
        columns = [pairs[organ].to_numpy().T for organ in FIVE]
        comparisons = [compare_paired(first, second, MARGINS["dsc"]) for first, second in columns]
        p_holm = holm([comparison.p for comparison in comparisons])
        noninferior = holm([comparison.p_noninferiority for comparison in comparisons])
        for k, (organ, comparison) in enumerate(zip(FIVE, comparisons, strict=True)):
            first, second = row_means(pairs[organ].T)
            difference = {"organ": organ, "mean_difference": _defined(first - second), **asdict(comparison)}
            yield line | difference | {"p_holm": p_holm[k], "p_noninferiority_holm": noninferior[k]}


def overall(rows: pd.DataFrame) -> Iterator[Line]:
    """The same differences over many organs at once: for each patient the mean over the five, and over all there are.

    `seeds` are the mean differences of the single seeds; p values are of one test each.
    """
    for line, results, pair in _contrasted(rows):
        for organs in ("five", "all"):
            a, b = (_by_patient(results, at, organs) for at in pair)
            comparison = compare_paired(a, b[a.index], MARGINS["dsc"])
            seeds = []
            for seed in results.seeds:
                x, y = (_by_patient(results, at, organs, seed) for at in pair)
                seeds += [fmean(x) - fmean(y)] if len(x) and len(y) else []
            difference = {"organs": organs, "mean_difference": fmean(a) - fmean(b) if len(a) else None}
            yield line | difference | {**asdict(comparison), "seeds": seeds}


def _by_patient(results: Results, at: ModelAtCenter, organs: str, seed: int | None = None) -> pd.Series:
    """Mean DSC over the five organs, or over all, by patient."""
    if organs == "five":
        return row_means(five_organs(results, at, seed))
    return row_means(results.patient_means(at, "dsc", results.organs, seed=seed))


def _contrasted(rows: pd.DataFrame) -> Iterator[tuple[Line, Results, tuple[ModelAtCenter, ModelAtCenter]]]:
    """What is compared with what: scenario, test and names of the models, their scores, and the two models."""
    for scenario, results in _scenarios(rows):
        with_gin = results.kind("federated_gin")
        for other in ("federated", "centralized_gin"):
            second = results.kind(other)
            if with_gin is None or second is None:
                continue
            for center in results.centers:
                line = {"scenario": scenario, "tested_on": center, "first": "federated_gin", "second": other}
                yield line, results, (with_gin.at(center), second.at(center))
