"""Stomach and bowel of a phantom, placed last, in the room that other organs left.

All millimeters are those of the standard 5-year-old (`canvas`). Gas lies above fluid and stool, wherever up is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Shape
from pedseg.phantoms.mesentery import BOWEL
from pedseg.phantoms.simple.landmarks import COLON, DUODENUM, STOMACH, after_operation


def stomach_and_duodenum(b: PhantomBuilder) -> None:
    """The stomach with a level of fluid under its gas, and the C of the duodenum around the pancreatic head."""
    c = b.canvas
    stomach = c.tube(b.at(13, STOMACH), 14.0, 12.0)
    volume_ml = b.size.volume_ml["Stomach"] * b.rng.uniform(1.2, 1.8)  # the table has no gas
    inside = _hollow(b, stomach, volume_ml=volume_ml, wall_mm=3.0, connected=True)
    height = c.up[stomach.box]
    if inside.any():
        level = np.quantile(height[inside], 1 - b.rng.uniform(0.1, 0.55))
        c.tissues[stomach.box][inside & (height > level)] = Tissue.GAS
    duodenum = c.tube(b.at(10, after_operation("duodenum", DUODENUM, b.left, b.right)), 2.0, 8.0)
    _hollow(b, duodenum, wall_mm=2.5)


def _hollow(
    b: PhantomBuilder, tube: Shape, *, wall_mm: float, volume_ml: float | None = None, connected: bool = False
) -> NDArray:
    """Place a hollow organ filled with fluid; returns the mask of its lumen."""
    c, below = b.canvas, b.body.below
    mask = c.fill(tube, Tissue.BOWEL_WALL, organ_id(BOWEL), volume_ml=volume_ml, where=below, connected=connected)
    level = float(tube.field[mask].max()) if volume_ml is not None and mask.any() else 0.0
    inside = mask & (tube.field < level - wall_mm)
    c.tissues[tube.box][inside] = Tissue.BOWEL_FLUID
    return inside


def colon(b: PhantomBuilder) -> None:
    """The frame of the colon with its haustra, stool and gas."""
    c = b.canvas
    path = b.at(14, after_operation("colon", COLON, b.left, b.right))
    sunk = path[:, 1] < b.at(14, COLON)[:, 1] - 3.0  # pieces in the bed of a removed kidney, where gas collects
    path[:, :3] += b.rng.normal(0, 3.0, (len(path), 3))
    path[:, 3] *= b.rng.uniform(0.8, 1.15, len(path))
    tube = c.tube(path, 3.0)
    haustra = 1.6 * np.cos(2 * np.pi * tube.along * (len(path) - 1) * 2.0)
    shape = Shape(tube.box, tube.field - haustra.astype(np.float32), tube.along)
    mask = c.fill(shape, Tissue.BOWEL_WALL, organ_id(BOWEL), where=b.body.below | (c.z < 0) & b.body.cavity)
    _stool_and_gas(b, shape, mask & (shape.field < -2.4), path, sunk)


def _stool_and_gas(b: PhantomBuilder, tube: Shape, inside: NDArray, path: NDArray, sunk: NDArray) -> None:
    """Gas in every piece of the colon down to a level of its own, deeper where the colon lies high."""
    c = b.canvas
    room = (path[:, :3] * c.scale) @ c.rotation.T
    steps = np.linspace(0, 1, len(path))
    middle = np.interp(tube.along, steps, room[:, 1]).astype(np.float32)  # height of the tube's center line
    high = (room[:, 1] - room[:, 1].mean()) / max(1.0, float(room[:, 1].std()))
    share = np.clip(b.rng.normal(0.25, 0.5, len(path)) - 0.45 * high, -0.9, 1.2)  # of the radius
    level = np.interp(tube.along, steps, np.where(sunk, np.minimum(share, -0.4), share))
    radius = np.interp(tube.along, steps, path[:, 3]) * c.scale[1]
    c.tissues[tube.box][inside] = Tissue.STOOL
    c.tissues[tube.box][inside & (c.up[tube.box] - middle > level * radius)] = Tissue.GAS


def small_bowel(b: PhantomBuilder) -> None:
    """The bag of the small bowel: all that is left in front of the back wall, filled with loops."""
    c = b.canvas
    bag = b.body.below & c.free & (c.z > -120) & (c.z < 58 + 22 * (c.x < -15))
    aside = np.clip((np.abs(c.x + 2) - 22) / 20, 0, 1)
    back = -13 - 26 * aside * np.clip((-30 - c.z) / 25, 0, 1) - 26 * np.clip((-75 - c.z) / 20, 0, 1)
    beds = 10 * b.left * np.clip((-18 - c.x) / 12, 0, 1) + 10 * b.right * np.clip((c.x - 24) / 12, 0, 1)
    back = back - beds * np.clip((46 - np.abs(c.z)) / 14, 0, 1)  # loops sink into the bed of a removed kidney
    field = np.where(c.y > back, ((c.x + 4) / 92) ** 2 + ((c.y - 14) / 68) ** 2 + ((c.z + 42) / 106) ** 2, 9.0)
    field -= 0.5 * np.clip((c.z - 30) / 20, 0, 1) * np.clip((-20 - c.x) / 15, 0, 1)  # up under the left dome
    field += 0.6 * np.clip((c.z - 10) / 30, 0, 1) * np.clip((28 - c.y) / 20, 0, 1) * np.clip((c.x + 42) / 16, 0, 1)
    bag &= field < 1.0
    bowel = bag | (c.labels == organ_id(BOWEL))
    bag &= ndimage.uniform_filter(bowel.astype(np.float32), 3) > 0.5  # no slivers between other organs
    mask = c.fill(
        Shape((slice(None),) * 3, field.astype(np.float32)), Tissue.MESENTERY, organ_id(BOWEL), level=1.0, where=bag
    )
    loops = _loops(b, mask)
    gas = (c.random_field(b.rng, 1.1) + 0.013 * c.up / c.scale[1])[mask]
    tissue = np.where(loops > 0.15, Tissue.BOWEL_WALL, Tissue.MESENTERY)
    tissue[loops > 0.42] = Tissue.BOWEL_FLUID
    tissue[(loops > 0.85) & (gas > 0.8)] = Tissue.GAS
    c.tissues[mask] = tissue


def _loops(b: PhantomBuilder, mask: NDArray) -> NDArray:
    """How far inside a loop of bowel each voxel of the mask lies: 0 in the folds between loops (a bent gyroid)."""
    wave = float(2 * np.pi / (52.0 + b.rng.normal(0, 3)))
    phases = b.rng.uniform(0, 6.28, 3).astype(np.float32)
    axes = (b.canvas.x, b.canvas.y, b.canvas.z)
    u, v, w = (wave * axis[mask] + phase for axis, phase in zip(axes, phases, strict=True))
    u, v, w = u + 0.8 * np.sin(0.6 * w), v + 0.8 * np.sin(0.55 * u), w + 0.6 * np.sin(0.5 * v)
    return np.abs(np.sin(u) * np.cos(v) + np.sin(v) * np.cos(w) + np.sin(w) * np.cos(u))
