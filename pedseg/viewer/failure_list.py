"""The failure list: contours that went wrong in a study, the worst first, with a click that opens case and place.

Besides the recorded failures it holds every removed kidney and every patient lying on the side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from pedseg.evaluation.failures import read_failures
from pedseg.evaluation.results import ModelKey, read_rows
from pedseg.evaluation.statistics import KIDNEYS
from pedseg.organs import EVALUATED, NAMES, organ
from pedseg.viewer.case_list import ON_THE_SIDE, SIDE, STUDY, CaseKey
from pedseg.viewer.controls import dropdown, sentence
from pedseg.viewer.step_panel import MAX_LINES, StepPanel

KINDS = {
    "missed": "missing", "false": "false", "swapped": "swapped", "displaced": "displaced", "leaking": "leaking",
    "part": "part elsewhere", "worst": "worst tenth", "removed": "removed kidney", "side": "on the side",
}  # fmt: skip
SEVERE_FALSE_KIDNEY_ML = 80.0  # a usual kidney: severity 1 where there is none
TURNED_FIRST = "on the side; turned first"


@dataclass(frozen=True)
class AsItLies:
    """A model that predicts on a patient on the side without reorientation to supine."""

    model_key: ModelKey

    def __str__(self) -> str:
        return f"{self.model_key}, as it lies"


@dataclass(frozen=True)
class FailureEntry:
    """One line of the failure list. `voxel` is None where it must be looked for when the case is open."""

    kind: str  # a key of KINDS
    case_key: CaseKey
    organ: str  # "" for all organs
    model: ModelKey | AsItLies
    severity: float
    voxel: tuple[int, int, int] | None
    sentence: str

    @property
    def center(self) -> str:
        """The center that the patient belongs to."""
        return self.case_key.center

    @property
    def line(self) -> str:
        """The entry in the list: how bad, what, where, by which model."""
        what = organ(self.organ).plain if self.organ else "all organs"
        return f"{100 * self.severity:3.0f}  {KINDS[self.kind]}: {what} · {self.case_key.case} · {self.model}"


def list_failures(study: Path) -> list[FailureEntry]:
    """Every failure of a study, the worst first; empty where nothing was recorded."""
    entries = [*_recorded(study), *_removed_kidneys(study), *_on_their_side(study)]
    return sorted(entries, key=lambda entry: (-entry.severity, entry.organ not in EVALUATED))


def _recorded(study: Path) -> Iterator[FailureEntry]:
    for failure in read_failures(study):
        key = CaseKey(failure.tested_on, failure.case, STUDY)
        place = (failure.severity, failure.voxel, failure.sentence)
        yield FailureEntry(failure.kind, key, failure.organ, failure.model_key, *place)


def _removed_kidneys(study: Path) -> Iterator[FailureEntry]:
    """Every removed kidney, and what each model predicts in its place: none, if it is right."""
    file = study / "cases.csv"
    if not file.is_file():
        return
    rows = read_rows(file)
    for row in rows[rows["organ"].isin(KIDNEYS) & ~rows["present"] & (rows["seed"] == 0)].itertuples():
        key, model_key = CaseKey(row.tested_on, row.case, STUDY), ModelKey(row.model, row.trained_on)
        result = f"{row.predicted_ml:.1f} mL of one all the same" if row.predicted_ml else "none, as is right"
        text = f"The {organ(row.organ).plain} is not there. The model ({model_key}) draws {result}."
        severity = min(1.0, row.predicted_ml / SEVERE_FALSE_KIDNEY_ML)
        yield FailureEntry("removed", key, row.organ, model_key, severity, None, text)


def _on_their_side(study: Path) -> Iterator[FailureEntry]:
    """Every patient on the side: mean DSC as the patient lies, and after reorientation to supine."""
    file = next((file for file in (study / "shift.csv", study / "shift.csv.xz") if file.is_file()), None)
    if file is None:
        return
    rows = read_rows(file)
    rows = rows[rows["organ"].isin(EVALUATED) & (rows["seed"] == 0)].dropna(subset="dsc")
    means = rows.groupby(["model", "trained_on", "tested_on", "case", "factor"])["dsc"].mean().unstack()
    means = means.reindex(columns=[ON_THE_SIDE.name, TURNED_FIRST]).dropna()
    for (model, trained_on, center, case), lying, turned in means.itertuples():
        model_key = ModelKey(model, trained_on)
        text = (
            f"The child lies on its side. Seen as it lies, the model ({model_key}) reaches a mean DSC of"
            f" {lying:.2f} over nine organs; turned onto its back first, {turned:.2f}."
        )
        yield FailureEntry("side", CaseKey(center, case, SIDE), "", AsItLies(model_key), 1 - lying, None, text)


def filter_failures(entries: Iterable[FailureEntry], **wanted: Any) -> list[FailureEntry]:
    """The entries with the wanted `kind`, `organ`, `center` and `model`; an empty value passes all."""
    return [entry for entry in entries if all(value in ("", getattr(entry, name)) for name, value in wanted.items())]


class FailurePanel(StepPanel):
    """The failure list on the page: filters, one line a failure, a sentence about the chosen one.

    `on_choose` is given the `FailureEntry` that was clicked.
    """

    def __init__(self, entries: Sequence[FailureEntry], on_choose: Callable[[FailureEntry], object]) -> None:
        super().__init__(self._open, "110px")
        self.entries, self.on_open = entries, on_choose
        present = {entry.organ for entry in entries}
        kinds = {entry.kind for entry in entries}
        self.filters = {
            "kind": self._filter("kind", [(label, kind) for kind, label in KINDS.items() if kind in kinds]),
            "organ": self._filter("organ", [(organ(name).plain, name) for name in NAMES if name in present]),
            "center": self._filter("center", [(c, c) for c in sorted({entry.center for entry in entries})]),
            "model": self._filter("model", [(str(m), m) for m in sorted({entry.model for entry in entries}, key=str)]),
        }
        self.count, self.message = widgets.HTML(), widgets.HTML()
        self.list.layout.flex = "1 1 auto"
        self.previous.description, self.previous.tooltip = "previous (B)", "the next worse one"
        self.next.description, self.next.tooltip = "next (N)", "the next one"
        self.previous.layout.width = self.next.layout.width = "110px"
        row = widgets.Layout(width="100%", overflow="hidden")
        kind, organ_, center, model = self.filters.values()
        rows = [(kind, organ_), (center, model), (self.previous, self.next, self.count)]
        first, second, steps = (widgets.HBox(controls, layout=row) for controls in rows)
        self.children = [first, second, self.list, steps, self.message]
        self.filter()

    def _filter(self, name: str, options: list[tuple[str, object]]) -> widgets.Dropdown:
        control = dropdown([(f"all {name}s", ""), *options], "50%", f"filter by {name}")
        control.observe(lambda _: self.filter(), "value")
        return control

    def filter(self) -> None:
        """List the entries that pass the filters; none is chosen yet."""
        passed = filter_failures(self.entries, **{name: control.value for name, control in self.filters.items()})
        self.fill(passed, (entry.line for entry in passed))
        count = f"{len(passed)} entries" + (f", the worst {MAX_LINES} listed" if len(passed) > MAX_LINES else "")
        self.count.value = sentence(count)
        nothing = "Nothing passes these filters." if self.entries else "No failures were recorded with this study."
        self.message.value = "" if passed else sentence(nothing)

    def _open(self, entry: FailureEntry) -> None:
        self.message.value = sentence(entry.sentence, "info", role="status")
        self.on_open(entry)
