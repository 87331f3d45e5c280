"""The abdominal organs of a phantom and its bladder, placed one after the other so that they press on each other.

All millimeters are those of the standard 5-year-old (`canvas`): x right, y anterior, z superior. The order is the
order of stiffness: vessels (`vessels`), kidneys and glands first, then spleen and liver; stomach and bowel (`bowel`)
come last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms import landmarks
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Box, Shape, union
from pedseg.phantoms.landmarks import after_operation
from pedseg.phantoms.vessels import along_pancreas, line, paint_vessels

FOSSA_MM = 13.0  # half width of the room under the gallbladder that the liver leaves
# Uterus and prostate in mm of the room at these ages (length or width; plausible values of textbooks).
UTERUS_YEARS, UTERUS_MM = (0.0, 1.0, 8.0, 12.0, 16.0, 50.0, 65.0), (35.0, 28.0, 32.0, 45.0, 70.0, 76.0, 55.0)
PROSTATE_YEARS, PROSTATE_MM = (0.0, 10.0, 16.0, 40.0, 70.0), (12.0, 16.0, 34.0, 40.0, 50.0)


def gallbladder_and_pancreas(b: PhantomBuilder) -> None:
    """The gallbladder under the liver with its ducts; the pancreas from the duodenum across the spine to the spleen."""
    c, v = b.canvas, b.size.volume_ml
    gallbladder = c.tube(b.at(9, landmarks.GALLBLADDER), 9.0, 9.0)
    b.organ(gallbladder, Tissue.BILE, "Gallbladder", v["Gallbladder"])
    for path, number in zip(landmarks.BILE_DUCTS, (9, 10), strict=True):
        line(b, b.at(number, path), Tissue.BILE)
    gland = b.at(10, along_pancreas(b, after_operation("pancreas", landmarks.PANCREAS, b.left, b.right)))
    shape = c.tube(b.at(10, landmarks.UNCINATE), 6.0, 9.0)
    for up in (-5.0, 5.0):  # taller than thick
        shape = union(shape, c.tube(gland + np.array([0, 0, up, 0]), 6.0, 9.0))
    x, y, z = c.x[shape.box], c.y[shape.box], c.z[shape.box]
    deep = 0.7 + 0.9 * float(np.interp(b.surgery.child.age_years, (5, 60), (0, 1)))  # clefts between lobules
    lobules = np.abs(np.sin(x * 0.55 + 0.3 * y) * np.cos(z * 0.6 - 0.2 * x)) + 0.5 * np.abs(np.sin(0.5 * y + 0.4 * z))
    b.organ(Shape(shape.box, shape.field - deep * lobules), Tissue.PANCREAS, "Pancreas", v["Pancreas"])


def spleen(b: PhantomBuilder) -> None:
    """The spleen, behind and left, hollowed by stomach and kidney; it sinks into the bed of a removed left kidney."""
    middle = b.at(11, np.array([-64, -30, 42]) + b.left * np.array([6, -4, -14]))
    shape = b.canvas.ellipsoid(middle, (17, 29, 34), (-28.0, 0.0, 24.0), reach=1.6)
    x, y, z = b.canvas.offsets(shape.box, middle + np.array([24.0, 12.0, -2.0]))
    field = shape.field + 0.7 * np.exp(-(x * x + y * y + 0.4 * z * z) / 340)
    field += 0.12 * np.exp(-((x * x + (y - 14) ** 2 + (z - 12) ** 2) / 60))  # a notch of the front edge
    b.organ(Shape(shape.box, field), Tissue.SPLEEN, "Spleen", b.size.volume_ml["Spleen"])
    paint_vessels(b, landmarks.SPLENIC_BRANCHES, Tissue.PORTAL, "Spleen", 11)


# --- liver ------------------------------------------------------------------------------------------


def liver(b: PhantomBuilder) -> None:
    """Right, left and caudate lobe under the diaphragm, with their fissures; hepatic and portal veins inside."""
    c = b.canvas
    box = c.box((-80, -75, -75), (100, 80, 100))
    volume_ml = b.size.volume_ml["Liver"]
    high = 70 * (1 - (volume_ml / (543.0 * float(c.scale.prod()))) ** (1 / 3))  # a small liver hangs from the dome
    x, y, z = c.offsets(box, b.displacements[12] + np.array([0.0, 0.0, min(high, 12.0)]))
    field = _lobes(x, y, z, b.right) + _lower_face(x, y, z, b.right) + _gallbladder_fossa(b, box)
    fissure = _fissures(x, y, z)
    shape = Shape(box, np.where(fissure, field + 3, field).astype(np.float32))
    mask = b.organ(shape, Tissue.LIVER, "Liver", volume_ml)
    level = float(field[mask].max()) if mask.any() else 0.0
    c.free[box] &= ~(fissure & (field < level))  # fat, and no bowel in it
    paint_vessels(b, landmarks.PORTAL_SEGMENTS, Tissue.PORTAL, "Liver", 12)
    paint_vessels(b, landmarks.HEPATIC_VEINS, Tissue.VEIN, "Liver", 12)


def _lobes(x: NDArray, y: NDArray, z: NDArray, sink: float) -> NDArray:
    """The smooth union of a large right lobe, a wedge to the left and the caudate lobe beside the cava."""
    right = np.sqrt(((x - 46) / 52) ** 2 + ((y + 2 + 5 * sink) / 66) ** 2 + ((z - 28 + 5 * sink) / 66) ** 2)
    slim = 1 - 0.35 * np.clip(-x / 50, -0.2, 1)  # thinner toward the left
    left = np.sqrt(((x + 6) / 54) ** 2 + ((y - 34) / 30) ** 2 + ((z - 52 + 0.1 * x) / (28 * slim)) ** 2)
    caudate = 1.2 * np.sqrt(((x - 13) / 24) ** 2 + ((y - 2) / 22) ** 2 + ((z - 52) / 28) ** 2)
    return -np.log(np.exp(-14 * right) + np.exp(-14 * left * 1.02) + np.exp(-14 * caudate)) / 14


def _lower_face(x: NDArray, y: NDArray, z: NDArray, sink: float) -> NDArray:
    """What holds the liver above its slanted lower face and in front of the right kidney; hilum of the liver."""
    under = (0.42 * (40 - x) + 0.30 * (y - 10) * (1 - 0.3 * sink) - (z + 8)) / 55
    behind = np.maximum(y + 38, 0) / (18 - 6 * sink)  # the bed of the right kidney reaches back to the muscles
    bed = (0.9 + 0.6 * sink) * np.exp(-(((x - 38) / 18) ** 2 + behind**2 + ((z + 9) / (30 - 9 * sink)) ** 2))
    hilum = 0.8 * np.exp(-(((x - 20) / 15) ** 2 + ((y - 15) / 8) ** 2 + ((z - 24) / 11) ** 2))
    beside = np.exp(-(np.maximum(x - 10, 0) ** 2) / 260 - np.maximum(y + 20, 0) ** 2 / 60)
    crus = 1.1 * beside * np.clip((64 - z) / 14, 0, 1)  # fat beside the spine, behind the cava
    stomach = (
        0.9 * np.clip((-8 - x) / 7, 0, 1) * np.clip((_venous_ligament_y(x) - 1 - y) / 6, 0, 1)
    )  # behind the left lobe
    return np.maximum(under, 0) * 1.3 + bed + hilum + crus + stomach


def _fissures(x: NDArray, y: NDArray, z: NDArray) -> NDArray:
    """Thin clefts of fat: for the round ligament in front, for the venous ligament before the caudate lobe."""
    round_ligament = np.abs(x + 3 + 0.08 * (y - 30)) < 1.4 + 0.05 * np.maximum(38 - z, 0)
    round_ligament &= (z < 46 - 0.25 * np.abs(y - 44)) & (y > 14)
    venous = np.abs(y - _venous_ligament_y(x)) < 1.3 - 0.02 * (x + 10)
    venous &= (x < 6) & (x > -42) & (z > 38) & (z < 68)
    return round_ligament | venous


def _venous_ligament_y(x: NDArray) -> NDArray:
    """The line of the venous ligament, seen from below: in front of the caudate lobe, behind the left lobe."""
    return 13 - 0.3 * x - 0.006 * x * x


def _gallbladder_fossa(b: PhantomBuilder, box: Box) -> NDArray:
    """Under the gallbladder no liver: its lower face lies free."""
    path = b.at(9, landmarks.GALLBLADDER)
    y = b.canvas.y[box]
    order = np.argsort(path[:, 1])
    middle_x, middle_z = (np.interp(y, path[order, 1], path[order, axis]) for axis in (0, 2))
    away = np.abs(b.canvas.x[box] - middle_x) / FOSSA_MM
    under = (middle_z + 1.0 - b.canvas.z[box]) / 6.0
    return 2.0 * np.clip(under, 0, 1) * np.clip(2.2 - 2 * away, 0, 1) * (y > path[order[0], 1])


# --- pelvis -----------------------------------------------------------------------------------------


def bladder(b: PhantomBuilder) -> None:
    """The bladder, low behind the pubis, filled differently in every child; behind or beneath it uterus or prostate."""
    volume_ml = b.size.volume_ml["Bladder"]
    fill = (volume_ml / float(b.canvas.scale.prod()) / 62.0) ** (1 / 3)  # 1: that of the ellipsoid below
    shape = b.canvas.ellipsoid((0.0, 24.0 - 5.0 * fill, -156.0 + 24.0 * min(fill, 1.6)), (27, 23, 24), reach=2.1)
    b.organ(shape, Tissue.URINE, "Bladder", volume_ml)
    (_uterus if b.surgery.child.sex == "F" else _prostate)(b)


def _uterus(b: PhantomBuilder) -> None:
    """Uterus behind the bladder, leaning forward over it; before puberty a thin tube."""
    c, age = b.canvas, b.surgery.child.age_years
    length = float(np.interp(age, UTERUS_YEARS, UTERUS_MM)) / c.scale[2]
    thick = np.interp(age, (0, 9, 12, 16, 50, 70), (6, 5.5, 9, 21, 23, 14)) / c.scale.mean()
    cervix = np.array([0.0, -12.0, -152.0]) + b.displacements[15] * [1, 0.5, 0.5]
    fundus = cervix + length * np.array([0.1, 0.35, 0.85])
    rows = [
        [*cervix, thick * 0.6],
        [*(0.7 * cervix + 0.3 * fundus), thick * 0.55],
        [*(0.35 * cervix + 0.65 * fundus), thick],
        [*fundus, thick * 0.9],
    ]
    c.fill(c.tube(rows, 1.0), Tissue.SOFT, where=b.body.cavity)
    if age > 8:
        for side in (-1, 1):
            ovary = c.ellipsoid((side * 24, -8, -122), np.array([12.0, 8.0, 12.0]) / c.scale)
            c.fill(ovary, Tissue.SOFT, level=1.0, where=b.body.cavity)


def _prostate(b: PhantomBuilder) -> None:
    """Prostate beneath the bladder and, in adults, the seminal vesicles behind it."""
    c, age = b.canvas, b.surgery.child.age_years
    width = float(np.interp(age, PROSTATE_YEARS, PROSTATE_MM))
    gland = c.ellipsoid((0.0, 8.0, -163.0), np.array([0.5, 0.36, 0.4]) * width / c.scale)
    c.fill(gland, Tissue.SOFT, level=1.0, where=b.body.cavity)
    half = width * 0.09 / c.scale.mean()
    for side in (-1, 1):
        rows = [(side * 2, -6, -154, half), (side * 11, -9, -149, half), (side * 20, -10, -145, half * 0.7)]
        c.fill(c.tube(rows, 1.0), Tissue.SOFT, where=b.body.cavity)
