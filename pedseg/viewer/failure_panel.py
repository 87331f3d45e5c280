"""The failures on the page: a map to start from, filters, one line an organ of a child, reasons, and their proof."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anywidget
import ipywidgets as widgets
from traitlets import Dict, List, Unicode

from pedseg.evaluation.failure_reasons import CAUSES
from pedseg.evaluation.rescans import FailureKey, Rescan, prove, read_rescans
from pedseg.evaluation.results import ModelKey
from pedseg.organs import EVALUATED, NAMES, organ
from pedseg.viewer.case_list import SIDE
from pedseg.viewer.controls import dropdown, sentence
from pedseg.viewer.failure_list import (
    KINDS,
    LISTS,
    ORDERS,
    FailureEntry,
    FailureList,
    ModelFailure,
    filter_failures,
    in_order,
    map_cells,
)
from pedseg.viewer.step_panel import MAX_LINES, StepPanel
from pedseg.workbook.slice_viewer import suspend_callbacks

HERE = Path(__file__).parent
MAP, LINES = "map", "list"
ROW = {"width": "100%", "overflow": "hidden", "flex": "0 0 auto", "align_items": "center"}


class FailureMap(anywidget.AnyWidget):
    """The map; `chosen` is the row and column that was clicked. `fragment` is what stands behind # in the address."""

    _esm = HERE / "failure_map.js"
    _css = HERE / "failure_map.css"
    cells: Any = Dict().tag(sync=True)
    chosen: Any = List().tag(sync=True)
    fragment = Unicode("").tag(sync=True)


