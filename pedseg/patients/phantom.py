"""A synthetic child: from age, sex, posture and operation to a map of organs and a map of tissues.

The child is grown, not copied: tables of organ volume and trunk size by age (`anatomy`), a standard child whose
coordinates are stretched and bent at random (`canvas`), walls and bones (`body`), and organs drawn here one after the
other so that they press against each other. Phantoms show patterns; they say nothing about clinical validity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pedseg.patients import bowel, thorax, viscera
from pedseg.patients.anatomy import Tissue, measure
from pedseg.patients.body import Body, Setting, outline_mm, settle
from pedseg.patients.canvas import Canvas, turned
from pedseg.patients.skeleton import skeleton

__all__ = ["Child", "Phantom", "Tissue", "grow"]

MARGIN_MM = np.array([[12.0, 26.0, 0.0], [12.0, 12.0, 0.0]])  # air around the skin; below it there is room for a couch


@dataclass(frozen=True)
class Child:
    """Who is scanned: age, sex, which kidney was removed, and how the child lies (0 supine, -90 on its right side)."""

    age_years: float
    sex: Literal["F", "M"] = "F"
    removed_kidney: Literal["", "left", "right"] = ""
    roll_deg: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Phantom:
    """Organ labels and `Tissue` ids on one grid (x, y, z), RAS+, with the affine in mm of the room."""

    labels: NDArray[np.uint8]
    tissues: NDArray[np.uint8]
    affine: NDArray[np.float64]
    child: Child

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along x, y and z in mm."""
        return tuple(float(s) for s in np.diag(self.affine)[:3])  # type: ignore[return-value]


def grow(child: Child, spacing_mm: tuple[float, float, float] = (3.0, 3.0, 4.0)) -> Phantom:
    """Grow one child; the same `Child` gives the same anatomy in every posture and at every spacing.

    Raises `ValueError` for ages outside 0 to 18 years and for unknown sides or sexes.
    """
    if (
        not 0 <= child.age_years <= 18
        or child.sex not in ("F", "M")
        or child.removed_kidney not in ("", "left", "right")
    ):
        raise ValueError(f"no such child: {child}")
    rng = np.random.default_rng((child.seed, 19))
    size = measure(child.age_years, child.sex, rng)
    extent = outline_mm(size.scale, turned((0.0, 0.0, child.roll_deg))) + MARGIN_MM * [[-1.0], [1.0]]
    canvas = Canvas(size.scale, child.roll_deg, extent, spacing_mm, rng)
    body = Body(canvas, size.fat_mm)
    skeleton(body)
    place_organs(settle(canvas, body, size, child.removed_kidney, rng))
    return Phantom(canvas.labels, canvas.tissues, canvas.affine, child)


def place_organs(setting: Setting) -> None:
    """Draw every organ; what is drawn first keeps its place, and what comes later makes way."""
    viscera.great_vessels(setting)
    thorax.chest(setting)
    viscera.muscles(setting)
    viscera.kidneys(setting)
    viscera.portal_system(setting)
    viscera.gallbladder_and_pancreas(setting)
    viscera.spleen(setting)
    viscera.liver(setting)
    viscera.bladder(setting)
    bowel.stomach_and_duodenum(setting)
    bowel.colon(setting)
    bowel.small_bowel(setting)
    bowel.one_piece(setting, bowel.BOWEL)
