"""The trunk of a phantom without bones and organs (skin, fat, muscle wall, diaphragm).

All millimeters are those of the standard 5-year-old (`canvas`). Heights z: second lumbar vertebra 0, iliac crest -45,
dome of the diaphragm about +82, lower edge of the bladder about -165.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms import body
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.body import FRONT, HALF_WIDTH, LOWER_MM, OUTLINE_Z, UPPER_MM, radius_and_depth
from pedseg.phantoms.canvas import Canvas

BACK = (82.0, 85.0, 80.0, 76.0, 75.0, 77.0, 78.0, 76.0)


def extent_mm(scale: NDArray, rotation: NDArray) -> NDArray:
    """The bounding box (2, 3) of the skin of a child in its posture, in mm of the room."""
    angle = np.linspace(0, 2 * np.pi, 72)
    x = 105.0 * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.9
    y = np.where(np.sin(angle) > 0, 76.0, 86.0) * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.9
    ring = np.stack([x * scale[0], y * scale[1]], -1) @ rotation[:2, :2].T
    z = np.array([LOWER_MM, UPPER_MM]) * scale[2]
    return np.stack([np.append(ring.min(axis=0), z[0]), np.append(ring.max(axis=0), z[1])])


class Body(body.Body):
    """The body wall, cavity and diaphragm; afterwards `canvas.free` is what the organs may fill."""

    def __init__(self, canvas: Canvas, fat_mm: float) -> None:
        self.canvas = canvas
        x, y = canvas.x, canvas.y
        level = canvas.undeformed[1]  # heights of the undeformed slices, for tables by height
        half_width, front, back = (
            np.interp(level, OUTLINE_Z, row).astype(np.float32) for row in (HALF_WIDTH, FRONT, BACK)
        )
        furrow = 5.0 * np.exp(-((x / 9.0) ** 2))
        depth_scale = np.where(y > 0, front, back - furrow)
        self.radius, self.depth = radius_and_depth(x, y, half_width, depth_scale)
        self._ring(fat_mm)
        self._dome(half_width, front, back)

    def _ring(self, fat_mm: float) -> None:
        """Skin to cavity: subcutaneous fat, a muscle ring, the muscles of the back and of the pelvis."""
        c = self.canvas
        low = np.clip((-c.z - 40) / 60, 0, 1)  # 1 in the pelvis
        high = np.clip((c.z - 60) / 40, 0, 1)  # 1 in the chest
        sides = 0.75 + 0.35 * np.clip(-c.y / 60, 0, 1)
        fat = fat_mm / np.sqrt(c.scale[:2].mean()) * sides * (1 + 0.6 * low - 0.35 * high)
        muscle = 6.5 + 2.5 * np.clip(np.abs(c.x) / 60, 0, 1) + 1.5 * high + 2.0 * low
        inside = self.radius < 1
        c.tissues[inside] = Tissue.FAT
        c.tissues[inside & (self.depth > fat)] = Tissue.MUSCLE
        back = np.interp(c.z, (-60, 30, 70), (-50, -54, -64)).astype(np.float32)
        cavity = inside & (self.depth > fat + muscle) & (c.y > back + 10 * np.exp(-((c.x / 22) ** 2)))
        pelvic_width = np.interp(c.z, (-165, -155, -140, -120, -75, -45, -20), (6, 20, 32, 41, 64, 82, 140)).astype(
            np.float32
        )
        pelvic_depth = pelvic_width * 0.98 + 16 * (1 - low)
        cavity &= ((c.x / pelvic_width) ** 2 + ((c.y - 5 - 4 * (1 - low)) / pelvic_depth) ** 2 < 1) | (c.z > -40)
        self.cavity, self.fat_depth = cavity, fat
        c.tissues[cavity] = Tissue.FAT
        c.free |= cavity
        seam = np.abs(c.x) < 2.0  # fat between the left and right muscles of the back
        c.tissues[seam & (c.tissues == Tissue.MUSCLE) & (c.y < -60)] = Tissue.FAT
        bend = 4 * np.sin(c.x / 14) + 3 * np.sin(c.z / 17)
        septa = np.minimum(np.abs(self.depth - fat - 13 - bend), np.abs(self.depth - fat - 26 + bend)) < 1.4
        septa &= (low > 0.35) & (c.tissues == Tissue.MUSCLE) & (np.abs(c.x) > 28)
        c.tissues[septa] = Tissue.FAT  # between the muscles of the pelvis

    def _dome(self, half_width: NDArray, front: NDArray, back: NDArray) -> None:
        """The dome that parts lung from liver: high in the middle, deep behind and at the sides."""
        c = self.canvas
        side = 1 / (1 + np.exp(-c.x / 12))  # 0 left, 1 right
        r2 = (c.x / (half_width - 14)) ** 2 + (c.y / np.where(c.y > 0, front - 12, back - 10)) ** 2
        dip = 5.0 * np.exp(-(((c.x + 8) / 26) ** 2))
        self.dome = 73 + 9 * side - dip - 36 * r2 * r2 / (1 + 0.1 * r2 * r2) + 0.16 * c.y
        self.above = self.cavity & (c.z > self.dome)
        self.below = self.cavity & ~self.above
        sheet = self.above & (c.z < self.dome + 3.0)
        c.tissues[sheet] = Tissue.MUSCLE  # vessels and esophagus still pass through it
        self.sheet = sheet
