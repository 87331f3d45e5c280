"""The trunk of a phantom without bones and organs (skin, fat, muscle wall, diaphragm), and what organs are placed with.

All millimeters are those of the standard 5-year-old (`canvas`). Heights z: second lumbar vertebra 0, iliac crest -45,
dome of the diaphragm about +82, lower edge of the bladder about -165.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pedseg import organs
from pedseg.phantoms.anatomy import BodySize, Tissue
from pedseg.phantoms.canvas import Canvas, Shape
from pedseg.phantoms.surgery import SurgeryEffects

LOWER_MM, UPPER_MM = -172.0, 146.0  # field of view: bladder to the top of the heart
OUTLINE_Z = (-200.0, -150.0, -100.0, -50.0, 0.0, 50.0, 100.0, 160.0)
HALF_WIDTH = (100.0, 104.0, 103.0, 99.0, 97.0, 100.0, 98.0, 88.0)
FRONT = (58.0, 64.0, 68.0, 71.0, 73.0, 74.0, 69.0, 60.0)
BACK = (82.0, 85.0, 80.0, 76.0, 75.0, 77.0, 78.0, 76.0)


def organ_id(name: str) -> int:
    """The label of an organ, by its TG-263 name."""
    return organs.organ(name).id


def extent_mm(scale: NDArray, rotation: NDArray) -> NDArray:
    """The bounding box (2, 3) of the skin of a child in its posture, in mm of the room."""
    angle = np.linspace(0, 2 * np.pi, 72)
    x = 105.0 * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.9
    y = np.where(np.sin(angle) > 0, 76.0, 86.0) * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.9
    ring = np.stack([x * scale[0], y * scale[1]], -1) @ rotation[:2, :2].T
    z = np.array([LOWER_MM, UPPER_MM]) * scale[2]
    return np.stack([np.append(ring.min(axis=0), z[0]), np.append(ring.max(axis=0), z[1])])


class Body:
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
        self.radius, self.depth = _radius_and_depth(x, y, half_width, depth_scale)
        self._wall(fat_mm)
        self._diaphragm(half_width, front, back)

    def _wall(self, fat_mm: float) -> None:
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

    def _diaphragm(self, half_width: NDArray, front: NDArray, back: NDArray) -> None:
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


def _radius_and_depth(x: NDArray, y: NDArray, half_width: NDArray, half_depth: NDArray) -> tuple[NDArray, NDArray]:
    """How far out a point lies (1 on the skin, a squarish oval) and how deep under the skin it is, in mm."""
    a, b = np.square(x / half_width), np.square(y / half_depth)
    radius = np.sqrt(np.sqrt(a * a + b * b + 1.35 * a * b)) + 1e-6
    distance = np.sqrt(x * x + y * y)
    return radius, distance / radius - distance + np.where(radius < 0.05, 50.0, 0.0).astype(np.float32)


@dataclass(frozen=True)
class PhantomBuilder:
    """What every organ of one child is placed with: voxels, body walls, sizes, random numbers, effects of surgery."""

    canvas: Canvas
    body: Body
    size: BodySize
    rng: np.random.Generator
    left: float  # how far organs have sunk into the bed of a removed left kidney: 0 (it is in place) to 1
    right: float
    displacements: NDArray  # (16, 3) a small random displacement in mm for each organ
    surgery: SurgeryEffects

    @classmethod
    def sample(
        cls, canvas: Canvas, body: Body, size: BodySize, effects: SurgeryEffects, rng: np.random.Generator
    ) -> PhantomBuilder:
        """Draw the random displacements of one child's organs, and how far they have sunk into an empty renal bed."""
        displacements, sunk = rng.normal(0.0, 2.5, (16, 3)), rng.uniform(0.6, 1.0)
        left, right = (sunk * (effects.child.removed_kidney == side) for side in ("left", "right"))
        return cls(canvas, body, size, rng, left, right, displacements, effects)

    def at(self, number: int, points: ArrayLike) -> NDArray:
        """Points or rows (x, y, z, radius) moved by this child's displacement of that number."""
        out = np.array(points, dtype=float)
        out[..., :3] += self.displacements[number]
        return out

    def organ(self, shape: Shape, tissue: int, name: str, volume_ml: float) -> NDArray:
        """Fill an abdominal organ up to its volume, in one component; returns its mask in the shape's box."""
        below = self.body.below
        return self.canvas.fill(shape, tissue, organ_id(name), volume_ml=volume_ml, where=below, connected=True)
