"""The failure list: what went wrong in a study, the worst first, with removed kidneys and patients on their side.

An entry knows which child to open, with which model, and where to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pedseg.evaluation.failures import read_failures
from pedseg.evaluation.results import ModelKey, display_name, read_rows
from pedseg.evaluation.statistics import KIDNEYS
from pedseg.organs import EVALUATED, organ
from pedseg.viewer.case_list import ON_THE_SIDE, SIDE, STUDY

KINDS = {
    "missed": "missing", "false": "false", "swapped": "swapped", "displaced": "displaced", "leaking": "leaking",
    "part": "part elsewhere", "worst": "worst tenth", "removed": "removed kidney", "side": "on the side",
}  # fmt: skip
USUAL_KIDNEY_ML = 80.0  # severity 1 of a kidney that is not there
TURNED_FIRST = "on the side; turned first"


@dataclass(frozen=True)
class AsItLies:
    """A model that segments a patient on its side as it lies, without reorientation."""

    model_key: ModelKey

    def __str__(self) -> str:
        return f"{display_name(self.model_key)}, as it lies"


@dataclass(frozen=True)
class Entry:
    """One line of the list. `voxel` is None where it must be looked for when the child is open."""

    kind: str  # a key of KINDS
    child: tuple[str, str, str]  # center, case, kind of child
    organ: str  # "" for the whole child
    model: ModelKey | AsItLies
    severity: float
    voxel: tuple[int, int, int] | None
    sentence: str

    @property
    def line(self) -> str:
        """The entry in the list: how bad, what, where, by whom."""
        what = organ(self.organ).plain if self.organ else "all organs"
        return f"{100 * self.severity:3.0f}  {KINDS[self.kind]}: {what} · {self.child[1]} · {self.model}"


def entries(study: Path) -> list[Entry]:
    """Every failure of a study, the worst first; empty where nothing was recorded."""
    found = [*_failures(study), *_removed(study), *_on_their_side(study)]
    return sorted(found, key=lambda each: (-each.severity, each.organ not in EVALUATED))


def _failures(study: Path) -> Iterator[Entry]:
    for each in read_failures(study):
        child = (each.tested_on, each.case, STUDY)
        yield Entry(each.kind, child, each.organ, each.model_key, each.severity, each.voxel, each.sentence)


def _removed(study: Path) -> Iterator[Entry]:
    """Every kidney that is gone, and what each model drew in its place: none, if it is right."""
    file = study / "cases.csv"
    if not file.is_file():
        return
    rows = read_rows(file)
    for _, row in rows[rows["organ"].isin(KIDNEYS) & ~rows["present"] & (rows["seed"] == 0)].iterrows():
        drawn_ml, model_key = float(row["predicted_ml"]), ModelKey(row["model"], row["trained_on"])
        does = f"{drawn_ml:.1f} mL of one all the same" if drawn_ml else "none, as is right"
        text = f"The {organ(row['organ']).plain} is not there. The model ({display_name(model_key)}) draws {does}."
        child = (row["tested_on"], row["case"], STUDY)
        yield Entry("removed", child, row["organ"], model_key, min(1.0, drawn_ml / USUAL_KIDNEY_ML), None, text)


def _on_their_side(study: Path) -> Iterator[Entry]:
    """Every child laid on its side: how well it is drawn as it lies, and turned onto its back first."""
    file = next((f for f in (study / "shift.csv", study / "shift.csv.xz") if f.is_file()), None)
    if file is None:
        return
    rows = read_rows(file)
    rows = rows[rows["organ"].isin(EVALUATED) & (rows["seed"] == 0)].dropna(subset="dsc")
    means = rows.groupby(["model", "trained_on", "tested_on", "case", "factor"])["dsc"].mean().unstack()
    if not {ON_THE_SIDE.name, TURNED_FIRST} <= {*means}:
        return
    means = means[[ON_THE_SIDE.name, TURNED_FIRST]].dropna()
    for (model, trained_on, center, case), (lying, turned) in zip(means.index, means.to_numpy(), strict=True):
        model_key = ModelKey(model, trained_on)
        text = (
            f"The child lies on its side. Seen as it lies, the model ({display_name(model_key)}) reaches a mean DSC of"
            f" {lying:.2f} over nine organs; turned onto its back first, {turned:.2f}."
        )
        yield Entry("side", (center, case, SIDE), "", AsItLies(model_key), 1 - float(lying), None, text)


def chosen(
    found: Iterable[Entry],
    *,
    kind: str = "",
    center: str = "",
    organ_name: str = "",
    model: ModelKey | AsItLies | str = "",
) -> list[Entry]:
    """The entries that pass the filters; an empty word passes all."""
    return [
        each
        for each in found
        if kind in ("", each.kind)
        and center in ("", each.child[0])
        and organ_name in ("", each.organ)
        and model in ("", each.model)
    ]
