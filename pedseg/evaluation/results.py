"""The results table: rows of cases.csv as a DataFrame, per-patient means, and means with intervals.

The unit is the patient: repeated scans are averaged first, then seeds. A missed organ counts with its worst value; an
absent one has no quality and is counted by its false volume. How models are compared says `contrasts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from pedseg.evaluation.comparisons import RESAMPLES, percentile_interval
from pedseg.files import write_atomically
from pedseg.organs import EVALUATED, NAMES

COLUMNS = (
    "seed", "model", "trained_on", "tested_on", "patient", "case", "organ", "present",
    "dsc", "hd95_mm", "msd_mm", "volume_ml", "predicted_ml", "nsd",
)  # fmt: skip
MEASURES = ("dsc", "hd95_mm", "msd_mm", "nsd")
NUMBERS = (*MEASURES, "volume_ml", "predicted_ml")
HIGHER_IS_BETTER = ("dsc", "nsd")
# Within these, two models count as equally good, the same for every organ.
MARGINS = {"dsc": 0.01, "hd95_mm": 1.0, "msd_mm": 0.5, "nsd": 0.02}
# Methods of federated learning, as they are printed.
METHOD_NAMES = {
    "fedprox": "FedProx", "fedavgm": "FedAvgM", "fedadam": "FedAdam", "scaffold": "SCAFFOLD", "fedbn": "FedBN",
    "fedper": "FedPer", "fine-tuned": "fine-tuned at home",
}  # fmt: skip
PRESENT = {"1": True, "0": False, "True": True, "False": False, "true": True, "false": False}


@dataclass(frozen=True, order=True)
class ModelKey:
    """A model by its kind (local, federated, centralized; `_gin` behind it; a method) and the centers it learned from.

    `trained_on` joins the names of several centers by "+". Printed, it is what tables and charts call the model:
    `Polder alone`, `federated`, `federated with GIN`.
    """

    model: str
    trained_on: str

    def __str__(self) -> str:
        if self.model == "local":
            return f"{self.trained_on or 'each'} alone"
        if self.model in METHOD_NAMES:
            return METHOD_NAMES[self.model]
        return self.model.removesuffix("_gin") + (" with GIN" if self.model.endswith("_gin") else "")

    def at(self, center: str) -> ModelAtCenter:
        """The model on the test patients of a center."""
        return ModelAtCenter(self.model, self.trained_on, center)

    @property
    def file_name(self) -> str:
        """The model in the name of a file, for people: `local_Polder`, `federated`. Programs read the metadata."""
        return f"{self.model}_{self.trained_on}" if self.model == "local" else self.model


@dataclass(frozen=True)
class ModelAtCenter(ModelKey):
    """A model on the test patients of one center."""

    tested_on: str

    @property
    def role(self) -> str:
        """`home` or `away` for a local model, else the model's kind."""
        if self.model != "local":
            return self.model
        return "home" if self.trained_on == self.tested_on else "away"


