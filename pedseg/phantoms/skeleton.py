"""The bones of a phantom: ribs and breastbone, pelvis and hips, spine with its canal and sacrum.

All millimeters are those of the standard 5-year-old (`canvas`). Shapes were fitted by eye, curves and ages of
ossification are those of textbooks (neurocentral joints close at 3 to 6 years, sacral segments join from puberty on).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.body import Body
from pedseg.phantoms.canvas import Canvas
from pedseg.phantoms.pelvis import paint_bone, pelvis, wing, wing_half_mm

VERTEBRA_MM = 20.5  # from one vertebra to the next; the second lumbar vertebra lies at z = 0
SPINE_Y = -28.0
CONUS_Z = 10.0  # the cord ends between the first and the second lumbar vertebra
CURVE_Z = (-175, -158, -140, -120, -100, -84, -72, -50, -25, 0, 40, 90, 150)
CURVE_MM = (-14, -24, -27, -24, -16, -7, 0, 3, 4, 1, -3, -7, -6)
PROMONTORY_Z, COCCYX_Z = -73.0, -142.0
# Ends of the sacral segments: each is a little shorter than the one above.
SACRAL_Z = (-73.0, -88.5, -103.0, -116.5, -129.5, -142.0)
SACRUM_Z = (-150.0, -142.0, -130.0, -118.0, -108.0, -90.0, -73.0)
SACRUM_HALF_WIDTH = (3.0, 9.0, 13.0, 18.0, 27.0, 44.0, 44.0)  # where no iliac bone is in its way

# Ribs 3 to 12: height of the head, at the side, where the bone ends in front, at the breastbone or at the rib above;
# and how far around (degrees from behind) the bone and its cartilage reach.
RIBS = (
    (225.5, 196.0, 176.0, 168.0, 139, 172),
    (205.0, 172.0, 154.0, 149.0, 140, 172),
    (184.5, 148.0, 128.0, 129.0, 140, 172),
    (164.0, 124.0, 102.0, 111.0, 138, 171),
    (143.5, 101.0, 76.0, 99.0, 133, 171),
    (123.0, 79.0, 54.0, 80.0, 125, 160),
    (102.5, 58.0, 36.0, 61.0, 117, 150),
    (82.0, 38.0, 20.0, 40.0, 108, 136),
    (61.5, 22.0, 12.0, 0.0, 100, 0),
    (41.0, 20.0, 20.0, 0.0, 55, 0),
)
RIB_UNDER_MM = 6.6  # how deep beneath the fat the middle of a rib lies


def sagittal_curve(z: ArrayLike, age_years: float = 5.0) -> NDArray:
    """How far the spine lies forward (lordosis) or back (kyphosis, sacrum) of `SPINE_Y` at each height.

    One gentle curve in infants; lordosis, kyphosis and the slope of the sacrum grow until 15 years.
    """
    share = np.interp(age_years, (0, 1, 5, 15), (0.4, 0.6, 1.0, 1.3))
    lower = np.interp(age_years, (0, 1, 5, 15), (0.8, 0.85, 1.0, 1.1))
    z = np.asarray(z)
    curve = np.interp(z, CURVE_Z, CURVE_MM) * np.where(z > -72, share, lower)
    return curve.astype(np.float32)


def skeleton(body: Body) -> None:
    """Place all bones; the vertebral bodies and the spinal canal are labels."""
    age = body.child.age_years
    pelvis(body.canvas, age)
    Spine(body.canvas, age).draw()
    _ribs(body)
    _breastbone(body)


# --- ribs -------------------------------------------------------------------------------------------


def _ribs(body: Body) -> None:
    """Bent tubes that follow the chest backward, outward and down, then forward; cartilage to the breastbone."""
    age = body.child.age_years
    for head, lateral, front, inner, bone_deg, cartilage_deg in RIBS:
        level = np.interp(age, (0, 1, 5), (0.6, 0.75, 1.0))  # ribs of infants are more horizontal
        lateral, front = head + level * (lateral - head), head + level * (front - head)
        for side in (-1, 1):
            _rib(body, side, head, lateral, front, bone_deg)
            if cartilage_deg:
                _rib_cartilage(body, side, front, inner + (1 - level) * 8, bone_deg, cartilage_deg)


def _rib(body: Body, side: int, head: float, lateral: float, front: float, bone_deg: float) -> None:
    """One rib: round at its head, flat where it follows the wall of the chest."""
    c = body.canvas
    behind = SPINE_Y + float(sagittal_curve(head, body.child.age_years))
    angle = np.deg2rad(np.linspace(34, bone_deg, max(3, round(bone_deg / 15))))
    z = np.interp(np.rad2deg(angle), (20, 88, max(bone_deg, 89)), (head - 3, lateral, front))
    wall = body.outline.wall_point(angle, z, RIB_UNDER_MM)
    start = [(13.5, behind - 9, head + 2), (22, behind - 21, head)]
    if start[1][1] < wall[0, 1] + 4:  # the neck may not lie behind the angle of the rib
        start[1] = (22, wall[0, 1] + 5, head)
    points = np.column_stack([np.vstack([start, wall]), [2.6, 2.8, *[4.6] * (len(wall) - 1), 4.2]])
    tube = c.tube(points * [side, 1, 1, 1], reach_mm=0.3, step_mm=14.0)
    flat = np.abs(body.under[tube.box] - RIB_UNDER_MM)
    near = np.abs(c.x[tube.box]) < wall[0, 0] - 2
    bone = (tube.field < 0) & ((flat < 2.3) | near) & (c.tissues[tube.box] != Tissue.SPONGIOSA)
    bone &= c.labels[tube.box] == 0
    paint_bone(c, tube.box, bone, bone & (tube.field < -1.1) & ((flat < 1.1) | near))


def _rib_cartilage(body: Body, side: int, front: float, inner: float, bone_deg: float, cartilage_deg: float) -> None:
    """The cartilage of a rib, from its bone to the breastbone or up to the cartilage above."""
    c = body.canvas
    angle = np.deg2rad(np.linspace(bone_deg - 2, cartilage_deg, 5))
    z = np.interp(np.linspace(0, 1, 5), (0, 0.35, 1), (front, front - 2 + 0.2 * (inner - front), inner))
    wall = body.outline.wall_point(angle, z, RIB_UNDER_MM)
    tube = c.tube(np.column_stack([wall, np.full(5, 4.2)]) * [side, 1, 1, 1], reach_mm=0.3, step_mm=12.0)
    bone = np.isin(c.tissues[tube.box], (Tissue.CORTEX, Tissue.SPONGIOSA))
    flat = np.abs(body.under[tube.box] - RIB_UNDER_MM) < 3.0
    c.paint(tube.box, (tube.field < 0) & flat & ~bone, Tissue.CARTILAGE)


def _breastbone(body: Body) -> None:
    """The body of the breastbone, of separate centers in the young (joined at about 14 years), and the xiphoid."""
    c, age = body.canvas, body.child.age_years
    box = c.box((-16, 30, 76), (16, 90, 190))
    x, z, under = c.x[box], c.z[box], body.under[box]
    flat = np.abs(under - 5.4)
    plate = (c.y[box] > 0) & (body.radius[box] < 1) & (z > 94) & (flat < 3.4)
    plate &= np.abs(x) < 9 + 1.5 * np.cos(np.pi * z / 9)
    c.paint(box, plate, Tissue.CARTILAGE)
    gap = np.interp(age, (0, 1, 5, 12, 14), (6.0, 4.5, 2.2, 1.0, 0.0))
    piece = plate & ((np.abs(np.mod(z - 94, 18.0) - 9) < 9 - gap / 2) | (age >= 14)) & (np.abs(x) < 9 - gap / 2)
    paint_bone(c, box, piece & (flat < 3.3), piece & (flat < 2.2) & (np.abs(x) < 8))
    xiphoid = (c.y[box] > 0) & (z > 80) & (z <= 94) & (np.abs(x) < 4.5 - (94 - z) / 8) & (flat < 1.8)
    c.paint(box, xiphoid, Tissue.CARTILAGE if age < 20 else Tissue.SPONGIOSA)


# --- spine ------------------------------------------------------------------------------------------


class Spine:
    """Voxels near the spine in coordinates that follow its curve: sideways x, forward y, along the spine z."""

    def __init__(self, c: Canvas, age_years: float) -> None:
        self.c, self.age = c, age_years
        self.box = c.box((-46, -90, -190), (46, 8, 175))
        z = c.z[self.box]
        self.level = z
        heights = np.arange(-200.0, 200.0, 0.5)
        curve = np.convolve(np.pad(sagittal_curve(heights, age_years), 12, "edge"), np.full(25, 1 / 25), "valid")
        slope = np.gradient(curve, 0.5)
        index = np.clip((z + 200) * 2, 0, 799).astype(np.int16)
        y = c.y[self.box] - SPINE_Y - curve.astype(np.float32)[index]
        self.along = z + np.clip(slope, -0.5, 0.75).astype(np.float32)[index] * y * (z > -150)
        size = np.interp(heights, (-160, -110, -72, -60, 0, 60, 150), (0.6, 0.85, 1.12, 1.08, 1.0, 0.9, 0.8))
        self.size = size.astype(np.float32)[index]
        self.x, self.y = np.abs(c.x[self.box]) / self.size, y / self.size
        middle = np.floor(self.along / VERTEBRA_MM + 0.5) * VERTEBRA_MM
        self.offset = self.along - middle  # from the middle of the nearest vertebra
        sacral = np.clip((-72 - heights) / 40, 0, 1).astype(np.float32)[index]  # its canal is flat and near the bodies
        canal = (self.x / (10 - 2 * sacral)) ** 2 + ((self.y + 20.5 - 7.5 * sacral) / (8 - 3.5 * sacral)) ** 2
        self.ring = np.sqrt(canal)

    def paint(self, mask: NDArray, tissue: int, organ: str = "") -> None:
        """Paint voxels of the spine's box."""
        self.c.paint(self.box, mask, tissue, organ_id(organ) if organ else 0)

    def draw(self) -> None:
        """Arches and processes, sacrum and coccyx, vertebral bodies with discs, then the canal."""
        self._sacrum()
        self._arches()
        self._bodies()
        canal = (self.ring < 1.0) & (self.along > -118)
        self.paint(canal, Tissue.CSF, "SpinalCanal")
        self.paint((self.ring < 0.55) & (self.level > CONUS_Z), Tissue.CORD, "SpinalCanal")

    def _bodies(self) -> None:
        """Vertebral bodies with a waist, end plates and discs; in infants the bone is round and the discs are thick."""
        x, y, offset = self.x, self.y, self.offset
        out = np.sqrt((x / 18.0) ** 2 + (np.where(y < 0, y * 1.05, y) / 13.5) ** 2)
        half = float(np.interp(self.age, (0, 1, 5, 18), (6.9, 7.3, 7.9, 8.2)))
        column = (out < 1) & (self.along >= PROMONTORY_Z)
        waist = 1.0 - 0.09 * np.clip(1 - (offset / half) ** 2, 0, 1)
        corner = 0.2 * np.clip(np.abs(offset) / half, 0, 1) ** 4 * float(np.interp(self.age, (1, 8), (1.0, 0.15)))
        bone = column & (np.abs(offset) < half) & (out < waist - corner)
        inside = bone & (out < waist - corner - 0.07) & (np.abs(offset) < half - 1.0)
        vein = inside & (x < 3.0) & (y < -4) & (np.abs(offset) < 1.3)  # the basivertebral vein
        self.paint(column & (np.abs(offset) > half - 0.5), Tissue.CARTILAGE)
        self.paint(column & ~bone & (np.abs(offset) <= half - 0.5) & (out < waist), Tissue.CARTILAGE)
        self.paint(bone, Tissue.CORTEX, "VBs")
        self.paint(inside, Tissue.SPONGIOSA, "VBs")
        self.paint(vein, Tissue.VEIN, "VBs")

    def _arches(self) -> None:
        """Pedicles, laminae, facet joints, transverse and spinous processes; the nerves leave between the pedicles."""
        x, y, offset, ring = self.x, self.y, self.offset, self.ring
        spine = (self.along > PROMONTORY_Z - 6) & (ring > 0.98)
        pedicle = (np.abs(x - 11.0) < 3.4) & (y > -24) & (y < -8) & (np.abs(offset - 2.6) < 4.3)
        lamina = (ring < 1.45) & (y < -20) & (offset < 4.5) & (offset > -7.5 - 0.12 * np.clip(-y - 24, 0, 9))
        spinous = self._spinous()
        transverse = self._transverse()
        bone = spine & (pedicle | lamina | spinous | transverse)
        core = (np.abs(x - 11.0) < 2.0) & (np.abs(offset - 2.6) < 2.9) & pedicle
        core |= lamina & (ring < 1.32) & (ring > 1.12) & (np.abs(offset + 1.5) < 4.8)
        self.paint(bone, Tissue.CORTEX)
        self.paint(bone & core & ~spinous, Tissue.SPONGIOSA)
        self._facets(spine)
        if self.age < 6:  # neurocentral joints
            gap = float(np.interp(self.age, (0, 1, 6), (1.5, 1.2, 0.7)))
            self.paint(spine & pedicle & (np.abs(y + 13.0 + 0.3 * (x - 11)) < gap), Tissue.CARTILAGE)
        if self.age < 2:
            self.paint(spine & (lamina | spinous) & (x < 1.0), Tissue.CARTILAGE)

    def _spinous(self) -> NDArray:
        """Spinous processes: blades in the loin, pointing down in the chest, with a thicker tip."""
        thoracic = np.clip((self.level - 20) / 40, 0, 1)
        back = np.clip(-self.y - 27, 0, 18)
        down = self.along + thoracic * 0.75 * back
        offset = down - np.floor(down / VERTEBRA_MM + 0.5) * VERTEBRA_MM
        tip = 0.9 * np.exp(-(((back - 12) / 3.5) ** 2))
        length = (-self.y < 44 - 4 * (self.level < -50)) & (self.y < -26)
        return length & (self.x < 1.5 + tip) & (np.abs(offset + 3.5) < 5.4 - 1.8 * thoracic)

    def _transverse(self) -> NDArray:
        """Transverse processes: thin and outward in the loin, thick and backward in the chest."""
        x, thoracic = self.x, (self.level > 30)
        middle = np.where(thoracic, -19 - 0.45 * (x - 10), -19 - 0.14 * (x - 10))
        reach = (x > 9) & (x < np.where(thoracic, 24.0, 29.0))
        return reach & (np.abs(self.y - middle) < np.where(thoracic, 3.0, 2.3)) & (np.abs(self.offset - 2.0) < 3.0)

    def _facets(self, spine: NDArray) -> None:
        """Joints between the arches, at the height of the discs, with their narrow space."""
        between = VERTEBRA_MM / 2 - np.abs(self.offset)
        x, y = self.x - 13.0, self.y + 25.0
        joint = spine & ((x / 5.5) ** 2 + (y / 5.0) ** 2 < 1) & (between < 5.0) & (self.level > PROMONTORY_Z)
        self.paint(joint, Tissue.CORTEX)
        self.paint(joint & ((x / 4.2) ** 2 + (y / 3.8) ** 2 < 1), Tissue.SPONGIOSA)
        lumbar = self.level < 30
        self.paint(joint & (np.abs(np.where(lumbar, 0.75 * x - 0.66 * y, y)) < 0.8), Tissue.CARTILAGE)

    def _sacrum(self) -> None:
        """The sacrum, its five segments and foramina, the joints with the iliac wings, and the coccyx."""
        reach, inside = self._to_the_wing()
        gap = 1.9 + float(np.interp(self.age, (1, 15), (1.6, 0.0)))
        bodies, wings, spongy = self._sacral_bodies_and_wings()
        bone = bodies | (wings & ((reach > gap) | ~inside)) | self._sacral_arch()
        self.paint(bone, Tissue.CORTEX)
        self.paint(bone & spongy & ((reach > gap + 1.2) | ~inside), Tissue.SPONGIOSA)
        joint = (reach > 0) & (reach <= gap) & inside & (np.abs(self.y * self.size + 10) < 14)
        self.paint(joint & (self.along < PROMONTORY_Z - 3) & (self.along > -112), Tissue.CARTILAGE)
        self._segments(bone, bodies)
        self._coccyx()

    def _to_the_wing(self) -> tuple[NDArray, NDArray]:
        """Millimeters to the iliac bone, and where that is within its outline (or just beside it)."""
        y = self.c.y[self.box]
        off, edge = wing(self.c.x[self.box], y, self.level)
        return -off - wing_half_mm(y, self.level, edge), edge >= -4

    def _sacral_bodies_and_wings(self) -> tuple[NDArray, NDArray, NDArray]:
        """The bodies of the sacral segments, the wings of the sacrum beside them, and what is spongy in both."""
        x, y, w = np.abs(self.c.x[self.box]), self.y * self.size, self.along
        width = np.interp(np.arange(155) / 2 - 150, SACRUM_Z, SACRUM_HALF_WIDTH).astype(np.float32)
        width = width[np.clip((w + 150) * 2, 0, 154).astype(np.int16)]
        sacral = (w < PROMONTORY_Z) & (w > COCCYX_Z) & (x < width)
        depth = 4.5 + 5.0 * np.clip((w - COCCYX_Z) / 70, 0, 1)
        oval = (x / (8 + 0.17 * (w - COCCYX_Z))) ** 2 + ((y + 1.5) / np.where(y > -1.5, depth + 2, depth)) ** 2
        front = np.abs(y + 8 + 0.22 * np.maximum(x - 12, 0) - 0.006 * np.square(x))
        wings = sacral & (front < (depth + 0.5) * np.sqrt(1 - np.minimum(x / width, 1) ** 6))
        wings &= w < PROMONTORY_Z - 0.16 * np.maximum(x - 14, 0)
        wings &= (x > 8) | (y < -15) | (self.level < -118)
        return sacral & (oval < 1), wings, ((oval < 0.8) | (front < depth - 0.8)) & (x < width - 1.2)

    def _sacral_arch(self) -> NDArray:
        """The roof of the sacral canal and its median crest."""
        y, w = self.y * self.size, self.along
        arch = (self.ring < 1.45) & (self.ring > 0.98) & (w < PROMONTORY_Z - 3) & (w > -124) & (y < -12)
        crest = (np.abs(self.c.x[self.box]) < 1.8) & (y < -20) & (y > -28 - 0.2 * (w - PROMONTORY_Z))
        return arch | (crest & (w > -112) & (w < PROMONTORY_Z - 4) & (np.abs(self.offset) < 7))

    def _segments(self, bone: NDArray, body_part: NDArray) -> None:
        """Foramina between the sacral segments, and the cartilage that parts them until they join."""
        x, w, y = np.abs(self.c.x[self.box]), self.along, self.y * self.size
        for i, end in enumerate(SACRAL_Z[1:5]):
            hole = ((x - (15.5 - 1.6 * i)) / (3.2 - 0.3 * i)) ** 2 + ((w - end) / (3.4 - 0.3 * i)) ** 2 < 1
            self.paint(bone & hole, Tissue.FAT)
            self.paint(bone & hole & (x > 15.5 - 1.6 * i - 1) & (y > -12), Tissue.MUSCLE)  # the nerve
            thick = float(np.interp(self.age, (0, 5, 12, 18, 25), (2.6, 1.7, 1.2, 0.7 if i < 2 else 0.0, 0.0)))
            self.paint(body_part & (np.abs(w - end) < thick), Tissue.CARTILAGE)
        if self.age < 12:  # the parts of the wings of the sacrum are still apart from the bodies
            seam = bone & (np.abs(x - (8.5 + 0.17 * (w - COCCYX_Z))) < 0.9) & (w > -116) & (y > -16)
            self.paint(seam & ~body_part, Tissue.CARTILAGE)

    def _coccyx(self) -> None:
        """Three or four small bones that bend forward; cartilage in the first year."""
        z, x = self.level, np.abs(self.c.x[self.box])
        y = self.c.y[self.box] - SPINE_Y - sagittal_curve(-142.0, self.age) - 0.35 * (-142.0 - z)
        piece = (x < 6.0 + 0.22 * (z + 142)) & (np.abs(y + 1) < 3.2) & (z < -143.5) & (z > -162)
        self.paint(piece, Tissue.CARTILAGE)
        bone = piece & (np.abs(np.mod(z + 143.5, 6.5) - 3.25) < (2.4 if self.age < 20 else 3.0))
        if self.age >= 1:
            self.paint(bone & (z > (-151 if self.age < 5 else -162)), Tissue.CORTEX)
            self.paint(
                bone & (x < 3.5) & (np.abs(y + 1) < 2.0) & (z > (-151 if self.age < 5 else -162)), Tissue.SPONGIOSA
            )
