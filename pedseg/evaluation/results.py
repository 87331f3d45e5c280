"""The rows of cases.csv, patient by patient: means with intervals, and contrasts of two models.

The unit is the patient: repeated scans are averaged first, then seeds. Models on the same test
center are compared patient by patient; one local model at home and away meets different patients
and is compared without pairs. Holm corrects within one measure over the evaluated organs. A missed
organ counts with its worst value; an absent one has no quality and is counted by its false volume.
"""

from __future__ import annotations

import csv
import lzma
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from pedseg.evaluation.comparisons import (
    RESAMPLES,
    Comparison,
    compare_paired,
    compare_unpaired,
    holm,
    percentile_interval,
)
from pedseg.organs import EVALUATED, NAMES

MEASURES = ("dsc", "hd95_mm", "msd_mm", "nsd")
HIGHER_IS_BETTER = ("dsc", "nsd")
# Within these, two models count as equally good, the same for every organ.
MARGINS = {"dsc": 0.01, "hd95_mm": 1.0, "msd_mm": 0.5, "nsd": 0.02}
P_VALUES = ("p", "p_equivalence", "p_noninferiority")  # of a `Comparison`, each corrected by Holm
NUMBERS = (*MEASURES, "volume_ml", "predicted_ml")
PRESENT = {"1": True, "0": False, "True": True, "False": False, "true": True, "false": False}


@dataclass(frozen=True, order=True)
class ModelKey:
    """A model by its kind (local, federated, centralized) and the centers it learned from."""

    model: str
    trained_on: str

    def role(self, tested_on: str) -> str:
        """`home` or `away` for a local model, else the model's kind."""
        if self.model != "local":
            return self.model
        return "home" if self.trained_on == tested_on else "away"

    @property
    def file_name(self) -> str:
        """The model in the name of a file: `local_Polder`, `federated`."""
        return f"{self.model}_{self.trained_on}" if self.model == "local" else self.model


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a cases.csv as text, one an organ, case, model and seed."""
    return list(each_row(file))


def each_row(file: Path) -> Iterator[dict[str, str]]:
    """The same one by one, of a cases.csv or a shift.csv, also a compressed one (.xz)."""
    opened = lzma.open if file.suffix == ".xz" else open
    with opened(file, "rt", newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


class Results:
    """All scores of a study, looked up by model, test center and organ; rows as in cases.csv."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.cells: dict[tuple[ModelKey, str, str], list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            given = {key: row.get(key) if key == "nsd" else row[key] for key in NUMBERS}  # older tables have no NSD
            numbers = {key: None if value in ("", None) else float(value) for key, value in given.items()}
            kept = {"seed": int(row["seed"]), "patient": str(row["patient"]), "case": str(row["case"])}
            kept["present"] = PRESENT[str(row["present"])]
            model_key = ModelKey(str(row["model"]), str(row["trained_on"]))
            self.cells[model_key, str(row["tested_on"]), str(row["organ"])].append({**kept, **numbers})
        self.model_keys = sorted({model_key for model_key, _, _ in self.cells})
        self.centers = sorted({center for _, center, _ in self.cells})
        found = {organ for _, _, organ in self.cells}
        self.organs = [name for name in NAMES if name in found]
        self.evaluated = [name for name in EVALUATED if name in found]
        scored = [row for rows in self.cells.values() for row in rows]
        self.seeds = sorted({row["seed"] for row in scored})
        self.measures = [measure for measure in MEASURES if any(row[measure] is not None for row in scored)]

    def rows(self, model_key: ModelKey, center: str, organ: str) -> list[dict[str, Any]]:
        """What was scored of one organ: one model, one test center, every case and seed."""
        return self.cells.get((model_key, center, organ), [])

    def of_seed(self, seed: int) -> Results:
        """The scores of one seed alone."""
        alone = copy(self)
        alone.seeds = [seed]
        alone.cells = defaultdict(list)
        for cell, rows in self.cells.items():
            alone.cells[cell] = [row for row in rows if row["seed"] == seed]
        return alone

    def per_patient(
        self,
        model_key: ModelKey,
        center: str,
        organ: str,
        measure: str,
        *,
        present: bool = True,
        seed: int | None = None,
    ) -> dict[str, float]:
        """One number a patient: the mean over the patient's scans, then over seeds (or in one `seed`)."""
        scans: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in self.rows(model_key, center, organ):
            if row["present"] is present and row[measure] is not None and seed in (None, row["seed"]):
                scans[row["patient"]][row["seed"]].append(row[measure])
        return {p: fmean(fmean(values) for values in seeds.values()) for p, seeds in sorted(scans.items())}

    def pairs(
        self, first: ModelKey, second: ModelKey, center: str, organ: str, measure: str
    ) -> tuple[list[float], list[float]]:
        """What two models scored on the same patients of one center, patient by patient.

        A scan counts with the seeds that both models have, so that a run that is missing on one side tilts
        nothing; scans are averaged first, then seeds.
        """
        sides = [
            {(row["patient"], row["seed"], row["case"]): row[measure] for row in self.rows(model_key, center, organ)}
            for model_key in (first, second)
        ]
        shared = [key for key, value in sides[0].items() if value is not None and sides[1].get(key) is not None]
        scans: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        for patient, seed, case in sorted(shared):
            scans[patient][seed].append((sides[0][patient, seed, case], sides[1][patient, seed, case]))
        seeds = [[np.mean(pairs, axis=0) for pairs in by_seed.values()] for by_seed in scans.values()]
        means = [np.mean(each, axis=0) for each in seeds]  # (2,) a patient
        return [float(a) for a, _ in means], [float(b) for _, b in means]

    def local(self, center: str) -> ModelKey | None:
        """The model that learned from this center alone."""
        return next(
            (
                model_key
                for model_key in self.model_keys
                if model_key.model == "local" and model_key.trained_on == center
            ),
            None,
        )

    def kind(self, model: str) -> ModelKey | None:
        """The only model of a kind, as `federated`."""
        return next((model_key for model_key in self.model_keys if model_key.model == model), None)


