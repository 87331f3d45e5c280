"""The chest of a phantom: heart with its chambers, great vessels, esophagus, airways, lungs with their trees, thymus.

All millimeters are those of the standard 5-year-old (`canvas`). The heart lies on the dome of the diaphragm, its apex
points left, forward and down; the field of view ends beneath the arch of the aorta.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms import landmarks
from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Box, Shape
from pedseg.phantoms.landmarks import mirrored

RNG_PART = 21  # the chest's own random numbers
HEART_MM = np.array([48.0, 36.0, 36.0])  # half axes: base to apex, left to right ventricle, upward
VALVES_MM = -10.0  # from the middle of the heart toward its apex: the plane between atria and ventricles
# Volume of the thymus in mL at these ages (ICRP 89); it turns into fat after puberty.
THYMUS_YEARS, THYMUS_ML = (0.0, 1.0, 5.0, 10.0, 15.0, 20.0, 40.0), (13.0, 30.0, 30.0, 38.0, 33.0, 22.0, 16.0)
FATTY_THYMUS_YEARS = 22.0


def chest(b: PhantomBuilder) -> None:
    """Esophagus, heart, great vessels, airways, lungs and their vessels, thymus."""
    c = b.canvas
    rng = b.generator(RNG_PART)
    c.fill(c.tube(b.at(3, landmarks.ESOPHAGUS), 1.5), Tissue.BOWEL_WALL, organ_id("Esophagus"), connected=True)
    chest_box = c.box((-110, -95, 20), (110, 85, 175))
    near = np.zeros(c.shape, bool)  # what lies so near to the mediastinum that no lung reaches it
    _heart(b, near)
    _great_vessels(b, near)
    _airways(b, near)
    _thymus(b, near)
    _lungs(b, chest_box, near)
    _fissures(b, chest_box)
    _lung_trees(b, rng)


# --- heart and great vessels ------------------------------------------------------------------------


def heart_frame() -> NDArray:
    """Rows of unit vectors: toward the apex, from the left to the right ventricle, and upward across both."""
    apex = np.array([-0.74, 0.60, -0.30])
    apex /= np.linalg.norm(apex)
    right = np.array([0.62, 0.78, 0.0])
    right -= apex * (apex @ right)
    right /= np.linalg.norm(right)
    return np.stack([apex, right, np.cross(right, apex)])


def _heart_middle(b: PhantomBuilder) -> NDArray:
    """The middle of the heart, so low above the diaphragm that a broad face lies on it."""
    c = b.canvas
    middle = np.array(landmarks.HEART) + b.displacements[2] * [1.0, 0.6, 0.0]
    box = c.box(middle - [4, 4, 40], middle + np.array([4, 4, 20]))
    close = (np.abs(c.x[box] - middle[0]) < 14) & (np.abs(c.y[box] - middle[1]) < 14)
    middle[2] = float(np.median(b.body.dome[box][close])) + 11.5
    return middle


def _heart(b: PhantomBuilder, near: NDArray) -> None:
    """A rounded cone on the diaphragm, filled to its volume; fat lies in front of its lower edge."""
    c, middle = b.canvas, _heart_middle(b)
    box = c.box(middle - 62, middle + 62)
    along, right, up = (sum(weight * o for weight, o in zip(row, c.offsets(box, middle), strict=True)) for row in
                        heart_frame().astype(np.float32))  # fmt: skip
    slim = 1 - 0.22 * np.clip(along / HEART_MM[0], -1, 1)
    field = np.sqrt((along / HEART_MM[0]) ** 2 + (right / HEART_MM[1]) ** 2 / slim + (up / HEART_MM[2]) ** 2 / slim)
    field += (0.035 * np.sin(along / 15 + middle[0]) * np.cos(right / 13 + up / 21 + middle[1])).astype(np.float32)
    x, y, z = c.x[box], c.y[box], c.z[box]
    field += 0.7 * np.exp(-(((x + 9) / 13) ** 2)) * np.clip((-9 - 0.04 * (z - 95) - y) / 6, 0, 1)  # the esophagus
    room = b.body.above & ~b.body.sheet
    heart = c.fill(
        Shape(box, field), Tissue.MYOCARDIUM, organ_id("Heart"), volume_ml=b.size.volume_ml["Heart"], where=room,
        connected=True,
    )  # fmt: skip
    level = float(field[heart].max()) if heart.any() else 1.0
    _chambers(b, box, heart, (level - field) * 36.0, along, right, up)
    margin = 1.03 + 0.04 * min(b.size.visceral, 3.0)
    pad = (z < b.body.dome[box] + 16) & (y > 22)  # fat in the angles between heart and diaphragm
    near[box] |= field < level * np.where(pad, margin + 0.16, margin)


def _chambers(
    b: PhantomBuilder, box: Box, heart: NDArray, depth: NDArray, along: NDArray, right: NDArray, up: NDArray
) -> None:
    """Two ventricles, the left thick-walled and round, the right a crescent around it; two thin-walled atria behind."""
    tissues, wall = b.canvas.tissues[box], _wall_mm(b)
    left_wall, cavity = (
        ((along - 6) / half[0]) ** 2 + ((right + 10) / half[1]) ** 2 + ((up + 1) / half[2]) ** 2 < 1
        for half in ((37.0, 20.0, 22.0), (28.0, 12.5, 14.5))
    )
    along = along + 4.0 - 0.012 * right**2 + 1.5 * np.sin(up / 9)  # the valves' plane bulges toward the atria
    low = along > VALVES_MM + 0.7 * wall + 0.8
    left_ventricle = cavity & low & (depth > 5.0)
    right_ventricle = low & ~left_wall & (depth > 2.6) & (right > -4 + 0.1 * along) & (along < 32)
    atria = (along < VALVES_MM - 0.7 * wall - 0.8) & (depth > 1.8)
    septum = right - 2 - 0.15 * up + 3.0 * np.sin((along + 0.6 * up) / 11)
    for chamber in (left_ventricle, right_ventricle, atria & (septum > 0.6 * wall), atria & (septum < -0.6 * wall)):
        tissues[heart & chamber] = Tissue.HEART_BLOOD
    groove = np.abs(along - VALVES_MM) < 4.4 - 0.7 * depth
    between = (np.abs(right - 7) < 2.8 - depth) & (along > VALVES_MM)
    tissues[heart & (groove | between)] = Tissue.FAT


def _wall_mm(b: PhantomBuilder) -> float:
    """Thickness of the walls between the heart's cavities, on coarse grids enough to keep these apart."""
    return float(np.clip(1.2 * (b.canvas.spacing / b.canvas.scale).max(), 1.8, 5.0))


