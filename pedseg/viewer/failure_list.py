"""The failure list: what went wrong in a study, the worst first, with removed kidneys and patients on their side.

An entry knows which child to open, with which model, and where to look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from pedseg.evaluation.results import PRESENT, ModelKey, each_row
from pedseg.evaluation.statistics import KIDNEYS
from pedseg.organs import EVALUATED, organ
from pedseg.viewer.case_list import ON_THE_SIDE, SIDE, STUDY
from pedseg.workbook import evaluation_helpers, scores

KINDS = {
    "missed": "missing", "false": "false", "swapped": "swapped", "displaced": "displaced", "leaking": "leaking",
    "part": "part elsewhere", "worst": "worst tenth", "removed": "removed kidney", "side": "on the side",
}  # fmt: skip
USUAL_KIDNEY_ML = 80.0  # severity 1 of a kidney that is not there
TURNED_FIRST = "on the side; turned first"
AS_IT_LIES = ", as it lies"


@dataclass(frozen=True)
class Entry:
    """One line of the list. `voxel` is None where it must be looked for when the child is open."""

    kind: str  # a key of KINDS
    child: tuple[str, str, str]  # center, case, kind of child
    organ: str  # "" for the whole child
    model: str  # as `scores.title` calls it
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
    for each in evaluation_helpers.recorded_failures(study):
        child = (each.tested_on, each.case, STUDY)
        yield Entry(
            each.kind, child, each.organ, scores.title(each.model_key), each.severity, each.voxel, each.sentence
        )


def _removed(study: Path) -> Iterator[Entry]:
    """Every kidney that is gone, and what each model drew in its place: none, if it is right."""
    file = study / "cases.csv"
    for row in each_row(file) if file.is_file() else ():
        if row["organ"] in KIDNEYS and not PRESENT[row["present"]] and int(row["seed"]) == 0:
            drawn_ml, plain = float(row["predicted_ml"]), organ(row["organ"]).plain
            name = scores.title(ModelKey(row["model"], row["trained_on"]))
            does = f"{drawn_ml:.1f} mL of one all the same" if drawn_ml else "none, as is right"
            yield Entry(
                "removed", (row["tested_on"], row["case"], STUDY), row["organ"], name,
                min(1.0, drawn_ml / USUAL_KIDNEY_ML), None,
                f"The {plain} is not there. The model ({name}) draws {does}.",
            )  # fmt: skip


def _on_their_side(study: Path) -> Iterator[Entry]:
    """Every child laid on its side: how well it is drawn as it lies, and turned onto its back first."""
    file = next((f for f in (study / "shift.csv", study / "shift.csv.xz") if f.is_file()), None)
    found: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for row in each_row(file) if file else ():
        wanted = row["factor"] in (ON_THE_SIDE.name, TURNED_FIRST) and row["organ"] in EVALUATED and row["dsc"]
        if wanted and int(row["seed"]) == 0:
            title = scores.title(ModelKey(row["model"], row["trained_on"]))
            found[row["factor"], row["tested_on"], row["case"], title].append(float(row["dsc"]))
    for (cause, center, case, title), values in found.items():
        turned = found.get((TURNED_FIRST, center, case, title))
        if cause == ON_THE_SIDE.name and turned:
            text = (
                f"The child lies on its side. Seen as it lies, the model ({title}) reaches a mean DSC of"
                f" {mean(values):.2f} over nine organs; turned onto its back first, {mean(turned):.2f}."
            )
            yield Entry("side", (center, case, SIDE), "", title + AS_IT_LIES, 1 - mean(values), None, text)


def chosen(
    found: Iterable[Entry], *, kind: str = "", center: str = "", organ_name: str = "", model: str = ""
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
