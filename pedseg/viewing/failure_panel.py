"""The failure list on the page: filters, one line a failure, a sentence about the chosen one; a click jumps there."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import ipywidgets as widgets

from pedseg.organs import ORGANS
from pedseg.viewing.failure_list import KINDS, Entry, chosen

MOST = 300  # lines at once
ANY = ""


class FailurePanel(widgets.VBox):
    """The list; `on_choose` is told the entry that was clicked."""

    def __init__(self, entries: Sequence[Entry], on_choose: Callable[[Entry], object]) -> None:
        self.entries, self.on_choose = entries, on_choose
        self._quiet = False
        there = {each.organ for each in entries}
        organs = [("all organs", ANY), *((one.plain, one.name) for one in ORGANS if one.name in there)]
        kinds = [(word, key) for key, word in KINDS.items() if any(each.kind == key for each in entries)]
        self.kind = self._filter([("all kinds", ANY), *kinds], "kind")
        self.organ = self._filter(organs, "organ")
        self.center = self._filter([("all centers", ANY), *_pairs(each.child[0] for each in entries)], "center")
        self.model = self._filter([("all models", ANY), *_pairs(each.model for each in entries)], "model")
        self.list = widgets.Select(layout=widgets.Layout(width="100%", flex="1 1 auto", height="110px"))
        self.count = widgets.HTML()
        self.sentence = widgets.HTML()
        slim = widgets.Layout(width="110px")
        self.before = widgets.Button(description="previous (B)", tooltip="the next worse one", layout=slim)
        self.after = widgets.Button(description="next (N)", tooltip="the next one", layout=slim)
        self.before.on_click(lambda _: self.step(-1))
        self.after.on_click(lambda _: self.step(1))
        self.list.observe(lambda change: self._choose(), "index")
        row = widgets.Layout(width="100%", overflow="hidden")
        steps = widgets.HBox([self.before, self.after, self.count], layout=row)
        filters = [
            widgets.HBox([self.kind, self.organ], layout=row),
            widgets.HBox([self.center, self.model], layout=row),
        ]
        super().__init__([*filters, self.list, steps, self.sentence])
        self.fill()

    def _filter(self, options: list[tuple[str, str]], what: str) -> widgets.Dropdown:
        control = widgets.Dropdown(options=options, tooltip=f"filter by {what}", layout=widgets.Layout(width="50%"))
        control.observe(lambda _: self.fill(), "value")
        return control

    def fill(self) -> None:
        """List what passes the filters; nothing is chosen yet."""
        self.found = chosen(
            self.entries, kind=self.kind.value, organ_name=self.organ.value, center=self.center.value,
            model=self.model.value,
        )  # fmt: skip
        self._quiet = True
        self.list.options = [(each.line, k) for k, each in enumerate(self.found[:MOST])]
        self.list.index = None
        self._quiet = False
        nothing = "No failures were recorded with this study." if not self.entries else "Nothing passes these filters."
        self.count.value = f'<span class="pedseg-note">{len(self.found)} failures</span>'
        self.sentence.value = "" if self.found else f'<div class="pedseg-note">{nothing}</div>'

    def step(self, by: int) -> None:
        """The next entry, or the one before."""
        if self.list.options:
            now = -1 if self.list.index is None else self.list.index
            self.list.index = min(len(self.list.options) - 1, max(0, now + by))

    def _choose(self) -> None:
        if self._quiet or self.list.index is None:
            return
        entry = self.found[self.list.index]
        self.sentence.value = f'<div class="pedseg-words" role="status">{html.escape(entry.sentence)}</div>'
        self.on_choose(entry)


def _pairs(words) -> list[tuple[str, str]]:
    return [(word, word) for word in sorted(set(words))]
