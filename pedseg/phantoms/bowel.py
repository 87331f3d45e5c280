"""Stomach and bowel of a synthetic child, drawn last on a `Canvas`, in the room that other organs left.

All millimeters are those of the standard 5-year-old (`canvas`). Gas lies above fluid and stool, wherever up is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.body import Setting, ids
from pedseg.phantoms.canvas import Shape, largest_piece
from pedseg.phantoms.landmarks import COLON, DUODENUM, STOMACH, after_operation

BOWEL = "Bowel^Stomach"


def stomach_and_duodenum(s: Setting) -> None:
    """The stomach with a level of fluid under its gas, and the C of the duodenum around the pancreatic head."""
    c = s.canvas
    stomach = c.tube(s.at(13, STOMACH), 14.0, 12.0)
    volume_ml = s.size.volume_ml["Stomach"] * s.rng.uniform(1.2, 1.8)  # the table has no gas
    inside = _hollow(s, stomach, volume_ml=volume_ml, wall_mm=3.0, whole=True)
    height = c.up[stomach.box]
    if inside.any():
        level = np.quantile(height[inside], 1 - s.rng.uniform(0.1, 0.55))
        c.tissues[stomach.box][inside & (height > level)] = Tissue.GAS
    duodenum = c.tube(s.at(10, after_operation("duodenum", DUODENUM, s.left, s.right)), 2.0, 8.0)
    _hollow(s, duodenum, wall_mm=2.5)


def _hollow(s: Setting, tube: Shape, *, wall_mm: float, volume_ml: float | None = None, whole: bool = False) -> NDArray:
    """Draw a hollow organ filled with fluid; returns the mask of its lumen."""
    c = s.canvas
    mask = c.fill(tube, Tissue.BOWEL_WALL, ids(BOWEL), volume_ml=volume_ml, where=s.body.below, whole=whole)
    level = float(tube.field[mask].max()) if volume_ml is not None and mask.any() else 0.0
    inside = mask & (tube.field < level - wall_mm)
    c.tissues[tube.box][inside] = Tissue.BOWEL_FLUID
    return inside


def colon(s: Setting) -> None:
    """The frame of the colon with its haustra, stool and gas."""
    c = s.canvas
    path = s.at(14, after_operation("colon", COLON, s.left, s.right))
    sunk = path[:, 1] < s.at(14, COLON)[:, 1] - 3.0  # pieces in the bed of a removed kidney, where gas collects
    path[:, :3] += s.rng.normal(0, 3.0, (len(path), 3))
    path[:, 3] *= s.rng.uniform(0.8, 1.15, len(path))
    tube = c.tube(path, 3.0)
    haustra = 1.6 * np.cos(2 * np.pi * tube.along * (len(path) - 1) * 2.0)
    shape = Shape(tube.box, tube.field - haustra.astype(np.float32), tube.along)
    mask = c.fill(shape, Tissue.BOWEL_WALL, ids(BOWEL), where=s.body.below | (c.z < 0) & s.body.cavity)
    _stool_and_gas(s, shape, mask & (shape.field < -2.4), path, sunk)


def _stool_and_gas(s: Setting, tube: Shape, inside: NDArray, path: NDArray, sunk: NDArray) -> None:
    """Gas in every piece of the colon down to a level of its own, deeper where the colon lies high."""
    c = s.canvas
    room = (path[:, :3] * c.scale) @ c.turn.T
    steps = np.linspace(0, 1, len(path))
    middle = np.interp(tube.along, steps, room[:, 1]).astype(np.float32)  # height of the tube's center line
    high = (room[:, 1] - room[:, 1].mean()) / max(1.0, float(room[:, 1].std()))
    share = np.clip(s.rng.normal(0.25, 0.5, len(path)) - 0.45 * high, -0.9, 1.2)  # of the radius
    level = np.interp(tube.along, steps, np.where(sunk, np.minimum(share, -0.4), share))
    radius = np.interp(tube.along, steps, path[:, 3]) * c.scale[1]
    c.tissues[tube.box][inside] = Tissue.STOOL
    c.tissues[tube.box][inside & (c.up[tube.box] - middle > level * radius)] = Tissue.GAS


def small_bowel(s: Setting) -> None:
    """The bag of the small bowel: all that is left in front of the back wall, filled with loops."""
    c = s.canvas
    bag = s.body.below & c.free & (c.z > -120) & (c.z < 58 + 22 * (c.x < -15))
    aside = np.clip((np.abs(c.x + 2) - 22) / 20, 0, 1)
    back = -13 - 26 * aside * np.clip((-30 - c.z) / 25, 0, 1) - 26 * np.clip((-75 - c.z) / 20, 0, 1)
    beds = 10 * s.left * np.clip((-18 - c.x) / 12, 0, 1) + 10 * s.right * np.clip((c.x - 24) / 12, 0, 1)
    back = back - beds * np.clip((46 - np.abs(c.z)) / 14, 0, 1)  # loops sink into the bed of a removed kidney
    field = np.where(c.y > back, ((c.x + 4) / 92) ** 2 + ((c.y - 14) / 68) ** 2 + ((c.z + 42) / 106) ** 2, 9.0)
    field -= 0.5 * np.clip((c.z - 30) / 20, 0, 1) * np.clip((-20 - c.x) / 15, 0, 1)  # up under the left dome
    field += 0.6 * np.clip((c.z - 10) / 30, 0, 1) * np.clip((28 - c.y) / 20, 0, 1) * np.clip((c.x + 42) / 16, 0, 1)
    bag &= field < 1.0
    bowel = bag | (c.labels == ids(BOWEL))
    bag &= ndimage.uniform_filter(bowel.astype(np.float32), 3) > 0.5  # no slivers between other organs
    mask = c.fill(
        Shape((slice(None),) * 3, field.astype(np.float32)), Tissue.MESENTERY, ids(BOWEL), level=1.0, where=bag
    )
    loops = _loops(s, mask)
    gas = (c.random_field(s.rng, 1.1) + 0.013 * c.up / c.scale[1])[mask]
    tissue = np.where(loops > 0.15, Tissue.BOWEL_WALL, Tissue.MESENTERY)
    tissue[loops > 0.42] = Tissue.BOWEL_FLUID
    tissue[(loops > 0.85) & (gas > 0.8)] = Tissue.GAS
    c.tissues[mask] = tissue


def one_piece(s: Setting, organ: str) -> None:
    """Give back to fat what the crowd has cut off from an organ."""
    mask = s.canvas.labels == ids(organ)
    lost = mask & ~largest_piece(mask)
    s.canvas.labels[lost] = 0
    s.canvas.tissues[lost] = Tissue.FAT


def _loops(s: Setting, mask: NDArray) -> NDArray:
    """How far inside a loop of bowel each voxel of the mask lies: 0 in the folds between loops (a bent gyroid)."""
    wave = float(2 * np.pi / (52.0 + s.rng.normal(0, 3)))
    phases = s.rng.uniform(0, 6.28, 3).astype(np.float32)
    axes = (s.canvas.x, s.canvas.y, s.canvas.z)
    a, b, d = (wave * axis[mask] + phase for axis, phase in zip(axes, phases, strict=True))
    a, b, d = a + 0.8 * np.sin(0.6 * d), b + 0.8 * np.sin(0.55 * a), d + 0.6 * np.sin(0.5 * b)
    return np.abs(np.sin(a) * np.cos(b) + np.sin(b) * np.cos(d) + np.sin(d) * np.cos(a))
