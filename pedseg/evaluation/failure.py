"""A segmentation failure: one contour that went wrong, how, by how much, where, and what it does to the dose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pedseg.evaluation.results import ModelKey

KINDS = {
    "worst": "among the worst tenth",
    "missed": "not drawn",
    "false": "drawn, but absent",
    "swapped": "left and right swapped",
    "part": "a part elsewhere",
    "gap": "drawn in pieces",
    "displaced": "beside its place",
    "leaking": "beyond its border",
}
Voxel = tuple[int, int, int]
Dose = tuple[float | None, float | None]  # Gy by the true and by the drawn contour; None where there is none


@dataclass(frozen=True)
class Failure:
    """One failure of one contour.

    `kind` is a key of `KINDS`; `amount` says how bad in its `unit`. `wrong_ml` is the volume that is drawn too much
    and too little, of the whole contour. `voxel` is where to look, None where that is unknown. `causes` are keys of
    `failure_reasons.CAUSES` that make such failures more frequent, the strongest first. `dose_gy` is the organ's dose
    by the true and by the drawn contour in the teaching plan (`dose`), None without a plan.
    """

    case: str
    tested_on: str
    organ: str
    model: str
    trained_on: str
    kind: str
    amount: float
    unit: str
    wrong_ml: float
    voxel: Voxel | None
    sentence: str
    causes: tuple[str, ...] = ()
    dose_gy: Dose | None = None

    @property
    def model_key(self) -> ModelKey:
        """The model that failed."""
        return ModelKey(self.model, self.trained_on)

    @property
    def contour(self) -> tuple[ModelKey, str, str, str]:
        """Which contour failed: model, test center, case and organ. It may fail in more than one way."""
        return self.model_key, self.tested_on, self.case, self.organ

    @property
    def dose_change_gy(self) -> float | None:
        """How much dose is reported too much (too little: negative) because of the contour; a missing one has none."""
        if self.dose_gy is None:
            return None
        true, predicted = self.dose_gy
        return round((predicted or 0.0) - (true or 0.0), 2)

    def as_json(self) -> dict[str, Any]:
        """Plain values, numbers rounded to what they are good for."""
        dose = None if self.dose_gy is None else [None if gy is None else round(gy, 2) for gy in self.dose_gy]
        return asdict(self) | {"amount": round(self.amount, 4), "dose_gy": dose}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Failure:
        """What `as_json` gave."""
        lists = {name: None if line[name] is None else tuple(line[name]) for name in ("voxel", "causes", "dose_gy")}
        return cls(**{**line, **lists})


@dataclass(frozen=True)
class ContourFacts:
    """Of one predicted organ: where it is most wrong, whether the scan's edge cuts the true organ there, its dose."""

    voxel: Voxel
    cut: bool
    dose_gy: Dose | None = None


def model_phrase(model_key: ModelKey) -> str:
    """A model in a sentence."""
    if model_key.model == "local":
        return f"The local model of {model_key.trained_on}"
    return f"The {model_key.model} model"


def ml(volume: float) -> str:
    """A volume in a sentence."""
    return f"{volume:.1f} mL"
