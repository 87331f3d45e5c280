"""Where two models disagree on one patient, as volumes to step through, the largest first."""

from __future__ import annotations

import html
from collections.abc import Callable

import ipywidgets as widgets

from pedseg.viewing.reading import BY_ID, Disagreement, Reading

MOST = 200  # lines at once


class DisagreementPanel(widgets.VBox):
    """The list; `on_choose` is told the place that was chosen."""

    def __init__(self, on_choose: Callable[[Disagreement], object]) -> None:
        self.on_choose = on_choose
        self.found: list[Disagreement] = []
        self._quiet = False
        self.total = widgets.HTML()
        self.list = widgets.Select(layout=widgets.Layout(width="100%", height="216px"))
        self.larger = widgets.Button(description="larger")
        self.smaller = widgets.Button(description="next smaller")
        self.larger.on_click(lambda _: self.step(-1))
        self.smaller.on_click(lambda _: self.step(1))
        self.list.observe(lambda _: self._choose(), "index")
        super().__init__([self.total, self.list, widgets.HBox([self.larger, self.smaller])])

    def show(self, reading: Reading, models: list[str], shown: list[int]) -> None:
        """List the disagreements of two models on the organs that are on."""
        if len(models) < 2:
            self._list([])
            self._say("Choose a second model at the top, behind “and”: here is listed where the two draw differently.")
            return
        self._list(reading.disagreements(models[0], models[1], tuple(shown)))
        names = [f"{k + 1:3d}  {each.volume_ml:6.1f} mL · {_what(each, models)}" for k, each in enumerate(self.found)]
        self._quiet = True
        self.list.options = [(name, k) for k, name in enumerate(names[:MOST])]
        self.list.index = None
        self._quiet = False
        total_ml = sum(each.volume_ml for each in self.found)
        self._say(f"{len(self.found)} places, {total_ml:.0f} mL together, of the organs that are on.")

    def _list(self, found: list[Disagreement]) -> None:
        self._quiet = True
        self.found, self.list.options = found, []
        self._quiet = False

    def _say(self, text: str) -> None:
        self.total.value = f'<div class="pedseg-note">{html.escape(text)}</div>'

    def step(self, by: int) -> None:
        """The next place in the list, or the one before."""
        if self.list.options:
            now = -1 if self.list.index is None else self.list.index
            self.list.index = min(len(self.list.options) - 1, max(0, now + by))

    def _choose(self) -> None:
        if not self._quiet and self.list.index is not None:
            self.on_choose(self.found[self.list.index])


def _what(each: Disagreement, models: list[str]) -> str:
    """What a place is to the one model and to the other."""
    says = [BY_ID[i].plain if i else "nothing" for i in (each.first, each.second)]
    return f"{models[0]}: {says[0]} | {models[1]}: {says[1]}"
