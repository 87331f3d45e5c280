"""The failures of a study of the virtual centers, found anew from its weights, and their reasons proved by rescans.

Every test child is made again; the networks of the first seed draw it. Leaves `failures.json`, `causes.csv` and
`rescans.csv` (one row a failure and change). A few minutes on one core.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from pedseg.datasets.cases import Case
from pedseg.errors import input_error
from pedseg.evaluation.comparisons import wilson_interval
from pedseg.evaluation.domain_shift import planned_test_scans
from pedseg.evaluation.dose import teaching_dose
from pedseg.evaluation.failure import Failure
from pedseg.evaluation.failure_reasons import CAUSES, usual_phase
from pedseg.evaluation.failures import write_failures
from pedseg.evaluation.rescans import SecondScans, rescan, worst_limits
from pedseg.evaluation.results import ModelKey, read_rows, rows_file
from pedseg.evaluation.scoring import InspectedContours, all_failures, labeled_scan
from pedseg.evaluation.trained_models import TrainedModel, load_model, weight_files
from pedseg.files import write_atomically
from pedseg.phantoms.centers import CENTERS, COHORT, Center, PlannedScan, planned_scans

NO_CAUSE = "nothing known"


def find_failures(study: Path, out: Path) -> Iterator[tuple[int, int]]:
    """Find the failures of a study's first seed anew and prove their reasons; yields (scans done, scans in all).

    Raises `PedsegInputError` for a study without rows or weights, or of other hospitals.
    """
    rows, models = _read(study)
    children = [(center, scan) for center in CENTERS.values() for scan in planned_test_scans(center)]
    contours = {(key, name): InspectedContours(key, name) for key in models for name in CENTERS}
    cases: dict[tuple[str, str], Case] = {}
    for done, (center, scan) in enumerate(children, start=1):
        labeled = labeled_scan(center, scan)
        cases[center.name, scan.name] = labeled.case
        dose = teaching_dose(labeled.image, labeled.truth)
        for key, model in models.items():
            contours[key, center.name].add(labeled, model.predict(labeled.image), dose)
        yield done, 2 * len(children)
    failures, ratios = all_failures(contours.values(), rows, cases, virtual_phases())
    lines: list[dict] = []
    for done, (center, scan) in enumerate(children, start=1):
        lines += _rescans(center, scan, failures, models, rows)
        yield len(children) + done, 2 * len(children)
    write_atomically(out / "rescans.csv", pd.DataFrame(lines).to_csv(index=False, float_format="%.4g").encode())
    write_failures(out, failures, ratios)


def _read(study: Path) -> tuple[pd.DataFrame, dict[ModelKey, TrainedModel]]:
    """The rows of the first seed and its models."""
    file = rows_file(study)
    files = weight_files(study)
    if not file.is_file() or not files:
        problem = "its table cases.csv or its weights are missing."
        raise input_error("E-NO-STUDY", study, problem, "Run `python3 run.py study` first.")
    rows = read_rows(file)
    known = {(center, scan.name) for center in CENTERS for scan in planned_test_scans(CENTERS[center])}
    if set(zip(rows["tested_on"], rows["case"], strict=True)) - known:
        problem = "it is no study of the virtual centers, whose patients can be scanned again."
        raise input_error("E-OTHER-CENTERS", study, problem, f"Give a study of {' and '.join(CENTERS)}.")
    return rows[rows["seed"] == 0], {key: load_model(file) for key, file in files.items()}


def virtual_phases() -> dict[str, str]:
    """The contrast phase of most training scans of each virtual center."""
    planned = {name: planned_scans(center, **COHORT) for name, center in CENTERS.items()}
    return {name: usual_phase(s.protocol.phase for s in scans if s.split == "train") for name, scans in planned.items()}


def _rescans(
    center: Center, scan: PlannedScan, failures: Sequence[Failure], models: dict[ModelKey, TrainedModel],
    rows: pd.DataFrame,
) -> Iterator[dict]:  # fmt: skip
    """The rows of rescans.csv for one child."""
    limits, scans = worst_limits(rows), SecondScans(center, scan)
    for failure in failures:
        if (failure.tested_on, failure.case) != (center.name, scan.name):
            continue
        who = {name: getattr(failure, name) for name in ("case", "tested_on", "organ", "model", "trained_on", "kind")}
        cause = failure.causes[0] if failure.causes else ""
        limit = limits[failure.organ, failure.model_key]
        for second in rescan(failure, models[failure.model_key], scans, limit):
            yield {**who, "cause": cause, **second.as_row()}


def vanishing(rescans: pd.DataFrame) -> pd.DataFrame:
    """By leading cause, the share of failures that vanishes when one thing changes, and with other noise only.

    `rescans` are rows of rescans.csv. A contour that fails in several ways counts once for each. A failure that this
    machine's networks do not repeat is left out. Shares have their 95 % Wilson intervals.
    """
    repeated = rescans[rescans["fails_before"].astype(bool)]
    lines = []
    for (cause, change), part in repeated.groupby([repeated["cause"].fillna(""), "change"], sort=False):
        n, vanished = len(part), {w: int((~part[f"fails_{w}"].astype(bool)).sum()) for w in ("after", "control")}
        shares = {w: (hits / n, *(wilson_interval(hits, n) or (0.0, 1.0))) for w, hits in vanished.items()}
        gain = (part["dsc_after"] - part["dsc_before"]).mean()
        lines.append((cause or NO_CAUSE, change, n, *shares["after"], *shares["control"], gain))
    columns = ["cause", "change", "failures"]
    columns += [f"{what}{end}" for what in ("vanished", "control") for end in ("", "_low", "_high")]
    return pd.DataFrame(lines, columns=[*columns, "dsc_gain"]).sort_values(
        ["failures", "cause", "change"], ascending=[False, True, True], ignore_index=True
    )


def share_text(share: float | None, interval: tuple[float, float] | None) -> str:
    """A share in percent and, where it is known, the interval around it."""
    if share is None or math.isnan(share) or not isinstance(interval, tuple):
        return "–"
    return f"{100 * share:.0f} % ({100 * interval[0]:.0f} to {100 * interval[1]:.0f} %)"


def vanishing_table(rescans: pd.DataFrame) -> pd.DataFrame:
    """The shares of `vanishing` as people read them: a line for each leading cause and change."""
    shares = vanishing(rescans)
    vanished, control = (
        [share_text(share, (low, high)) for share, low, high in shares[columns].itertuples(index=False)]
        for columns in (["vanished", "vanished_low", "vanished_high"], ["control", "control_low", "control_high"])
    )
    return pd.DataFrame(
        {
            "leading cause": shares["cause"].map(lambda cause: CAUSES.get(cause, cause)),
            "changed": shares["change"],
            "failures": shares["failures"],
            "vanish": vanished,
            "with other noise only": control,
        }
    )


def table(out: Path) -> str:
    """What rescans prove, as plain text."""
    return vanishing_table(pd.read_csv(out / "rescans.csv")).to_string(index=False)
