"""The small bowel of a phantom: folded loops in the room that other organs left, and the mesentery that carries them.

Points on a bent lattice, one loop apart, are joined into long tubes; every tube has collapsed, fluid-filled and
gas-filled pieces. What is left between the loops is the fat of the mesentery with its vessels, which fan out from the
root. Widths of loops in children: about 12 to 20 mm filled (plausible guesses by age); the root runs from the
duodenojejunal flexure to the right iliac fossa, as in every textbook.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Box, Canvas
from pedseg.phantoms.mesentery import (
    BOWEL,
    COURSE,
    fatness,
    filling_generator,
    from_root,
    generator,
    mesenteric_vessels,
    omentum,
    root_mm,
)
from pedseg.phantoms.tubes import ANOTHER_LOOP_MM, Centerlines, noise, positions_mm

PITCH_AGES, PITCH_MM = (0.0, 1.0, 5.0, 10.0, 15.0, 20.0), (9.5, 12.0, 15.5, 18.0, 21.0, 23.0)


def small_bowel(b: PhantomBuilder) -> None:
    """The bag of the small bowel, its loops, and the vessels and nodes between them."""
    c = b.canvas
    box = c.box((-100, -70, -158), (100, 85, 80))
    bag = _bag(b, box)
    place = positions_mm(c, box, bag)
    root = np.zeros(bag.shape, np.float32)
    root[bag] = from_root(c, place)
    c.paint(box, bag, Tissue.FAT, organ_id(BOWEL))
    strands = noise(place, 11.0, generator(b, COURSE, 7)) > 1.0
    c.tissues[box][tuple(np.argwhere(bag)[strands].T)] = Tissue.MESENTERY
    room = Room.of(c, box, bag & (root > root_mm(b)) & ~omentum(b, box))
    lines = _loops(b, room)
    free = bag.copy()
    if lines is not None:
        _paint_loops(b, box, bag & (root > 0.7 * root_mm(b)), lines, free)
        mesenteric_vessels(b, box, free, lines)


def _bag(b: PhantomBuilder, box: Box) -> NDArray:
    """All that is free in front of the back wall, down between bladder and rectum."""
    c = b.canvas
    bag = (b.body.below[box] | ((c.z[box] < -40) & b.body.cavity[box])) & c.free[box]
    bag[bag] = _in_the_bag(b, *(axis[box][bag] for axis in (c.x, c.y, c.z)))
    bowel = bag | (c.labels[box] == organ_id(BOWEL))
    bag &= ndimage.uniform_filter(bowel.astype(np.float32), 3) > 0.5  # no slivers between other organs
    return bag


def _in_the_bag(b: PhantomBuilder, x: NDArray, y: NDArray, z: NDArray) -> NDArray:
    """Which points of the standard child may belong to the small bowel and its mesentery."""
    aside = np.clip((np.abs(x + 2) - 22) / 20, 0, 1)
    back = -11 - 24 * aside * np.clip((-30 - z) / 25, 0, 1) - 20 * np.clip((-75 - z) / 25, 0, 1)
    if b.left or b.right:  # loops sink into the bed of a removed kidney
        beds = 10 * b.left * np.clip((-18 - x) / 12, 0, 1) + 10 * b.right * np.clip((x - 24) / 12, 0, 1)
        back -= beds * np.clip((46 - np.abs(z)) / 14, 0, 1)
    floor = -139 + 0.016 * np.square(x) + 0.02 * np.square(y - 2)
    field = np.square((x + 4) / 94) + np.square((y - 12) / 72) + np.square(np.minimum(z + 46, 0) / 112)
    field += np.square(np.maximum(z + 46, 0) / 102)
    field -= 0.5 * np.clip((z - 30) / 20, 0, 1) * np.clip((-20 - x) / 15, 0, 1)  # up under the left dome
    field += 0.6 * np.clip((z - 10) / 30, 0, 1) * np.clip((28 - y) / 20, 0, 1) * np.clip((x + 42) / 16, 0, 1)
    return (field < 1.0) & (y > back) & (z > floor) & (z < 58 + 22 * (x < -15))


# --- the loops --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """How deep the points of the body (mm, straight coordinates) lie inside the bag, and which way leads deeper."""

    canvas: Canvas
    first: NDArray  # index of the first sparse voxel
    step: NDArray
    depth: NDArray  # (4, ...) distance from the bag's border in mm, and its gradient

    @classmethod
    def of(cls, c: Canvas, box: Box, mask: NDArray) -> Room:
        """The depth on about every third millimeter."""
        step = np.maximum(1, np.round(3.0 / c.spacing)).astype(int)
        sparse = np.pad(mask[:: step[0], :: step[1], :: step[2]], 1)
        depth = ndimage.distance_transform_edt(sparse, sampling=c.spacing * step).astype(np.float32)
        gradient = np.gradient(depth, *(c.spacing * step))
        first = np.array([s.start for s in box]) - step
        return cls(c, first, step, np.stack([depth, *gradient]).astype(np.float32))

    def at(self, points: NDArray) -> NDArray:
        """Depth in mm and its gradient (n, 4) at points of the body in mm."""
        c = self.canvas
        index = ((points @ c.rotation.T - c.first) / c.spacing - self.first) / self.step
        depth, *gradient = (ndimage.map_coordinates(part, index.T, order=1, cval=0.0) for part in self.depth)
        return np.column_stack([depth, np.stack(gradient, -1) @ c.rotation])

    def push(self, points: NDArray, clearance_mm: NDArray | float) -> NDArray:
        """Points moved inward until they keep their clearance from the border, as far as one step brings them."""
        here = self.at(points)
        return points + here[:, 1:] * np.maximum(clearance_mm - here[:, :1], 0)


def pitch_mm(b: PhantomBuilder) -> float:
    """From one loop to the next, by age."""
    return float(np.interp(b.surgery.child.age_years, PITCH_AGES, PITCH_MM))


def _loops(b: PhantomBuilder, room: Room) -> Centerlines | None:
    """The centerlines of all loops: rows of (x, y, z, radius, content, gas level)."""
    rng, filling = generator(b, COURSE), filling_generator(b, 1)
    pitch = pitch_mm(b)
    half = int(np.ceil(1.25 * 110.0 * float(b.canvas.scale.max()) / pitch))
    size = 2 * half + 1
    turn = np.linalg.qr(rng.normal(0, 1, (3, 3)))[0]
    grid = np.stack(np.meshgrid(*[np.arange(-half, half + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    nodes = (grid + rng.uniform(-0.22, 0.22, grid.shape)) @ turn.T * pitch + np.array([0, 15, -45]) * b.canvas.scale
    priority, states = rng.random((len(grid), 13)), filling.normal(0, 1, (len(grid), 3))
    kept = np.flatnonzero(room.at(nodes)[:, 0] > 0.3 * pitch)
    nodes = room.push(nodes, 0.45 * pitch)
    edges = _edges(grid, kept, size, priority, nodes, room, pitch)
    paths = [np.array(path) for path in _threads(edges) if len(path) > 1]
    if not paths:
        return None
    rows = [np.column_stack([nodes[path], _states(b, states[path])]) for path in paths]
    lines = Centerlines.of_paths(rows, 2.5)
    lines.rows[:, :3] = room.push(lines.rows[:, :3], lines.rows[:, 3:4])
    depth = room.at(lines.rows[:, :3])[:, 0]
    crowded = float(np.clip(0.8 - 0.18 * fatness(b), 0.54, 0.72))  # above a half, loops flatten each other
    most = np.minimum(depth + 0.1 * pitch, crowded * lines.clearance(1.25 * pitch))
    lines.rows[:, 3] = np.minimum(lines.rows[:, 3], np.maximum(most, 0.2 * pitch))
    return lines


def _edges(
    grid: NDArray, kept: NDArray, size: int, priority: NDArray, nodes: NDArray, room: Room, pitch: float
) -> NDArray:
    """Pairs of neighboring nodes that a loop may join, best first; neighbors run side by side by preference."""
    is_kept = np.zeros(len(grid), bool)
    is_kept[kept] = True
    steps = [s for s in product((-1, 0, 1), repeat=3) if s > (0, 0, 0)]
    middle, choices = (size - 1) // 2, []
    for k, step in enumerate(steps):
        target = grid[kept] + step
        a = kept[(np.abs(target) <= middle).all(axis=1)]
        other = a + np.dot(step, (size * size, size, 1))
        a, other = a[is_kept[other]], other[is_kept[other]]
        vector = nodes[other] - nodes[a]
        length = np.linalg.norm(vector, axis=1) / pitch
        wave = nodes[a] / (5.5 * pitch)
        prefer = np.stack([np.sin(wave[:, 1] + 2), np.sin(wave[:, 2]), np.sin(wave[:, 0] + 1)], -1)
        along = np.abs((vector * prefer).sum(axis=1)) / (np.linalg.norm(prefer, axis=1) * length * pitch + 1e-6)
        value = priority[a, k] + 0.9 * along - 1.2 * length
        value[room.at((nodes[a] + nodes[other]) / 2)[:, 0] < 0.22 * pitch] = -np.inf
        choices.append(np.column_stack([value, a, other]))
    pairs = np.vstack(choices)
    pairs = pairs[np.isfinite(pairs[:, 0])]
    return pairs[np.argsort(-pairs[:, 0], kind="stable"), 1:].astype(int)


def _threads(edges: NDArray) -> list[list[int]]:
    """Join nodes into threads without branches or rings, taking the best edges first."""
    neighbors: dict[int, list[int]] = {}
    ends: dict[int, int] = {}  # the other end of the thread that ends here
    for a, e in edges.tolist():
        if len(neighbors.get(a, ())) > 1 or len(neighbors.get(e, ())) > 1 or ends.get(a, a) == e:
            continue
        neighbors.setdefault(a, []).append(e)
        neighbors.setdefault(e, []).append(a)
        first, last = ends.get(a, a), ends.get(e, e)
        ends[first], ends[last] = last, first
    threads: list[list[int]] = []
    seen: set[int] = set()
    for start in sorted(node for node, others in neighbors.items() if len(others) == 1):
        if start in seen:
            continue
        thread, before = [start], -1
        while following := [n for n in neighbors[thread[-1]] if n != before]:
            before = thread[-1]
            thread.append(following[0])
        seen.update((start, thread[-1]))
        threads.append(thread)
    return threads


def _states(b: PhantomBuilder, normal: NDArray) -> NDArray:
    """Radius, content and gas level along one thread, from random numbers of its nodes."""
    smooth = ndimage.gaussian_filter1d(normal, 1.3, axis=0, mode="nearest", truncate=2.0) / 0.47  # sd 1 again
    pitch, lean = pitch_mm(b), float(np.clip(1.08 - 0.15 * fatness(b), 0.76, 1.05))
    filled = 1 / (1 + np.exp(-3.0 * (smooth[:, 0] + 0.3)))
    radius = pitch * lean * (0.37 + 0.25 * filled)
    return np.column_stack([radius, filled + 0.15 * smooth[:, 1], smooth[:, 2]])


def _paint_loops(b: PhantomBuilder, box: Box, mask: NDArray, lines: Centerlines, free: NDArray) -> None:
    """Wall and content of the loops; takes their voxels out of `free`."""
    c = b.canvas
    across, level = c.undeformed
    place = np.argwhere(mask) + [s.start for s in box]
    straight = np.column_stack([across[place[:, 0], place[:, 1]], level[place[:, 2]]]) * c.scale
    hit = lines.nearest(straight.astype(np.float32), 0.75 * pitch_mm(b))
    radius, filled, gas = lines.rows[hit.index, 3:6].T
    inside = hit.distance < radius
    index = np.full(mask.shape, -1, np.int32)
    index[mask] = np.where(inside, hit.index, -1)
    wall_mm = np.interp(filled, (0.2, 0.8), (2.6, 1.5)) * min(1.0, 0.6 + 0.03 * pitch_mm(b))
    depth = radius - hit.distance
    tissue = np.full(len(place), Tissue.BOWEL_WALL, np.uint8)
    lumen = (depth > wall_mm) & (filled > 0.3) & ~_touching(index, lines.along)[mask]
    tissue[lumen] = Tissue.BOWEL_FLUID
    jejunum = np.clip(0.5 - 0.006 * straight[:, 0] / c.scale[0] + 0.008 * (straight[:, 2] / c.scale[2] + 40), 0, 1)
    phase = hit.along * np.float32(2 * np.pi / (3.2 + 0.08 * pitch_mm(b)))
    uneven = noise(straight, 13.0, generator(b, COURSE, 8), 4)
    folds = np.sin(phase + 1.4 * uneven) + 0.35 * uneven > 1.25 - 0.9 * jejunum
    tissue[lumen & folds & (depth < 0.62 * radius)] = Tissue.BOWEL_WALL
    height = (lines.rows[:, :3] @ c.rotation.T)[:, 1]
    room_y = c.first[1] + c.spacing[1] * place[:, 1]
    high = (height - np.median(height)) / max(1.0, float(height.std()))
    line = np.clip(1.5 - 0.35 * gas - 0.9 * high[hit.index], -0.8, 3.0) * radius
    tissue[lumen & (filled > 0.55) & (room_y - height[hit.index] > line)] = Tissue.GAS
    c.tissues[box][tuple(np.argwhere(mask)[inside].T)] = tissue[inside]
    free &= index < 0


def _touching(index: NDArray, along: NDArray) -> NDArray:
    """Voxels whose next voxel belongs to another loop: walls that lie on each other."""
    place = np.where(index >= 0, along[index], np.float32(-1e9))
    out = np.zeros(index.shape, bool)
    for axis in range(3):
        low, high = (tuple(s if a == axis else slice(None) for a in range(3)) for s in (slice(-1), slice(1, None)))
        apart = (np.abs(place[high] - place[low]) > ANOTHER_LOOP_MM) & (index[high] >= 0) & (index[low] >= 0)
        out[low] |= apart
    return out
