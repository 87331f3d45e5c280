"""Organ surfaces in 3-D (k3d): truth beside prediction with linked cameras, or surface distance coloring.

The distances from the truth that the colors show are also numbers in the organ table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import ipywidgets as widgets
import k3d
import numpy as np
from numpy.typing import NDArray

from pedseg.viewer.case_view import ORGAN_BY_ID
from pedseg.viewer.meshes import Surface

MAX_DISTANCE_MM = 10.0  # the ends of the color scale
# From too little (blue) over agreement (white) to too much (orange): told apart without red and green.
# Each stop is a position from 0 to 1, and red, green and blue.
DISTANCE_COLORS = [
    (0.0, 0.0, 0.27, 0.7), (0.25, 0.45, 0.7, 0.95), (0.5, 0.95, 0.95, 0.95), (0.75, 0.99, 0.68, 0.3),
    (1.0, 0.7, 0.25, 0.0),
]  # fmt: skip
BACKGROUND, GRAY, CROSSHAIR = 0x101418, 0x9AA0A6, 0x59BFFF
OPACITY = {"Lung_L": 0.18, "Lung_R": 0.18, "Bowel^Stomach": 0.75}  # of organs that others lie behind
BEHIND_FOCUS = 0.15  # opacity of all but the focused organ


class View3D:
    """A 3-D picture of the organs of one label map."""

    def __init__(self, height: int = 260, name: str = "") -> None:
        self.plot = k3d.plot(
            height=height, background_color=BACKGROUND, grid_visible=False, camera_auto_fit=False,
            menu_visibility=False, axes_helper=0, label_color=0xFFFFFF, antialias=1, camera_mode="trackball",
            name=name, colorbar_object_id=0,
        )  # fmt: skip
        self.plot.layout = widgets.Layout(width="100%", height=f"{height}px", overflow="hidden")
        self.meshes: dict[int, Any] = {}
        self._content: dict[int, tuple[Surface, NDArray | None, bool]] = {}  # of the meshes: no mesh is sent twice
        self.crosshair = k3d.points(np.zeros((1, 3), np.float32), point_size=7, color=CROSSHAIR, shader="flat")
        self.plot += self.crosshair
        self.plot.mode = "callback"
        self.on_pick: Callable[[list[float]], object] = lambda position_mm: None  # where a surface was clicked

    def show(self, surfaces: Mapping[int, Surface], distances_mm: Mapping[int, NDArray | None] | None = None) -> None:
        """Exchange the surfaces; with distances they are colored by them, gray where there is no truth."""
        for organ_id in [i for i in self.meshes if i not in surfaces]:
            self.plot -= self.meshes.pop(organ_id)
        for organ_id, surface in surfaces.items():
            content = (surface, (distances_mm or {}).get(organ_id), distances_mm is not None)
            old = self._content[organ_id] if organ_id in self.meshes else ()
            if not old or any(a is not b for a, b in zip(old, content, strict=True)):
                self._replace(organ_id, *content)
                self._content[organ_id] = content

    def _replace(self, organ_id: int, surface: Surface, distance_mm: NDArray | None, by_distance: bool) -> None:
        organ = ORGAN_BY_ID[organ_id]
        coloring: dict[str, Any] = {"color": int(organ.color[1:], 16), "opacity": OPACITY.get(organ.name, 1.0)}
        if by_distance:
            coloring = {"color": GRAY, "opacity": 1.0}
            if distance_mm is not None:
                color_range = [-MAX_DISTANCE_MM, MAX_DISTANCE_MM]
                color_map = np.ravel(DISTANCE_COLORS).tolist()
                coloring |= {"attribute": distance_mm, "color_map": color_map, "color_range": color_range}
        mesh = k3d.mesh(
            surface.vertices_mm, surface.triangles, name=organ.plain, flat_shading=False, side="double", **coloring
        )
        mesh.click_callback = self._pick
        old = self.meshes.pop(organ_id, None)
        if old is not None:
            mesh.visible = old.visible
            self.plot -= old
        self.meshes[organ_id] = mesh
        self.plot += mesh

    def _pick(self, hit: Any) -> None:
        position_mm = hit.get("position") if isinstance(hit, dict) else None
        if position_mm is not None:
            self.on_pick([float(v) for v in position_mm])

    def focus(self, organ_id: int) -> None:
        """Let one organ stand out among the others, which become transparent; 0 for none."""
        for i, mesh in self.meshes.items():
            usual = 1.0 if len(mesh.attribute) else OPACITY.get(ORGAN_BY_ID[i].name, 1.0)
            mesh.opacity = usual if organ_id in (0, i) else min(usual, BEHIND_FOCUS)

    def set_visible(self, organ_ids: Collection[int]) -> None:
        """Show these organs alone."""
        for i, mesh in self.meshes.items():
            if mesh.visible != (i in organ_ids):  # a trait that is set is sent
                mesh.visible = i in organ_ids

    def view_from_front(self, center_mm: NDArray, size_mm: float) -> None:
        """Put the camera in front of the upright patient, whose right side is on the left."""
        eye = np.asarray(center_mm) + np.array([0.0, 1.15 * size_mm, 0.12 * size_mm])
        self.plot.camera = [*map(float, eye), *map(float, center_mm), 0.0, 0.0, 1.0]

    def move_crosshair(self, position_mm: NDArray) -> None:
        """Mark a position."""
        self.crosshair.positions = np.asarray(position_mm, np.float32).reshape(1, 3)


def link_cameras(first: View3D, second: View3D) -> None:
    """Turn both together, in the browser alone."""
    widgets.jslink((first.plot, "camera"), (second.plot, "camera"))


def distance_legend() -> str:
    """The color scale of the surface distances, as HTML."""
    stops = ", ".join(
        f"rgb({round(255 * r)},{round(255 * g)},{round(255 * b)}) {round(100 * position)}%"
        for position, r, g, b in DISTANCE_COLORS
    )
    return (
        f'<div class="pedseg-scale"><span>short −{MAX_DISTANCE_MM:.0f} mm</span>'
        f'<i style="background:linear-gradient(90deg,{stops})"></i>'
        f"<span>+{MAX_DISTANCE_MM:.0f} mm beyond</span></div>"
    )