def typed_rows(rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of cases.csv with their types: seed int, present bool, scores and volumes float with NaN for undefined.

    Older tables have no NSD: it is undefined there. Raises `KeyError` for a presence that is neither yes nor no.
    """
    table = pd.DataFrame(rows)
    if table.empty:
        table = table.reindex(columns=list(COLUMNS))
    numbers = {name: pd.to_numeric(table[name]).astype(float) if name in table else np.nan for name in NUMBERS}
    present = pd.Series([PRESENT[str(value)] for value in table["present"]], table.index, dtype=bool)
    return table.assign(seed=table["seed"].astype(int), present=present, **numbers)


def read_rows(file: Path) -> pd.DataFrame:
    """The rows of a cases.csv or shift.csv, also a compressed one (.xz): one an organ, case, model and seed."""
    return typed_rows(pd.read_csv(file, dtype=str, keep_default_na=False))  # a patient may be called 001 or NA


def rows_file(folder: Path) -> Path:
    """The table of scores in a folder of results: `cases.csv`, or packed as `cases.csv.xz` if that alone is there."""
    plain, packed = folder / "cases.csv", folder / "cases.csv.xz"
    return packed if packed.is_file() and not plain.is_file() else plain


def write_rows(file: Path, rows: pd.DataFrame) -> None:
    """Write rows as CSV: undefined values empty, numbers with six digits."""
    text = rows.astype({"present": int}).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_atomically(file, text.encode())


@dataclass(frozen=True)
class OrganMean:
    """Mean over organs of the mean over patients, each organ weighing the same; None where nothing is defined.

    `low` and `high` bound the 95 % bootstrap interval over patients; `seed_sd` is the standard
    deviation of the same mean over seeds (None for one seed).
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    seed_sd: float | None = None
    patients: int = 0


class Results:
    """All scores of a study by model, test center and organ, from typed rows of cases.csv."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        parts = rows.groupby(["model", "trained_on", "tested_on"])
        self._parts = {ModelAtCenter(*key): part for key, part in parts}
        self._means: dict[tuple, pd.DataFrame] = {}
        self.model_keys = sorted({ModelKey(at.model, at.trained_on) for at in self._parts})
        self.centers = sorted({at.tested_on for at in self._parts})
        self.tested = [key.at(center) for center in self.centers for key in self.model_keys]
        organs = set(rows["organ"])
        self.organs = [name for name in NAMES if name in organs]
        self.evaluated = [name for name in EVALUATED if name in organs]
        self.seeds = sorted(map(int, rows["seed"].unique()))
        self.measures = [measure for measure in MEASURES if rows[measure].notna().any()]

    @cached_property
    def by_seed(self) -> list[Results]:
        """The scores of each seed alone, as of a study that trained each model once."""
        return [Results(self.rows[self.rows["seed"] == seed]) for seed in self.seeds]

    def local(self, center: str) -> ModelKey | None:
        """The model that learned from this center alone."""
        return next((key for key in self.model_keys if key == ModelKey("local", center)), None)

    def kind(self, model: str) -> ModelKey | None:
        """The only model of a kind, as `federated`."""
        return next((key for key in self.model_keys if key.model == model), None)

    def patient_means(
        self, at: ModelAtCenter, measure: str, organs: Sequence[str], *, present: bool = True, seed: int | None = None
    ) -> pd.DataFrame:
        """One number a patient and organ: the mean over the patient's scans, then over seeds (or in one `seed`).

        Patients are rows, `organs` columns; NaN where a patient has none. Patients without any are left out.
        """
        return self._patient_means(at, measure, present, seed).reindex(columns=list(organs)).dropna(how="all")

    def _patient_means(self, at: ModelAtCenter, measure: str, present: bool, seed: int | None) -> pd.DataFrame:
        """The same for all organs that have rows, computed once."""
        key = at, measure, present, seed
        if key not in self._means:
            rows = self._rows(at)
            rows = rows[rows[measure].notna() & (rows["present"] == present)]
            if seed is not None:
                rows = rows[rows["seed"] == seed]
            by_seed = rows.groupby(["patient", "organ", "seed"])[measure].mean().unstack()
            self._means[key] = row_means(by_seed).unstack()
        return self._means[key]

    def _values(self, at: ModelAtCenter, measure: str, organs: Sequence[str], seed: int | None = None) -> np.ndarray:
        """`patient_means` as an array: a fraction of the time, and means are asked for by the thousand."""
        table = self._patient_means(at, measure, True, seed)
        columns = [table.columns.get_loc(organ) if organ in table.columns else -1 for organ in organs]
        padded = np.column_stack([table.to_numpy(dtype=float), np.full(len(table), np.nan)])
        values = np.ascontiguousarray(padded[:, columns])
        return values[~np.isnan(values).all(axis=1)]

    def paired_means(self, first: ModelAtCenter, second: ModelAtCenter, measure: str) -> dict[str, pd.DataFrame]:
        """What two models scored on the same patients of one center, by organ: columns `first` and `second`.

        A scan counts with the seeds that both models have, so that a run that is missing on one side tilts
        nothing; scans are averaged first, then seeds.
        """
        index = ["organ", "patient", "seed", "case"]
        sides = [self._rows(at).set_index(index)[measure] for at in (first, second)]
        pairs = pd.concat(sides, axis=1, join="inner", keys=["first", "second"]).dropna()
        by_seed = pairs.groupby(["organ", "patient", "seed"]).mean().unstack()
        means = pd.DataFrame({side: by_seed[side].mean(axis=1) for side in ("first", "second")})
        by_organ = dict(iter(means.groupby("organ")))
        return {organ: by_organ.get(organ, means.iloc[:0]) for organ in self.organs}

    def organ_mean(self, at: ModelAtCenter, measure: str, organs: Sequence[str]) -> OrganMean:
        """The mean of one model on one test center, with its interval and its spread over seeds."""
        table = self._values(at, measure, organs)
        if not len(table):
            return OrganMean()
        low, high, seed_sd = None, None, None
        if len(table) > 1:
            resampled = np.random.default_rng(0).integers(len(table), size=(RESAMPLES, len(table)))
            low, high = percentile_interval(mean_of_means(table[resampled]))
        by_seed = [self.mean_of_seed(at, measure, organs, seed) for seed in self.seeds] if len(self.seeds) > 1 else []
        means = [mean for mean in by_seed if mean is not None]
        seed_sd = float(np.std(means, ddof=1)) if len(means) > 1 else None
        return OrganMean(float(mean_of_means(table[None])[0]), low, high, seed_sd, len(table))

    def mean_of_seed(self, at: ModelAtCenter, measure: str, organs: Sequence[str], seed: int) -> float | None:
        """The same mean of one seed alone; None without a value."""
        table = self._values(at, measure, organs, seed)
        return float(mean_of_means(table[None])[0]) if len(table) else None

    def _rows(self, at: ModelAtCenter) -> pd.DataFrame:
        return self._parts.get(at, self.rows.iloc[:0])


def row_means(table: pd.DataFrame) -> pd.Series:
    """The mean of the defined values of each row, rounded once (`fmean`); NaN of a row without any."""
    means = [fmean(values) if (values := row[~np.isnan(row)]).size else np.nan for row in table.to_numpy()]
    return pd.Series(means, table.index, dtype=float)


def mean_of_means(tables: np.ndarray) -> np.ndarray:
    """(draws, patients, organs) with nan for absent organs -> (draws,): over patients, then over organs."""
    counts = (~np.isnan(tables)).sum(axis=1)  # (draws, organs)
    sums = np.nansum(tables, axis=1)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    return means.sum(axis=1) / (counts > 0).sum(axis=1)
