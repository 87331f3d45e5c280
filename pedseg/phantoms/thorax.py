"""The chest of a synthetic child: heart, gullet, great vessels, lungs and thymus, drawn on a `Canvas`.

All millimeters are those of the standard 5-year-old (`canvas`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.body import Setting, ids
from pedseg.phantoms.canvas import Shape
from pedseg.phantoms.landmarks import (
    CHAMBERS,
    GREAT_VESSELS,
    GULLET,
    HEART,
    HEART_HALF_AXES,
    HEART_TURN,
    LUNG_TIPS,
)


def chest(s: Setting) -> None:
    """Heart with its chambers, gullet, great vessels, lungs and their vessels."""
    c = s.canvas
    c.fill(c.tube(s.at(3, GULLET), 1.5), Tissue.BOWEL_WALL, ids("Esophagus"), whole=True)
    heart = _heart(s, np.array(HEART) + s.moved[2])
    for path in GREAT_VESSELS:
        c.fill(c.tube(path, 1.0), Tissue.HEART_BLOOD, where=s.body.above)
    _lungs(s, heart)
    _lung_vessels(s)


def _heart(s: Setting, middle: NDArray) -> Shape:
    """The heart's muscle around the blood of four chambers."""
    c = s.canvas
    heart = c.ellipsoid(middle, HEART_HALF_AXES, HEART_TURN, reach=1.35)
    c.fill(heart, Tissue.MYOCARDIUM, ids("Heart"), volume_ml=s.size.volume_ml["Heart"], where=s.body.above, whole=True)
    for offset, half_axes in CHAMBERS:
        room = c.ellipsoid(middle + np.array(offset), half_axes, HEART_TURN, reach=1.0)
        blood = (room.field < 1) & (c.labels[room.box] == ids("Heart"))
        c.tissues[room.box][blood] = Tissue.HEART_BLOOD
    return heart


def _lungs(s: Setting, heart: Shape) -> None:
    """Both lungs around heart, great vessels and gullet; between them fat and, in front, the thymus."""
    c, body = s.canvas, s.body
    middle = 12 + 10 * np.clip((c.z - 95) / 40, 0, 1) * np.clip((c.y + 10) / 30, 0, 1)
    middle -= 6 * np.clip((c.y - 30) / 15, 0, 1) * np.clip((115 - c.z) / 15, 0, 1)
    between = np.abs(c.x + 5 - 2 * np.clip(c.y / 30, -1, 1)) < middle
    near = np.zeros(c.shape, bool)
    near[heart.box] = heart.field < 1.07
    lung = body.above & c.free & ~body.sheet & ~between & ~near
    for name, side in (("Lung_L", c.x < -4), ("Lung_R", c.x >= -4)):
        field = np.where(lung & side, np.float32(-1), np.float32(1))
        c.fill(Shape((slice(None),) * 3, field), Tissue.LUNG, ids(name), whole=True)
    thymus = body.above & c.free & between & (c.y > 18) & (c.z > 108)
    c.tissues[thymus] = Tissue.THYMUS


def _lung_vessels(s: Setting) -> None:
    """Vessels that fan out from each hilum; they belong to the lungs."""
    c = s.canvas
    for side in (-1, 1):
        hilum = np.array([side * 26 - 3, -8, 122])
        for tip in LUNG_TIPS:
            end = np.array(tip) * [side, 1, 1] + s.rng.normal(0, 6, 3)
            bend = (hilum + end) / 2 + s.rng.normal(0, 5, 3)
            branch = c.tube(np.column_stack([np.stack([hilum, bend, end]), (3.4, 2.2, 1.2)]), 0.5, 14.0)
            lung = c.tissues[branch.box] == Tissue.LUNG
            c.tissues[branch.box][lung & (branch.field < 0)] = Tissue.LUNG_VESSEL
