"""The failure list on the page: filters, one line a failure, a sentence about the chosen one; a click jumps there."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import ipywidgets as widgets

from pedseg.organs import ORGANS
from pedseg.viewer.failure_list import KINDS, Entry, chosen
from pedseg.viewer.step_panel import MOST, StepPanel

ANY = ""


class FailurePanel(StepPanel):
    """The list; `on_choose` is told the entry that was clicked."""

    def __init__(self, entries: Sequence[Entry], on_choose: Callable[[Entry], object]) -> None:
        super().__init__(self._jump, "110px")
        self.entries, self.on_choose = entries, on_choose
        there = {each.organ for each in entries}
        organs = [("all organs", ANY), *((one.plain, one.name) for one in ORGANS if one.name in there)]
        kinds = [(word, key) for key, word in KINDS.items() if any(each.kind == key for each in entries)]
        self.kind = self._filter([("all kinds", ANY), *kinds], "kind")
        self.organ = self._filter(organs, "organ")
        self.center = self._filter([("all centers", ANY), *_pairs(each.child[0] for each in entries)], "center")
        self.model = self._filter([("all models", ANY), *_pairs(each.model for each in entries)], "model")
        self.count = widgets.HTML()
        self.sentence = widgets.HTML()
        self.list.layout.flex = "1 1 auto"
        self.before.description, self.before.tooltip = "previous (B)", "the next worse one"
        self.after.description, self.after.tooltip = "next (N)", "the next one"
        self.before.layout.width = self.after.layout.width = "110px"
        row = widgets.Layout(width="100%", overflow="hidden")
        steps = widgets.HBox([self.before, self.after, self.count], layout=row)
        filters = [
            widgets.HBox([self.kind, self.organ], layout=row),
            widgets.HBox([self.center, self.model], layout=row),
        ]
        self.children = [*filters, self.list, steps, self.sentence]
        self.filter()

    def _filter(self, options: list[tuple[str, str]], what: str) -> widgets.Dropdown:
        control = widgets.Dropdown(options=options, tooltip=f"filter by {what}", layout=widgets.Layout(width="50%"))
        control.observe(lambda _: self.filter(), "value")
        return control

    def filter(self) -> None:
        """List what passes the filters; nothing is chosen yet."""
        found = chosen(
            self.entries, kind=self.kind.value, organ_name=self.organ.value, center=self.center.value,
            model=self.model.value,
        )  # fmt: skip
        self.fill(found, lambda _, each: each.line)
        nothing = "No failures were recorded with this study." if not self.entries else "Nothing passes these filters."
        count = f"{len(found)} entries" + (f", the worst {MOST} listed" if len(found) > MOST else "")
        self.count.value = f'<span class="pedseg-note">{count}</span>'
        self.sentence.value = "" if found else f'<div class="pedseg-note">{nothing}</div>'

    def _jump(self, entry: Entry) -> None:
        """Say what happened and go there."""
        self.sentence.value = f'<div class="pedseg-words" role="status">{html.escape(entry.sentence)}</div>'
        self.on_choose(entry)


def _pairs(words) -> list[tuple[str, str]]:
    return sorted((str(word), word) for word in set(words))
