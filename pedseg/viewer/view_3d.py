"""Organs in 3-D: truth beside prediction with linked cameras, or the prediction colored by its distance to the truth.

k3d draws them, in a widget apart from the slices. What a color says stands in words in the table beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets as widgets
import k3d
import numpy as np
from numpy.typing import NDArray

from pedseg.viewer.case_view import BY_ID
from pedseg.viewer.meshes import Surface

FAR_MM = 10.0  # the ends of the scale of distances
# From too little (blue) over agreement (white) to too much (orange): told apart without red and green.
SCALE = [0.0, 0.0, 0.27, 0.7, 0.25, 0.45, 0.7, 0.95, 0.5, 0.95, 0.95, 0.95, 0.75, 0.99, 0.68, 0.3, 1.0, 0.7, 0.25, 0.0]
BACKGROUND, GRAY = 0x101418, 0x9AA0A6
SEE_THROUGH = {"Lung_L": 0.18, "Lung_R": 0.18, "Bowel^Stomach": 0.75}


class Solids:
    """One 3-D picture of the organs of one label map."""

    def __init__(self, height: int = 260, name: str = "") -> None:
        self.plot = k3d.plot(
            height=height, background_color=BACKGROUND, grid_visible=False, camera_auto_fit=False,
            menu_visibility=False, axes_helper=0, label_color=0xFFFFFF, antialias=1, camera_mode="trackball",
            name=name, colorbar_object_id=0,
        )  # fmt: skip
        self.plot.layout = widgets.Layout(width="100%", height=f"{height}px", overflow="hidden")
        self.meshes: dict[int, Any] = {}
        self._made: dict[int, tuple[Surface, NDArray | None, bool]] = {}  # of what: what is there is not sent again
        self.cross = k3d.points(np.zeros((1, 3), np.float32), point_size=7, color=0x59BFFF, shader="flat")
        self.plot += self.cross
        self.plot.mode = "callback"
        self.on_pick: Callable[[list[float]], object] = lambda place_mm: None  # told where a surface was clicked

    def show(self, surfaces: Mapping[int, Surface], distances_mm: Mapping[int, NDArray | None] | None = None) -> None:
        """Exchange the surfaces; with distances they are colored by them, gray where there is no truth."""
        for i in [i for i in self.meshes if i not in surfaces]:
            self.plot -= self.meshes.pop(i)
        for i, surface in surfaces.items():
            wanted = (surface, None if distances_mm is None else distances_mm.get(i), distances_mm is not None)
            if i not in self.meshes or any(a is not b for a, b in zip(self._made[i], wanted, strict=True)):
                self._put(i, *wanted)
                self._made[i] = wanted

    def _put(self, i: int, surface: Surface, distance_mm: NDArray | None, by_distance: bool) -> None:
        one = BY_ID[i]
        options: dict[str, Any] = {"name": one.plain, "opacity": 1.0 if by_distance else SEE_THROUGH.get(one.name, 1.0)}
        if by_distance and distance_mm is not None:
            options |= {"attribute": distance_mm, "color_map": SCALE, "color_range": [-FAR_MM, FAR_MM]}
        mesh = k3d.mesh(
            surface.vertices_mm, surface.triangles, flat_shading=False, side="double",
            color=GRAY if by_distance else int(one.color[1:], 16), **options,
        )  # fmt: skip
        mesh.click_callback = self._pick
        before = self.meshes.pop(i, None)
        if before is not None:
            mesh.visible = before.visible
            self.plot -= before
        self.meshes[i] = mesh
        self.plot += mesh

    def _pick(self, hit: Any) -> None:
        place_mm = hit.get("position") if isinstance(hit, dict) else None
        if place_mm is not None:
            self.on_pick([float(v) for v in place_mm])

    def focus(self, i: int) -> None:
        """Let one organ stand out among the others, which are seen through; 0 for none."""
        for k, mesh in self.meshes.items():
            usual = 1.0 if len(mesh.attribute) else SEE_THROUGH.get(BY_ID[k].name, 1.0)
            mesh.opacity = usual if i in (0, k) else min(usual, 0.15)

    def only(self, ids: Iterable[int]) -> None:
        """Show these organs."""
        wanted = set(ids)
        for i, mesh in self.meshes.items():
            if mesh.visible != (i in wanted):
                mesh.visible = i in wanted

    def look_from_the_front(self, center_mm: NDArray, size_mm: float) -> None:
        """Put the camera in front of the patient, who stands upright and has the right side on the left."""
        eye = np.asarray(center_mm) + np.array([0.0, 1.15 * size_mm, 0.12 * size_mm])
        self.plot.camera = [*map(float, eye), *map(float, center_mm), 0.0, 0.0, 1.0]

    def point_at(self, place_mm: NDArray) -> None:
        """Mark a place."""
        self.cross.positions = np.asarray(place_mm, np.float32).reshape(1, 3)


def link(one: Solids, other: Solids) -> None:
    """Turn both together, without asking the kernel."""
    widgets.jslink((one.plot, "camera"), (other.plot, "camera"))


def legend() -> str:
    """The scale of distances, as HTML."""
    stops = ", ".join(
        f"rgb({round(255 * r)},{round(255 * g)},{round(255 * b)}) {round(100 * at)}%"
        for at, r, g, b in zip(*[iter(SCALE)] * 4, strict=True)
    )
    return (
        f'<div class="pedseg-scale"><span>short −{FAR_MM:.0f} mm</span>'
        f'<i style="background:linear-gradient(90deg,{stops})"></i>'
        f"<span>+{FAR_MM:.0f} mm beyond</span></div>"
    )