def organ_mean(results: Results, model_key: ModelKey, center: str, measure: str, organs: list[str]) -> dict[str, Any]:
    """Mean over organs of the mean over patients, each organ weighing the same.

    `low` and `high` bound the 95 % bootstrap interval over patients; `seed_sd` is the standard
    deviation of the same mean over seeds (None for one seed).
    """
    table = _table(results, model_key, center, measure, organs)
    out: dict[str, Any] = {"mean": None, "low": None, "high": None, "seed_sd": None, "patients": len(table)}
    if not len(table):
        return out
    out["mean"] = float(_mean_of_means(table[None])[0])
    if len(table) > 1:
        drawn = np.random.default_rng(0).integers(len(table), size=(RESAMPLES, len(table)))
        out["low"], out["high"] = percentile_interval(_mean_of_means(table[drawn]))
    if len(results.seeds) > 1:
        each = [organ_mean_of_seed(results, model_key, center, seed, measure, organs) for seed in results.seeds]
        means = [mean for mean in each if mean is not None]
        out["seed_sd"] = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return out


def patient_means(
    results: Results, model_key: ModelKey, center: str, measure: str, organs: Iterable[str], seed: int | None = None
) -> dict[str, float]:
    """One number a patient: the mean over the organs that the patient has; over seeds, or in one."""
    return mean_by_patient([results.per_patient(model_key, center, organ, measure, seed=seed) for organ in organs])


def mean_by_patient(columns: Collection[Mapping[str, float]]) -> dict[str, float]:
    """The mean of what each patient has, from columns by patient."""
    patients = sorted({patient for column in columns for patient in column})
    return {patient: fmean(column[patient] for column in columns if patient in column) for patient in patients}


def organ_mean_of_seed(
    results: Results, model_key: ModelKey, center: str, seed: int, measure: str = "dsc", organs: list[str] | None = None
) -> float | None:
    """The same mean of one seed alone, over the evaluated organs unless told; None without a value."""
    table = _table(results, model_key, center, measure, results.evaluated if organs is None else organs, seed=seed)
    return float(_mean_of_means(table[None])[0]) if len(table) else None


def _table(
    results: Results, model_key: ModelKey, center: str, measure: str, organs: list[str], seed: int | None = None
) -> np.ndarray:
    """Values by (patient, organ), nan where the organ is absent."""
    columns = [results.per_patient(model_key, center, organ, measure, seed=seed) for organ in organs]
    patients = sorted({patient for column in columns for patient in column})
    return np.array([[column.get(p, np.nan) for column in columns] for p in patients])


def _mean_of_means(tables: np.ndarray) -> np.ndarray:
    """(draws, patients, organs) with nan for absent organs -> (draws,): over patients, then over organs."""
    counts = (~np.isnan(tables)).sum(axis=1)  # (draws, organs)
    sums = np.nansum(tables, axis=1)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    return means.sum(axis=1) / (counts > 0).sum(axis=1)


def contrast(
    results: Results, first: tuple[ModelKey, str], second: tuple[ModelKey, str], measure: str
) -> dict[str, Any]:
    """First minus second on every evaluated organ, with Holm over the organs.

    Each side is a model and a test center: one center compares pairs of patients, two centers
    compare two groups. Equivalence is asked within `MARGINS`, of pairs only.
    """
    paired = first[1] == second[1]
    found: list[Comparison] = []
    for organ in results.evaluated:
        if paired:
            pairs = results.pairs(first[0], second[0], first[1], organ, measure)
            found.append(compare_paired(*pairs, MARGINS[measure], higher_is_better=measure in HIGHER_IS_BETTER))
        else:
            a, b = (results.per_patient(model_key, center, organ, measure) for model_key, center in (first, second))
            found.append(compare_unpaired(list(a.values()), list(b.values())))
    corrected = {f"{p}_holm": holm([getattr(one, p) for one in found]) for p in P_VALUES}
    sides = [
        {"model": model_key.model, "trained_on": model_key.trained_on, "tested_on": center}
        for model_key, center in (first, second)
    ]
    organs = [
        {"organ": organ, **asdict(one), **{name: values[k] for name, values in corrected.items()}}
        for k, (organ, one) in enumerate(zip(results.evaluated, found, strict=True))
    ]
    return {"measure": measure, "paired": paired, "first": sides[0], "second": sides[1], "organs": organs}
