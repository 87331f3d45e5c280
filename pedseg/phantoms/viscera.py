"""The organs of the upper abdomen and the bladder, drawn one after the other so that they press against each other.

All millimeters are those of the standard 5-year-old (`canvas`): x right, y anterior, z superior. The order is the
order of stiffness: vessels, kidneys and glands first, then spleen and liver; stomach and bowel (`bowel`) come last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.body import Setting, ids
from pedseg.phantoms.canvas import Shape, union
from pedseg.phantoms.landmarks import (
    AORTA,
    CAVA,
    CRURA,
    ILIAC,
    LIVER_VESSELS,
    PANCREAS,
    PORTAL_BRANCHES,
    PSOAS,
    QUADRATUS,
    SPLENIC_VEIN,
    after_operation,
    mirrored,
)
from pedseg.phantoms.skeleton import SPINE_Y, sagittal_curve

VOLUME_OF_LENGTH = 2.5  # a kidney longer by a factor holds that factor to this power of the volume


def great_vessels(s: Setting) -> None:
    """Aorta, inferior vena cava, iliac vessels and the crura of the diaphragm."""
    c = s.canvas
    aorta = np.array(AORTA)
    aorta[:, 1] += SPINE_Y + sagittal_curve(aorta[:, 2])
    aorta[:, 0] += s.moved[0, 0] * 0.6
    c.fill(c.tube(aorta, 1.0), Tissue.ARTERY, ids("A_Aorta"), whole=True)
    c.fill(c.tube(s.at(1, CAVA), 1.0), Tissue.VEIN, ids("V_Venacava_I"), whole=True)
    for side, start in ((-1, -2), (1, 4)):
        iliac = mirrored(ILIAC, side)
        iliac[0, 0] = start
        c.fill(c.tube(iliac, 1.0), Tissue.ARTERY)
        c.fill(c.tube(iliac + np.array([side * 3, -6, 0, 0.4]), 1.0), Tissue.VEIN)
        c.fill(c.tube(mirrored(CRURA[0], side), 1.0), Tissue.MUSCLE)


def muscles(s: Setting) -> None:
    """Psoas and quadratus lumborum beside the spine, and the crura where they rise from it."""
    c = s.canvas
    for side in (-1, 1):
        c.fill(c.tube(mirrored(PSOAS, side), 1.0, 14.0), Tissue.MUSCLE)
        c.fill(c.tube(mirrored(QUADRATUS, side), 1.0, 14.0), Tissue.MUSCLE)
        c.fill(c.tube(mirrored(CRURA[1], side), 1.0), Tissue.MUSCLE)


def kidneys(s: Setting) -> None:
    """Kidneys and adrenals; the kidney that is left after an operation has grown, most of all in length."""
    after = s.after
    growth = 1.0 + (after.growth - 1.0) * s.rng.uniform(0.85, 1.0)
    share = s.rng.normal(0.5, 0.02)
    drift, tilt = s.rng.normal(0, 4, 2), s.rng.normal(0, 4, (2, 3))
    gone_too = s.rng.random() < 0.5  # the adrenal is taken with the kidney in every second child
    for i, (side, letter, gone, other) in enumerate(((-1, "L", s.left, s.right), (1, "R", s.right, s.left))):
        beside_bed = after.child.tumor == "neuroblastoma" and side == after.child.operated_side
        middle = np.array([side * (45.0 + 4 * other), -30.0 + 3 * other, -5.0 * side + drift[i]])
        middle += s.moved[4 + i] * [1, 0.6, 1] + (after.kidney_shift_mm if beside_bed else np.zeros(3))
        angles = np.array([-9.0, side * 13.0, side * -28.0]) + tilt[i]
        longer = growth if other else 1.0
        own_ml = s.size.volume_ml["Kidneys"] * (share if side < 0 else 1 - share) * longer**VOLUME_OF_LENGTH
        if not gone:
            _kidney(
                s, f"Kidney_{letter}", middle, angles, side, own_ml * (after.kidney_share if beside_bed else 1), longer
            )
        if not ((gone and gone_too) or (beside_bed and after.adrenal_gone)):
            _adrenal(s, f"Glnd_Adrenal_{letter}", np.array([side * 22.0, -19.0, 40.0 - side]) + s.moved[6 + i], side)


def _kidney(
    s: Setting, organ: str, middle: NDArray, angles: NDArray, side: int, volume_ml: float, longer: float
) -> None:
    """A bean of cortex, medulla and a sinus that opens toward the spine."""
    c = s.canvas
    wider = longer ** ((VOLUME_OF_LENGTH - 1) / 2)
    bean = c.ellipsoid(middle, (18.5 * wider, 17.0 * wider, 38.5 * longer), angles, reach=1.5)
    x, y, z = c.offsets(bean.box, middle + np.array([-side * 15.0, 5.0, 0.0]))
    notch = np.exp(-(x * x / 130 + y * y / 90 + z * z / 170))
    field = bean.field + 0.75 * notch
    mask = s.organ(Shape(bean.box, field), Tissue.KIDNEY_CORTEX, organ, volume_ml)
    level = float(field[mask].max()) if mask.any() else 1.0
    wave = 0.05 * np.sin(z * 0.55) * np.sin(x * 0.5 + 1)
    c.tissues[bean.box][mask & (bean.field < 0.72 * level + wave)] = Tissue.KIDNEY_MEDULLA
    sinus = mask & (notch > 0.16) & (bean.field < 0.7 * level)
    c.tissues[bean.box][sinus] = Tissue.FAT
    c.tissues[bean.box][sinus & (notch > 0.27)] = Tissue.URINE


def _adrenal(s: Setting, organ: str, top: NDArray, side: int) -> None:
    """Two thin limbs that meet at an edge, like a small hat on the kidney."""
    c = s.canvas
    inner = c.ellipsoid(
        top + np.array([side * 3.0, -3.0, 0.0]), (4.8, 8.0, 11.0), (0.0, side * -22.0, side * -30.0), reach=2.2
    )
    outer = c.ellipsoid(
        top + np.array([side * 8.0, -2.0, -3.0]), (4.8, 8.0, 10.0), (0.0, side * -30.0, side * 62.0), reach=2.2
    )
    s.organ(union(inner, outer), Tissue.ADRENAL, organ, s.size.volume_ml["Adrenals"] / 2)


def portal_system(s: Setting) -> None:
    """Portal vein with its two branches and the splenic vein behind the pancreas; it moves with the pancreas."""
    c = s.canvas
    trunk = after_operation("splenic vein", SPLENIC_VEIN, s.left, s.right)
    for path in (trunk, *map(np.array, PORTAL_BRANCHES)):
        c.fill(c.tube(s.at(10, path), 1.0, 6.0), Tissue.PORTAL, ids("V_Portal"))


def gallbladder_and_pancreas(s: Setting) -> None:
    """The gallbladder under the liver; the pancreas from the duodenum across the spine to the spleen."""
    c, v = s.canvas, s.size.volume_ml
    gallbladder = c.ellipsoid(s.at(9, (35, 30, 4)), (9.5, 9.5, 22), (38.0, 12.0, 0.0), reach=1.6)
    s.organ(gallbladder, Tissue.BILE, "Gallbladder", v["Gallbladder"])
    gland = s.at(10, after_operation("pancreas", PANCREAS, s.left, s.right))
    s.organ(c.tube(gland, 6.0, 7.0), Tissue.PANCREAS, "Pancreas", v["Pancreas"])


def spleen(s: Setting) -> None:
    """The spleen, behind and left, hollowed by the stomach; it sinks into the bed of a removed left kidney."""
    middle = s.at(11, np.array([-64, -30, 42]) + s.left * np.array([6, -4, -14]))
    shape = s.canvas.ellipsoid(middle, (17, 27, 33), (-28.0, 0.0, 22.0), reach=1.6)
    x, y, z = s.canvas.offsets(shape.box, middle + np.array([24.0, 10.0, -2.0]))
    field = shape.field + 0.55 * np.exp(-(x * x + y * y + 0.5 * z * z) / 330)
    s.organ(Shape(shape.box, field), Tissue.SPLEEN, "Spleen", s.size.volume_ml["Spleen"])


def liver(s: Setting) -> None:
    """Right lobe, left lobe across the midline, caudate lobe, a slanted lower face; vessels inside."""
    c, sink = s.canvas, s.right
    box = c.box((-75, -75, -75), (100, 80, 100))
    volume_ml = s.size.volume_ml["Liver"]
    high = 70 * (1 - (volume_ml / (543.0 * float(c.scale.prod()))) ** (1 / 3))  # a small liver hangs from the dome
    x, y, z = c.offsets(box, s.moved[12] + np.array([0.0, 0.0, min(high, 12.0)]))
    right = ((x - 46) / 52) ** 2 + ((y + 2 + 5 * sink) / 66) ** 2 + ((z - 28 + 5 * sink) / 66) ** 2
    left = ((x + 4) / 52) ** 2 + ((y - 34) / 28) ** 2 + ((z - 52) / 30) ** 2
    caudate = ((x - 12) / 24) ** 2 + ((y - 2) / 22) ** 2 + ((z - 54) / 26) ** 2
    field = np.sqrt(np.minimum(np.minimum(right, left * 1.05), caudate * 1.3))
    under = (0.42 * (40 - x) + 0.30 * (y - 10) * (1 - 0.3 * sink) - (z + 8)) / 55  # above 0 under the lower face
    behind = np.maximum(y + 38, 0) / (18 - 6 * sink)  # the bed of the right kidney reaches back to the muscles
    bed = 0.9 * np.exp(-(((x - 36) / 20) ** 2 + behind**2 + ((z + 6) / (40 - 12 * sink)) ** 2))
    field = field + np.maximum(under, 0) * 1.3 + bed
    s.organ(Shape(box, field.astype(np.float32)), Tissue.LIVER, "Liver", volume_ml)
    for path in LIVER_VESSELS:
        vein = c.tube(s.at(12, path), 0.5, 8.0)
        c.tissues[vein.box][(c.labels[vein.box] == ids("Liver")) & (vein.field < 0)] = Tissue.PORTAL


def bladder(s: Setting) -> None:
    """The bladder, low behind the pubis, filled differently in every child."""
    volume_ml = s.size.volume_ml["Bladder"]
    fill = (volume_ml / 80.0) ** (1 / 3)
    shape = s.canvas.ellipsoid((0.0, 18.0, -150.0 + 20.0 * min(fill, 1.3)), (27, 23, 24), reach=1.9)
    s.organ(shape, Tissue.URINE, "Bladder", volume_ml)
