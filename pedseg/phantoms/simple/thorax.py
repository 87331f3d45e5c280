"""The chest of a phantom: heart, esophagus, great vessels, lungs and thymus.

All millimeters are those of the standard 5-year-old (`canvas`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Shape
from pedseg.phantoms.simple.landmarks import (
    CHAMBERS,
    ESOPHAGUS,
    GREAT_VESSELS,
    HEART,
    HEART_HALF_AXES,
    HEART_TURN,
    LUNG_TIPS,
)


def chest(b: PhantomBuilder) -> None:
    """Heart with its chambers, esophagus, great vessels, lungs and their vessels."""
    c = b.canvas
    c.fill(c.tube(b.at(3, ESOPHAGUS), 1.5), Tissue.BOWEL_WALL, organ_id("Esophagus"), connected=True)
    heart = _heart(b, np.array(HEART) + b.displacements[2])
    for path in GREAT_VESSELS:
        c.fill(c.tube(path, 1.0), Tissue.HEART_BLOOD, where=b.body.above)
    _lungs(b, heart)
    _lung_vessels(b)


def _heart(b: PhantomBuilder, middle: NDArray) -> Shape:
    """The heart's muscle around the blood of four chambers."""
    c, volume_ml = b.canvas, b.size.volume_ml["Heart"]
    heart = c.ellipsoid(middle, HEART_HALF_AXES, HEART_TURN, reach=1.35)
    c.fill(heart, Tissue.MYOCARDIUM, organ_id("Heart"), volume_ml=volume_ml, where=b.body.above, connected=True)
    for offset, half_axes in CHAMBERS:
        chamber = c.ellipsoid(middle + np.array(offset), half_axes, HEART_TURN, reach=1.0)
        blood = (chamber.field < 1) & (c.labels[chamber.box] == organ_id("Heart"))
        c.tissues[chamber.box][blood] = Tissue.HEART_BLOOD
    return heart


def _lungs(b: PhantomBuilder, heart: Shape) -> None:
    """Both lungs around heart, great vessels and esophagus; between them fat and, in front, the thymus."""
    c, body = b.canvas, b.body
    middle = 12 + 10 * np.clip((c.z - 95) / 40, 0, 1) * np.clip((c.y + 10) / 30, 0, 1)
    middle -= 6 * np.clip((c.y - 30) / 15, 0, 1) * np.clip((115 - c.z) / 15, 0, 1)
    between = np.abs(c.x + 5 - 2 * np.clip(c.y / 30, -1, 1)) < middle
    near = np.zeros(c.shape, bool)
    near[heart.box] = heart.field < 1.07
    lung = body.above & c.free & ~body.sheet & ~between & ~near
    for name, side in (("Lung_L", c.x < -4), ("Lung_R", c.x >= -4)):
        field = np.where(lung & side, np.float32(-1), np.float32(1))
        c.fill(Shape((slice(None),) * 3, field), Tissue.LUNG, organ_id(name), connected=True)
    thymus = body.above & c.free & between & (c.y > 18) & (c.z > 108)
    c.tissues[thymus] = Tissue.THYMUS


def _lung_vessels(b: PhantomBuilder) -> None:
    """Vessels that fan out from each hilum; they belong to the lungs."""
    c = b.canvas
    for side in (-1, 1):
        hilum = np.array([side * 26 - 3, -8, 122])
        for tip in LUNG_TIPS:
            end = np.array(tip) * [side, 1, 1] + b.rng.normal(0, 6, 3)
            bend = (hilum + end) / 2 + b.rng.normal(0, 5, 3)
            branch = c.tube(np.column_stack([np.stack([hilum, bend, end]), (3.4, 2.2, 1.2)]), 0.5, 14.0)
            lung = c.tissues[branch.box] == Tissue.LUNG
            c.tissues[branch.box][lung & (branch.field < 0)] = Tissue.LUNG_VESSEL
