"""The controls of the reading room (window/level, arrangement, contour style, crosshair) and its page layout."""

from __future__ import annotations

import html
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from ipywidgets import HBox, Layout, VBox

from pedseg.scan import WINDOWS
from pedseg.viewer.slices import window_limits
from pedseg.viewer.view_3d import distance_legend

NO_MODEL, NO_SECOND = "nobody (truth alone)", "no second model"
NONE = (NO_MODEL, NO_SECOND, None)
ARRANGEMENTS = {
    "three planes": "planes", "axial": "axial", "coronal": "coronal", "sagittal": "sagittal",
    "truth beside model": "beside",
}  # fmt: skip
DRAG_MODES = {"right drag: window": "window", "right drag: measure": "measure", "right drag: move": "pan"}
CONTOUR_STYLES = {
    "lines": {"lines": True, "fill": False}, "fill": {"lines": False, "fill": True},
    "both": {"lines": True, "fill": True},
}  # fmt: skip
LAYER_LABELS = {"── truth": "solid (T)", "╌╌ drawn": "dashed (P)", "···· and": "dotted"}
BY_ORGAN, BY_DISTANCE = "organ colors", "distance to truth"  # of the surfaces
SIDE_WIDTH = 468
CSS = Path(__file__).with_name("reading_room.css").read_text(encoding="utf-8")
ROW = {"width": "100%", "overflow": "hidden", "flex_flow": "row wrap", "align_items": "center"}


class Controls:
    """All controls of the page by name."""

    def __init__(self, centers: Sequence[str], models: Iterable[Hashable]) -> None:
        self.center = dropdown(centers, "104px", "center")
        self.patient = dropdown([("", None)], "258px", "patient")
        self.model = dropdown([], "170px", "drawn by (dashed)")
        self.second = dropdown([], "150px", "second model (dotted)")
        self.set_models(models)
        self.layers = [
            widgets.ToggleButton(value=True, description=label, tooltip=style, layout=Layout(width="84px"))
            for label, style in LAYER_LABELS.items()
        ]
        self.window = _toggle_buttons(WINDOWS, "88px")
        self.range = widgets.IntRangeSlider(
            value=window_limits("soft tissue"), min=-1200, max=1600, step=10, **_described("HU", "24px", "270px")
        )
        self.contour_style = _toggle_buttons(CONTOUR_STYLES, "48px")
        self.opacity = widgets.FloatSlider(
            value=0.9, min=0.1, max=1, step=0.1, readout=False, **_described("opacity", "50px", "150px")
        )
        self.arrangement = dropdown(ARRANGEMENTS.items(), "150px", "arrangement of the slices")
        self.drag_mode = dropdown(DRAG_MODES.items(), "160px", "what the right mouse button does")
        self.planes = [  # slices are counted from 1
            widgets.IntSlider(value=1, min=1, **_described(name, "52px", "33%"))
            for name in ("sagittal", "coronal", "axial")
        ]
        self.preview = widgets.Image(format="png", layout=Layout(width="420px"))  # until the slices are there
        self.preview.add_class("pedseg-preview")
        self.crosshair_info = widgets.HTML(layout=Layout(min_height="20px"))
        self.pointer_info = widgets.HTML(layout=Layout(min_height="20px"))
        self.error = widgets.HTML()
        self.coloring = _toggle_buttons([BY_ORGAN, BY_DISTANCE], "126px")
        self.legend = widgets.HTML(distance_legend(), layout=Layout(display="none"))
        self.plots_3d = HBox([], layout=Layout(width="100%", min_height="236px", overflow="hidden"))
        self.info_3d = widgets.HTML()

    def set_models(self, models: Iterable[Hashable]) -> None:
        """List the models of a patient, and keep the choice where it is possible."""
        models = [*models]
        for control, listed in ((self.model, [*models, NO_MODEL]), (self.second, [NO_SECOND, *models])):
            old = control.value
            control.options = [(str(model), model) for model in listed]
            control.value = old if old in listed else listed[0]

    @property
    def chosen_models(self) -> list[Hashable]:
        """The models that are chosen: two, one or none."""
        return [model for model in dict.fromkeys((self.model.value, self.second.value)) if model not in NONE]

    def page(self, slices: widgets.Widget, panels: Mapping[str, widgets.Widget]) -> list[widgets.Widget]:
        """The page: two rows of controls, slices on the left, 3-D over the panels on the right."""
        top = [self.center, self.patient, _label("drawn by"), self.model, _label("and"), self.second, *self.layers]
        bar = [self.window, self.range, self.contour_style, self.opacity, self.arrangement, self.drag_mode]
        left = VBox(
            [
                self.preview,
                slices,
                HBox(self.planes[::-1], layout=Layout(**ROW)),
                self.crosshair_info,
                self.pointer_info,
            ],
            layout=Layout(flex="1 1 480px", min_width="380px", overflow="hidden"),
        )
        self.tabs = widgets.Tab(list(panels.values()), titles=[*panels], layout=Layout(width="100%", height="352px"))
        under_plots = HBox([self.info_3d, self.legend], layout=Layout(**ROW, justify_content="space-between"))
        right = VBox(
            [self.coloring, self.plots_3d, under_plots, self.tabs],
            layout=Layout(flex=f"0 1 {SIDE_WIDTH}px", min_width="352px", overflow="hidden"),
        )
        rows = [HBox(controls, layout=Layout(**ROW)) for controls in (top, bar)]
        main = HBox([left, right], layout=Layout(width="100%", overflow="hidden"))
        return [widgets.HTML(f"<style>{CSS}</style>"), *rows, self.error, main]


def dropdown(options: Iterable[Any], width: str, tooltip: str) -> widgets.Dropdown:
    """A list without a label, explained by its tooltip."""
    return widgets.Dropdown(options=list(options), layout=Layout(width=width), tooltip=tooltip)


def sentence(text: str, kind: str = "note", role: str = "") -> str:
    """A sentence as HTML in one of the page's styles: `note`, `info` or `error`; `role` tells screen readers."""
    attributes = f' role="{role}"' if role else ""
    return f'<div class="pedseg-{kind}"{attributes}>{html.escape(text)}</div>'


def _toggle_buttons(options: Iterable[str], width: str) -> widgets.ToggleButtons:
    return widgets.ToggleButtons(options=list(options), style={"button_width": width})


def _described(description: str, description_width: str, width: str) -> dict[str, Any]:
    style = {"description_width": description_width}
    return {"description": description, "style": style, "layout": Layout(width=width)}


def _label(text: str) -> widgets.HTML:
    return widgets.HTML(f'<span class="pedseg-note">&nbsp;{text}&nbsp;</span>')
