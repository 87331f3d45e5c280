"""Reader study: scores from 1 to 5 for contours by several readers, kept as CSV, and how far the readers agree.

A score is of one organ of one contour set in one case. Agreement is Cohen's kappa with quadratic weights (Psychol Bull
1968;70:213), its interval by a bootstrap over cases, as scores of one case belong together.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.evaluation.comparisons import RESAMPLES, percentile_interval
from pedseg.evaluation.results import ModelKey
from pedseg.files import write_atomically

SCORES = {
    1: "unusable: draw it again",
    2: "large corrections",
    3: "some corrections",
    4: "small corrections",
    5: "good as it is",
}  # as in the study's review by clinicians (arXiv 2411.00594): a scale of five steps


@dataclass(frozen=True)
class ReaderScore:
    """One score. `reading` is the pass of this reader, from 1; `contours` is who drew; `saved_at` an ISO time."""

    reader: str
    reading: int
    center: str
    case: str
    organ: str
    contours: str
    score: int
    comment: str = ""
    blinded: bool = False
    saved_at: str = ""

    @property
    def item(self) -> tuple[str, str, str, str]:
        """What was scored."""
        return self.center, self.case, self.organ, self.contours


COLUMNS = [field.name for field in fields(ReaderScore)]


class ScoreBook:
    """The scores of all readers in one folder, one CSV a reader; each score is on disk when `put` returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _file(self, reader: str) -> Path:
        name = re.sub(r"[^\w-]+", "_", reader.strip())
        if not name.strip("_"):
            raise input_error("E-READER", repr(reader), "a reader needs a name.", "Write a name or a letter.")
        return self.folder / f"{name}.csv"

    def of(self, reader: str) -> dict[tuple, ReaderScore]:
        """The scores of one reader, by reading and item."""
        file = self._file(reader)
        return {(s.reading, *s.item): s for s in read_scores(file)} if file.is_file() else {}

    def put(self, score: ReaderScore) -> None:
        """Keep a score; one of the same reading and item is replaced."""
        if score.score not in SCORES:
            raise input_error("E-SCORE", str(score.score), "it is no score.", "Give a whole number from 1 to 5.")
        scores = self.of(score.reader) | {(score.reading, *score.item): score}
        write_atomically(self._file(score.reader), as_csv(scores.values()).encode())

    def all(self) -> list[ReaderScore]:
        """The scores of all readers."""
        files = sorted(self.folder.glob("*.csv")) if self.folder.is_dir() else []
        return [score for file in files for score in read_scores(file)]


def as_csv(scores: Iterable[ReaderScore]) -> str:
    """Scores as the text of a CSV file."""
    rows = [asdict(score) | {"blinded": int(score.blinded)} for score in scores]
    return pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, lineterminator="\n")


def read_scores(file: Path) -> list[ReaderScore]:
    """The scores of a CSV file. Raises `PedsegInputError` for other columns, and for what is no score."""
    with file.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    if rows and set(rows[0]) != {*COLUMNS}:
        raise input_error("E-SCORES", file, f"its columns are not {', '.join(COLUMNS)}.", "Give an exported table.")
    try:
        scores = [
            ReaderScore(
                **row | {"reading": int(row["reading"]), "score": int(row["score"]), "blinded": row["blinded"] == "1"}
            )
            for row in rows
        ]
    except (ValueError, TypeError) as error:
        raise input_error("E-SCORES", file, f"a line is no score ({error}).", "Correct or remove it.") from error
    if wrong := [score for score in scores if score.score not in SCORES]:
        raise input_error("E-SCORES", file, f"{wrong[0].score} is no score.", "Scores run from 1 to 5.")
    return scores


@dataclass(frozen=True)
class Agreement:
    """How far two readings agree: weighted kappa, its 95 % interval (None where undefined), and on how many items."""

    first: str
    second: str
    items: int
    cases: int
    kappa: float | None
    low: float | None
    high: float | None
    same: float  # share of items with the same score


def agreements(scores: Iterable[ReaderScore]) -> list[Agreement]:
    """The agreement of every two readings that have items in common: two readers, or two passes of one."""
    readings: dict[str, dict[tuple, int]] = {}
    for score in scores:
        readings.setdefault(f"{score.reader}, reading {score.reading}", {})[score.item] = score.score
    names = sorted(readings)
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :] if readings[a].keys() & readings[b].keys()]
    return [_agreement(a, b, readings[a], readings[b]) for a, b in pairs]


def _agreement(a: str, b: str, first: Mapping[tuple, int], second: Mapping[tuple, int]) -> Agreement:
    items = sorted(first.keys() & second.keys())
    x, y = (np.array([reading[item] for item in items]) for reading in (first, second))
    cases = np.unique([f"{center}/{case}" for center, case, *_ in items], return_inverse=True)[1]
    low, high = _kappa_interval(x, y, cases)
    return Agreement(a, b, len(items), int(cases.max()) + 1, weighted_kappa(x, y), low, high, float(np.mean(x == y)))


def weighted_kappa(first: NDArray, second: NDArray) -> float | None:
    """Cohen's kappa with quadratic weights of two lists of scores; None where all scores are one and the same.

    1 less the mean squared difference over the one that chance gives.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    by_chance = np.mean((first[:, None] - second[None, :]) ** 2)
    return None if by_chance == 0 else float(1 - np.mean((first - second) ** 2) / by_chance)


def _kappa_interval(x: NDArray, y: NDArray, cases: NDArray) -> tuple[float | None, float | None]:
    """95 % interval by a bootstrap over cases; None for fewer than three."""
    groups = [np.flatnonzero(cases == case) for case in range(cases.max() + 1)]
    if len(groups) < 3:
        return None, None
    rng = np.random.default_rng(0)
    draws = (np.concatenate([groups[k] for k in rng.integers(len(groups), size=len(groups))]) for _ in range(RESAMPLES))
    kappas = [kappa for rows in draws if (kappa := weighted_kappa(x[rows], y[rows])) is not None]
    return percentile_interval(np.array(kappas)) if kappas else (None, None)


def with_dsc(scores: Iterable[ReaderScore], rows: pd.DataFrame) -> pd.DataFrame:
    """The scores with the DSC of the same contour, from rows of cases.csv of one seed; those without one are left out.

    `contours` of a score is the display name of a model, as `str(ModelKey)` gives it.
    """
    table = pd.DataFrame([asdict(score) for score in scores], columns=COLUMNS)
    names = [str(ModelKey(model, trained)) for model, trained in zip(rows["model"], rows["trained_on"], strict=True)]
    dsc = rows.assign(contours=names, center=rows["tested_on"])[["center", "case", "organ", "contours", "dsc"]]
    return table.merge(dsc, on=["center", "case", "organ", "contours"]).dropna(subset="dsc").reset_index(drop=True)
