"""Lists on the page to click in or step through; disagreements of two contour sets, the largest first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import ipywidgets as widgets

from pedseg.viewer.case_view import ORGAN_BY_ID, Disagreement
from pedseg.viewer.controls import sentence
from pedseg.workbook.slice_viewer import suspend_callbacks

MAX_LINES = 300


class StepPanel(widgets.VBox):
    """A list with a button for the previous line and one for the next; `on_choose` is given the chosen item."""

    def __init__(self, on_choose: Callable[[Any], object], height: str) -> None:
        self.on_choose = on_choose
        self.items: Sequence[Any] = []
        self.quiet = False
        self.list = widgets.Select(layout=widgets.Layout(width="100%", height=height), tooltip="list to choose from")
        self.previous, self.next = widgets.Button(), widgets.Button()
        self.previous.on_click(lambda _: self.step(-1))
        self.next.on_click(lambda _: self.step(1))
        self.list.observe(lambda _: self._choose(), "index")
        super().__init__()

    def fill(self, items: Sequence[Any], lines: Iterable[str]) -> None:
        """List the first `MAX_LINES` items, each by its line; none is chosen yet."""
        with suspend_callbacks(self):
            self.items = items
            self.list.options = [(line, k) for k, line in enumerate(lines) if k < MAX_LINES]
            self.list.index = None

    def step(self, by: int) -> None:
        """The next line, or the one before."""
        if self.list.options:
            index = -1 if self.list.index is None else self.list.index
            self.list.index = min(len(self.list.options) - 1, max(0, index + by))

    def _choose(self) -> None:
        if not self.quiet and self.list.index is not None:
            self.on_choose(self.items[self.list.index])


class DisagreementPanel(StepPanel):
    """Regions where two contour sets of a case disagree, as volumes; `on_choose` is given a `Disagreement`."""

    def __init__(self, on_choose: Callable[[Disagreement], object]) -> None:
        super().__init__(on_choose, "216px")
        self.total = widgets.HTML()
        self.previous.description, self.next.description = "larger", "next smaller"
        self.children = [self.total, self.list, widgets.HBox([self.previous, self.next])]

    def show(self, models: Sequence[Hashable], regions: Sequence[Disagreement]) -> None:
        """List the regions where two contour sets disagree."""
        self.fill(regions, (_line(k, region, models) for k, region in enumerate(regions, start=1)))
        total_ml = sum(region.volume_ml for region in regions)
        text = f"{len(regions)} places, {total_ml:.0f} mL together, of the organs that are on."
        if len(models) < 2:
            text = "Choose two contour sets at the top: here is listed where the two differ."
        self.total.value = sentence(text)


def _line(number: int, region: Disagreement, models: Sequence[Hashable]) -> str:
    """A region in the list: its volume, and what each set has there."""
    first, second = (ORGAN_BY_ID[i].plain if i else "nothing" for i in (region.first, region.second))
    return f"{number:3d}  {region.volume_ml:6.1f} mL · {models[0]}: {first} | {models[1]}: {second}"
