"""Stomach, duodenum and colon of a phantom, placed last, in the room that other organs left.

Paths are in millimeters of the standard 5-year-old (`canvas`), walls and folds in those of the child itself. Gas lies
above fluid and stool, wherever up is. Walls are 3 to 4 mm in the stomach, 5 mm in the antrum and 2 mm elsewhere;
how full each piece is, is a plausible guess.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Box, Shape
from pedseg.phantoms.landmarks import APPENDIX, COLON, COLON_HAUSTRA, DUODENUM, STOMACH, TERMINAL_ILEUM, after_operation
from pedseg.phantoms.mesentery import BOWEL, COURSE, filling_generator, generator
from pedseg.phantoms.tubes import Centerlines, Nearest, near, noise, positions_mm

CECUM, TRANSVERSE, SIGMOID, RECTUM = 0, 8, 17, 22  # rows of `COLON`


def stomach_and_duodenum(b: PhantomBuilder) -> None:
    """The stomach with rugae and a level of fluid or food under its gas; the C of the duodenum around the pancreas."""
    c, rng = b.canvas, filling_generator(b, 2)
    path = b.at(13, STOMACH)
    stomach = c.tube(path, 14.0, 12.0)
    stomach.field[stomach.field > 12.0] = np.inf
    volume_ml = b.size.volume_ml["Stomach"] * rng.uniform(0.7, 1.5)  # the table has no gas
    mask = c.fill(stomach, Tissue.BOWEL_WALL, organ_id(BOWEL), volume_ml=volume_ml, where=b.body.below, connected=True)
    wall_mm = (2.6 + 2.2 * np.clip(stomach.along * 5 - 3.6, 0, 1)) * min(1.2, float(c.scale.mean()) ** 0.4)
    slack = float(np.clip(1.5 - volume_ml / b.size.volume_ml["Stomach"], 0.1, 0.6))  # folds where it is little filled
    _content(b, stomach, mask, wall_mm, 6.0 * slack, rng, 0.6)
    duodenum = c.tube(b.at(10, after_operation("duodenum", DUODENUM, b.left, b.right)), 2.0, 8.0)
    mask = c.fill(duodenum, Tissue.BOWEL_WALL, organ_id(BOWEL), where=b.body.below)
    _content(b, duodenum, mask, np.full(mask.shape, 1.8), 1.6, rng, 0.2)


def _content(
    b: PhantomBuilder,
    tube: Shape,
    mask: NDArray,
    wall_mm: NDArray,
    folds_mm: float,
    rng: np.random.Generator,
    most_gas: float,
) -> None:
    """Fluid or food in a hollow organ, its folds, and gas down to a level."""
    c = b.canvas
    if not mask.any():
        return
    depth = ndimage.distance_transform_edt(mask, sampling=c.spacing)[mask] - c.spacing.min() / 2
    place = positions_mm(c, tube.box, mask)
    folds = np.maximum(noise(place, 11.0, generator(b, COURSE, 3)), 0) * folds_mm
    inside = depth > wall_mm[mask] + np.minimum(folds, 1.1 * folds_mm)
    fluid = np.where(inside, Tissue.BOWEL_FLUID, Tissue.BOWEL_WALL)
    if rng.random() < 0.35 and most_gas > 0.3:  # food
        fluid[inside & (noise(place, 9.0, rng) > -0.2)] = Tissue.STOOL
    share = most_gas * rng.uniform(0.1, 1.0)
    if inside.any():
        height = c.up[tube.box][mask]
        fluid[inside & (height > np.quantile(height[inside], 1 - share))] = Tissue.GAS
    c.tissues[tube.box][mask] = fluid


# --- colon ------------------------------------------------------------------------------------------


def colon(b: PhantomBuilder) -> None:
    """Cecum with its appendix, colon and rectum: haustra between three taeniae, stool, gas, and collapsed pieces."""
    c = b.canvas
    where = b.body.below | (c.z < 0) & b.body.cavity
    path, lines = _course(b)
    box = c.box(path[:, :3].min(axis=0) - 24, path[:, :3].max(axis=0) + 24)
    mask = near(c, box, lines, float(lines.rows[:, 3].max())) & c.free[box] & where[box]
    hit = lines.nearest(positions_mm(c, box, mask), float(lines.rows[:, 3].max()))
    radius = _haustra(b, lines, hit)
    inside = hit.distance < radius
    place = tuple(np.argwhere(mask)[inside].T)
    whole = np.zeros(mask.shape, bool)
    whole[place] = True
    c.paint(box, whole, Tissue.BOWEL_WALL, organ_id(BOWEL))
    lumen = (radius - hit.distance)[inside] > lines.rows[hit.index[inside], 5]
    if c.spacing.min() < 2.0:
        lumen &= ndimage.binary_erosion(whole)[place]  # a wall where other organs press on it
    _stool_and_gas(b, box, tuple(axis[lumen] for axis in place), lines, hit.index[inside][lumen], radius[inside][lumen])
    for row in (APPENDIX[generator(b, COURSE, 4).integers(len(APPENDIX))], TERMINAL_ILEUM):
        _side_tube(b, b.at(14, row), where)


def _course(b: PhantomBuilder) -> tuple[NDArray, Centerlines]:
    """The colon's path (standard mm), and its centerline: rows of (x, y, z, radius, haustra, wall, gas)."""
    rng, filling = generator(b, COURSE, 5), filling_generator(b, 3)
    path = b.at(14, after_operation("colon", COLON, b.left, b.right))
    sunk = path[:, 1] < b.at(14, COLON)[:, 1] - 3.0  # pieces in the bed of a removed kidney, where gas collects
    rows = np.arange(len(path))
    sag, loop = rng.uniform(-24.0, 12.0), rng.uniform(-0.7, 1.0)
    path[:, 2] += sag * np.exp(-(((rows - TRANSVERSE) / 1.6) ** 2))  # the transverse colon hangs
    path[:, 2] += 26.0 * loop * np.exp(-(((rows - SIGMOID - 2) / 1.2) ** 2))  # the sigmoid loop rises in every third
    path[:, :3] += rng.normal(0, 3.0, (len(path), 3)) * (rows < RECTUM)[:, None]
    filled = np.clip(_usual_filling(len(path)) + filling.normal(0, 0.22, len(path)), 0.0, 1.0)
    path[:, 3] *= rng.uniform(0.9, 1.1, len(path)) * (0.52 + 0.62 * filled)
    wall_mm = np.where(filled < 0.3, 4.0, 2.0) * np.clip(b.canvas.scale.mean(), 0.8, 1.2)
    gas = _gas_share(b, path, filling)
    gas[sunk] = np.minimum(gas[sunk], -0.4)
    table = [path[:, :3] * b.canvas.scale, path[:, 3] * b.canvas.scale.mean(), COLON_HAUSTRA, wall_mm, gas]
    return path, Centerlines.of_paths([np.column_stack(table)], 2.0)


