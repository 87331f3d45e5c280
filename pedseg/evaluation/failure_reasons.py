"""What is known of a failed contour that makes such failures more frequent, counted against the contours that held.

A fact about a case (young, small, another contrast phase) is a reason only where contours fail more often with it than
without. The measure is the risk ratio of Mantel and Haenszel (J Natl Cancer Inst 1959;22:719), stratified by organ
and model, so that an adrenal gland is compared with adrenal glands. It is an association; `rescans` proves causes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from pedseg.datasets.cases import Case, DataSet
from pedseg.evaluation.results import ModelKey
from pedseg.organs import organ

CAUSES = {
    "posture": "not on its back",
    "phase": "another contrast phase",
    "plain": "no contrast agent",
    "center": "an unseen center",
    "bed": "a removed kidney beside it",
    "small": "small for this organ",
    "young": "under two years",
    "cut": "cut by the edge of the scan",
}
YOUNG_MONTHS = 24
SMALL_SHARE = 0.5  # of the median volume of this organ in the test cases
USUAL_POSTURE = ("", "supine")
MIN_RATIO = 1.2  # a fact with less explains nothing
MIN_FAILED = 3  # so many failures with a fact, at least, before it is called a reason
# Organs beside a kidney, which may be predicted in its empty bed or move there.
BESIDE = {
    "Kidney_L": ("Glnd_Adrenal_L", "Spleen", "Pancreas", "Bowel^Stomach"),
    "Kidney_R": ("Glnd_Adrenal_R", "Liver", "Bowel^Stomach"),
}
Facts = Mapping[str, str]  # cause: what is known, as a clause


def usual_phases(datasets: Iterable[DataSet]) -> dict[str, str]:
    """The phase that most training scans of each center have, by center; empty where it is not on record."""
    return {dataset.center: usual_phase(case.phase for case in dataset.split("train")) for dataset in datasets}


def usual_phase(phases: Iterable[str]) -> str:
    """The most frequent phase; empty without any."""
    counts = Counter(phases).most_common(1)
    return counts[0][0] if counts else ""


def known_facts(
    name: str, case: Case | None, model: ModelKey, *,
    tested_on: str = "", volume_ml: float = 0.0, median_ml: float = 0.0, cut: bool = False,
    usual: Mapping[str, str] | None = None,
) -> Facts:  # fmt: skip
    """What is known of one contour of the organ `name` that might make it harder, by cause (keys of `CAUSES`).

    `case` is what the data set knows of the scan, `volume_ml` the true volume, `median_ml` that of all test cases,
    `cut` whether the edge of the scan cuts the true organ, `usual` the phases of `usual_phases`.
    """
    facts = dict(_of_the_case(name, case)) if case else {}
    if 0 < volume_ml < SMALL_SHARE * median_ml:
        facts["small"] = f"the organ is small here ({volume_ml:.1f} mL, where the median is {median_ml:.1f} mL)"
    if cut:
        facts["cut"] = "the edge of the scan cuts the organ"
    return facts | dict(_of_the_model(model, tested_on, case, usual or {}))


def _of_the_case(name: str, case: Case) -> Iterator[tuple[str, str]]:
    for kidney in [kidney for kidney in BESIDE if kidney in case.absent and name in BESIDE[kidney]]:
        yield "bed", f"the {organ(kidney).plain} is not there, and neighbors move into the gap"
    if case.posture not in USUAL_POSTURE:
        lies = case.posture if case.posture == "prone" else f"on the {case.posture}"
        yield "posture", f"the child does not lie on its back but {lies}"
    if case.phase == "none":
        yield "plain", "the scan is without contrast, so there is less to see"
    if case.age_months is not None and case.age_months < YOUNG_MONTHS:
        yield "young", f"the child is {case.age_months} months old"


def _of_the_model(
    model: ModelKey, tested_on: str, case: Case | None, usual: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    centers = model.trained_on.split("+")
    phase = case.phase if case else ""
    trained = sorted({usual.get(center, "") for center in centers} - {""})
    if phase and trained and phase not in trained:
        known = " and ".join(map(phase_phrase, trained))
        yield "phase", f"the scan is {phase_phrase(phase)}, and most scans that the model learned from are {known}"
    if tested_on and tested_on not in centers:
        yield "center", f"the model has seen no scan of {tested_on}"


def phase_phrase(phase: str) -> str:
    """A contrast phase as people say it."""
    return "without contrast" if phase == "none" else phase


@dataclass(frozen=True)
class RiskRatio:
    """How often contours fail with a fact and without it; `ratio` compares contours of the same organ and model.

    None where it is not defined: every contour has the fact, or none that lacks it failed.
    """

    ratio: float | None
    failed: int
    contours: int
    failed_without: int
    contours_without: int

    @property
    def explains(self) -> bool:
        """Whether contours fail more often with the fact, by more than a little and more than a few."""
        return self.ratio is not None and self.ratio >= MIN_RATIO and self.failed >= MIN_FAILED

    def __str__(self) -> str:
        if self.ratio is None:
            return f"nothing to compare with, n = {self.contours}"
        return f"such contours fail {self.ratio:.1f} times as often, n = {self.contours}"


def risk_ratios(contours: pd.DataFrame) -> dict[str, RiskRatio]:
    """The risk ratio of every cause, from all tested contours.

    `contours` has the columns `stratum` (organ and model), `failed` (bool) and `facts` (keys of `CAUSES`).
    """
    return {
        cause: _risk_ratio(contours, contours["facts"].map(lambda facts, cause=cause: cause in facts))
        for cause in CAUSES
    }


def _risk_ratio(contours: pd.DataFrame, exposed: pd.Series) -> RiskRatio:
    failed = contours["failed"].astype(bool)
    counts = pd.DataFrame(
        {"a": failed & exposed, "n1": exposed, "c": failed & ~exposed, "n0": ~exposed}
    ).groupby(contours["stratum"]).sum()  # fmt: skip
    n = counts["n1"] + counts["n0"]
    above, below = (counts["a"] * counts["n0"] / n).sum(), (counts["c"] * counts["n1"] / n).sum()
    total = counts.sum()
    ratio = float(above / below) if below > 0 else None
    return RiskRatio(ratio, int(total["a"]), int(total["n1"]), int(total["c"]), int(total["n0"]))


def causes_of(facts: Facts, ratios: Mapping[str, RiskRatio]) -> tuple[str, ...]:
    """Those of the known facts that explain something, the strongest first."""
    explaining = [cause for cause in facts if cause in ratios and ratios[cause].explains]
    return tuple(sorted(explaining, key=lambda cause: -(ratios[cause].ratio or 0.0)))


def explain(facts: Facts, ratios: Mapping[str, RiskRatio]) -> str:
    """What is known of a failed contour, each with its risk ratio; what explains nothing is said to.

    Without `ratios` (too few cases to count) the facts stand alone.
    """
    if not facts:
        return "Nothing is known of the case that might explain it."
    if not ratios:
        return f"Known of the case: {'; '.join(facts.values())}."
    causes = causes_of(facts, ratios)
    reasons = [f"{facts[cause]} ({ratios[cause]})" for cause in causes]
    others = [f"{facts[cause]} ({ratios[cause]})" for cause in facts if cause not in causes]
    likely = f"Likely because {'; '.join(reasons)}." if reasons else "Nothing that is known of the case explains it."
    return likely + (f" Known, but no reason: {'; '.join(others)}." if others else "")


def ratio_table(ratios: Mapping[str, RiskRatio]) -> pd.DataFrame:
    """The risk ratios as a table, the strongest first: the columns of causes.csv."""
    columns = ["cause", *RiskRatio.__dataclass_fields__]
    lines = [{"cause": cause, **vars(ratio)} for cause, ratio in ratios.items()]
    return pd.DataFrame(lines, columns=columns).sort_values(
        "ratio", ascending=False, na_position="last", ignore_index=True
    )
