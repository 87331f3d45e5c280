"""A list on the page that one clicks in or steps through, line by line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from pedseg.workbook.slice_viewer import quietly

MOST = 300  # lines at once


class StepPanel(widgets.VBox):
    """A list with a button for the line before and one for the next; `choose` is given the thing that was chosen."""

    def __init__(self, choose: Callable[[Any], object], height: str) -> None:
        self.choose = choose
        self.found: Sequence[Any] = []
        self.quiet = False
        self.list = widgets.Select(layout=widgets.Layout(width="100%", height=height))
        self.before, self.after = widgets.Button(), widgets.Button()
        self.before.on_click(lambda _: self.step(-1))
        self.after.on_click(lambda _: self.step(1))
        self.list.observe(lambda _: self._choose(), "index")
        super().__init__()

    def fill(self, found: Sequence[Any], line: Callable[[int, Any], str]) -> None:
        """List the first `MOST` of what was found, each as `line` calls it by its number; none is chosen yet."""
        with quietly(self):
            self.found = found
            self.list.options = [(line(k, each), k) for k, each in enumerate(found[:MOST])]
            self.list.index = None

    def step(self, by: int) -> None:
        """The next line, or the one before."""
        if self.list.options:
            now = -1 if self.list.index is None else self.list.index
            self.list.index = min(len(self.list.options) - 1, max(0, now + by))

    def _choose(self) -> None:
        if not self.quiet and self.list.index is not None:
            self.choose(self.found[self.list.index])
