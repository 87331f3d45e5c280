"""Fairness of a federation: which groups of patients gain from it and which pay, and how far groups are apart.

Beside the federated model stands what a patient has without it: the model of its own hospital alone, or, in a hospital
that trained none, the mean of the other hospitals' models. Groups are hospitals, ages and kidneys. Of each kind of
group the worst off and the spread are told, for a mean can rise while the worst off fall behind (Mohri et al. 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pedseg.datasets.cases import DataSet
from pedseg.evaluation.comparisons import RESAMPLES, percentile_interval
from pedseg.evaluation.results import Results, mean_of_means

AGES_YEARS = {"under two": 2.0, "two to five": 6.0, "six and older": math.inf}  # up to; NICHD, Williams et al. 2012
KIDNEYS = ("Kidney_L", "Kidney_R")
Ages = Mapping[tuple[str, str], float | None]


def fairness(rows: pd.DataFrame, ages_months: Ages) -> Iterator[dict[str, Any]]:
    """One line a group, behind each kind of group its worst off and the spread; from typed rows of cases.csv.

    `alone`, `federated` and `difference` are in mean DSC over the evaluated organs, each of the same weight; `low` and
    `high` bound the 95 % bootstrap interval of the difference, patients resampled in their groups. `ages_months` by
    center and patient; who has none is in no age group. Nothing without a federated and a local model.
    """
    results = Results(rows)
    alone, federated = _both_sides(results)
    for by, group in _groups(rows, ages_months).items():
        members = {name: alone.index.intersection(part.index) for name, part in group.dropna().groupby(group.dropna())}
        members = {name: index for name, index in members.items() if len(index) > 1}
        draws = {name: _resampled(alone.loc[index], federated.loc[index]) for name, index in members.items()}
        for name, means in draws.items():
            yield {"by": by, "group": name, "patients": len(members[name]), **_line(means)}
        if len(draws) > 1:
            means, patients = np.stack([*draws.values()]), sum(map(len, members.values()))
            yield {"by": by, "group": "worst off", "patients": patients, **_line(means.min(axis=0))}
            yield {"by": by, "group": "spread", "patients": patients, **_line(np.ptp(means, axis=0))}


def ages_of(datasets: Sequence[DataSet]) -> Ages:
    """The ages in months of the test patients of data sets, at the first scan."""
    return {(d.center, case.patient): case.age_months for d in datasets for case in reversed(d.split("test"))}


def _both_sides(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """DSC without and with the federation, by (center, patient) and organ, of the patients that have both."""
    federated, sides = results.kind("federated"), []
    for center in results.centers:
        local = [key for key in results.model_keys if key.model == "local"]
        own = [key for key in local if key.trained_on == center] or local
        if federated and own:
            first, *others = (results.patient_means(key.at(center), "dsc", results.evaluated) for key in own)
            alone = sum(others, first) / len(own)
            sides.append((center, alone, results.patient_means(federated.at(center), "dsc", results.evaluated)))
    if not sides:
        return pd.DataFrame(), pd.DataFrame()
    alone, common = (pd.concat({side[0]: side[place] for side in sides}) for place in (1, 2))
    both = alone.index.intersection(common.index)
    return alone.loc[both], common.loc[both]


def _groups(rows: pd.DataFrame, ages_months: Ages) -> dict[str, pd.Series]:
    """The group of each patient by hospital, age and kidneys; index (center, patient), None where nobody knows."""
    patients = rows.groupby(["tested_on", "patient"])
    centers = patients["tested_on"].first()
    ages = pd.Series([_age_group(ages_months.get(key)) for key in centers.index], centers.index, dtype=object)
    kidneys = rows[rows["organ"].isin(KIDNEYS)].groupby(["tested_on", "patient"])["present"].min()
    names = kidneys.map({True: "both kidneys", False: "a kidney removed"})
    return {"hospital": centers, "age": ages, "kidneys": names}


def _age_group(months: float | None) -> str | None:
    return None if months is None else next(name for name, years in AGES_YEARS.items() if months < 12 * years)


def _resampled(alone: pd.DataFrame, federated: pd.DataFrame) -> NDArray[np.float64]:
    """Both means (2, 1 + draws): first of the patients as they are, then of as many drawn again."""
    n = len(alone)
    chosen = np.vstack([np.arange(n), np.random.default_rng(0).integers(n, size=(RESAMPLES, n))])
    return np.stack([mean_of_means(side.to_numpy()[chosen]) for side in (alone, federated)])


def _line(means: NDArray[np.float64]) -> dict[str, float]:
    (alone, *_), (federated, *_) = means
    low, high = percentile_interval(means[1, 1:] - means[0, 1:])
    difference = float(federated - alone)
    return {"alone": float(alone), "federated": float(federated), "difference": difference, "low": low, "high": high}
