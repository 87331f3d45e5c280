"""Inter-observer band: the scores that two people reach on the same child, beside which a model is judged.

The people are invented (`phantoms.observers`). A network is compared with the exact truth, two people with each other:
a network inside the band differs from the truth by no more than two people differ, which is not yet to be as good as
either. So what each person alone reaches against the truth is told, too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from pedseg.evaluation.results import HIGHER_IS_BETTER, MEASURES, ModelKey, Results, row_means
from pedseg.evaluation.scoring import LabeledScan
from pedseg.metrics import score_case
from pedseg.organs import EVALUATED, NAMES
from pedseg.phantoms.observers import OBSERVERS, TRUTH, Observer, draw

ENDS = (0.05, 0.95)  # of the band
PAIR_COLUMNS = ("first", "second", "tested_on", "patient", "case", "organ", *MEASURES)
BAND_COLUMNS = ("measure", "organ", "patients", "median", "low", "high", "against_truth")
ROLES = ("federated", "home", "away")
WITH_TRUTH = (TRUTH, *OBSERVERS)


def compare_observers(
    scans: Iterable[LabeledScan], observers: Sequence[Observer] = WITH_TRUTH, seed: int = 0
) -> Iterator[pd.DataFrame]:
    """Let observers contour each scan and compare them in pairs: a table a scan, one row an organ that is present.

    The same case is drawn the same, whichever scans come with it.
    """
    for scan in scans:
        spacing_mm, number = scan.image.spacing_mm, zlib.crc32(f"{seed} {scan.case.name}".encode())
        contours = {person.name: draw(scan.truth, spacing_mm, person, number) for person in observers}
        who = {"tested_on": scan.tested_on, "patient": scan.case.patient, "case": scan.case.name}
        rows = [
            {"first": first, "second": second, **who, **vars(organ_score)}
            for first, second in combinations(contours, 2)
            for organ_score in score_case(contours[first], contours[second], spacing_mm, scan.case.trusted)
            if organ_score.present
        ]
        yield pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def band(rows: pd.DataFrame) -> pd.DataFrame:
    """What two people reach: one line a measure and organ, with the median and the 5th and 95th percentile (`ENDS`).

    They are taken over patients and pairs of people, after a patient's scans are averaged. `against_truth` is the
    median of what one person reaches against the truth; NaN where the truth was not among the observers.
    """
    lines = []
    for measure in MEASURES:
        alone = _by_pair(rows[rows["first"] == TRUTH.name], measure)
        for organ, values in _by_pair(_of_people(rows), measure).groupby("organ"):
            numbers = np.nanquantile(values, (0.5, *ENDS))
            against = np.median(alone.loc[[organ]]) if organ in alone.index else np.nan
            lines.append((measure, organ, len(values), *map(float, numbers), float(against)))
    table = pd.DataFrame(lines, columns=list(BAND_COLUMNS))
    return table.sort_values(["measure", "organ"], key=_order, ignore_index=True)


def exchange(rows: pd.DataFrame, measure: str = "dsc") -> pd.Series:
    """By organ: how much the score of the same contour changes when another person draws the reference.

    The absolute change, averaged over a patient's contours and pairs of references; the median over patients.
    """
    wide = _by_pair(_of_people(rows), measure)
    sharing = [(a, b) for a, b in combinations(wide.columns, 2) if len({*a} & {*b}) == 1]
    changes = [(wide[a] - wide[b]).abs().rename(number) for number, (a, b) in enumerate(sharing)]
    means = row_means(pd.concat(changes, axis=1)) if changes else pd.Series(np.nan, wide.index)
    return means.groupby("organ").median()


def _of_people(rows: pd.DataFrame) -> pd.DataFrame:
    """The pairs in which nobody is the truth."""
    return rows[rows["first"] != TRUTH.name]


def _by_pair(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Organs and patients as rows, pairs of observers as columns."""
    return rows.pivot_table(measure, ["organ", "tested_on", "patient"], ["first", "second"], sort=False)


def _order(column: pd.Series) -> pd.Series:
    """Measures and organs in the order in which they are told."""
    return column.map({name: number for number, name in enumerate((*MEASURES, *NAMES))})


def beside_the_band(rows: pd.DataFrame, results: Results, measure: str = "dsc") -> list[dict[str, Any]]:
    """Each evaluated organ's band beside a study's models: the median over the patients of all centers, by role.

    `position` says where that median lies: below, within or above the band. `difference` is the median paired
    difference to the hospital's own model (home: 0), and `noticed` whether it exceeds what another person in place of
    the first changes (`exchange`).
    """
    exchanged, table = exchange(rows, measure), band(rows)
    lines = []
    for line in table[(table["measure"] == measure) & table["organ"].isin(EVALUATED)].to_dict("records"):
        organ = line["organ"]
        line |= {"exchange": float(exchanged[organ]), "models": {}}
        for role in ROLES:
            pairs = _against_home(results, role, organ, measure)
            median, difference = float(pairs["first"].median()), float((pairs["first"] - pairs["second"]).median())
            position = _position(median, line["low"], line["high"], measure)
            noticed = abs(difference) > line["exchange"]
            line["models"][role] = {
                "median": median, "position": position, "difference": difference, "noticed": noticed,
            }  # fmt: skip
        lines.append(line)
    return lines


def _against_home(results: Results, role: str, organ: str, measure: str) -> pd.DataFrame:
    """Scores of the models of one role (`first`) and of the hospital's own (`second`), a row for each patient."""
    parts = []
    for center in results.centers:
        own = ModelKey("local", center).at(center)
        models = [key.at(center) for key in results.model_keys if key.at(center).role == role]
        parts += [results.paired_means(at, own, measure)[organ].assign(center=center) for at in models]
    return pd.concat(parts)


def _position(value: float, low: float, high: float, measure: str) -> str:
    """Whether a value is worse than a band (below), within it, or better (above)."""
    if low <= value <= high:
        return "within"
    return "above" if (value > high) == (measure in HIGHER_IS_BETTER) else "below"
