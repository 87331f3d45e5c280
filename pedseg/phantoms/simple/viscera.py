"""The abdominal organs of a phantom and its bladder, placed one after the other so that they press on each other.

All millimeters are those of the standard 5-year-old (`canvas`): x right, y anterior, z superior. The order is the
order of stiffness: vessels, kidneys and glands first, then spleen and liver; stomach and bowel (`bowel`) come last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Shape, union
from pedseg.phantoms.landmarks import mirrored
from pedseg.phantoms.simple import landmarks
from pedseg.phantoms.simple.landmarks import after_operation
from pedseg.phantoms.simple.skeleton import SPINE_Y, sagittal_curve

VOLUME_OF_LENGTH = 2.5  # a kidney longer by a factor holds that factor to this power of the volume


def great_vessels(b: PhantomBuilder) -> None:
    """Aorta, inferior vena cava, iliac vessels and the crura of the diaphragm."""
    c = b.canvas
    aorta = np.array(landmarks.AORTA)
    aorta[:, 1] += SPINE_Y + sagittal_curve(aorta[:, 2])
    aorta[:, 0] += b.displacements[0, 0] * 0.6
    c.fill(c.tube(aorta, 1.0), Tissue.ARTERY, organ_id("A_Aorta"), connected=True)
    c.fill(c.tube(b.at(1, landmarks.CAVA), 1.0), Tissue.VEIN, organ_id("V_Venacava_I"), connected=True)
    for side, start in ((-1, -2), (1, 4)):
        iliac = mirrored(landmarks.ILIAC, side)
        iliac[0, 0] = start
        c.fill(c.tube(iliac, 1.0), Tissue.ARTERY)
        c.fill(c.tube(iliac + np.array([side * 3, -6, 0, 0.4]), 1.0), Tissue.VEIN)
        c.fill(c.tube(mirrored(landmarks.CRURA[0], side), 1.0), Tissue.MUSCLE)


def muscles(b: PhantomBuilder) -> None:
    """Psoas and quadratus lumborum beside the spine, and the crura where they rise from it."""
    c = b.canvas
    for side in (-1, 1):
        c.fill(c.tube(mirrored(landmarks.PSOAS, side), 1.0, 14.0), Tissue.MUSCLE)
        c.fill(c.tube(mirrored(landmarks.QUADRATUS, side), 1.0, 14.0), Tissue.MUSCLE)
        c.fill(c.tube(mirrored(landmarks.CRURA[1], side), 1.0), Tissue.MUSCLE)


def kidneys(b: PhantomBuilder) -> None:
    """Kidneys and adrenals; the kidney that remains after a nephrectomy has grown, most of all in length."""
    effects = b.surgery
    growth = 1.0 + (effects.growth - 1.0) * b.rng.uniform(0.85, 1.0)
    share = b.rng.normal(0.5, 0.02)
    drift, tilt = b.rng.normal(0, 4, 2), b.rng.normal(0, 4, (2, 3))
    adrenalectomy = b.rng.random() < 0.5  # the adrenal is taken with the kidney in every second child
    for i, (side, letter, gone, other) in enumerate(((-1, "L", b.left, b.right), (1, "R", b.right, b.left))):
        beside_bed = effects.child.tumor == "neuroblastoma" and side == effects.child.operated_side
        middle = np.array([side * (45.0 + 4 * other), -30.0 + 3 * other, -5.0 * side + drift[i]])
        middle += b.displacements[4 + i] * [1, 0.6, 1] + (effects.kidney_shift_mm if beside_bed else np.zeros(3))
        angles = np.array([-9.0, side * 13.0, side * -28.0]) + tilt[i]
        longer = growth if other else 1.0
        volume_ml = b.size.volume_ml["Kidneys"] * (share if side < 0 else 1 - share) * longer**VOLUME_OF_LENGTH
        volume_ml *= effects.kidney_volume_share if beside_bed else 1
        if not gone:
            _kidney(b, f"Kidney_{letter}", middle, angles, side, volume_ml, longer)
        if not ((gone and adrenalectomy) or (beside_bed and effects.adrenal_gone)):
            top = np.array([side * 22.0, -19.0, 40.0 - side]) + b.displacements[6 + i]
            _adrenal(b, f"Glnd_Adrenal_{letter}", top, side)


def _kidney(
    b: PhantomBuilder, organ: str, middle: NDArray, angles: NDArray, side: int, volume_ml: float, longer: float
) -> None:
    """A bean of cortex, medulla and a sinus that opens toward the spine."""
    c = b.canvas
    wider = longer ** ((VOLUME_OF_LENGTH - 1) / 2)
    bean = c.ellipsoid(middle, (18.5 * wider, 17.0 * wider, 38.5 * longer), angles, reach=1.5)
    x, y, z = c.offsets(bean.box, middle + np.array([-side * 15.0, 5.0, 0.0]))
    notch = np.exp(-(x * x / 130 + y * y / 90 + z * z / 170))
    field = bean.field + 0.75 * notch
    mask = b.organ(Shape(bean.box, field), Tissue.KIDNEY_CORTEX, organ, volume_ml)
    level = float(field[mask].max()) if mask.any() else 1.0
    wave = 0.05 * np.sin(z * 0.55) * np.sin(x * 0.5 + 1)
    c.tissues[bean.box][mask & (bean.field < 0.72 * level + wave)] = Tissue.KIDNEY_MEDULLA
    sinus = mask & (notch > 0.16) & (bean.field < 0.7 * level)
    c.tissues[bean.box][sinus] = Tissue.FAT
    c.tissues[bean.box][sinus & (notch > 0.27)] = Tissue.URINE


def _adrenal(b: PhantomBuilder, organ: str, top: NDArray, side: int) -> None:
    """Two thin limbs that meet at an edge, like a small hat on the kidney."""
    c = b.canvas
    inner = c.ellipsoid(
        top + np.array([side * 3.0, -3.0, 0.0]), (4.8, 8.0, 11.0), (0.0, side * -22.0, side * -30.0), reach=2.2
    )
    outer = c.ellipsoid(
        top + np.array([side * 8.0, -2.0, -3.0]), (4.8, 8.0, 10.0), (0.0, side * -30.0, side * 62.0), reach=2.2
    )
    b.organ(union(inner, outer), Tissue.ADRENAL, organ, b.size.volume_ml["Adrenals"] / 2)


def portal_system(b: PhantomBuilder) -> None:
    """Portal vein with its two branches and the splenic vein behind the pancreas; it moves with the pancreas."""
    c = b.canvas
    trunk = after_operation("splenic vein", landmarks.SPLENIC_VEIN, b.left, b.right)
    for path in (trunk, *map(np.array, landmarks.PORTAL_BRANCHES)):
        c.fill(c.tube(b.at(10, path), 1.0, 6.0), Tissue.PORTAL, organ_id("V_Portal"))


def gallbladder_and_pancreas(b: PhantomBuilder) -> None:
    """The gallbladder under the liver; the pancreas from the duodenum across the spine to the spleen."""
    c, v = b.canvas, b.size.volume_ml
    gallbladder = c.ellipsoid(b.at(9, (35, 30, 4)), (9.5, 9.5, 22), (38.0, 12.0, 0.0), reach=1.6)
    b.organ(gallbladder, Tissue.BILE, "Gallbladder", v["Gallbladder"])
    gland = b.at(10, after_operation("pancreas", landmarks.PANCREAS, b.left, b.right))
    b.organ(c.tube(gland, 6.0, 7.0), Tissue.PANCREAS, "Pancreas", v["Pancreas"])


def spleen(b: PhantomBuilder) -> None:
    """The spleen, behind and left, hollowed by the stomach; it sinks into the bed of a removed left kidney."""
    middle = b.at(11, np.array([-64, -30, 42]) + b.left * np.array([6, -4, -14]))
    shape = b.canvas.ellipsoid(middle, (17, 27, 33), (-28.0, 0.0, 22.0), reach=1.6)
    x, y, z = b.canvas.offsets(shape.box, middle + np.array([24.0, 10.0, -2.0]))
    field = shape.field + 0.55 * np.exp(-(x * x + y * y + 0.5 * z * z) / 330)
    b.organ(Shape(shape.box, field), Tissue.SPLEEN, "Spleen", b.size.volume_ml["Spleen"])


def liver(b: PhantomBuilder) -> None:
    """Right lobe, left lobe across the midline, caudate lobe, a slanted lower face; vessels inside."""
    c, sink = b.canvas, b.right
    box = c.box((-75, -75, -75), (100, 80, 100))
    volume_ml = b.size.volume_ml["Liver"]
    high = 70 * (1 - (volume_ml / (543.0 * float(c.scale.prod()))) ** (1 / 3))  # a small liver hangs from the dome
    x, y, z = c.offsets(box, b.displacements[12] + np.array([0.0, 0.0, min(high, 12.0)]))
    right = ((x - 46) / 52) ** 2 + ((y + 2 + 5 * sink) / 66) ** 2 + ((z - 28 + 5 * sink) / 66) ** 2
    left = ((x + 4) / 52) ** 2 + ((y - 34) / 28) ** 2 + ((z - 52) / 30) ** 2
    caudate = ((x - 12) / 24) ** 2 + ((y - 2) / 22) ** 2 + ((z - 54) / 26) ** 2
    field = np.sqrt(np.minimum(np.minimum(right, left * 1.05), caudate * 1.3))
    under = (0.42 * (40 - x) + 0.30 * (y - 10) * (1 - 0.3 * sink) - (z + 8)) / 55  # above 0 under the lower face
    behind = np.maximum(y + 38, 0) / (18 - 6 * sink)  # the bed of the right kidney reaches back to the muscles
    bed = 0.9 * np.exp(-(((x - 36) / 20) ** 2 + behind**2 + ((z + 6) / (40 - 12 * sink)) ** 2))
    field = field + np.maximum(under, 0) * 1.3 + bed
    b.organ(Shape(box, field.astype(np.float32)), Tissue.LIVER, "Liver", volume_ml)
    for path in landmarks.LIVER_VESSELS:
        vein = c.tube(b.at(12, path), 0.5, 8.0)
        c.tissues[vein.box][(c.labels[vein.box] == organ_id("Liver")) & (vein.field < 0)] = Tissue.PORTAL


def bladder(b: PhantomBuilder) -> None:
    """The bladder, low behind the pubis, filled differently in every child."""
    volume_ml = b.size.volume_ml["Bladder"]
    fill = (volume_ml / 80.0) ** (1 / 3)
    shape = b.canvas.ellipsoid((0.0, 18.0, -150.0 + 20.0 * min(fill, 1.3)), (27, 23, 24), reach=1.9)
    b.organ(shape, Tissue.URINE, "Bladder", volume_ml)
