"""Organs to show or hide, one by one and by groups, beside a table of volume, DSC, HD95 and surface distances."""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial

import ipywidgets as widgets
import numpy as np
from ipywidgets import Layout
from numpy.typing import NDArray

from pedseg.metrics import OrganScore
from pedseg.organs import EVALUATED, ORGANS
from pedseg.viewer.case_view import TRUTH, CaseView
from pedseg.viewer.controls import sentence
from pedseg.workbook.slice_viewer import suspend_callbacks

ROW_HEIGHT = "24px"
GROUPS = {
    group: [organ for organ in ORGANS if organ.group == group] for group in dict.fromkeys(o.group for o in ORGANS)
}
EVALUATED_IDS = [organ.id for organ in ORGANS if organ.name in EVALUATED]
COLUMNS = ("A mL", "B mL", "DSC", "HD95", "− / + mm")  # A is drawn solid, B dashed
# The last: mm that B falls short of A and goes beyond it, 95 % of the surface.
POOR_DSC, FALSE_ML = 0.7, 1.0  # what marks a row: an organ below this DSC, or more than this of an absent one


class OrganPanel(widgets.VBox):
    """Check boxes and table; `on_change` is called when other organs are visible."""

    def __init__(self, on_change: Callable[[], object]) -> None:
        self.on_change = on_change
        self.quiet = False
        self.boxes: dict[int, widgets.Checkbox] = {}
        self.table = widgets.HTML(layout=Layout(flex="1 1 auto", overflow="auto hidden"))
        self.note = widgets.HTML(layout=Layout(flex="0 0 auto"))
        left = widgets.VBox([self._buttons(), *self._groups()], layout=Layout(flex="0 0 162px", overflow="hidden"))
        both = widgets.HBox([left, self.table], layout=Layout(width="100%", overflow="hidden", flex="0 0 auto"))
        super().__init__([self.note, both], layout=Layout(height="100%", overflow="hidden auto"))

    def _buttons(self) -> widgets.HBox:
        """Show all organs, the nine evaluated ones, or none."""
        wanted = {"all": [organ.id for organ in ORGANS], "nine": EVALUATED_IDS, "none": []}
        buttons = [
            self._button(name, Layout(width="50px", height=ROW_HEIGHT), partial(self.set_visible, ids))
            for name, ids in wanted.items()
        ]
        buttons[1].tooltip = "the nine evaluated organs"
        return widgets.HBox(buttons, layout=Layout(min_height=ROW_HEIGHT))

    def _groups(self) -> Iterator[widgets.Widget]:
        """A button for each group of organs, and below it a box for each organ."""
        row = Layout(width="156px", height=ROW_HEIGHT, min_height=ROW_HEIGHT, margin="0")
        group_row = Layout(width="156px", height="22px", min_height="22px", margin="1px 0")
        for group, organs in GROUPS.items():
            yield self._button(f"{group}: all / none", group_row, partial(self.toggle_group, group))
            for organ in organs:
                box = widgets.Checkbox(value=organ.name in EVALUATED, description=organ.plain, indent=False, layout=row)
                box.observe(lambda _: self._changed(), "value")
                self.boxes[organ.id] = box
                yield box

    @staticmethod
    def _button(description: str, layout: Layout, act: Callable[[], object]) -> widgets.Button:
        button = widgets.Button(description=description, layout=layout)
        button.on_click(lambda _: act())
        return button

    @property
    def visible(self) -> list[int]:
        """Ids of the organs that are shown."""
        return [organ_id for organ_id, box in self.boxes.items() if box.value]

    def set_visible(self, organ_ids: Iterable[int]) -> None:
        """Show these organs and hide the others."""
        wanted = set(organ_ids)
        with suspend_callbacks(self):
            for organ_id, box in self.boxes.items():
                box.value = organ_id in wanted
        self._changed()

    def toggle_group(self, group: str) -> None:
        """Show all organs of a group, or none if all are shown."""
        members = {organ.id for organ in GROUPS[group]}
        visible = {*self.visible}
        self.set_visible(visible - members if members <= visible else visible | members)

    def _changed(self) -> None:
        if not self.quiet:
            self.on_change()

    def show(self, case_view: CaseView, model: Hashable) -> None:
        """Fill the table for one contour set beside the reference; without one of the two it holds volumes alone."""
        reference, predicted = case_view.segmentation(case_view.reference), case_view.segmentation(model)
        scores = {} if model is None else case_view.scores(model)
        distances = case_view.surface_distances_mm(model) if scores else {}
        title = f"A: {case_view.reference or 'nothing'} · B: {'nothing' if model is None else model}"
        rows = [_table_row("", COLUMNS, "th")]
        for group, organs in GROUPS.items():
            rows.append(f'<tr><th colspan="{1 + len(COLUMNS)}">{group} · {html.escape(title)}</th></tr>')
            for organ in organs:
                score = scores.get(organ.name)
                volumes = reference.volume_ml.get(organ.id), predicted.volume_ml.get(organ.id)
                swatch = f'<i class="pedseg-swatch" style="border-color:{organ.color}"></i>'
                cells = _cells(*volumes, score, distances.get(organ.id), case_view.reference == TRUTH)
                attributes = ' class="bad"' if _is_poor(score) else ""
                rows.append(_table_row(swatch, cells, "td", attributes))
        label = html.escape(f"Organs: {title}")
        self.note.value = sentence(case_view.note) if case_view.note and model is not None else ""
        self.table.value = f'<table class="pedseg" aria-label="{label}">{"".join(rows)}</table>'


def _table_row(first: str, cells: Iterable[str], tag: str, attributes: str = "") -> str:
    return f"<tr{attributes}>{''.join(f'<{tag}>{cell}</{tag}>' for cell in (first, *cells))}</tr>"


def _is_poor(score: OrganScore | None) -> bool:
    """Whether a row needs attention: poorly segmented, missed, or predicted though absent."""
    if score is None:
        return False
    return (score.dsc or 0) < POOR_DSC if score.present else score.predicted_ml > FALSE_ML


def _cells(
    a_ml: float | None, b_ml: float | None, score: OrganScore | None, distances_mm: NDArray | None, is_true: bool
) -> list[str]:
    """The numbers of one organ; only the truth says that an organ is absent, or that it was missed."""
    if score is None:
        return [_ml(a_ml), _ml(b_ml), "", "", ""]
    if not score.present:
        nothing, extra = ("absent", f"{_ml(b_ml)} false") if is_true else ("–", _ml(b_ml))
        return [nothing, extra if score.predicted_ml else ("none" if is_true else "–"), "–", "–", "–"]
    if not score.predicted_ml:
        return [_ml(a_ml), "missed" if is_true else "–", "0.00", "–", "–"]
    ends = "–"
    if distances_mm is not None:
        low, high = np.percentile(distances_mm, (2.5, 97.5))
        ends = f"{max(0.0, -low):.0f} / {max(0.0, high):.0f}"
    return [_ml(a_ml), _ml(b_ml), f"{score.dsc:.2f}", f"{score.hd95_mm:.1f}", ends]


def _ml(volume_ml: float | None) -> str:
    return "–" if volume_ml is None else f"{volume_ml:.1f}" if volume_ml < 100 else f"{volume_ml:.0f}"
