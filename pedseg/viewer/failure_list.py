"""The failure list of a study: one line an organ of a child, the gravest first, with the models that failed on it.

Three lists: the evaluated organs, the others, and the children who lie on their side. Correct answers are in none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pedseg.evaluation.failure import KINDS as FAILURE_KINDS
from pedseg.evaluation.failure import Dose, Failure
from pedseg.evaluation.failures import read_failures
from pedseg.evaluation.results import ModelKey, read_rows, rows_file
from pedseg.evaluation.severity import by_organ, tier, weighted_ml
from pedseg.organs import EVALUATED, NAMES, organ
from pedseg.viewer.case_list import ON_THE_SIDE, SIDE, STUDY, CaseKey

KINDS = {**FAILURE_KINDS, "side": "on its side"}
LISTS = {"evaluated": "evaluated organs", "others": "other organs", "side": "children on their side"}
ORDERS = {"weight": "by clinical weight", "dose": "by change of dose"}
TURNED_FIRST = "on the side; turned first"
MODELS_NAMED = 2  # in a line


@dataclass(frozen=True)
class AsItLies:
    """A model that predicts on a patient on the side without reorientation to supine."""

    model_key: ModelKey

    def __str__(self) -> str:
        return f"{self.model_key}, as it lies"


@dataclass(frozen=True)
class ModelFailure:
    """One failure of one model. `voxel` is None where it must be looked for when the case is open."""

    model: ModelKey | AsItLies
    kind: str  # a key of KINDS
    sentence: str
    voxel: tuple[int, int, int] | None = None
    causes: tuple[str, ...] = ()
    dose_gy: Dose | None = None


@dataclass(frozen=True)
class FailureEntry:
    """One line of the failure list: an organ of a case, and how models failed on it, the worst first."""

    case_key: CaseKey
    organ: str  # "" for all organs
    failures: tuple[ModelFailure, ...]
    tier: int = 3  # of severity.TIERS
    weighted_ml: float = 0.0
    dose_change_gy: float | None = None  # the largest by any model; None without a plan

    @property
    def center(self) -> str:
        """The center that the patient belongs to."""
        return self.case_key.center

    @property
    def model(self) -> ModelKey | AsItLies:
        """The model whose contour is shown."""
        return self.failures[0].model

    @property
    def voxel(self) -> tuple[int, int, int] | None:
        """Where to look."""
        return self.failures[0].voxel

    @property
    def models(self) -> tuple[ModelKey | AsItLies, ...]:
        """The models that failed."""
        return tuple(dict.fromkeys(failure.model for failure in self.failures))

    @property
    def kinds(self) -> tuple[str, ...]:
        """How they failed; the worst tenth is no kind of its own beside another."""
        kinds = tuple(dict.fromkeys(failure.kind for failure in self.failures))
        return tuple(kind for kind in kinds if kind != "worst") or kinds

    @property
    def causes(self) -> tuple[str, ...]:
        """What is known to make such failures more frequent."""
        return tuple(dict.fromkeys(cause for failure in self.failures for cause in failure.causes))

    @property
    def group(self) -> str:
        """Which of the `LISTS` the entry is in."""
        if self.case_key.kind == SIDE:
            return "side"
        return "evaluated" if self.organ in EVALUATED else "others"

    @property
    def line(self) -> str:
        """The entry in the list: what, where, by which models, and what it does to the dose."""
        what = organ(self.organ).plain if self.organ else "all organs"
        models = ", ".join(map(str, self.models[:MODELS_NAMED]))
        others = f" + {len(self.models) - MODELS_NAMED}" if len(self.models) > MODELS_NAMED else ""
        dose = "" if self.dose_change_gy is None else f" · {self.dose_change_gy:+.1f} Gy".replace("-", "−")
        return f"{what}: {KINDS[self.kinds[0]]} · {self.case_key.case} · {models}{others}{dose}"

    @property
    def fragment(self) -> str:
        """The entry in the address of the page, behind #."""
        return urlencode(
            {"failure": f"{self.case_key.case}/{self.organ}"} | ({"on": SIDE} if self.group == "side" else {})
        )

    def by_model(self, model: Any) -> FailureEntry:
        """The same with the failures of this model first."""
        return replace(self, failures=tuple(sorted(self.failures, key=lambda failure: failure.model != model)))


class FailureList(list[FailureEntry]):
    """The entries; with the study that they are of, their reasons can be proved."""

    def __init__(self, entries: Iterable[FailureEntry] = (), study: Path | None = None) -> None:
        super().__init__(entries)
        self.study = study