def _great_vessels(b: PhantomBuilder, near: NDArray) -> None:
    """Ascending aorta, pulmonary trunk and arteries, upper vena cava, pulmonary veins: they belong to no label."""
    c, heart = b.canvas, organ_id("Heart")
    for path, into_heart in landmarks.GREAT_VESSELS:
        tube = c.tube(b.at(2, path), 5.0, 10.0)
        inside = c.labels[tube.box] == heart
        if into_heart:  # the root of the vessel, with its wall, within the heart
            tissues = c.tissues[tube.box]
            tissues[inside & (tube.field < _wall_mm(b))] = Tissue.MYOCARDIUM
            tissues[inside & (tube.field < 0)] = Tissue.HEART_BLOOD
        c.fill(tube, Tissue.HEART_BLOOD, where=b.body.above)
        near[tube.box] |= tube.field < 1.6


# --- airways, thymus and lungs ----------------------------------------------------------------------


def _airways(b: PhantomBuilder, near: NDArray) -> None:
    """The lower end of the trachea and both main bronchi, with walls; they belong to no label."""
    c = b.canvas
    tubes = [c.tube(path, 3.0, 10.0) for path in landmarks.AIRWAYS]
    for tube in tubes:
        c.fill(tube, Tissue.SOFT, where=b.body.above)
        near[tube.box] |= tube.field < 1.2
    for tube in tubes:
        lumen = (tube.field < -1.2) & (c.tissues[tube.box] == Tissue.SOFT)
        c.tissues[tube.box][lumen] = Tissue.GAS


def _thymus(b: PhantomBuilder, near: NDArray) -> None:
    """The thymus in front of the great vessels: broad in an infant, fat in an adult."""
    c, age = b.canvas, b.surgery.child.age_years
    size = (float(np.interp(age, THYMUS_YEARS, THYMUS_ML)) / float(c.scale.prod()) / 60.0) ** (1 / 3)
    gland = c.ellipsoid((-4, 40, 152), np.array([34.0, 17.0, 40.0]) * size, reach=1.3)
    space = gland.field < 1
    tissue = Tissue.THYMUS if age < FATTY_THYMUS_YEARS else Tissue.FAT
    c.paint(gland.box, space & b.body.above[gland.box] & c.free[gland.box], tissue)
    near[gland.box] |= gland.field < 1.04


def _lungs(b: PhantomBuilder, box: Box, near: NDArray) -> None:
    """Both lungs fill what heart, vessels, airways and the fat between them leave of the chest."""
    c, body = b.canvas, b.body
    x, y, z = c.x[box], c.y[box], c.z[box]
    behind = ((x + 5) / 11) ** 2 + ((y + 13) / 15) ** 2 < 1  # around esophagus and aorta
    behind |= ((x - 3) / 23) ** 2 + ((y - 12) / 22) ** 2 < np.clip((z - 112) / 18, 0, 1)  # around the great vessels
    front = np.abs(x + 3 + 10 * np.clip((100 - z) / 30, 0, 1)) < np.where(y > 30, 2.0, -1.0)
    space = body.above[box] & c.free[box] & ~body.sheet[box] & ~near[box] & ~behind & ~front
    middle = -3.0 - 6.0 * np.clip(y / 30, 0, 1)
    for name, side in (("Lung_L", x < middle), ("Lung_R", x >= middle)):
        field = np.where(space & side, np.float32(-1), np.float32(1))
        c.fill(Shape(box, field), Tissue.LUNG, organ_id(name), connected=True)


