"""The mesentery and the omentum of a phantom: the fat between the loops of bowel, its vessels and lymph nodes.

The root of the mesentery runs from the duodenojejunal flexure to the right iliac fossa. How much fat there is grows
with age and with obesity (plausible guesses). Here are also the random numbers that all parts of the bowel draw from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Box, Canvas, largest_component
from pedseg.phantoms.landmarks import MESENTERIC_ROOT, MESENTERIC_TRUNK
from pedseg.phantoms.tubes import Centerlines, near, positions_mm

BOWEL = "Bowel^Stomach"
COURSE, FILLING = 1, 2  # streams of random numbers: what stays, and what changes from visit to visit
FAT_AGES, FAT = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0), (0.3, 0.4, 0.6, 0.8, 1.0, 1.25, 1.7)  # plausible guesses


def generator(b: PhantomBuilder, *numbers: int) -> np.random.Generator:
    """A stream of random numbers of its own for one part of the bowel."""
    return b.generator(3, *numbers)


def filling_generator(b: PhantomBuilder, part: int) -> np.random.Generator:
    """The random numbers of one part's filling, others at every visit."""
    return generator(b, FILLING, part, 1 + b.surgery.child.visit)


def fatness(b: PhantomBuilder) -> float:
    """How much fat there is in the mesentery: 0.3 in an infant, about 1 at 15 years, more in obesity."""
    return b.size.visceral * float(np.interp(b.surgery.child.age_years, FAT_AGES, FAT))


def omentum(b: PhantomBuilder, box: Box) -> NDArray:
    """The apron of fat in front of the loops: hardly anything in a toddler, a centimeter and more in obesity."""
    thick = float(np.clip(1.6 * fatness(b) ** 1.5, 0.3, 14.0))
    wall = b.body.fat_depth[box] + 7.0
    return (b.body.depth[box] < wall + thick) & (b.canvas.y[box] > 15) & (b.canvas.z[box] > -105)


def from_root(c: Canvas, place: NDArray) -> NDArray:
    """Distance in mm from the root of the mesentery, a straight line along the back wall."""
    start, end = (np.array(point) * c.scale for point in MESENTERIC_ROOT)
    length = float(np.linalg.norm(end - start))
    direction = ((end - start) / length).astype(np.float32)
    offset = place - start.astype(np.float32)
    along = np.clip(offset @ direction, 0, length)
    return np.sqrt(sum(np.square(offset[:, axis] - along * direction[axis]) for axis in range(3)))


def root_mm(b: PhantomBuilder) -> float:
    """How far the loops keep from the root: more where the mesentery is fat."""
    return float(np.clip(-2.0 + 11.0 * fatness(b), 2.0, 20.0) * b.canvas.scale.mean())


def mesenteric_vessels(b: PhantomBuilder, box: Box, free: NDArray, lines: Centerlines) -> None:
    """Branches of the superior mesenteric artery and vein that fan out to the loops, and small lymph nodes."""
    c, rng = b.canvas, generator(b, COURSE, 2)
    trunk = np.array(MESENTERIC_TRUNK)
    girth = float(c.scale.mean())
    arteries, veins = [], []
    ends = lines.rows[np.linspace(0, len(lines.rows) - 1, 80).astype(int), :3] / c.scale
    for end in ends:
        row = np.interp(end[2], (-90, 10), (len(trunk) - 1, 0)) + rng.normal(0, 1.0)
        start = trunk[int(np.clip(row, 0, len(trunk) - 1))]
        start = start + rng.normal(0, 2, 3)
        bend = start + (end - start) * rng.uniform(0.35, 0.65) + rng.normal(0, 8, 3) + np.array([0, 4, 0])
        path = np.column_stack([np.stack([start, bend, end]) * c.scale, np.array([1.3, 0.95, 0.7]) * girth**0.6])
        arteries.append(path * [1, 1, 1, 0.7])
        beside = (rng.normal(0, 1, 3) + np.array([2.0, 0.5, 0.0])) * girth
        veins.append(path + np.append(beside, 0.0))
    for tissue, paths in ((Tissue.PORTAL, veins), (Tissue.ARTERY, arteries)):
        tree = Centerlines.of_paths(paths, 2.0)
        mask = free & near(c, box, tree, 3.0)
        hit = tree.nearest(positions_mm(c, box, mask), 3.5)
        inside = hit.distance < tree.rows[hit.index, 3]
        c.tissues[box][tuple(np.argwhere(mask)[inside].T)] = tissue
    _nodes(b, box, free, rng)


def _nodes(b: PhantomBuilder, box: Box, free: NDArray, rng: np.random.Generator) -> None:
    """Small lymph nodes (3 to 7 mm long) along the root of the mesentery, more of them in children."""
    c = b.canvas
    start, end = (np.array(point) for point in MESENTERIC_ROOT)
    whole = np.zeros(c.shape, bool)
    whole[box] = free
    for _ in range(9 if b.surgery.child.age_years < 16 else 4):
        place = start + (end - start) * rng.uniform(0.1, 1.0) + rng.normal(0, (7, 5, 7))
        half_mm = rng.uniform(1.5, 3.0) * np.array([1.3, 0.8, 1.0])
        shape = c.ellipsoid(place, half_mm / c.scale.mean(), (0, rng.uniform(-40, 40), 0), reach=1.0)
        c.tissues[shape.box][whole[shape.box] & (shape.field < 1)] = Tissue.SOFT


def keep_largest_component(b: PhantomBuilder) -> None:
    """Turn into fat what other organs have cut off from the bowel."""
    mask = b.canvas.labels == organ_id(BOWEL)
    rest = mask & ~largest_component(mask)
    b.canvas.labels[rest] = 0
    b.canvas.tissues[rest] = Tissue.FAT
