"""All views of one case: slices with contours, 3-D surfaces, organ table and the disagreements of two contour sets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from pedseg.organs import organ
from pedseg.viewer.case_view import CaseView, Disagreement, Voxel
from pedseg.viewer.controls import BY_DISTANCE, Controls, sentence
from pedseg.viewer.dose_panel import DosePanel
from pedseg.viewer.organ_panel import OrganPanel
from pedseg.viewer.slices import PackedLabels, Slices, contour_layer
from pedseg.viewer.step_panel import DisagreementPanel
from pedseg.viewer.view_3d import View3D, link_cameras

PLOT_HEIGHT = 232
STYLES = (("solid", 0.35), ("dashed", 0.5), ("dotted", 0.5))  # of the reference and two others: line, filling
WITHOUT_3D = {
    "none": "3-D needs WebGL 2, which this browser does not have. Slices, contours and pen work without it.",
    "lost": "The browser has dropped the 3-D picture. Slices, contours and pen work on; press “3-D again”.",
}


class ImageViews:
    """Shows a case: its reference solid, and `models`, the first dashed, the second dotted.

    `case_view` is set by whoever opens a case; nothing can be shown before.
    """

    case_view: CaseView

    def __init__(self, controls: Controls) -> None:
        self.controls = controls
        self.models: list[Hashable] = []
        self.slices = Slices()
        self.plots: dict[str, View3D] = {}
        self.on_pick: Callable[[list[float]], object] = lambda position_mm: None  # where a surface was clicked
        self.organs = OrganPanel(self._organs_changed)
        self.disagreements = DisagreementPanel(self.show_disagreement)
        self.dose = DosePanel()

    def open(self, case_view: CaseView, axes: NDArray | None) -> None:
        """Show the scan of another case."""
        self.case_view, self.models = case_view, []
        self.slices.show(case_view.scan, axes)
        self.organs.table.value = self.controls.info_3d.value = sentence("One moment …")

    def make_plots(self) -> None:
        """Make the two 3-D views, once the slices are there: their JavaScript modules are large."""
        for plot in self.plots.values():
            plot.plot.close()
        self.plots, self.controls.plots_3d.children = {}, []
        missing = WITHOUT_3D.get(self.slices.webgl, "")
        self.controls.again_3d.layout.display = None if self.slices.webgl == "lost" else "none"
        if missing:
            self.controls.info_3d.value = sentence(missing, role="status")
            return
        self.plots = {name: View3D(PLOT_HEIGHT, name) for name in ("reference", "model")}
        for plot in self.plots.values():
            plot.on_pick = lambda position_mm: self.on_pick(position_mm)
        self.view_from_front()
        link_cameras(*self.plots.values())
        self.controls.plots_3d.children = [plot.plot for plot in self.plots.values()]

    def webgl_changed(self) -> None:
        """The browser has no 3-D, or has lost it: say so, and leave the rest as it is."""
        if self.slices.webgl != "ok":
            self.make_plots()

    def restart_3d(self) -> None:
        """Make the 3-D views anew."""
        self.slices.webgl = "ok"
        self.make_plots()
        self.show_surfaces()

    def view_from_front(self) -> None:
        """Put the cameras of the 3-D views in front of the patient."""
        scan = self.case_view.scan
        center_mm = self.case_view.to_mm((np.array(scan.shape) - 1) / 2)
        for plot in self.plots.values():
            plot.view_from_front(center_mm, float(np.multiply(scan.shape, scan.spacing_mm).max()))

    def show(self, models: Sequence[Hashable]) -> None:
        """Show these contour sets in all views; the reference alone where one of them cannot be made."""
        self.models = []
        try:
            for model in models:
                self.case_view.segmentation(model)  # predicts now; the error of one that cannot goes on below
            self.models = [*models]
        finally:
            self.show_contours()
            self._fill_table()
            self.show_surfaces()
            self.fill_panels()

    @property
    def shown(self) -> list[Hashable]:
        """The contour sets on the slices: the reference, if there is one, and the others."""
        reference = self.case_view.reference
        return [*self.models] if reference is None else [reference, *self.models]

    def show_contours(self, *extra: dict[str, Any]) -> None:
        """Draw the contours on the slices, and `extra` layers over them."""
        sources = [self.case_view.reference, *self.models]
        layers = [
            contour_layer("nothing" if source is None else str(source), self._packed(source), style, fill=fill)
            for source, (style, fill) in zip(sources, STYLES, strict=False)
        ]
        self.slices.layers = [*layers, *extra]
        self.show_organs()

    def _packed(self, source: Hashable) -> PackedLabels:
        return self.case_view.segmentation(source).packed

    def _fill_table(self) -> None:
        self.organs.show(self.case_view, self.models[0] if self.models else None)

    def show_surfaces(self) -> None:
        """Show the surfaces in 3-D: the reference beside the first model, in organ colors or by surface distance."""
        if not self.plots:
            self.make_plots()
        by_distance = self.controls.coloring.value == BY_DISTANCE
        self.controls.legend.layout.display = None if by_distance else "none"
        if not self.plots:
            return
        reference, model = self.case_view.reference, self.models[0] if self.models else None
        self.plots["reference"].show(self.case_view.segmentation(reference).surfaces)
        predicted = self.case_view.segmentation(model).surfaces
        distances = self.case_view.surface_distances_mm(model) if by_distance and model is not None else None
        self.plots["model"].show(predicted, distances or None)
        text = f"left: {reference or 'nothing'} · right: {'nothing' if model is None else model}"
        if predicted:
            text += f" · meshes true to {max(surface.error_mm for surface in predicted.values()):.1f} mm"
        self.controls.info_3d.value = sentence(text)
        self.focus(self.slices.focused_organ)
        self.move_3d_crosshair()
        self.show_organs()

    def focus(self, organ_id: int) -> None:
        """Let one organ stand out, in slices and in 3-D; 0 for none."""
        self.slices.focused_organ = organ_id
        by_distance = self.controls.coloring.value == BY_DISTANCE  # then every surface has something to say
        for plot in self.plots.values():
            plot.focus(0 if by_distance else organ_id)

    def show_organs(self) -> None:
        """Show only the organs that are switched on, in slices and in 3-D."""
        self.slices.visible_organs = self.organs.visible
        for plot in self.plots.values():
            plot.set_visible(self.organs.visible)

    def _organs_changed(self) -> None:
        self.show_organs()
        self.list_disagreements()

    def list_disagreements(self) -> None:
        """List where two sets disagree, if the list is on the page: the two dashed and dotted, else A and B."""
        if self.is_open(self.disagreements):
            pair = self.models if len(self.models) == 2 else self.shown
            regions = []
            if len(pair) == 2:
                regions = self.case_view.disagreements(pair[0], pair[1], self.organs.visible)
            self.disagreements.show(pair, regions)

    def is_open(self, panel: widgets.Widget) -> bool:
        """Whether a panel is the one that is seen."""
        tabs = self.controls.tabs
        return tabs.selected_index is not None and tabs.children[tabs.selected_index] is panel

    def fill_panels(self) -> None:
        """Fill those panels that are filled only when they are seen."""
        self.list_disagreements()
        self.show_dose()

    def show_dose(self) -> None:
        """Show the dose by the truth and by the first model's contours, if the panel is on the page."""
        if self.is_open(self.dose):
            self.dose.show(self.case_view, self.models[0] if self.models else None, self.slices.focused_organ)

    def look_at(self, name: str) -> Voxel | None:
        """Switch an organ on and let it stand out; gives its middle as the first model has drawn it."""
        organ_id = organ(name).id
        self.organs.boxes[organ_id].value = True
        self.focus(organ_id)
        return self.case_view.segmentation(self.models[0]).organ_center(organ_id) if self.models else None

    def show_disagreement(self, region: Disagreement) -> None:
        """Outline a region where two sets disagree, and move the crosshair and the ring there."""
        packed = PackedLabels(region.as_label_map(self.case_view.scan.shape))
        self.show_contours(contour_layer("disagreement", packed, "solid", color="#ffffff", always=True))
        self.slices.crosshair = self.slices.marker = [*region.voxel]

    def move_3d_crosshair(self) -> None:
        """Mark the voxel of the crosshair in 3-D."""
        for plot in self.plots.values():
            plot.move_crosshair(self.case_view.to_mm(self.slices.crosshair))
