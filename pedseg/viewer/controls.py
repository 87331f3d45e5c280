"""What one can set on the page, and how the page is laid out; what it does is in `room`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import ipywidgets as widgets
from ipywidgets import Layout

from pedseg.scan import WINDOWS
from pedseg.viewer.slices import limits
from pedseg.viewer.view_3d import legend

NOBODY = "nobody (truth alone)"
NONE = "no second model"
ARRANGEMENTS = {
    "three planes": "planes", "axial": "axial", "coronal": "coronal", "sagittal": "sagittal",
    "truth beside model": "beside",
}  # fmt: skip
TOOLS = {"right drag: window": "window", "right drag: measure": "measure", "right drag: move": "move"}
LOOKS = {"lines": (True, False), "fill": (False, True), "both": (True, True)}
BY_ORGAN, BY_DISTANCE = "organ colors", "distance to truth"  # of the surfaces
SIDE_WIDTH = 468
CSS = Path(__file__).with_name("room.css").read_text(encoding="utf-8")
ROW = {"width": "100%", "overflow": "hidden", "flex_flow": "row wrap", "align_items": "center"}


class Controls:
    """All controls of the page by name."""

    def __init__(self, centers: Sequence[str], models: Sequence[str]) -> None:
        def drop(options, width: str, tooltip: str) -> widgets.Dropdown:
            return widgets.Dropdown(options=options, layout=Layout(width=width), tooltip=tooltip)

        self.center = drop(list(centers), "104px", "center")
        self.patient = drop([("", None)], "258px", "patient")
        self.model = drop([*models, NOBODY], "170px", "drawn by (dashed)")
        self.second = drop([NONE, *models], "150px", "second model (dotted)")
        self.layers = [
            widgets.ToggleButton(value=True, description=name, tooltip=tip, layout=Layout(width="84px"))
            for name, tip in (("── truth", "solid (T)"), ("╌╌ drawn", "dashed (P)"), ("···· and", "dotted"))
        ]
        self.window = widgets.ToggleButtons(options=list(WINDOWS), style={"button_width": "88px"})
        low, high = limits("soft tissue")
        self.range = widgets.IntRangeSlider(
            value=(int(low), int(high)), min=-1200, max=1600, step=10, description="HU",
            style={"description_width": "24px"}, layout=Layout(width="270px"),
        )  # fmt: skip
        self.look = widgets.ToggleButtons(options=list(LOOKS), style={"button_width": "48px"})
        self.opacity = widgets.FloatSlider(
            value=0.9, min=0.1, max=1, step=0.1, readout=False, description="opacity",
            style={"description_width": "50px"}, layout=Layout(width="150px"),
        )  # fmt: skip
        self.arrangement = drop(list(ARRANGEMENTS.items()), "150px", "arrangement of the slices")
        self.tool = drop(list(TOOLS.items()), "160px", "what the right mouse button does")
        slim = {"layout": Layout(width="33%"), "style": {"description_width": "52px"}}
        self.planes = [widgets.IntSlider(description=name, **slim) for name in ("sagittal", "coronal", "axial")]
        self.still = widgets.Image(format="png", layout=Layout(width="420px"))  # until the slices are there
        self.still.add_class("pedseg-still")
        self.words = widgets.HTML(layout=Layout(min_height="20px"))
        self.under = widgets.HTML(layout=Layout(min_height="20px"))
        self.trouble = widgets.HTML()
        self.coloring = widgets.ToggleButtons(options=[BY_ORGAN, BY_DISTANCE], style={"button_width": "126px"})
        self.scale = widgets.HTML(legend(), layout=Layout(display="none"))
        self.solids = widgets.HBox([], layout=Layout(width="100%", min_height="236px", overflow="hidden"))
        self.solid_words = widgets.HTML()

    def page(self, slices: widgets.Widget, panels: Mapping[str, widgets.Widget]) -> list[widgets.Widget]:
        """The page: two rows of controls, slices on the left, 3-D over the panels on the right."""
        top = [self.center, self.patient, _label("drawn by"), self.model, _label("and"), self.second, *self.layers]
        bar = [self.window, self.range, self.look, self.opacity, self.arrangement, self.tool]
        left = widgets.VBox(
            [self.still, slices, widgets.HBox(self.planes[::-1], layout=Layout(**ROW)), self.words, self.under],
            layout=Layout(flex="1 1 480px", min_width="380px", overflow="hidden"),
        )
        self.tabs = widgets.Tab(list(panels.values()), layout=Layout(width="100%", height="352px"))
        for k, title in enumerate(panels):
            self.tabs.set_title(k, title)
        right = widgets.VBox(
            [
                self.coloring,
                self.solids,
                widgets.HBox([self.solid_words, self.scale], layout=Layout(**ROW, justify_content="space-between")),
                self.tabs,
            ],
            layout=Layout(flex=f"0 1 {SIDE_WIDTH}px", min_width="352px", overflow="hidden"),
        )
        main = widgets.HBox([left, right], layout=Layout(width="100%", overflow="hidden"))
        rows = [widgets.HBox(each, layout=Layout(**ROW)) for each in (top, bar)]
        return [widgets.HTML(f"<style>{CSS}</style>"), *rows, self.trouble, main]


def _label(text: str) -> widgets.HTML:
    return widgets.HTML(f'<span class="pedseg-note">&nbsp;{text}&nbsp;</span>')


KEYS = """<div class="pedseg-keys">Click a slice, then:<br>
<kbd>↑</kbd> <kbd>↓</kbd> or wheel: one slice · <kbd>Page ↑</kbd> <kbd>Page ↓</kbd>: five slices<br>
<kbd>A</kbd> <kbd>C</kbd> <kbd>S</kbd>: the arrows leaf through axial, coronal, sagittal<br>
<kbd>1</kbd> <kbd>2</kbd> <kbd>3</kbd>: window for soft tissue, lung, bone<br>
<kbd>T</kbd> <kbd>P</kbd>: truth, prediction on and off · <kbd>F</kbd>: lines, fill, both<br>
<kbd>O</kbd>: only the organ under the crosshair · <kbd>E</kbd>: the nine evaluated organs<br>
<kbd>N</kbd> <kbd>B</kbd>: next failure, the one before · <kbd>M</kbd>: measure in mm with the right button<br>
<kbd>D</kbd>: draw, stop drawing · <kbd>U</kbd>: undo<br>
In the table, − is how far the contour falls short of the truth and + how far it goes beyond, in mm (95 % of it).<br>
Drag with the right mouse button for a window of your own. In 3-D: drag turns, the wheel zooms, a click on an organ goes
there in the slices.</div>"""
