"""The muscles of a phantom: walls of belly and chest, back, hip and thigh, psoas; and arms beside the trunk.

All millimeters are those of the standard 5-year-old (`canvas`). Muscles are drawn by the fat between them: `Body` has
made everything between the fat under the skin and the cavity muscle. Courses were fitted by eye.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms import landmarks
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.body import Body, breast_mm, skin_mm
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Box, Canvas
from pedseg.phantoms.landmarks import Path, mirrored
from pedseg.phantoms.pelvis import wing

UMBILICUS_Z = -33.0  # between the third and the fourth lumbar vertebra
# The semilunar line: how far out the rectus reaches, by height.
SEMILUNAR_Z = (-150.0, -110.0, -60.0, 0.0, 60.0, 100.0)
SEMILUNAR_X = (10.0, 20.0, 27.0, 31.0, 31.0, 27.0)
# Fat around the vessels of the leg.
GROIN: Path = (
    (37.0, 14.0, -112.0, 6.5),
    (41.0, 22.0, -130.0, 7.0),
    (43.0, 36.0, -148.0, 7.5),
    (44.0, 45.0, -185.0, 8.0),
)


def walls(body: Body) -> None:
    """Fat planes and fasciae of the walls, before the bones are drawn."""
    _belly_wall(body)
    _chest_wall(body)
    _back(body)
    _hips(body)
    _umbilicus(body)
    if breast_mm(body.child) > 1:
        for side in (-1, 1):
            _breast(body, side)
    if body.child.arms_down:
        for side in (-1, 1):
            _arm(body, side)


def beside_the_spine(b: PhantomBuilder) -> None:
    """Psoas and quadratus lumborum beside the spine, and the crura where they rise from it."""
    c = b.canvas
    for side in (-1, 1):
        c.fill(c.tube(mirrored(landmarks.PSOAS, side), 1.0, 14.0), Tissue.MUSCLE)
        for path in landmarks.QUADRATUS:
            c.fill(c.tube(mirrored(path, side), 1.0, 14.0), Tissue.MUSCLE)
        c.fill(c.tube(mirrored(landmarks.CRURA[1], side), 1.0), Tissue.MUSCLE)


# --- belly and chest --------------------------------------------------------------------------------


def _belly_wall(body: Body) -> None:
    """The muscles in front and at the sides of the belly, down to the inguinal ligament."""
    c = body.canvas
    box = c.box((-110, -60, -165), (110, 100, 105))
    x, y, z, under = np.abs(c.x[box]), c.y[box], c.z[box], body.under[box]
    above = z - inguinal(x)
    wall = (c.tissues[box] == Tissue.MUSCLE) & (under < 16) & (above > -2)
    edge = np.interp(c.undeformed[1][box[2]], SEMILUNAR_Z, SEMILUNAR_X).astype(np.float32)
    _rectus(body, box, wall & (y > 15) & (x < edge), edge)
    _flat_muscles(body, box, wall & (x >= edge), edge)
    ends = wall & (y > 15) & (x > edge - 3) & (z < -80) & (under > 0.6 * above)
    c.tissues[box][ends] = Tissue.FAT
    deep = (c.tissues[box] == Tissue.MUSCLE) & (under > 10) & (y > 30) & (x < 46) & (z < -90) & (above > -2)
    c.tissues[box][deep] = Tissue.FAT


def _rectus(body: Body, box: Box, where: NDArray, edge: NDArray) -> None:
    """The rectus of both sides, parted by the linea alba and crossed by three tendinous inscriptions."""
    c = body.canvas
    x, z, under = np.abs(c.x[box]), c.z[box], body.under[box]
    thick = 6.8 * np.sqrt(np.clip(1 - ((x - edge / 2) / (edge / 2 + 0.5)) ** 2, 0.04, 1))
    inscription = np.min([np.abs(z - level - 0.1 * x) for level in (-30, 12, 50)], axis=0) < 0.7
    c.tissues[box][where & (under > thick)] = Tissue.FAT
    c.tissues[box][where & (x < 1.4) & (under < 4.0)] = Tissue.FASCIA
    c.tissues[box][where & inscription & (under < thick)] = Tissue.FASCIA


def _flat_muscles(body: Body, box: Box, where: NDArray, edge: NDArray) -> None:
    """External and internal oblique and transversus, with fat between; their aponeuroses thin out to the rectus."""
    c = body.canvas
    x, y, z = np.abs(c.x[box]), c.y[box], c.z[box]
    where = where & (z < 62) & ((y > -42) | (z > -30)) & ((z > -52) | (y > 8))
    thick = np.where(y > 8, np.clip(0.35 + 0.13 * (x - edge), 0.3, 1.0), 1.0)
    under = body.under[box] / thick
    half = 0.42 + 0.1 * min(float(c.scale[0]), 1.6)
    fat = (y > 8) & (under > 10.3)
    for depth, width in ((3.4, half), (7.1, 0.85 * half)):
        fat |= (np.abs(under - depth) < width) & c.resolves(2 * width * thick)
    c.tissues[box][where & fat] = Tissue.FAT


def inguinal(x: NDArray) -> NDArray:
    """Height of the inguinal ligament: from the iliac spine down to the pubis."""
    return -152 + 1.12 * np.clip(x - 10, 0, 68)


def _chest_wall(body: Body) -> None:
    """Outside the ribs: pectoral muscle in front, latissimus and serratus at the side, and fat where there is none."""
    c = body.canvas
    box = c.box((-110, -100, 5), (110, 100, 175))
    x, y, z, under = np.abs(c.x[box]), c.y[box], c.z[box], body.under[box]
    wall = (c.tissues[box] == Tissue.MUSCLE) & (under < 12)
    pectoral = np.clip((z - 92 - 0.25 * np.abs(x - 35)) / 22, 0, 1) * np.clip((x - 9) / 8, 0, 1) * (y > 12)
    oblique = np.clip((100 - z) / 25, 0, 1) * np.clip((x - 28) / 8, 0, 1) * np.clip((y + 12) / 15, 0, 1)
    latissimus = np.clip((8 - y) / 14, 0, 1) * np.clip((x - 24) / 10, 0, 1)
    outer = 4.0 * np.maximum(np.maximum(pectoral, oblique), latissimus) * (z > 20)
    c.tissues[box][wall & (y > -60) & (z > 20) & (under >= outer) & (under < 4.2)] = Tissue.FAT
    if c.resolves(1.0):
        c.tissues[box][wall & (z > 62) & (y > -55) & (np.abs(under - 9.6) < 0.5) & (x > 20)] = Tissue.FAT


def _breast(body: Body, side: int) -> None:
    """A breast on the pectoral muscle: fat with strands of glandular tissue under the skin."""
    c, high = body.canvas, breast_mm(body.child)
    middle = body.outline.wall_point(np.array([np.deg2rad(142)]), np.array([128.0]), 0.0)[0] * [side, 1, 1]
    breast = c.ellipsoid(middle, (34, float(body.outline.fat) + high, 28), (0, 0, side * -38), reach=1.05)
    box, inside = breast.box, breast.field < 1
    out = inside & (body.radius[box] >= 1)
    c.tissues[box][inside & (c.tissues[box] == Tissue.SKIN)] = Tissue.FAT
    c.tissues[box][out] = np.where(breast.field[out] > 0.93, Tissue.SKIN, Tissue.FAT)
    x, y, z = c.offsets(box, middle)
    strands = np.sin(0.45 * x + 0.3 * z) + np.sin(0.5 * y - 0.25 * x) + np.sin(0.4 * z + 0.35 * y) > 0.7
    fat = (c.tissues[box] == Tissue.FAT) & (body.under[box] < 0)
    c.tissues[box][fat & strands & (breast.field < 0.75)] = Tissue.SOFT


def _back(body: Body) -> None:
    """Multifidus, longissimus and iliocostalis with fat between, under the fascia of the back; quadratus in front."""
    c = body.canvas
    box = c.box((-75, -110, -100), (75, -36, 175))
    x, y, z, under = np.abs(c.x[box]), c.y[box], c.z[box], body.under[box]
    muscle = c.tissues[box] == Tissue.MUSCLE
    width = np.interp(c.undeformed[1][box[2]], (-100, -75, -40, 40, 100, 150), (14, 26, 40, 40, 34, 30))
    width = width.astype(np.float32)
    wave = 1.5 * np.sin(z / 16) + 0.18 * (y + 60)
    ring = np.sqrt((x / width) ** 2 + (np.maximum(-y - 66, 0) / 24) ** 2)
    behind = (x > width + 1) & (x < width + 26) & (z < 25) & (z > -58)
    for half, distance, where in (
        (0.8, x - 0.33 * width - wave, (under > 3.5) & (y < -57)),
        (0.7, x - 0.70 * width + wave, under > 3.0),
        (0.9, (ring - 1) * width, True),
        (0.5, under - 2.6, (x > 4) & (x < width)),
        (0.8, under - 3.6, behind),
    ):
        if c.resolves(2 * half):
            c.tissues[box][muscle & where & (np.abs(distance) < half) & (z > -78)] = Tissue.FAT
    c.tissues[box][muscle & (x < 1.3) & (y < -66)] = Tissue.FAT
    c.tissues[box][muscle & behind & (under > 8.5)] = Tissue.FAT  # behind the kidney and the quadratus


def _umbilicus(body: Body) -> None:
    """The navel: a dimple of skin that reaches down to the linea alba."""
    c = body.canvas
    front = body.outline.wall_point(np.array([np.pi]), np.array([UMBILICUS_Z]), 0.0)[0]
    skin = float(body.outline.half_axes(UMBILICUS_Z)[1])
    for radius, deep, tissue in ((4.0, 1.5, Tissue.SKIN), (2.0, -0.35 * float(body.outline.fat) - 1, Tissue.AIR)):
        end = front[1] - deep
        tube = c.tube([(0, skin + 6, UMBILICUS_Z, radius), (0, end, UMBILICUS_Z, radius)], 0.5, 30.0)
        allowed = (body.radius[tube.box] < 1) & ~body.cavity[tube.box]
        c.tissues[tube.box][(tube.field < 0) & allowed] = tissue


# --- hip and thigh ----------------------------------------------------------------------------------

# Muscles of the right hip and thigh, each of one or more strands.
HIP_MUSCLES: tuple[tuple[Path, ...], ...] = (
    (  # gluteus maximus
        ((36, -68, -66, 5), (64, -62, -105, 11), (84, -40, -150, 9)),
        ((26, -66, -92, 8), (50, -72, -122, 13), (76, -56, -160, 11), (84, -30, -190, 7)),
        ((16, -60, -122, 8), (38, -72, -146, 14), (64, -62, -176, 13), (74, -48, -195, 10)),
        ((14, -60, -146, 8), (28, -68, -166, 12), (46, -66, -190, 12)),
    ),
    (  # gluteus medius
        ((80, 0, -54, 4), (86, -4, -80, 9), (89, -8, -112, 10), (86, -11, -136, 6)),
        ((64, -40, -62, 4), (78, -34, -90, 10), (86, -20, -128, 7)),
        ((82, 24, -74, 5), (85, 14, -102, 9), (86, -2, -134, 6)),
    ),
    (((73, -8, -84, 4), (74, -2, -108, 7), (82, -4, -134, 5)), ((74, 16, -92, 4), (74, 12, -114, 7), (80, 2, -134, 5))),
    (((81, 36, -80, 4), (85, 34, -112, 6), (89, 26, -150, 7), (90, 20, -195, 6)),),  # tensor of the fascia lata
    (((76, 43, -78, 3.5), (68, 51, -115, 5), (57, 54, -150, 6), (46, 54, -190, 6)),),  # sartorius
    (((64, 34, -104, 3.5), (69, 40, -135, 7.5), (67, 42, -165, 10), (66, 38, -195, 11)),),  # rectus femoris
    (((30, 42, -148, 4), (44, 30, -160, 8), (58, 10, -180, 8)),),  # pectineus
    (((10, 46, -164, 5), (24, 38, -176, 12), (34, 28, -195, 15)), ((16, 20, -176, 5), (32, 4, -195, 12))),  # adductors
    (((24, 30, -162, 5), (44, 4, -160, 7), (66, -14, -152, 4)),),  # obturator externus
    (((35, 12, -140, 4), (33.5, -12, -146, 4.5), (37, -32, -150, 5), (48, -38, -148, 6), (76, -22, -144, 3)),),
    (((20, -46, -104, 6), (42, -46, -116, 8), (76, -22, -136, 4)),),  # piriformis
    (((38, -30, -180, 7), (46, -34, -195, 9)),),  # hamstrings
    (((88, -4, -156, 6), (88, 4, -175, 11), (84, 8, -195, 14)), ((70, 14, -160, 5), (72, 14, -195, 10))),  # vasti
    (((52, 16, -112, 9), (55, 24, -134, 10), (59, 16, -165, 9), (66, 0, -185, 6)),),  # iliopsoas
)
MUSCLE_REACH_MM = 8.5  # farther from every muscle lies fat


def _hips(body: Body) -> None:
    """Muscles of hip and thigh, each the voxels nearest to its strands, parted by fat; the iliacus lines the wing."""
    c = body.canvas
    for side in (-1, 1):
        box = c.box(*np.sort([(0, -110, -190), (side * 110, 80, -46)], axis=0))
        x, y, z = np.abs(c.x[box]), c.y[box], c.z[box]
        region = (c.tissues[box] == Tissue.MUSCLE) & (c.x[box] * side > 0)
        off, _ = wing(x, y, z)
        region &= ((off > 0) & ((y < 0) | (z < inguinal(x) - 1.5)) & (z < -57)) | (z < -114)
        region &= (z < inguinal(x) - 1.5) | (y < 20)
        region &= (z < -76) | (off > 0)
        region &= ~((x < 26) & (z > -90))
        nearest, second = _two_nearest(c, side, box)
        gap = 0.55 + 0.25 * min(float(body.outline.fat), 14.0) / 7.0
        fat = (second - nearest < 2 * gap) | (nearest > MUSCLE_REACH_MM)
        c.tissues[box][region & fat] = Tissue.FAT
        groin = c.tube(mirrored(GROIN, side), reach_mm=0.5, step_mm=14.0)
        inside = (groin.field < 0) & (body.radius[groin.box] < 1) & (body.depth[groin.box] > 6)
        c.tissues[groin.box][inside] = Tissue.FAT
        c.free[groin.box] |= inside
    _pelvic_floor(body)


def _pelvic_floor(body: Body) -> None:
    """The levator: a thin funnel of muscle around the lower end of the cavity."""
    c = body.canvas
    box = c.box((-45, -50, -185), (45, 50, -138))
    bowl, z = body.bowl(box), c.z[box]
    thick = 1 + 4.5 / np.interp(c.undeformed[1][box[2]], (-176, -140), (12, 40)).astype(np.float32)
    c.tissues[box][(bowl >= 1) & (bowl < thick) & (z < -142) & (c.y[box] < 26) & (c.tissues[box] == Tissue.FAT)] = (
        Tissue.MUSCLE
    )


def _two_nearest(c: Canvas, side: int, box: Box) -> tuple[NDArray, NDArray]:
    """Millimeters from the nearest muscle of the hip, and from the nearest other one."""
    shape = [s.stop - s.start for s in box]
    nearest, second = (np.full(shape, 20.0, np.float32) for _ in range(2))
    for strands in HIP_MUSCLES:
        own = np.full(shape, 20.0, np.float32)
        for path in strands:
            tube = c.tube(mirrored(path, side), reach_mm=10.5, step_mm=24.0)
            local, part = _overlap(tube.box, box)
            own[local] = np.minimum(own[local], tube.field[part])
        second = np.minimum(second, np.maximum(nearest, own))
        nearest = np.minimum(nearest, own)
    return nearest, second


def _overlap(box: Box, within: Box) -> tuple[Box, Box]:
    """The voxels that two boxes share, as indices into the second and into the first."""
    low = [max(a.start, b.start) for a, b in zip(box, within, strict=True)]
    high = [max(lo, min(a.stop, b.stop)) for lo, a, b in zip(low, box, within, strict=True)]
    spans = list(zip(low, high, within, box, strict=True))
    return tuple(slice(lo - b.start, hi - b.start) for lo, hi, b, _ in spans), tuple(
        slice(lo - a.start, hi - a.start) for lo, hi, _, a in spans
    )


# --- arms -------------------------------------------------------------------------------------------

# Arm beside the trunk: height, radius, distance of its middle from the skin.
ARM = ((200, 27, 29), (150, 26, 29), (95, 24, 28), (48, 22, 27), (5, 21, 27), (-60, 16, 26), (-95, 13, 25))
ARM_Y = -28.0  # near the couch
# Bones: sideways and forward of the middle of the arm, from one height to another, radius.
ARM_BONES = ((0, 0, 200, 60, 6.0), (-6, -6, 58, -95, 3.8), (6, 3, 44, -95, 3.8))


def _arm(body: Body, side: int) -> None:
    """An arm beside the trunk: skin, fat, muscle, humerus, radius and ulna; the hand as far as it is in the field."""
    c = body.canvas
    z = np.array([row[0] for row in ARM], float)
    width = body.outline.half_axes(z)[0]
    middle = np.column_stack([width + [row[2] for row in ARM], np.full(len(z), ARM_Y), z])
    radius = np.array([row[1] for row in ARM]) + 0.25 * (body.outline.fat - 7)
    rows = np.vstack([np.column_stack([middle, radius]), [[*(middle[-1] - [0, 0, 40]), 9.0]]]) * [side, 1, 1, 1]
    tube = c.tube(rows, reach_mm=0.5, step_mm=24.0)
    outside = (body.radius[tube.box] > 1.004) & (tube.field < 0)
    fat = 0.6 * body.outline.fat
    for deep, tissue in ((0.0, Tissue.SKIN), (skin_mm(c), Tissue.FAT), (fat, Tissue.MUSCLE)):
        c.tissues[tube.box][outside & (tube.field < -deep)] = tissue
    _arm_bones(c, side, middle)


def _arm_bones(c: Canvas, side: int, middle: NDArray) -> None:
    """Humerus, radius and ulna, each a tube of cortex around its marrow."""
    for out, front, top, bottom, radius in ARM_BONES:
        heights = np.linspace(top, bottom, 5)
        x = np.interp(-heights, -middle[:, 2], middle[:, 0]) + out
        rows = np.column_stack([x, np.full(5, ARM_Y + front), heights, np.full(5, radius)]) * [side, 1, 1, 1]
        rows[[0, -1], 3] *= 1.3
        tube = c.tube(rows, reach_mm=0.5, step_mm=40.0)
        c.tissues[tube.box][tube.field < 0] = Tissue.CORTEX
        c.tissues[tube.box][tube.field < -0.38 * radius] = Tissue.SPONGIOSA
