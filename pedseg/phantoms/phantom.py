"""A synthetic child: from age, sex, posture and operation to a map of organs and a map of tissues.

The child is grown, not copied: tables of organ volume and trunk size by age (`anatomy`), a standard child whose
coordinates are stretched and bent at random (`canvas`), walls and bones (`body`), and organs drawn here one after the
other so that they press against each other. Phantoms show patterns; they say nothing about clinical validity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms import bowel, surgery, thorax, viscera
from pedseg.phantoms.anatomy import Tissue, measure
from pedseg.phantoms.body import Body, Setting, outline_mm, settle
from pedseg.phantoms.canvas import Canvas, turned
from pedseg.phantoms.child import Child
from pedseg.phantoms.skeleton import skeleton

__all__ = ["Child", "Phantom", "Tissue", "make_phantom"]

MARGIN_MM = np.array([[12.0, 26.0, 0.0], [12.0, 12.0, 0.0]])  # air around the skin; below it there is room for a couch


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


def make_phantom(child: Child, spacing_mm: tuple[float, float, float] = (3.0, 3.0, 4.0)) -> Phantom:
    """Grow one child; the same `Child` gives the same anatomy in every posture and at every spacing.

    Raises `ValueError` for ages outside 0 to 18 years, unknown words, and surgery that contradicts itself.
    """
    child.refuse_impossible()
    rng = np.random.default_rng((child.seed, 19))
    size = measure(child.age_years, child.sex, rng)
    extent = outline_mm(size.scale, turned((0.0, 0.0, child.roll_deg))) + MARGIN_MM * [[-1.0], [1.0]]
    canvas = Canvas(size.scale, child.roll_deg, extent, spacing_mm, rng)
    body = Body(canvas, size.fat_mm)
    skeleton(body)
    place_organs(settle(canvas, body, size, surgery.aftermath(child), rng))
    return Phantom(canvas.labels, canvas.tissues, canvas.affine, child)


def place_organs(setting: Setting) -> None:
    """Draw every organ; what is drawn first keeps its place, and what comes later makes way."""
    viscera.great_vessels(setting)
    thorax.chest(setting)
    viscera.muscles(setting)
    viscera.kidneys(setting)
    viscera.portal_system(setting)
    viscera.gallbladder_and_pancreas(setting)
    surgery.draw_scar(setting.canvas, setting.after)
    viscera.spleen(setting)
    viscera.liver(setting)
    setting = refilled(setting)
    viscera.bladder(setting)
    bowel.stomach_and_duodenum(setting)
    bowel.colon(setting)
    bowel.small_bowel(setting)
    bowel.one_piece(setting, bowel.BOWEL)
    surgery.draw_clips(setting.canvas, setting.after)


def refilled(setting: Setting) -> Setting:
    """At a later visit: stomach, bowel and bladder are filled anew, everything else is as it was."""
    child = setting.after.child
    if not child.visit:
        return setting
    rng = np.random.default_rng((child.seed, 19, child.visit))
    factors = np.exp(rng.normal(0.0, (0.2, 0.3)))
    volume_ml = setting.size.volume_ml
    filled = {organ: volume_ml[organ] * float(f) for organ, f in zip(("Stomach", "Bladder"), factors, strict=True)}
    return replace(setting, rng=rng, size=replace(setting.size, volume_ml=volume_ml | filled))