class FailurePanel(StepPanel):
    """The panel; `on_choose` is given the `FailureEntry` that was clicked, the failures of the chosen model first.

    `on_link` is called when the address of the page names a failure.
    """

    def __init__(
        self, entries: Sequence[FailureEntry], on_choose: Callable[[FailureEntry], object],
        on_link: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        super().__init__(self._open, "88px")
        self.on_link = on_link
        self.entries, self.on_open = FailureList(entries, getattr(entries, "study", None)), on_choose
        self.entry: FailureEntry | None = None
        self.map = FailureMap(cells=map_cells(self.entries))
        self.filters = dict(self._filters())
        self.order = dropdown([(text, key) for key, text in ORDERS.items()], "auto", "order of the list")
        self.view = widgets.ToggleButtons(options=[MAP, LINES], style={"button_width": "52px"})
        self.view.layout = widgets.Layout(width="112px", flex="0 0 auto")
        self.who = dropdown([], "46%", "whose contour of this organ")
        self.proof = widgets.Button(description="scan again: prove it", layout=widgets.Layout(width="150px"))
        self.count, self.message, self.link = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._arrange()
        self._connect()
        self.filter()
        self._switch()

    @cached_property
    def rescans(self) -> dict[FailureKey, list[Rescan]]:
        """The recorded second scans of the study, read when a failure is first chosen."""
        return read_rescans(self.entries.study) if self.entries.study else {}

    def _filters(self) -> Iterator[tuple[str, widgets.Dropdown]]:
        def present(name: str, words: dict[str, str], keys: set[str]) -> list[tuple[str, Any]]:
            return [(f"all {name}s", ""), *((text, key) for key, text in words.items() if key in keys)]

        e, plain = self.entries, {name: organ(name).plain for name in NAMES}
        groups = {entry.group for entry in e}
        models = sorted({model for entry in e for model in entry.models}, key=str)
        options: dict[str, list[tuple[str, Any]]] = {
            "group": [(text, key) for key, text in LISTS.items() if key in groups] or [("no list", "")],
            "kind": present("kind", KINDS, {kind for entry in e for kind in entry.kinds}),
            "organ": present("organ", plain, {entry.organ for entry in e}),
            "cause": present("cause", CAUSES, {cause for entry in e for cause in entry.causes}),
            "model": [("all models", ""), *((str(model), model) for model in models)],
            "center": [("all centers", ""), *((c, c) for c in sorted({entry.center for entry in e}))],
        }
        for name, listed in options.items():
            yield name, dropdown(listed, "auto", "which list" if name == "group" else f"filter by {name}")

    def _arrange(self) -> None:
        self.previous.description, self.previous.tooltip = "previous (B)", "the next graver one"
        self.next.description, self.next.tooltip = "next (N)", "the next one"
        self.previous.layout.width = self.next.layout.width = "100px"
        f = self.filters
        rows = [
            (self.view, f["group"], self.order), (f["kind"], f["organ"], f["cause"]),
            (f["model"], f["center"], self.count), (self.previous, self.next, self.link), (self.who, self.proof),
        ]  # fmt: skip
        for control in (*f.values(), self.order):
            control.layout.flex, control.layout.min_width = "1 1 90px", "0"
        top, second, third, steps, chosen = (widgets.HBox(row, layout=widgets.Layout(**ROW)) for row in rows)
        self.chosen_row = chosen
        self.listing = widgets.VBox([second, third, self.list, steps, chosen, self.message])
        self.listing.layout = widgets.Layout(width="100%", flex="1 1 auto", overflow="hidden auto")
        self.listing.add_class("pedseg-scroll")
        self.children = [top, self.map, self.listing]
        self.layout = widgets.Layout(height="100%", overflow="hidden auto")

    def _connect(self) -> None:
        for control in (*self.filters.values(), self.order):
            control.observe(lambda _: self.filter(), "value")
        self.view.observe(lambda _: self._switch(), "value")
        self.who.observe(lambda _: self._choose_model(), "value")
        self.proof.on_click(lambda _: self.prove())
        self.map.observe(lambda change: self._choose_cell(*change["new"][:2]), "chosen")
        self.map.observe(lambda change: self.open_fragment(change["new"]), "fragment")

    def _switch(self) -> None:
        """Show the map or the list."""
        is_map = self.view.value == MAP
        self.map.layout.display = None if is_map else "none"
        self.listing.layout.display = "none" if is_map else None

    def _choose_cell(self, row: int, column: int) -> None:
        """List the failures of a cell of the map."""
        name, at = self.map.cells["organs"][row]["name"], self.map.cells["columns"][column]
        model = next(m for _, m in self.filters["model"].options if m and getattr(m, "file_name", "") == at["model"])
        group = "evaluated" if name in EVALUATED else "others"
        wanted = {"group": group, "kind": "", "organ": name, "cause": "", "model": model, "center": at["center"]}
        with suspend_callbacks(self):
            for key, value in wanted.items():
                self.filters[key].value = value
        self.view.value = LINES
        self.filter()

    def filter(self) -> None:
        """List the entries that pass the filters; none is chosen yet."""
        if self.quiet:
            return
        wanted = {name: control.value for name, control in self.filters.items()}
        passed = in_order(filter_failures(self.entries, **wanted), self.order.value)
        self.fill(passed, (entry.line for entry in passed))
        shown = f", {MAX_LINES} shown" if len(passed) > MAX_LINES else ""
        self.count.value = sentence(f"{len(passed)} line{'s' * (len(passed) != 1)}{shown}")
        nothing = "Nothing passes these filters." if self.entries else "No failures were recorded with this study."
        self.message.value = "" if passed else sentence(nothing)
        self.link.value, self.chosen_row.layout.display = "", "none"

    def step(self, by: int) -> None:
        """The next line, or the one before, in the list."""
        self.view.value = LINES
        super().step(by)

    def open_fragment(self, fragment: str) -> None:
        """Open the entry that the address of the page names; anything else is passed over."""
        wanted = parse_qs(fragment)
        if (self.entry is not None and self.entry.fragment == fragment) or "failure" not in wanted:
            return
        self.on_link()
        self.view.value = LINES
        entry = next((entry for entry in self.entries if entry.fragment == fragment), None)
        if entry is None:
            self.message.value = sentence("The failure that the address names is not in this study.", "error")
            return
        with suspend_callbacks(self):
            for name, control in self.filters.items():
                control.value = entry.group if name == "group" else ""
        self.filter()
        passed = list(self.items)
        if (index := passed.index(entry)) < MAX_LINES:
            self.list.index = index
        else:
            self._open(entry)

    def _open(self, entry: FailureEntry) -> None:
        self.entry = entry
        with suspend_callbacks(self):
            self.who.options = [(str(model), model) for model in entry.models]
            self.who.value = entry.model
        self.chosen_row.layout.display = None
        self.map.fragment = entry.fragment
        self.link.value = f'<a class="pedseg-note" href="#{html.escape(entry.fragment)}">link to this failure</a>'
        self._describe(entry)
        self.on_open(entry)

    def _choose_model(self) -> None:
        if not self.quiet and self.entry is not None and self.who.value is not None:
            self.entry = self.entry.by_model(self.who.value)
            self._describe(self.entry)
            self.on_open(self.entry)

    def _describe(self, entry: FailureEntry) -> None:
        """What went wrong with the contour of the chosen model, why, what it does to the dose, and what is proved."""
        failures = [failure for failure in entry.failures if failure.model == entry.model]
        lines = [failure.sentence for failure in failures]
        lines += [_dose_sentence(failures[0])] if failures[0].dose_gy else []
        lines += [second.sentence for failure in failures[:1] for second in self._recorded(entry, failure)]
        self._say(lines)
        self.proof.disabled = entry.case_key.kind == SIDE or self.entries.study is None

    def _recorded(self, entry: FailureEntry, failure: ModelFailure) -> list[Rescan]:
        if not isinstance(failure.model, ModelKey):
            return []
        key = failure.model, entry.center, entry.case_key.case, entry.organ, failure.kind
        return self.rescans.get(key, [])

    def _say(self, lines: Sequence[str]) -> None:
        self.message.value = "".join(sentence(line, "info", role="status") for line in lines)

    def prove(self) -> None:
        """Scan the child again with one cause changed at a time, and say whether the failure stays."""
        entry = self.entry
        if entry is None or self.entries.study is None or not isinstance(entry.model, ModelKey):
            return
        failure, text = entry.failures[0], self.proof.description
        self.proof.description, self.proof.disabled = "scanning …", True
        try:
            seconds = prove(
                self.entries.study, entry.model, entry.center, entry.case_key.case, entry.organ, failure.kind
            )
            self._say([failure.sentence, *(second.sentence for second in seconds)])
        finally:
            self.proof.description, self.proof.disabled = text, False


def _dose_sentence(failure: ModelFailure) -> str:
    """What a contour does to the dose that the teaching plan reports."""
    assert failure.dose_gy is not None
    true, predicted = (f"{gy:.1f} Gy" if gy is not None else "no dose" for gy in failure.dose_gy)
    plan = "In the teaching plan (two opposed fields, not clinical)"
    return f"{plan} the true contour gets {true}, the drawn one {predicted}."
