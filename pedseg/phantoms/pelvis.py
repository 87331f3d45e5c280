"""The bones of the pelvis and the hips: iliac wings, acetabulum, pubis, ischium and the upper end of the femur.

All millimeters are those of the standard 5-year-old (`canvas`), given for the right side. Ages of ossification are
those of textbooks of pediatric radiology (triradiate cartilage closed at about 13 years, ischium and pubis joined at
about 6, growth plate of the femur's head closed at about 16); shapes were fitted by eye.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.canvas import Box, Canvas
from pedseg.phantoms.landmarks import FEMUR, ISCHIUM, PUBIS, mirrored

HIP = np.array([53.0, -2.0, -137.0])  # middle of the head of the femur
HEAD_MM = 14.0  # radius of the head with its cartilage
CUP_OPENS = np.array([0.79, 0.36, -0.50])  # where the acetabulum opens to
NECK = np.array([0.90, -0.18, -0.40])  # from the head into the neck

# How far out the middle of the iliac wing lies, at heights z (rows) and depths y (columns).
WING_Z = (-45.0, -60.0, -75.0, -90.0, -105.0, -120.0, -132.0)
WING_Y = (-66.0, -50.0, -35.0, -20.0, -5.0, 10.0, 25.0, 38.0)
WING_X = (
    (36, 54, 69, 79, 84, 84, 82, 79),
    (31, 46, 60, 71, 78, 80, 80, 79),
    (28, 39, 51, 62, 70, 74, 77, 78),
    (27, 35, 44, 53, 61, 67, 71, 74),
    (27, 33, 40, 47, 54, 59, 63, 66),
    (27, 32, 37, 42, 46, 50, 54, 57),
    (27, 31, 36, 39, 41, 44, 48, 52),
)
# Upper edge (iliac crest, from the spine behind to the spine in front) and lower edge (with the sciatic notch) by y.
EDGE_Y = (-66.0, -58.0, -50.0, -40.0, -30.0, -20.0, -5.0, 10.0, 25.0, 34.0, 39.0)
CREST_Z = (-74.0, -63.0, -56.0, -50.0, -46.0, -44.0, -44.0, -48.0, -57.0, -67.0, -76.0)
LOWER_Z = (-82.0, -95.0, -101.0, -105.0, -108.0, -130.0, -130.0, -130.0, -126.0, -104.0, -79.0)
STEP_MM = 0.5
FIRST = np.array([-90.0, -150.0])  # of the fine tables of the wing: y, z


@lru_cache(maxsize=1)
def _wing_tables() -> tuple[NDArray, NDArray, NDArray]:
    """Fine tables over (y, z) of the iliac wing: how far out its middle lies, its slant, mm inside its outline."""
    y, z = (first + STEP_MM * np.arange(280) for first in FIRST)
    rows = np.array([np.interp(y, WING_Y, row) for row in WING_X])
    table = np.array([np.interp(-z, -np.array(WING_Z), column) for column in rows.T])
    table = ndimage.gaussian_filter(table, 4.0 / STEP_MM, mode="nearest")
    slant = 1 / np.sqrt(1 + sum(g**2 for g in np.gradient(table, STEP_MM)))
    inside = (z < np.interp(y, EDGE_Y, CREST_Z)[:, None]) & (z > np.interp(y, EDGE_Y, LOWER_Z)[:, None])
    inside &= ((y > EDGE_Y[0]) & (y < EDGE_Y[-1]))[:, None]
    edge = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    edge = ndimage.gaussian_filter(edge * STEP_MM, 1.5 / STEP_MM)
    return tuple(t.astype(np.float32) for t in (table, slant, edge))  # type: ignore[return-value]


def wing(x: NDArray, y: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
    """Millimeters outward from the middle of the iliac wing (negative toward the pelvis), and inside its outline."""
    row, column = (
        np.clip((values - first) / STEP_MM, 0, 279).astype(np.int16)
        for values, first in zip((y, z), FIRST, strict=True)
    )
    table, slant, edge = _wing_tables()
    return (np.abs(x) - table[row, column]) * slant[row, column], edge[row, column]


def wing_half_mm(y: NDArray, z: NDArray, edge: NDArray) -> NDArray:
    """Half the thickness of the iliac wing: thin in the fossa, thick at the rim, the sacrum and the hip."""
    rim = 1.6 * np.exp(-np.maximum(edge, 0) / 4)
    behind = 3.0 * np.exp(-(((y + 50) / 12) ** 2)) * (z < -60)
    half = 1.5 + rim + behind + 4.5 * np.clip((-98 - z) / 20, 0, 1)
    return half * np.sqrt(1 - np.square(1 - np.clip(edge / half, 0, 1)))  # a round rim


def pelvis(c: Canvas, age_years: float) -> None:
    """Both iliac wings, then pubis, ischium and acetabulum, the symphysis, and the femurs."""
    for side in (-1, 1):
        _wing(c, side, age_years)
        _pubis_and_ischium(c, side, age_years)
        _acetabulum(c, side, age_years)
        _femur(c, side, age_years)
    _symphysis(c, age_years)


def _wing(c: Canvas, side: int, age_years: float) -> None:
    """An iliac wing with its crest, whose apophysis is cartilage until about 13 years and joins by about 20."""
    box = c.box(*np.sort([(side * 22, -70, -134), (side * 92, 42, -40)], axis=0))
    y, z = c.y[box], c.z[box]
    off, edge = wing(c.x[box], y, z)
    depth = wing_half_mm(y, z, edge) - np.abs(off)
    bone = (depth > 0) & (edge > 0)
    paint_bone(c, box, bone, bone & (depth > 1.1) & (edge > 1.1))
    if age_years < 20:
        cap = bone & (edge < (3.0 if age_years < 13 else 2.2)) & (z > -78)
        if age_years >= 13:
            cap &= edge > 1.3
        c.paint(box, cap, Tissue.CARTILAGE)


def _pubis_and_ischium(c: Canvas, side: int, age_years: float) -> None:
    """Branches of the pubis and the ischium around the obturator foramen, with a joint between them until 6 years."""
    for path in (*PUBIS, ISCHIUM):
        bar = c.tube(mirrored(path, side), reach_mm=0.5, step_mm=12.0)
        paint_bone(c, bar.box, bar.field < 0, bar.field < -1.3)
    if age_years < 6:
        box = c.box(*np.sort([(side * 12, 12, -186), (side * 34, 36, -162)], axis=0))
        joint = (np.abs(c.y[box] - 22) < 1.8) & _is_bone(c, box) & (c.z[box] < -158)
        c.paint(box, joint, Tissue.CARTILAGE)


def _acetabulum(c: Canvas, side: int, age_years: float) -> None:
    """The cup around the head of the femur; until 13 years ilium, pubis and ischium meet in cartilage."""
    middle = HIP * [side, 1, 1]
    box, (x, y, z), distance = _around(c, middle, HEAD_MM + 9)
    opening = side * x * CUP_OPENS[0] + y * CUP_OPENS[1] + z * CUP_OPENS[2]
    inner, outer = HEAD_MM + 1.6, HEAD_MM + 6.5 - 1.5 * np.clip(-side * x / 12, 0, 1) + 1.5 * np.clip(-y / 10, 0, 1)
    cup = (distance > inner) & (distance < outer) & (opening < 0.12 * distance) & ((z > -9) | (np.abs(y + 4) > 11))
    paint_bone(c, box, cup, cup & (distance > inner + 1.2) & (distance < outer - 1.2))
    gap = np.interp(age_years, (0, 1, 5, 12, 13.5), (4.0, 3.2, 2.0, 1.2, 0.0)) / 2
    if gap > 0:
        near = (distance > HEAD_MM) & (distance < HEAD_MM + 11) & _is_bone(c, box) & (side * x < 6)
        flat = (np.abs(z - 1) < gap) | ((z < 1) & (np.abs(y - 2) < gap))
        c.paint(box, near & flat, Tissue.CARTILAGE)
        rim = cup & (opening > (0.12 - 0.012 * max(0.0, 20 - 1.8 * age_years)) * distance)
        c.paint(box, rim, Tissue.CARTILAGE)
    joint = (distance <= inner) & (opening < 0.3 * distance)
    c.paint(box, joint & (distance > HEAD_MM - 0.2), Tissue.CARTILAGE)


def _femur(c: Canvas, side: int, age_years: float) -> None:
    """Neck, shaft and trochanter, then the head: a center of bone that grows in cartilage, and a growth plate."""
    for path in FEMUR:
        bar = c.tube(mirrored(path, side), reach_mm=0.5, step_mm=12.0)
        paint_bone(c, bar.box, bar.field < 0, bar.field < -1.6)
    shaft = c.tube(mirrored(FEMUR[1], side), reach_mm=0.0, step_mm=12.0)
    marrow = (shaft.field < -4.2) & (c.z[shaft.box] < -158)
    c.paint(shaft.box, marrow, Tissue.FAT if age_years > 10 else Tissue.MUSCLE)
    _trochanter(c, mirrored(FEMUR[2], side), age_years)
    middle = HIP * [side, 1, 1]
    box, (x, y, z), distance = _around(c, middle, HEAD_MM + 1)
    along = side * x * NECK[0] + y * NECK[1] + z * NECK[2]  # from the middle of the head into the neck
    head = (distance < HEAD_MM) & (along < 8.5)
    c.paint(box, head, Tissue.CARTILAGE)
    bony = HEAD_MM * np.interp(age_years, (0.3, 0.5, 1, 2, 5, 9, 16), (0, 0.15, 0.42, 0.6, 0.82, 0.92, 0.95))
    core = np.sqrt((x / 1.05) ** 2 + y * y + (z / 0.9) ** 2) if age_years < 6 else distance
    core = (core < bony) & (along < (6.3 if age_years < 16 else 99.0))
    paint_bone(c, box, core, core & (distance < bony - 1.1))


def _trochanter(c: Canvas, path: NDArray, age_years: float) -> None:
    """The greater trochanter: cartilage until 4 years, then bone that joins the shaft at about 15."""
    bar = c.tube(path, reach_mm=0.5, step_mm=12.0)
    if age_years < 15:
        c.paint(bar.box, (bar.field < 0) & (bar.along > 0.3), Tissue.CARTILAGE)
    if age_years >= 4:
        core = (bar.field < (-1.0 if age_years < 9 else 0.0)) & ((bar.along > 0.45) | (age_years >= 15))
        paint_bone(c, bar.box, core, core & (bar.field < -1.6))


def _symphysis(c: Canvas, age_years: float) -> None:
    """The symphysis between the pubic bones: wide in infants."""
    half = np.interp(age_years, (0, 1, 5, 15), (4.0, 3.2, 2.2, 1.5)) / float(c.scale[0]) ** 0.5
    box = c.box((-6, 34, -172), (6, 60, -140))
    joint = (np.abs(c.x[box]) < half) & (_is_bone(c, box) | _between_bones(c, box, half))
    c.paint(box, joint, Tissue.CARTILAGE)


def _between_bones(c: Canvas, box: Box, half: float) -> NDArray:
    """Voxels of the midline as high and as far forward as the bodies of the pubic bones."""
    y, z = (c.y[box] - 47) / 6.5, (c.z[box] + 155) / 9
    return (y * y + z * z < 1) & (np.abs(c.x[box]) < half)


def _around(c: Canvas, middle: NDArray, reach: float) -> tuple[Box, tuple[NDArray, NDArray, NDArray], NDArray]:
    box = c.box(middle - reach, middle + reach)
    x, y, z = c.offsets(box, middle.astype(np.float32))
    return box, (x, y, z), np.sqrt(x * x + y * y + z * z)


def _is_bone(c: Canvas, box: Box) -> NDArray:
    return (c.tissues[box] == Tissue.CORTEX) | (c.tissues[box] == Tissue.SPONGIOSA)


def paint_bone(c: Canvas, box: Box, mask: NDArray, core: NDArray) -> None:
    """Cortical bone around spongy bone; never over spongy bone that is there, so that parts of one bone join."""
    spongy = c.tissues[box] == Tissue.SPONGIOSA
    c.paint(box, mask & ~spongy, Tissue.CORTEX)
    c.paint(box, core, Tissue.SPONGIOSA)
