"""What GIN gains, organ by organ: means and paired tests from the rows of the experiment with CT and MR.

As in the study: the unit is the patient, seeds are averaged, signed-rank tests with Holm over the organs, here the five
of the published one. Left and right kidney count as one organ, the mean of those that a child has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from pedseg.evaluation.comparisons import bootstrap_interval, compare_paired, holm
from pedseg.evaluation.results import MARGINS, ModelKey, Results, mean_by_patient, organ_mean, patient_means

# The five organs of the published experiment, and what they are in the table of organs.
FIVE: dict[str, tuple[str, ...]] = {
    "liver": ("Liver",),
    "kidneys": ("Kidney_L", "Kidney_R"),
    "spleen": ("Spleen",),
    "pancreas": ("Pancreas",),
    "gallbladder": ("Gallbladder",),
}
Rows = Iterable[Mapping[str, Any]]


def by_scenario(rows: Rows) -> dict[str, Results]:
    """The scores of each scenario."""
    parted: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        parted.setdefault(row["scenario"], []).append(row)
    return {name: Results(part) for name, part in parted.items()}


def tell(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All that a summary tells of the rows of cases.csv."""
    return {"means": means(rows), "gains": gains(rows), "overall": overall(rows)}


def means(rows: Rows) -> list[dict[str, Any]]:
    """One line a scenario, model and test: mean DSC of each of the five organs, over the five and over all.

    `low` and `high` bound the 95 % bootstrap interval over patients, `seeds` are the means of the single seeds.
    """
    lines = []
    for scenario, results in by_scenario(rows).items():
        for model_key in results.model_keys:
            for test in results.centers:
                table = {organ: of_organ(results, model_key, test, organ) for organ in FIVE}
                if any(table.values()):
                    told = {"scenario": scenario, **asdict(model_key), "tested_on": test}
                    told |= {organ: fmean(column.values()) if column else None for organ, column in table.items()}
                    all_organs = organ_mean(results, model_key, test, "dsc", results.organs)
                    lines.append(told | {"five": _five(results, model_key, test, table), "all": all_organs})
    return lines


def of_organ(results: Results, model_key: ModelKey, test: str, organ: str, seed: int | None = None) -> dict[str, float]:
    """DSC of one of the five by patient, over seeds or in one."""
    return patient_means(results, model_key, test, "dsc", FIVE[organ], seed)


def _five(results: Results, model_key: ModelKey, test: str, table: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The mean over the five organs, each weighing the same; its interval over patients, and seed by seed."""
    each = [*mean_by_patient(table.values()).values()]
    interval = bootstrap_interval(np.array(each), np.mean) or (None, None)
    return {
        "mean": _over_organs(table),
        "low": interval[0],
        "high": interval[1],
        "seeds": [
            _over_organs({organ: of_organ(results, model_key, test, organ, seed) for organ in FIVE})
            for seed in results.seeds
        ],
    }


def _over_organs(table: Mapping[str, Mapping[str, float]]) -> float | None:
    """The mean of the organs' means."""
    found = [fmean(column.values()) for column in table.values() if column]
    return fmean(found) if found else None


def gains(rows: Rows) -> list[dict[str, Any]]:
    """Federated with GIN minus federated without, and minus centralized with GIN, by scenario, test and organ."""
    return [
        told | line
        for told, results, model_keys in _sides(rows)
        for line in _contrast(results, *model_keys, told["tested_on"])
    ]


def overall(rows: Rows) -> list[dict[str, Any]]:
    """The same differences over many organs at once: for each patient the mean over the five, and over all there are.

    `seeds` are the mean differences of the single seeds; p values are of one test each.
    """
    lines = []
    for told, results, model_keys in _sides(rows):
        for organs in ("five", "all"):
            a, b = (_by_patient(results, model_key, told["tested_on"], organs) for model_key in model_keys)
            found = compare_paired([a[patient] for patient in a], [b[patient] for patient in a], MARGINS["dsc"])
            each = [
                [_by_patient(results, model_key, told["tested_on"], organs, seed) for model_key in model_keys]
                for seed in results.seeds
            ]
            seeds = [fmean(x.values()) - fmean(y.values()) for x, y in each if x and y]
            mean = fmean(a.values()) - fmean(b.values()) if a else None
            lines.append(told | {"organs": organs, "mean_difference": mean, **asdict(found), "seeds": seeds})
    return lines


def _by_patient(
    results: Results, model_key: ModelKey, test: str, organs: str, seed: int | None = None
) -> dict[str, float]:
    """Mean DSC over the five organs, or over all, by patient."""
    if organs == "five":
        return mean_by_patient([of_organ(results, model_key, test, organ, seed) for organ in FIVE])
    return patient_means(results, model_key, test, "dsc", results.organs, seed)


def _sides(rows: Rows) -> Iterator[tuple[dict[str, str], Results, tuple[ModelKey, ModelKey]]]:
    """What is set beside what: scenario, test and names of the models, their scores, and the two models."""
    for scenario, results in by_scenario(rows).items():
        with_gin = results.kind("federated_gin")
        for other in ("federated", "centralized_gin"):
            second = results.kind(other)
            if with_gin and second:
                for test in results.centers:
                    told = {"scenario": scenario, "tested_on": test, "first": "federated_gin", "second": other}
                    yield told, results, (with_gin, second)


def _contrast(results: Results, first: ModelKey, second: ModelKey, test: str) -> Iterator[dict[str, Any]]:
    """First minus second on each of the five organs, with Holm over them."""
    found = {organ: compare_paired(*_pairs(results, (first, second), test, organ), MARGINS["dsc"]) for organ in FIVE}
    p_holm = holm([comparison.p for comparison in found.values()])
    noninferior = holm([comparison.p_noninferiority for comparison in found.values()])
    for (organ, comparison), p, claim in zip(found.items(), p_holm, noninferior, strict=True):
        a, b = _pairs(results, (first, second), test, organ)
        mean = fmean(a) - fmean(b) if a else None
        yield {
            "organ": organ,
            "mean_difference": mean,
            **asdict(comparison),
            "p_holm": p,
            "p_noninferiority_holm": claim,
        }


def _pairs(results: Results, model_keys: Sequence[ModelKey], test: str, organ: str) -> tuple[list[float], list[float]]:
    """What two models scored on the same patients."""
    a, b = (of_organ(results, model_key, test, organ) for model_key in model_keys)
    shared = sorted(a.keys() & b.keys())
    return [a[patient] for patient in shared], [b[patient] for patient in shared]
