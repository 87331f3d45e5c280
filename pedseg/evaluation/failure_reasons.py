"""A segmentation failure, and the likely reasons for it that are known of the organ, the case and the model.

Nothing here is proven: a reason is offered as likely because such errors are common under it, in the order in which
it explains this kind of error. What is known besides is named as known, and where nothing is, that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pedseg.datasets.cases import Case, DataSet
from pedseg.evaluation.results import ModelKey
from pedseg.organs import organ

KINDS = {
    "worst": "among the worst tenth",
    "missed": "not drawn",
    "false": "drawn, but absent",
    "swapped": "left and right swapped",
    "part": "a part elsewhere",
    "displaced": "beside its place",
    "leaking": "beyond its border",
}
Voxel = tuple[int, int, int]

YOUNG_MONTHS = 24
SMALL_ML = 5.0  # fewer than about 140 voxels of 3 x 3 x 4 mm
USUAL_POSTURE = ("", "supine")

# Organs beside a kidney, which may be predicted in its empty bed or move there.
BESIDE = {
    "Kidney_L": ("Glnd_Adrenal_L", "Spleen", "Pancreas", "Bowel^Stomach"),
    "Kidney_R": ("Glnd_Adrenal_R", "Liver", "Bowel^Stomach"),
}
# Which reason to name first for which kind of error; the others follow in the order of `explain`.
FIRST = {  # posture and another phase before all else: one factor at a time, they cost most (`pedseg shift`)
    "false": ("gone", "posture", "phase", "bed"),
    "missed": ("posture", "phase", "small", "cut", "young"),
    "swapped": ("posture", "phase", "bed"),
    "displaced": ("posture", "phase", "bed"),
    "leaking": ("posture", "phase", "bed", "cut"),
    "part": ("posture", "phase", "bed"),
    "worst": ("posture", "phase", "small", "cut"),
}
BY_THE_BED = ("Kidney_L", "Kidney_R", "Glnd_Adrenal_L", "Glnd_Adrenal_R")  # what surgery for the tumors moves


@dataclass(frozen=True)
class Failure:
    """One failure of one contour.

    `kind` is a key of `KINDS`; `amount` says how bad in its `unit`; `severity` runs from 0 to 1 (about the share
    of the organ that is wrong) and sorts failures of all kinds. `voxel` is where it lies, None where that is unknown.
    """

    case: str
    tested_on: str
    organ: str
    model: str
    trained_on: str
    kind: str
    amount: float
    unit: str
    severity: float
    voxel: Voxel | None
    sentence: str

    @property
    def model_key(self) -> ModelKey:
        """The model that failed."""
        return ModelKey(self.model, self.trained_on)

    def as_json(self) -> dict[str, Any]:
        """Plain values, numbers rounded to what they are good for."""
        return {**asdict(self), "amount": round(self.amount, 4), "severity": round(self.severity, 4)}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Failure:
        """What `as_json` gave."""
        return cls(**{**line, "voxel": None if line["voxel"] is None else tuple(line["voxel"])})


@dataclass(frozen=True)
class ErrorLocation:
    """Where the contour of one organ is most wrong, and whether the edge of the scan cuts the true organ there."""

    voxel: Voxel
    cut: bool


def model_phrase(model_key: ModelKey) -> str:
    """A model in a sentence."""
    if model_key.model == "local":
        return f"The local model of {model_key.trained_on}"
    return f"The {model_key.model} model"


def ml(volume: float) -> str:
    """A volume in a sentence."""
    return f"{volume:.1f} mL"


def usual_phases(datasets: Iterable[DataSet]) -> dict[str, str]:
    """The phase that most training scans of each center have, by center; empty where it is not on record."""
    usual = {}
    for dataset in datasets:
        phases = Counter(case.phase for case in dataset.split("train"))
        usual[dataset.center] = phases.most_common(1)[0][0] if phases else ""
    return usual


def explain(
    kind: str,
    name: str,
    case: Case | None,
    model: ModelKey,
    *,
    tested_on: str = "",
    volume_ml: float | None = None,
    cut: bool = False,
    usual_phase: Mapping[str, str] | None = None,
) -> str:
    """Why an error of this `kind` on the organ `name` is no wonder, as one or two short sentences.

    `case` is what the data set knows of the scan, `volume_ml` the true volume, `cut` whether the edge of the
    scan cuts the true organ where it failed, `usual_phase` the phases of `usual_phases`.
    """
    facts = {
        **dict(_facts_of_the_organ(name, volume_ml, cut)),
        **dict(_facts_of_the_case(name, case)),
        **dict(_facts_of_the_model(model, tested_on, case, usual_phase or {})),
    }
    order = [key for key in FIRST[kind] if key in facts] + [key for key in facts if key not in FIRST[kind]]
    if not order:
        return "Nothing that is known of the case explains it."
    likely, *rest = (facts[key] for key in order)
    return f"Likely because {likely}." + (f" Also known: {'; '.join(rest[:2])}." if rest else "")


def _facts_of_the_organ(name: str, volume_ml: float | None, cut: bool) -> Iterator[tuple[str, str]]:
    if volume_ml is not None and 0 < volume_ml < SMALL_ML:
        yield "small", f"the organ is small here ({volume_ml:.1f} mL)"
    if cut:
        yield "cut", "the edge of the scan cuts the organ there"


def _facts_of_the_case(name: str, case: Case | None) -> Iterator[tuple[str, str]]:
    if case is None:
        return
    if name in case.absent:
        yield "gone", "what fills the gap may look alike to a network"
    for kidney in [kidney for kidney in BESIDE if kidney in case.absent]:
        if name in BESIDE[kidney]:
            yield "bed", f"the {organ(kidney).plain} is not there, and neighbors tend to move into the gap"
        if name in BESIDE and name != kidney:
            yield "bed", f"the {organ(kidney).plain} is not there to compare with"
    if case.posture not in USUAL_POSTURE:
        lies = case.posture if case.posture == "prone" else f"on the {case.posture}"
        yield "posture", f"the child does not lie on its back but {lies}"
    if case.tumor and name in BY_THE_BED:
        named = "renal tumor" if case.tumor == "renal" else case.tumor
        yield "tumor", f"surgery ({named}) has changed what lies around"
    if case.age_months is not None and case.age_months < YOUNG_MONTHS:
        yield "young", f"the child is {case.age_months} months old, and organs are small under two years"


def _facts_of_the_model(
    model: ModelKey, tested_on: str, case: Case | None, usual: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    centers = model.trained_on.split("+")
    phase = case.phase if case else ""
    trained = sorted({usual.get(center, "") for center in centers} - {""})
    if phase and trained and phase not in trained:
        known = " and ".join(map(_phrase, trained))
        yield "phase", f"the scan is {_phrase(phase)}, and the model learned mostly from scans that are {known}"
    elif tested_on and tested_on not in centers:
        yield "phase", f"the model has seen no scan of {tested_on}"


def _phrase(phase: str) -> str:
    """A contrast phase as people say it."""
    return "without contrast" if phase == "none" else phase
