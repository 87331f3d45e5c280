"""Where two models disagree on one patient, as volumes to step through, the largest first."""

from __future__ import annotations

import html
from collections.abc import Callable

import ipywidgets as widgets

from pedseg.viewer.case_view import BY_ID, Disagreement, Reading
from pedseg.viewer.step_panel import StepPanel


class DisagreementPanel(StepPanel):
    """The list; `on_choose` is told the place that was chosen."""

    def __init__(self, on_choose: Callable[[Disagreement], object]) -> None:
        super().__init__(on_choose, "216px")
        self.total = widgets.HTML()
        self.before.description, self.after.description = "larger", "next smaller"
        self.children = [self.total, self.list, widgets.HBox([self.before, self.after])]

    def show(self, reading: Reading, models: list[str], shown: list[int]) -> None:
        """List the disagreements of two models on the organs that are on."""
        found = reading.disagreements(models[0], models[1], tuple(shown)) if len(models) == 2 else []
        self.fill(found, lambda k, each: f"{k + 1:3d}  {each.volume_ml:6.1f} mL · {_what(each, models)}")
        total_ml = sum(each.volume_ml for each in found)
        text = f"{len(found)} places, {total_ml:.0f} mL together, of the organs that are on."
        if len(models) < 2:
            text = "Choose a second model at the top, behind “and”: here is listed where the two draw differently."
        self.total.value = f'<div class="pedseg-note">{html.escape(text)}</div>'


def _what(each: Disagreement, models: list[str]) -> str:
    """What a place is to the one model and to the other."""
    says = [BY_ID[i].plain if i else "nothing" for i in (each.first, each.second)]
    return f"{models[0]}: {says[0]} | {models[1]}: {says[1]}"
