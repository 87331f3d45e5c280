"""All views of one case: slices with contours, 3-D surfaces, organ table and the disagreements of two models."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np

from pedseg.organs import organ
from pedseg.viewer.case_view import TRUTH, CaseView, Disagreement, Voxel
from pedseg.viewer.controls import BY_DISTANCE, Controls, sentence
from pedseg.viewer.dose_panel import DosePanel
from pedseg.viewer.organ_panel import OrganPanel
from pedseg.viewer.outlines import outline_organs
from pedseg.viewer.slices import Slices, contour_layer
from pedseg.viewer.step_panel import DisagreementPanel
from pedseg.viewer.view_3d import View3D, link_cameras

SLICES_HEIGHT, PLOT_HEIGHT = 548, 232
MODEL_STYLES = ("dashed", "dotted")


class ImageViews:
    """Shows a case and what `models` predict on it, the first dashed, the second dotted.

    `case_view` is set by whoever opens a case; nothing can be shown before.
    """

    case_view: CaseView

    def __init__(self, controls: Controls) -> None:
        self.controls = controls
        self.models: list[Hashable] = []
        self.slices = Slices(SLICES_HEIGHT)
        self.plots: dict[str, View3D] = {}
        self.on_pick: Callable[[list[float]], object] = lambda position_mm: None  # where a surface was clicked
        self.organs = OrganPanel(self._organs_changed)
        self.disagreements = DisagreementPanel(self.show_disagreement)
        self.dose = DosePanel()

    def _make_plots(self) -> None:
        """Make the two 3-D views, once the slices are there: their JavaScript modules are large."""
        self.plots = {name: View3D(PLOT_HEIGHT, name) for name in (TRUTH, "model")}
        for plot in self.plots.values():
            plot.on_pick = lambda position_mm: self.on_pick(position_mm)
        self.view_from_front()
        link_cameras(*self.plots.values())
        self.controls.plots_3d.children = [plot.plot for plot in self.plots.values()]

    def view_from_front(self) -> None:
        """Put the cameras of the 3-D views in front of the patient."""
        scan = self.case_view.scan
        center_mm = self.case_view.to_mm((np.array(scan.shape) - 1) / 2)
        for plot in self.plots.values():
            plot.view_from_front(center_mm, float(np.multiply(scan.shape, scan.spacing_mm).max()))

    def show(self, models: Sequence[Hashable]) -> None:
        """Show the predictions of these models in all views; the truth alone where one of them cannot predict."""
        self.models = []
        try:
            for model in models:
                self.case_view.segmentation(model)  # predicts now; the error of one that cannot goes on below
            self.models = [*models]
        finally:
            self.show_contours()
            self._fill_table()
            self.show_surfaces()
            self.list_disagreements()
            self.show_dose()

    def show_contours(self, *extra: dict[str, Any]) -> None:
        """Draw the contours on the slices, and `extra` layers over them."""
        truth = [(TRUTH, "solid", 0.35)] if self.case_view.truth is not None else []
        predicted = [(model, style, 0.5) for model, style in zip(self.models, MODEL_STYLES, strict=False)]
        layers = [
            contour_layer(str(source), self.case_view.segmentation(source).outlines, style, fill=fill)
            for source, style, fill in (*truth, *predicted)
        ]
        self.slices.layers = [*layers, *extra]
        self.show_organs()

    def _fill_table(self) -> None:
        truth = self.case_view.segmentation(TRUTH)
        if self.models:
            self.organs.show(truth, self.case_view.segmentation(self.models[0]), str(self.models[0]))
        else:
            self.organs.show(truth, None, TRUTH)

    def show_surfaces(self) -> None:
        """Show the surfaces in 3-D: truth beside the first model, in organ colors or by surface distance."""
        if not self.plots:
            self._make_plots()
        by_distance = self.controls.coloring.value == BY_DISTANCE
        self.controls.legend.layout.display = None if by_distance else "none"
        self.plots[TRUTH].show(self.case_view.segmentation(TRUTH).surfaces)
        text = f"left: truth · right: {self.models[0] if self.models else 'nothing'}"
        if self.models:
            predicted = self.case_view.segmentation(self.models[0])
            self.plots["model"].show(predicted.surfaces, predicted.surface_distances_mm if by_distance else None)
            if predicted.surfaces:
                error_mm = max(surface.error_mm for surface in predicted.surfaces.values())
                text += f" · meshes true to {error_mm:.1f} mm"
        else:
            self.plots["model"].show({})
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
        """List where the two models disagree, if the list is on the page."""
        if self.is_open(self.disagreements):
            regions = []
            if len(self.models) == 2:
                regions = self.case_view.disagreements(self.models[0], self.models[1], self.organs.visible)
            self.disagreements.show(self.models, regions)

    def is_open(self, panel: widgets.Widget) -> bool:
        """Whether a panel is the one that is seen."""
        tabs = self.controls.tabs
        return tabs.selected_index is not None and tabs.children[tabs.selected_index] is panel

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
        """Outline a region where two models disagree, and move the crosshair and the ring there."""
        outlines = outline_organs(region.as_label_map(self.case_view.scan.shape))
        self.show_contours(contour_layer("disagreement", outlines, "solid", color="#ffffff", always=True))
        self.slices.crosshair = self.slices.marker = [*region.voxel]

    def move_3d_crosshair(self) -> None:
        """Mark the voxel of the crosshair in 3-D."""
        for plot in self.plots.values():
            plot.move_crosshair(self.case_view.to_mm(self.slices.crosshair))
