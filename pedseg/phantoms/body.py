"""The trunk of a phantom without bones and organs (skin, fat, muscle wall, diaphragm).

All millimeters are those of the standard 5-year-old (`canvas`). Heights z: second lumbar vertebra 0, iliac crest -45,
dome of the diaphragm about +82, lower edge of the bladder about -165. The muscle under the skin is where it is in a
slender child; what fat a child has more pushes its skin outward.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pedseg.phantoms.anatomy import BodySize, Tissue
from pedseg.phantoms.canvas import Box, Canvas
from pedseg.phantoms.child import Child
from pedseg.phantoms.pelvis import wing, wing_half_mm

LOWER_MM, UPPER_MM = -172.0, 146.0  # field of view: bladder to the top of the heart
OUTLINE_Z = (-200.0, -150.0, -100.0, -50.0, 0.0, 50.0, 100.0, 160.0)
HALF_WIDTH = (100.0, 104.0, 103.0, 99.0, 97.0, 100.0, 98.0, 88.0)
FRONT = (58.0, 64.0, 68.0, 71.0, 73.0, 74.0, 69.0, 60.0)
BACK = (82.0, 86.0, 84.0, 81.0, 81.0, 81.0, 80.0, 76.0)
SLENDER_FAT_MM = 7.0  # under the skin of the outline above
SKIN_MM = 1.8  # of the room
ARM_MM = 64.0  # beside the trunk, in the field of view where the arms are down
# The bony pelvis around its organs, by height: half width, and how far it reaches forward and back.
CAVITY_Z = (-176.0, -166.0, -155.0, -140.0, -120.0, -95.0, -75.0, -45.0, -20.0)
CAVITY_WIDTH = (4.0, 7.0, 16.0, 30.0, 42.0, 63.0, 76.0, 88.0, 140.0)
CAVITY_FRONT = (6.0, 12.0, 29.0, 43.0, 58.0, 70.0, 80.0, 88.0, 140.0)
CAVITY_BACK = (20.0, 26.0, 35.0, 42.0, 46.0, 48.0, 56.0, 75.0, 140.0)


@dataclass(frozen=True)
class Outline:
    """The skin of one child: half width, reach to the front and back by height, and the fat under it."""

    fat: float
    belly: float  # how far the belly stands out

    @classmethod
    def of(cls, size: BodySize, age_years: float) -> Outline:
        """A toddler's round belly, and what fat around the organs adds to it (plausible guesses)."""
        round_belly = float(np.interp(age_years, (0, 1, 3, 6, 10), (4.0, 5.0, 5.0, 2.0, 0.0)))
        fat = size.fat_mm / float(np.sqrt(size.scale[:2].mean()))
        return cls(fat, round_belly + float(np.clip(3.0 * (size.visceral - 1.0), -2.0, 8.0)))

    def share(self, z: ArrayLike) -> NDArray:
        """Thickness of the fat by height: thick over the pelvis, thin over the chest."""
        z = np.asarray(z)
        return 1 + 0.6 * np.clip((-z - 40) / 60, 0, 1) - 0.35 * np.clip((z - 60) / 40, 0, 1)

    def fat_mm(self, y: ArrayLike, z: ArrayLike) -> NDArray:
        """Thickness of the fat under the skin: thicker behind in the slender, all around in the obese."""
        behind = np.clip(-np.asarray(y) / 60, 0, 1)
        slender = min(self.fat, SLENDER_FAT_MM) * (0.75 + 0.35 * behind)
        return (slender + max(self.fat - SLENDER_FAT_MM, 0.0)) * self.share(z).astype(np.float32)

    def half_axes(self, z: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
        """Half width of the trunk at heights z, and how far it reaches to the front and to the back."""
        z = np.asarray(z)
        extra, less = max(self.fat - SLENDER_FAT_MM, 0.0), max(SLENDER_FAT_MM - self.fat, 0.0)
        side, front_more, back_more = (self.share(z) * (extra - share * less) for share in (0.8, 0.75, 1.1))
        belly = self.belly * np.exp(-(((z - 5) / 55) ** 2))
        width, front, back = (np.interp(z, OUTLINE_Z, row) for row in (HALF_WIDTH, FRONT, BACK))
        return width + side, front + front_more + belly, back + back_more

    def wall_point(self, angle: NDArray, z: NDArray, under: ArrayLike) -> NDArray:
        """Points of the body wall (x, y, z), `under` mm beneath its fat; angles go from 0 behind to pi in front."""
        width, front, back = self.half_axes(z)
        x, y = np.sin(angle), -np.cos(angle)
        a, b = np.square(x / width), np.square(y / np.where(y > 0, front, back))
        skin = 1 / np.sqrt(np.sqrt(a * a + b * b + 1.35 * a * b))
        inner = skin - under - self.fat_mm(y * skin, z)
        return np.stack([x * inner, y * inner, z], -1)


def extent_mm(size: BodySize, child: Child, rotation: NDArray) -> NDArray:
    """The bounding box (2, 3) of the skin of a child in its posture, in mm of the room."""
    angle = np.linspace(0, 2 * np.pi, 72)
    rows = Outline.of(size, child.age_years).half_axes(np.linspace(LOWER_MM, UPPER_MM, 9))
    width, front, back = (float(row.max()) + 1.0 for row in rows)
    front += breast_mm(child) / 2
    x = (width + ARM_MM * child.arms_down) * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.9
    y = np.where(np.sin(angle) > 0, front, back) * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.9
    ring = np.stack([x * size.scale[0], y * size.scale[1]], -1) @ rotation[:2, :2].T
    z = np.array([LOWER_MM, UPPER_MM]) * size.scale[2]
    return np.stack([np.append(ring.min(axis=0), z[0]), np.append(ring.max(axis=0), z[1])])


def breast_mm(child: Child) -> float:
    """How far the breasts of a woman stand out while she lies on her back (plausible guess), none before puberty."""
    return float(np.interp(child.age_years, (10, 17), (0.0, 13.0))) if child.sex == "F" else 0.0


def skin_mm(c: Canvas) -> float:
    """Thickness of the skin; 0 where it is thinner than a voxel, because its gaps would show against the air."""
    thickness = SKIN_MM / float(np.sqrt(c.scale[:2].mean()))
    return thickness if c.resolves(thickness, voxels=1.0) else 0.0


class Body:
    """The body wall, cavity and diaphragm; afterwards `canvas.free` is what the organs may fill."""

    def __init__(self, canvas: Canvas, size: BodySize, child: Child) -> None:
        self.canvas, self.child = canvas, child
        self.outline = Outline.of(size, child.age_years)
        x, y = canvas.x, canvas.y
        level = canvas.undeformed[1]  # heights of the undeformed slices, for tables by height
        half_width, front, back = (row.astype(np.float32) for row in self.outline.half_axes(level))
        cleft = (14.0 * np.clip((-112 - level) / 25, 0, 1)).astype(np.float32)  # between the buttocks
        furrow = 5.0 * np.exp(-((x / 9.0) ** 2)) + cleft * np.exp(-((x / 5.0) ** 2))
        self.radius, self.depth = radius_and_depth(x, y, half_width, np.where(y > 0, front, back - furrow))
        self._wall(level)
        self._diaphragm(half_width, front, back)

    def _wall(self, level: NDArray) -> None:
        """Skin to cavity: skin, fat, and muscle, in which `muscles` and `skeleton` draw what it is made of."""
        c = self.canvas
        self.fat_depth = self.outline.fat_mm(c.y, level)
        inside = self.radius < 1
        c.tissues[inside] = Tissue.FAT
        c.tissues[inside & (self.depth < skin_mm(c))] = Tissue.SKIN
        muscle = inside & (self.depth > self.fat_depth)
        c.tissues[muscle] = Tissue.MUSCLE
        self.under = self.depth - self.fat_depth  # mm beneath the fat
        high = np.clip((level - 60) / 40, 0, 1).astype(np.float32)
        low = np.clip((-level - 40) / 60, 0, 1).astype(np.float32)
        wall = 7.0 + 2.5 * np.clip(np.abs(c.x) / 60, 0, 1) + 0.8 * high + 2.0 * low
        back = np.interp(level, (-60, 30, 70), (-50, -54, -66)).astype(np.float32)
        self.cavity = inside & (self.under > wall) & (c.y > back + 10 * np.exp(-((c.x / 20) ** 2)))
        self._pelvis()
        c.tissues[self.cavity] = Tissue.FAT
        c.free |= self.cavity

    def _pelvis(self) -> None:
        """The cavity between the iliac wings, lined by the iliacus, and within the bony pelvis down to its floor."""
        c = self.canvas
        box = c.box((-120, -100, -190), (120, 90, -32))
        x, y, z = c.x[box], c.y[box], c.z[box]
        off, edge = wing(x, y, z)
        iliacus = 7.0 * np.clip((edge + 2) / 16, 0, 1) * (y > -44)
        beside = (off > -(wing_half_mm(y, z, edge) + 1.5 + iliacus)) & (z < -40) & ((edge > -6) | (off > 0))
        self.cavity[box] &= (self.bowl(box) < 1) & (~beside | (y > 44) | (z < -128))

    def bowl(self, box: Box) -> NDArray:
        """How far out a point lies in the bony pelvis: 1 on the boundary of the cavity."""
        c = self.canvas
        level = c.undeformed[1][box[2]]
        width, front, back = (
            np.interp(level, CAVITY_Z, row).astype(np.float32) for row in (CAVITY_WIDTH, CAVITY_FRONT, CAVITY_BACK)
        )
        return (c.x[box] / width) ** 2 + (c.y[box] / np.where(c.y[box] > 0, front, back)) ** 2

    def _diaphragm(self, half_width: NDArray, front: NDArray, back: NDArray) -> None:
        """The dome that parts lung from liver: deep behind and at the sides, with a flat saddle beneath the heart."""
        c = self.canvas
        side = 1 / (1 + np.exp(-c.x / 12))  # 0 left, 1 right
        r2 = (c.x / (half_width - 14)) ** 2 + (c.y / np.where(c.y > 0, front - 12, back - 13)) ** 2
        dome = 73 + 9 * side - 40 * r2 * r2 / (1 + 0.1 * r2 * r2) + 0.16 * c.y
        saddle = np.exp(-np.square(np.square((c.x + 14) / 34)) - np.square(np.square((c.y - 16) / 36)))
        self.dome = dome + saddle * (73.5 - 0.05 * (c.y - 16) - dome)
        self.above = self.cavity & (c.z > self.dome)
        self.below = self.cavity & ~self.above
        sheet = self.above & (c.z < self.dome + 2.2)
        c.tissues[sheet] = Tissue.MUSCLE  # vessels and esophagus still pass through it
        self.sheet = sheet


def radius_and_depth(x: NDArray, y: NDArray, half_width: NDArray, half_depth: NDArray) -> tuple[NDArray, NDArray]:
    """How far out a point lies (1 on the skin, a squarish oval) and how deep under the skin it is, in mm."""
    a, b = np.square(x / half_width), np.square(y / half_depth)
    radius = np.sqrt(np.sqrt(a * a + b * b + 1.35 * a * b)) + 1e-6
    distance = np.sqrt(x * x + y * y)
    return radius, distance / radius - distance + np.where(radius < 0.05, 50.0, 0.0).astype(np.float32)