def _fissures(b: PhantomBuilder, box: Box) -> None:
    """The oblique fissure of both lungs and the horizontal one of the right lung: planes of a voxel's thickness."""
    c = b.canvas
    x, y, z = c.x[box], c.y[box], c.z[box]
    half = max(0.6, 0.4 * float((c.spacing / c.scale).max()))
    lung = c.tissues[box] == Tissue.LUNG
    oblique = (z - 148 + 0.85 * (y + 48) - 5 * np.sin(x / 22)) * 0.76
    horizontal = z - 113 - 0.06 * (x - 50) + 3 * np.cos(y / 20)
    fissure = np.abs(oblique) < half
    fissure |= (np.abs(horizontal) < half) & (oblique > 0) & (x > 0)
    c.tissues[box][lung & fissure] = Tissue.FISSURE


def _lung_trees(b: PhantomBuilder, rng: np.random.Generator) -> None:
    """Arteries with bronchi beside them, and veins between these, fork from each hilum and taper to the pleura."""
    for side in (-1, 1):
        for tip in landmarks.LUNG_SEGMENTS:
            low = tip[2] < 115
            start = landmarks.ARTERY_HILUM[1] if low else landmarks.ARTERY_HILUM[0]
            artery = _stem(rng, mirrored((start,), side)[0], np.array(tip) * [side, 1, 1], 3.4 if low else 2.9)
            _paint_in_lung(b, _forks(rng, artery), Tissue.LUNG_VESSEL)
            airway = artery[:3] + np.array([side * 1.5, -4.5, 1.0, 0.0])
            airway[:, 3] = (3.0, 2.3, 1.7)
            _paint_in_lung(b, [airway], Tissue.SOFT)
            _paint_in_lung(b, [airway - [0, 0, 0, 0.9]], Tissue.GAS)
        for tip in landmarks.LUNG_VEINS:
            start = landmarks.VEIN_HILUM[1] if tip[2] < 110 else landmarks.VEIN_HILUM[0]
            vein = _stem(rng, mirrored((start,), side)[0], np.array(tip) * [side, 1, 1], 3.0)
            _paint_in_lung(b, _forks(rng, vein), Tissue.LUNG_VESSEL)


def _stem(rng: np.random.Generator, start: NDArray, tip: NDArray, radius: float) -> NDArray:
    """A bent line of four rows from a hilum to a tip, tapering to a quarter."""
    share = np.array([0.0, 0.3, 0.62, 1.0])[:, None]
    points = start[:3] + share * (tip + rng.normal(0, 5, 3) - start[:3])
    points[1:3] += rng.normal(0, 3.5, (2, 3)) + np.array([0, 0, 2.5])
    return np.column_stack([points, radius * np.array([1.0, 0.72, 0.48, 0.24])])


def _forks(rng: np.random.Generator, stem: NDArray) -> list[NDArray]:
    """A stem with four side branches, which leave it at acute angles."""
    paths = [stem]
    for share in (0.35, 0.5, 0.65, 0.8):
        row = np.array([np.interp(share, (0, 0.3, 0.62, 1), stem[:, k]) for k in range(4)])
        ahead = stem[-1, :3] - row[:3]
        aside = rng.normal(0, 1, 3)
        aside -= ahead * (aside @ ahead) / max(1e-6, ahead @ ahead)
        end = row[:3] + 0.8 * ahead + aside / np.linalg.norm(aside) * (10 + 0.45 * np.linalg.norm(ahead))
        paths.append(np.array([row * [1, 1, 1, 0.75], [*(row[:3] * 0.45 + end * 0.55 + ahead * 0.1), row[3] * 0.5],
                               [*end, row[3] * 0.25]]))  # fmt: skip
    return paths


def _paint_in_lung(b: PhantomBuilder, paths: Iterable[NDArray], tissue: int) -> None:
    """Paint thin tubes where there is lung (or, for the lumen, the wall of an airway); labels stay."""
    c = b.canvas
    under, in_lung = np.zeros((2, 256), bool)
    under[[Tissue.LUNG, Tissue.FISSURE]] = True
    under[Tissue.SOFT] = tissue == Tissue.GAS
    in_lung[[organ_id("Lung_L"), organ_id("Lung_R")]] = True
    for path in paths:
        tube = c.tube(path, 0.5, 14.0)
        inside = (tube.field < 0) & under[c.tissues[tube.box]] & in_lung[c.labels[tube.box]]
        c.tissues[tube.box][inside] = tissue
