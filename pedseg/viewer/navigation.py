"""Where one looks in a scan, and how: crosshair, window, style of the contours, and what lies under the pointer."""

from __future__ import annotations

import html
from collections.abc import Callable

from traitlets import link

from pedseg.viewer.case_view import Voxel
from pedseg.viewer.controls import CONTOUR_STYLES, Controls
from pedseg.viewer.image_views import ImageViews
from pedseg.viewer.page_errors import PageErrors
from pedseg.viewer.slices import window_limits, window_name
from pedseg.workbook.slice_viewer import suspend_callbacks


class Navigation:
    """Keeps controls, slices and 3-D at the same place, window and style.

    `if_open` passes a callback over while no case is open.
    """

    def __init__(
        self, controls: Controls, views: ImageViews, errors: PageErrors, if_open: Callable[[Callable], Callable],
    ) -> None:  # fmt: skip
        self.controls, self.views, self.slices = controls, views, views.slices
        self.quiet = False
        slices, on = self.slices, errors.connect
        on(self._window_chosen, controls.window)
        on(lambda: setattr(slices, "window", [*controls.range.value]), controls.range)
        on(self._window_set, slices, name="window")
        on(self._set_contour_style, controls.contour_style, controls.opacity, controls.smooth, *controls.layers)
        on(lambda: setattr(slices, "arrangement", controls.arrangement.value), controls.arrangement)
        link((controls.drag_mode, "value"), (slices, "drag_mode"))  # a page on a touch screen chooses, too
        on(if_open(self._slider_moved), *controls.planes)
        on(if_open(self._crosshair_moved), slices, name="crosshair")
        slices.on_hover = if_open(self._describe_pointer)
        views.on_pick = if_open(lambda position_mm: self.move_crosshair(views.case_view.to_voxel(position_mm)))

    def reset(self) -> None:
        """Zoom, place and window as at first."""
        self.slices.reset_count += 1
        self.slices.window = [*window_limits("soft tissue")]

    def set_size(self, shape: tuple[int, int, int]) -> None:
        """The sliders of a scan of another size."""
        with suspend_callbacks(self):
            for k, slider in enumerate(self.controls.planes):
                slider.max = shape[k]
        self.controls.pointer_info.value = ""

    def _window_chosen(self) -> None:
        if self.controls.window.value is not None:
            self.slices.window = [*window_limits(self.controls.window.value)]

    def _window_set(self) -> None:
        """A window was set, by button, slider or mouse: all of them say so."""
        low, high = self.slices.window
        self.controls.range.value = (low, high)
        self.controls.window.value = window_name((low, high))

    def _set_contour_style(self) -> None:
        hidden = [k for k, button in enumerate(self.controls.layers) if not button.value]
        style = CONTOUR_STYLES[self.controls.contour_style.value]
        others = {"opacity": self.controls.opacity.value, "smooth": self.controls.smooth.value, "hidden": hidden}
        self.slices.contour_style = style | others

    def move_crosshair(self, voxel: Voxel) -> None:
        """Move the crosshair in all slices and in 3-D."""
        self.slices.crosshair = [*voxel]
        self._crosshair_moved()

    def look_at(self, name: str) -> None:
        """Go to an organ as the first model has drawn it, and let it stand out."""
        self.move_crosshair(self.views.look_at(name) or self.views.case_view.start_voxel())

    def _slider_moved(self) -> None:
        if not self.quiet:
            x, y, z = (slider.value - 1 for slider in self.controls.planes)
            self.move_crosshair((x, y, z))

    def _crosshair_moved(self) -> None:
        """Let sliders, description and 3-D follow the crosshair."""
        with suspend_callbacks(self):
            for slider, index in zip(self.controls.planes, self.slices.crosshair, strict=True):
                slider.value = index + 1
        self.describe_crosshair()
        self.views.move_3d_crosshair()

    def describe_crosshair(self) -> None:
        """Say what lies under the crosshair."""
        self.controls.crosshair_info.value = self._describe("crosshair", tuple(self.slices.crosshair))

    def _describe_pointer(self, voxel: Voxel) -> None:
        if all(0 <= v < n for v, n in zip(voxel, self.views.case_view.scan.shape, strict=True)):
            self.controls.pointer_info.value = self._describe("pointer", voxel)

    def _describe(self, what: str, voxel: Voxel) -> str:
        text = html.escape(self.views.case_view.describe_voxel(voxel, self.views.models))
        return f'<div class="pedseg-info pedseg-{what}" role="status"><b>{what}</b> {text}</div>'