def list_failures(study: Path) -> FailureList:
    """Every failure of a study, the gravest first, then the children on their side; empty if none was recorded."""
    entries = map(entry_of, by_organ(read_failures(study)))
    return FailureList([*entries, *_on_their_side(study)], study)


def entry_of(group: Sequence[Failure]) -> FailureEntry:
    """A line of the list from the failures of one organ of a scan, the gravest first."""
    worst, failures = group[0], tuple(map(_model_failure, group))
    key = CaseKey(worst.tested_on, worst.case, STUDY)
    changes_gy = [change for failure in group if (change := failure.dose_change_gy) is not None]
    dose_change_gy = max(changes_gy, key=abs, default=None)
    return FailureEntry(key, worst.organ, failures, tier(worst), weighted_ml(worst), dose_change_gy)


def _model_failure(f: Failure) -> ModelFailure:
    return ModelFailure(f.model_key, f.kind, f.sentence, f.voxel, f.causes, f.dose_gy)


def _on_their_side(study: Path) -> Iterator[FailureEntry]:
    """Every patient on the side: mean DSC as the patient lies, and after reorientation to supine; the worst first."""
    file = next((file for file in (study / "shift.csv", study / "shift.csv.xz") if file.is_file()), None)
    if file is None:
        return
    rows = read_rows(file)
    rows = rows[rows["organ"].isin(EVALUATED) & (rows["seed"] == 0)].dropna(subset="dsc")
    means = rows.groupby(["tested_on", "case", "model", "trained_on", "factor"])["dsc"].mean().unstack()
    means = means.reindex(columns=[ON_THE_SIDE.name, TURNED_FIRST]).dropna().sort_values(ON_THE_SIDE.name)
    cases: dict[CaseKey, list[ModelFailure]] = {}
    for (center, case, model, trained_on), lying, turned in means.itertuples():
        model_key = ModelKey(model, trained_on)
        text = (
            f"The child lies on its side. Seen as it lies, the model ({model_key}) reaches a mean DSC of"
            f" {lying:.2f} over nine organs; turned onto its back first, {turned:.2f}."
        )
        failure = ModelFailure(AsItLies(model_key), "side", text, causes=("posture",))
        cases.setdefault(CaseKey(center, case, SIDE), []).append(failure)
    yield from (FailureEntry(key, "", tuple(failures)) for key, failures in cases.items())


def filter_failures(
    entries: Iterable[FailureEntry], *,
    group: str = "", kind: str = "", organ: str = "", cause: str = "", center: str = "", model: Any = "",
) -> list[FailureEntry]:  # fmt: skip
    """The entries with a wanted `group`, `kind`, `organ`, `cause`, `center` and `model`; an empty value passes all."""
    return [
        entry.by_model(model) if model else entry
        for entry in entries
        if group in ("", entry.group) and organ in ("", entry.organ) and center in ("", entry.center)
        if (not kind or kind in entry.kinds) and (not cause or cause in entry.causes)
        if not model or model in entry.models
    ]  # fmt: skip


def in_order(entries: Sequence[FailureEntry], order: str) -> list[FailureEntry]:
    """The entries by clinical weight, as they are, or by how much they change a dose."""
    if order == "weight":
        return [*entries]
    return sorted(entries, key=lambda entry: -abs(entry.dose_change_gy or 0.0))


def map_cells(entries: FailureList) -> dict[str, Any]:
    """The map that failure_map.js draws: how many scans failed, by organ (rows), model and center (columns)."""
    counts: dict[tuple[str, ModelKey, str], int] = {}
    for entry in entries:
        for model in entry.models:
            if isinstance(model, ModelKey) and entry.organ in NAMES:
                cell = entry.organ, model, entry.center
                counts[cell] = counts.get(cell, 0) + 1
    models, centers = sorted({cell[1] for cell in counts}, key=str), sorted({cell[2] for cell in counts})
    names = [name for name in NAMES if any(name == cell[0] for cell in counts)]
    columns = [(model, center) for center in centers for model in models]
    return {
        "organs": [{"name": name, "plain": organ(name).plain, "evaluated": name in EVALUATED} for name in names],
        "columns": [{"model": model.file_name, "title": str(model), "center": center} for model, center in columns],
        "counts": [[counts.get((name, *column), 0) for column in columns] for name in names],
        "tested": _tested(entries),
    }


def _tested(entries: FailureList) -> str:
    """How many scans were tested in a center, in words."""
    if entries.study is None:
        return "those tested"
    file = rows_file(entries.study)
    if not file.is_file():  # weights alone
        return ""
    rows = read_rows(file)
    return " or ".join(map(str, sorted(set(rows.groupby("tested_on")["case"].nunique()))))
