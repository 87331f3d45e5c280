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

NOTHING = "nothing"  # in place of a contour set
ARRANGEMENTS = {
    "three planes": "planes", "axial": "axial", "coronal": "coronal", "sagittal": "sagittal",
    "A beside B": "beside",
}  # fmt: skip
DRAG_MODES = {
    f"right drag, finger: {text}": mode
    for text, mode in {"window": "window", "scroll": "scroll", "measure": "measure", "move": "pan"}.items()
}
CONTOUR_STYLES = {
    "lines": {"lines": True, "fill": False}, "fill": {"lines": False, "fill": True},
    "both": {"lines": True, "fill": True},
}  # fmt: skip
LAYER_LABELS = {"── A": "show what is solid (T)", "╌╌ B": "show what is dashed (P)", "···· C": "show what is dotted"}
BY_ORGAN, BY_DISTANCE = "organ colors", "distance to A"  # of the surfaces
CSS = Path(__file__).with_name("reading_room.css").read_text(encoding="utf-8")
ROW = {"width": "100%", "overflow": "hidden", "flex_flow": "row wrap", "align_items": "center"}


class Controls:
    """All controls of the page by name."""

    def __init__(self, centers: Sequence[str], models: Iterable[Hashable]) -> None:
        self.center = dropdown(centers, "118px", "center")
        self.patient = dropdown([("", None)], "258px", "patient")
        self.reference = dropdown([], "136px", "A, solid: what the others are compared with")
        self.model = dropdown([], "150px", "B, dashed")
        self.second = dropdown([], "136px", "C, dotted")
        self.set_models([], models, None, at_once=True)
        self.layers = [
            widgets.ToggleButton(value=True, description=label, tooltip=style, layout=Layout(width="58px"))
            for label, style in LAYER_LABELS.items()
        ]
        self.window = _toggle_buttons(WINDOWS, "80px", "window")
        self.range = widgets.IntRangeSlider(
            value=window_limits("soft tissue"), min=-2000, max=4000, step=5, **_described("HU", "24px", "250px")
        )
        self.contour_style = _toggle_buttons(CONTOUR_STYLES, "48px", "contours")
        self.opacity = widgets.FloatSlider(
            value=0.9, min=0.1, max=1, step=0.1, readout=False, **_described("opacity", "50px", "130px")
        )
        self.arrangement = dropdown(ARRANGEMENTS.items(), "116px", "arrangement of the slices")
        self.drag_mode = dropdown(DRAG_MODES.items(), "196px", "what the right mouse button, or a finger, does")
        self.smooth = widgets.ToggleButton(
            value=True, description="smooth", tooltip="smooth lines, or the edges of the voxels (V)",
            layout=Layout(width="66px"),
        )  # fmt: skip
        self.reset = widgets.Button(
            description="reset view", tooltip="zoom, place and window as at first (R)", layout=Layout(width="84px")
        )
        self.planes = [  # slices are counted from 1
            widgets.IntSlider(value=1, min=1, **_described(name, "52px", "33%"))
            for name in ("sagittal", "coronal", "axial")
        ]
        self.preview = widgets.Image(format="png", layout=Layout(width="420px"))  # until the slices are there
        self.preview.add_class("pedseg-preview")
        self.crosshair_info = widgets.HTML(layout=Layout(min_height="20px"))
        self.pointer_info = widgets.HTML(layout=Layout(min_height="20px"))
        self.error = widgets.HTML()
        self.coloring = _toggle_buttons([BY_ORGAN, BY_DISTANCE], "126px", "color of the surfaces")
        self.legend = widgets.HTML(distance_legend(), layout=Layout(display="none"))
        self.plots_3d = HBox([], layout=Layout(width="100%", overflow="hidden"))
        self.info_3d = widgets.HTML()
        self.again_3d = widgets.Button(description="3-D again", layout=Layout(display="none"))

    def set_models(
        self, sets: Sequence[Hashable], models: Iterable[Hashable], reference: Hashable, *, at_once: bool
    ) -> None:
        """List the contour sets and models of a patient, and keep the choice where it is possible.

        At first the reference is shown, beside it the first model, if models may draw `at_once`, else another set.
        """
        models = [*models]
        kept = [*models, *sets] if at_once else sets  # no model draws on the next patient because of the one before
        others = [*models] if at_once else [name for name in sets if name != reference]
        self._list(self.reference, [*sets, *models], reference, kept)
        self._list(self.model, [*models, *sets], next(iter(others), None), kept)
        self._list(self.second, [*models, *sets], None, kept)

    @staticmethod
    def _list(
        control: widgets.Dropdown, names: Sequence[Hashable], default: Hashable, kept: Sequence[Hashable]
    ) -> None:
        old = control.value
        control.options = [*((str(name), name) for name in names), (NOTHING, NOTHING)]
        control.value = old if old in kept else NOTHING if default is None else default

    @property
    def chosen_models(self) -> list[Hashable]:
        """The contour sets beside the reference: two, one or none."""
        chosen = dict.fromkeys((self.model.value, self.second.value))
        return [name for name in chosen if name not in (NOTHING, None, self.reference.value)]

    @property
    def chosen_reference(self) -> Hashable | None:
        """What the others are compared with; None for nothing."""
        return None if self.reference.value == NOTHING else self.reference.value

    def page(self, slices: widgets.Widget, panels: Mapping[str, widgets.Widget]) -> list[widgets.Widget]:
        """The page: two rows of controls, slices on the left, 3-D over the panels on the right; stacked on a phone."""
        top = [self.center, self.patient]
        for label, control, layer in zip("ABC", (self.reference, self.model, self.second), self.layers, strict=True):
            top.append(HBox([_label(label), control, layer], layout=Layout(overflow="hidden")))
        bar = [self.window, self.range, self.contour_style, self.smooth, self.opacity, self.arrangement]
        bar += [self.drag_mode, self.reset]
        below = [HBox(self.planes[::-1], layout=Layout(**ROW)), self.crosshair_info, self.pointer_info]
        left = VBox([self.preview, slices, *below])
        self.tabs = widgets.Tab(list(panels.values()), titles=[*panels], layout=Layout(width="100%"))
        under_plots = HBox(
            [self.info_3d, self.again_3d, self.legend], layout=Layout(**ROW, justify_content="space-between")
        )
        right = VBox([self.coloring, self.plots_3d, under_plots, self.tabs])
        left.add_class("pedseg-left")
        right.add_class("pedseg-right")
        self.plots_3d.add_class("pedseg-plots")
        rows = [HBox(controls, layout=Layout(**ROW)) for controls in (top, bar)]
        main = HBox([left, right], layout=Layout(width="100%"))
        main.add_class("pedseg-main")
        return [widgets.HTML(f"<style>{CSS}</style>"), *rows, self.error, main]

    def bring_to_front(self, panel: widgets.Widget) -> None:
        """Show the tab of a panel."""
        self.tabs.selected_index = self.tabs.children.index(panel)


def dropdown(options: Iterable[Any], width: str, tooltip: str) -> widgets.Dropdown:
    """A list without a label, explained by its tooltip."""
    return widgets.Dropdown(options=list(options), layout=Layout(width=width), tooltip=tooltip)


def sentence(text: str, kind: str = "note", role: str = "") -> str:
    """A sentence as HTML in one of the page's styles: `note`, `info` or `error`; `role` tells screen readers."""
    attributes = f' role="{role}"' if role else ""
    return f'<div class="pedseg-{kind}"{attributes}>{html.escape(text)}</div>'


def _toggle_buttons(options: Iterable[str], width: str, tooltip: str) -> widgets.ToggleButtons:
    return widgets.ToggleButtons(options=list(options), style={"button_width": width}, tooltip=tooltip)


def _described(description: str, description_width: str, width: str) -> dict[str, Any]:
    style = {"description_width": description_width}
    return {"description": description, "style": style, "layout": Layout(width=width)}


def _label(text: str) -> widgets.HTML:
    return widgets.HTML(f'<span class="pedseg-note">&nbsp;{text}&nbsp;</span>')
