"""Keyboard shortcuts of the reading room: what a letter or digit does that is pressed over the slices."""

from __future__ import annotations

from collections.abc import Callable

from pedseg.scan import WINDOWS
from pedseg.viewer.contour_editing import TOOLS
from pedseg.viewer.controls import CONTOUR_STYLES, Controls
from pedseg.viewer.correction_panel import CorrectionPanel
from pedseg.viewer.failure_panel import FailurePanel
from pedseg.viewer.image_views import ImageViews
from pedseg.viewer.organ_panel import EVALUATED_IDS

HELP = """<div class="pedseg-shortcuts">Click a slice, then:<br>
<kbd>↑</kbd> <kbd>↓</kbd> or wheel: one slice · <kbd>Page ↑</kbd> <kbd>Page ↓</kbd>: five slices<br>
<kbd>A</kbd> <kbd>C</kbd> <kbd>S</kbd>: the arrows scroll through axial, coronal, sagittal<br>
<kbd>Shift</kbd> and arrows: move the crosshair within the slice<br>
<kbd>Ctrl</kbd> and wheel, or <kbd>+</kbd> <kbd>-</kbd>, or two fingers: zoom · <kbd>R</kbd>: as at first<br>
<kbd>1</kbd> <kbd>2</kbd> <kbd>3</kbd>: window for soft tissue, lung, bone (with the tab Score: a score, 1 to 5)<br>
<kbd>T</kbd> <kbd>P</kbd>: solid, dashed on and off · <kbd>F</kbd>: lines, fill, both · <kbd>V</kbd>: voxels<br>
<kbd>O</kbd>: only the organ under the crosshair · <kbd>E</kbd>: the nine evaluated organs<br>
<kbd>N</kbd> <kbd>B</kbd>: next failure, the one before · <kbd>M</kbd>: measure in mm with the right button<br>
<kbd>D</kbd>: draw, stop drawing · <kbd>X</kbd>: brush, eraser · <kbd>[</kbd> <kbd>]</kbd>: smaller, larger<br>
<kbd>Space</kbd>: paint at the crosshair · <kbd>U</kbd> or <kbd>Ctrl</kbd> <kbd>Z</kbd>: undo ·
<kbd>Y</kbd> or <kbd>Ctrl</kbd> <kbd>Y</kbd>: redo<br>
<kbd>I</kbd>: fill between slices · <kbd>K</kbd>: largest part only · <kbd>G</kbd>: smooth the drawing<br>
In the table, − is how far B falls short of A and + how far it goes beyond, in mm (95 % of it).<br>
The right mouse button, or a finger, does what the list above the slices says: window, scroll, measure, or move; two
fingers zoom. In 3-D: drag turns, the wheel zooms, a click on an organ goes there in the slices.</div>"""


def shortcut_actions(
    controls: Controls, views: ImageViews, failures: Callable[[], FailurePanel], corrections: CorrectionPanel
) -> dict[str, Callable[[], object]]:
    """What each key does; the slices handle the arrow keys, zoom, and those of the planes themselves."""

    def toggle(control, first=True, second=False) -> None:
        control.value = second if control.value == first else first

    def next_contour_style() -> None:
        styles = [*CONTOUR_STYLES]
        controls.contour_style.value = styles[(styles.index(controls.contour_style.value) + 1) % len(styles)]

    def organs_at_crosshair() -> None:
        at_crosshair = views.case_view.organs_at(tuple(views.slices.crosshair), views.models)
        views.organs.set_visible(at_crosshair or views.organs.visible)

    def resize(factor: float) -> None:
        radius = corrections.radius_mm
        radius.value = min(radius.max, max(radius.min, round(2 * radius.value * factor) / 2))

    tools = [*TOOLS]
    windows = {
        str(number): lambda window=window: setattr(controls.window, "value", window)
        for number, window in enumerate(WINDOWS, start=1)
    }
    return windows | {
        "t": lambda: toggle(controls.layers[0]),
        "p": lambda: toggle(controls.layers[1]),
        "f": next_contour_style,
        "o": organs_at_crosshair,
        "e": lambda: views.organs.set_visible(EVALUATED_IDS),
        "v": lambda: toggle(controls.smooth),
        "n": lambda: failures().step(1),
        "b": lambda: failures().step(-1),
        "m": lambda: toggle(controls.drag_mode, "measure", "window"),
        "d": lambda: toggle(corrections.on),
        "x": lambda: toggle(corrections.tool, "brush", "eraser"),
        "[": lambda: resize(0.75),
        "]": lambda: resize(1.34),
        "u": corrections.undo,
        "y": corrections.redo,
        "i": lambda: corrections.apply(tools[0]),
        "k": lambda: corrections.apply(tools[1]),
        "g": lambda: corrections.apply(tools[2]),
    }
