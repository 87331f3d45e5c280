"""The light box: slices, 3-D, organ table and disagreements of one child as the chosen models draw it."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import numpy as np

from pedseg.viewer.case_view import TRUTH, Disagreement, Reading, Voxel
from pedseg.viewer.controls import BY_DISTANCE, Controls
from pedseg.viewer.disagreement_panel import DisagreementPanel
from pedseg.viewer.organ_panel import OrganPanel
from pedseg.viewer.outlines import outlines
from pedseg.viewer.slices import Slices, layer
from pedseg.viewer.view_3d import Solids, link

HEIGHT, SOLID_HEIGHT = 548, 232
STYLES = ("dashed", "dotted")


class LightBox:
    """Shows a reading; `drawn_by` are the models on it, the first dashed, the second dotted."""

    def __init__(self, controls: Controls) -> None:
        self.set = controls
        self.reading: Reading | None = None
        self.drawn_by: list[str] = []
        self.slices = Slices(HEIGHT)
        self.solids: dict[str, Solids] = {}
        self.on_pick: Callable[[list[float]], object] = lambda place_mm: None
        self.organs = OrganPanel(self._organs_changed)
        self.disagreements = DisagreementPanel(self.show_disagreement)

    def _stand_up(self) -> None:
        """Make the two 3-D pictures, once the slices are there: their modules are large."""
        self.solids = {name: Solids(SOLID_HEIGHT, name) for name in (TRUTH, "model")}
        for solid in self.solids.values():
            solid.on_pick = lambda place_mm: self.on_pick(place_mm)
        self.look_from_the_front()
        link(self.solids[TRUTH], self.solids["model"])
        self.set.solids.children = [solid.plot for solid in self.solids.values()]

    def look_from_the_front(self) -> None:
        """Stand in front of the patient in 3-D."""
        assert self.reading is not None
        scan = self.reading.scan
        middle_mm = self.reading.place_mm((np.array(scan.shape) - 1) / 2)
        for solid in self.solids.values():
            solid.look_from_the_front(middle_mm, float(np.multiply(scan.shape, scan.spacing_mm).max()))

    def show(self, models: list[str]) -> None:
        """Show what these models draw, everywhere; where one of them cannot draw, the truth alone."""
        assert self.reading is not None
        self.drawn_by = []
        try:
            self.drawn_by = [name for name in models if self.reading.labels(name) is not None]
        finally:
            self.show_layers()
            self._fill_table()
            self.show_solids()
            self.list_disagreements()

    def show_layers(self, *extra: dict[str, Any]) -> None:
        """The contours on the slices."""
        assert self.reading is not None
        here = self.reading
        layers = [] if here.truth is None else [layer(TRUTH, here.outlines(TRUTH), "solid", fill=0.35)]
        for name, style in zip(self.drawn_by, STYLES, strict=False):
            layers.append(layer(name, here.outlines(name), style, fill=0.5))
        self.slices.draw([*layers, *extra])
        self.show_organs()

    def _fill_table(self) -> None:
        assert self.reading is not None
        here, name = self.reading, self.drawn_by[0] if self.drawn_by else ""
        drawn = (here.volume_ml(name), here.scores(name), here.distances_mm(name)) if name else ({}, {}, {})
        self.organs.show(here.volume_ml(TRUTH), *drawn, name or TRUTH)

    def show_solids(self) -> None:
        """The surfaces: truth beside the first model, in organ colors or by distance."""
        if self.reading is None:
            return
        if not self.solids:
            self._stand_up()
        by_distance = self.set.coloring.value == BY_DISTANCE
        self.set.scale.layout.display = None if by_distance else "none"
        name = self.drawn_by[0] if self.drawn_by else None
        surfaces = self.reading.surfaces(name) if name else {}
        self.solids[TRUTH].show(self.reading.surfaces(TRUTH))
        self.solids["model"].show(surfaces, self.reading.distances_mm(name) if by_distance and name else None)
        error_mm = max((each.error_mm for each in surfaces.values()), default=0.0)
        text = f"left: truth · right: {name or 'nothing'}"
        text += f" · meshes true to {error_mm:.1f} mm" if surfaces else ""
        self.set.solid_words.value = f'<span class="pedseg-note">{html.escape(text)}</span>'
        self.focus(self.slices.widget.focus)
        if self.slices.at is not None:
            self.point_at(self.slices.at)
        self.show_organs()

    def focus(self, organ_id: int) -> None:
        """Let one organ stand out, in slices and in 3-D; 0 for none."""
        self.slices.widget.focus = organ_id
        by_distance = self.set.coloring.value == BY_DISTANCE  # then every surface has something to say
        for solid in self.solids.values():
            solid.focus(0 if by_distance else organ_id)

    def show_organs(self) -> None:
        """Only the organs that are on, in slices and in 3-D."""
        self.slices.widget.shown = self.organs.shown
        for solid in self.solids.values():
            solid.only(self.organs.shown)

    def _organs_changed(self) -> None:
        self.show_organs()
        self.list_disagreements()

    def list_disagreements(self) -> None:
        """Where the two models disagree, if somebody looks at the list."""
        tabs = self.set.tabs
        if self.reading is not None and tabs.children[tabs.selected_index] is self.disagreements:
            self.disagreements.show(self.reading, self.drawn_by, self.organs.shown)

    def show_disagreement(self, each: Disagreement) -> None:
        """Outline one place where two models disagree, and go there."""
        assert self.reading is not None
        found = outlines(each.as_map(self.reading.scan.shape))
        self.show_layers(layer("disagreement", found, "solid", color="#ffffff", always=True))
        self.slices.go(each.voxel)

    def point_at(self, voxel: Voxel) -> None:
        """Mark a voxel in 3-D."""
        assert self.reading is not None
        for solid in self.solids.values():
            solid.point_at(self.reading.place_mm(voxel))