def _usual_filling(n: int) -> NDArray:
    """How full the pieces of the colon are on average: stool on the right, a narrow descending and sigmoid colon."""
    rows = (CECUM, 5, TRANSVERSE, 11, 14, SIGMOID, RECTUM, n - 1)
    return np.interp(np.arange(n), rows, (0.75, 0.7, 0.7, 0.5, 0.4, 0.4, 0.6, 0.3))


def _gas_share(b: PhantomBuilder, path: NDArray, rng: np.random.Generator) -> NDArray:
    """From which height gas stands in each piece, as a share of its radius: lower down where the piece lies high."""
    height = ((path[:, :3] * b.canvas.scale) @ b.canvas.rotation.T)[:, 1]
    high = (height - height.mean()) / max(1.0, float(height.std()))
    return np.clip(rng.normal(0.3, 0.3, len(path)) - 0.8 * high, -0.9, 1.2)


def _haustra(b: PhantomBuilder, lines: Centerlines, hit: Nearest) -> NDArray:
    """The colon's radius at every voxel: drawn in at the folds between haustra, and a little along three taeniae."""
    across, sideways = lines.frames()
    u = np.einsum("ij,ij->i", hit.offset, across[hit.index])
    v = np.einsum("ij,ij->i", hit.offset, sideways[hit.index])
    third = (np.arctan2(v, u) / (2 * np.pi) + 1) * 3  # the taeniae are its whole numbers
    number = np.floor(third).astype(int) % 3
    radius, depth = lines.rows[hit.index, 3], lines.rows[hit.index, 4]
    period = 15.0 * float(b.canvas.scale.mean())
    rng = generator(b, COURSE, 6)
    phase = rng.uniform(0, 1, 3)[number] + 0.3 * np.sin(hit.along / (2.3 * period) + rng.uniform(0, 6))
    from_fold = np.abs(np.mod(hit.along / period + phase, 1.0) - 0.5) * period
    ridge = np.exp(-np.square(from_fold / (1.4 + 0.08 * radius)))
    taenia = np.exp(-np.square((third - np.round(third)) * 2.1 * radius / 4.0))
    return radius * (1.0 + depth * (0.35 - 1.25 * ridge * (1 - 0.6 * taenia)) - 0.35 * depth * taenia)


def _stool_and_gas(
    b: PhantomBuilder, box: Box, lumen: tuple[NDArray, ...], lines: Centerlines, index: NDArray, radius: NDArray
) -> None:
    """Stool with bubbles of gas, and gas in every piece of the colon down to a level of its own."""
    c = b.canvas
    room = (lines.rows[:, :3] @ c.rotation.T)[:, 1]
    inside = np.zeros(tuple(s.stop - s.start for s in box), bool)
    inside[lumen] = True
    height = c.up[box][lumen] - room[index]
    place = positions_mm(c, box, inside)
    rng = filling_generator(b, 4)
    mottled = 1.9 - 0.9 * np.clip(noise(place, 60.0 * float(c.scale.mean()), rng), -0.6, 0.6)
    bubbles = noise(place, 5.0, rng) > mottled - 0.8 * np.clip(height / radius, -1, 1)
    tissue = np.where(bubbles, Tissue.GAS, Tissue.STOOL)
    tissue[height > lines.rows[index, 6] * radius] = Tissue.GAS
    c.tissues[box][lumen] = tissue


def _side_tube(b: PhantomBuilder, path: NDArray, where: NDArray) -> None:
    """The appendix or the end of the ileum: a thin tube with little inside."""
    c = b.canvas
    tube = c.tube(path, 1.0, 6.0)
    mask = c.fill(tube, Tissue.BOWEL_WALL, organ_id(BOWEL), where=where)
    c.tissues[tube.box][mask & (tube.field < -2.4)] = Tissue.STOOL
