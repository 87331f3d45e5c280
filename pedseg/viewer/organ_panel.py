"""Organs on and off, one by one and by groups, beside a table that says in numbers and words what the colors say."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from pedseg.metrics import OrganScore
from pedseg.organs import EVALUATED, ORGANS, organ
from pedseg.workbook.slice_viewer import quietly

ROW = "24px"
GROUPS = tuple(dict.fromkeys(one.group for one in ORGANS))
IN_ORDER = [one for group in GROUPS for one in ORGANS if one.group == group]
EVALUATED_IDS = tuple(organ(name).id for name in EVALUATED)
HEAD = ("true mL", "drawn", "DSC", "HD95", "− / + mm")  # the last three: share, mm, mm short of and beyond truth
POOR_DSC = 0.7


class OrganPanel(widgets.VBox):
    """Check boxes and table; `on_change` is called when other organs are on."""

    def __init__(self, on_change: Callable[[], object]) -> None:
        self.on_change = on_change
        self.quiet = False
        plain = widgets.Layout(width="156px", height=ROW, min_height=ROW, margin="0")
        self.boxes = {
            one.id: widgets.Checkbox(value=one.name in EVALUATED, description=one.plain, indent=False, layout=plain)
            for one in IN_ORDER
        }
        self.groups = {name: self._group(name) for name in GROUPS}
        self.all = widgets.Button(description="all", layout=widgets.Layout(width="38px", height=ROW))
        self.evaluated = widgets.Button(
            description="nine", tooltip="the nine evaluated organs", layout=widgets.Layout(width="50px", height=ROW)
        )
        self.none = widgets.Button(description="none", layout=widgets.Layout(width="50px", height=ROW))
        for button, ids in (
            (self.all, [*self.boxes]), (self.none, []), (self.evaluated, EVALUATED_IDS),
        ):  # fmt: skip
            button.on_click(lambda _, ids=ids: self.only(ids))
        self.table = widgets.HTML(layout=widgets.Layout(flex="1 1 auto", overflow="auto hidden"))
        top = widgets.HBox([self.all, self.evaluated, self.none], layout=widgets.Layout(min_height=ROW))
        left: list[widgets.Widget] = [top]
        for group in GROUPS:
            left += [self.groups[group], *(self.boxes[one.id] for one in IN_ORDER if one.group == group)]
        column = widgets.VBox(left, layout=widgets.Layout(flex="0 0 162px", overflow="hidden"))
        both = widgets.HBox([column, self.table], layout=widgets.Layout(width="100%", overflow="hidden"))
        super().__init__([both], layout=widgets.Layout(height="100%", overflow="hidden auto"))
        for box in self.boxes.values():
            box.observe(lambda _: self._tell(), "value")

    def _group(self, name: str) -> widgets.Button:
        layout = widgets.Layout(width="156px", height="22px", min_height="22px", margin="1px 0")
        button = widgets.Button(description=f"{name}: all / none", layout=layout)
        button.on_click(lambda _: self.toggle_group(name))
        return button

    @property
    def shown(self) -> list[int]:
        """Ids of the organs that are on."""
        return [i for i, box in self.boxes.items() if box.value]

    def only(self, ids: Iterable[int]) -> None:
        """Switch these organs on and the others off."""
        wanted = set(ids)
        with quietly(self):
            for i, box in self.boxes.items():
                box.value = i in wanted
        self._tell()

    def toggle_group(self, name: str) -> None:
        """All organs of a group, or none if all are on."""
        members = [one.id for one in ORGANS if one.group == name]
        on = not all(self.boxes[i].value for i in members)
        self.only({*self.shown, *members} if on else {*self.shown} - {*members})

    def _tell(self) -> None:
        if not self.quiet:
            self.on_change()

    def show(
        self, true_ml: Mapping[int, float], drawn_ml: Mapping[int, float], scores: Mapping[str, OrganScore],
        distances_mm: Mapping[int, NDArray | None], model: str,
    ) -> None:  # fmt: skip
        """Fill the table for one model; without scores (no truth, or no model) only volumes stand in it."""
        head = "".join(f"<th>{name}</th>" for name in HEAD)
        rows = [f"<tr><th></th>{head}</tr>"]
        for group in GROUPS:
            words = f"{group} · {html.escape(str(model))}"
            rows.append(f'<tr><th colspan="{1 + len(HEAD)}">{words}</th></tr>')
            for one in IN_ORDER:
                if one.group == group:
                    score, away = scores.get(one.name), distances_mm.get(one.id)
                    cells = _cells(true_ml.get(one.id), drawn_ml.get(one.id), score, away)
                    poor = ' class="bad"' if _is_poor(score) else ""
                    swatch = f'<i class="pedseg-swatch" style="border-color:{one.color}"></i>'
                    rows.append(f"<tr{poor}><td>{swatch}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        self.table.value = (
            f'<table class="pedseg" aria-label="Organs as drawn by {html.escape(str(model))}">{"".join(rows)}</table>'
        )


def _is_poor(score: OrganScore | None) -> bool:
    """Whether a row needs attention: badly drawn, missed, or drawn though absent."""
    if score is None:
        return False
    return score.predicted_ml > 1 if not score.present else (score.dsc or 0) < POOR_DSC


def _cells(true_ml: float | None, drawn_ml: float | None, score: OrganScore | None, away: NDArray | None) -> list[str]:
    """The numbers of one organ."""
    if score is None:
        return [_ml(true_ml), _ml(drawn_ml), "", "", ""]
    if not score.present:
        return ["absent", f"{_ml(drawn_ml)} false" if drawn_ml else "none", "–", "–", "–"]
    if not score.predicted_ml:
        return [_ml(true_ml), "missed", "0.00", "–", "–"]
    ends = "–" if away is None else f"{_short(np.percentile(away, 2.5))} / {_beyond(np.percentile(away, 97.5))}"
    return [_ml(true_ml), _ml(drawn_ml), f"{score.dsc:.2f}", f"{score.hd95_mm:.1f}", ends]


def _short(distance_mm: float) -> str:
    return f"{max(0.0, -distance_mm):.0f}"


def _beyond(distance_mm: float) -> str:
    return f"{max(0.0, distance_mm):.0f}"


def _ml(volume: float | None) -> str:
    return "–" if volume is None else f"{volume:.1f}" if volume < 100 else f"{volume:.0f}"
