"""The bones of a phantom: ribs and breastbone, pelvis and hips, spine with its canal.

All millimeters are those of the standard 5-year-old (`canvas`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.canvas import Box, Canvas
from pedseg.phantoms.landmarks import mirrored
from pedseg.phantoms.simple.body import Body
from pedseg.phantoms.simple.landmarks import HIP_BARS

VERTEBRA_MM = 20.5  # from one vertebra to the next; the second lumbar vertebra lies at z = 0
SPINE_Y = -28.0
CONUS_Z = 10.0  # the cord ends between the first and the second lumbar vertebra


def sagittal_curve(z: NDArray) -> NDArray:
    """How far the spine lies forward (lordosis) or back (kyphosis, sacrum) of `SPINE_Y` at each height."""
    heights, forward = (-175, -150, -120, -90, -60, -30, 0, 40, 90, 150), (-20, -24, -21, -9, 1, 3, 1, -3, -7, -6)
    return np.interp(z, heights, forward).astype(np.float32)


def skeleton(body: Body) -> None:
    """Place all bones; the vertebral bodies and the spinal canal are labels."""
    _ribs(body)
    _pelvis(body.canvas)
    _hips(body.canvas)
    _spine(body.canvas)


def _bone(c: Canvas, box: Box, mask: NDArray, core: NDArray) -> None:
    c.paint(box, mask, Tissue.CORTEX)
    c.paint(box, core, Tissue.SPONGIOSA)


def _ribs(body: Body) -> None:
    """Bands in the chest wall that fall toward the front, cartilage at their front ends; the breastbone."""
    c = body.canvas
    under = body.depth - body.fat_depth
    wall = (body.radius < 1) & ~body.cavity & (under > 3.2) & (under < 9.6) & (c.z > -20)
    core = np.abs(np.mod(c.z + 0.42 * (c.y + 60) + 7, VERTEBRA_MM) - VERTEBRA_MM / 2)
    arch = np.interp(np.abs(c.x), (0, 20, 60, 95), (72, 62, 12, 0)) + 0.25 * (c.y + 30)
    rib = wall & (c.z > arch) & (np.abs(c.x) > 14) & (core < 4.2)
    c.tissues[rib] = Tissue.CORTEX
    c.tissues[rib & (core < 2.6) & (np.abs(under - 6.4) < 2.0)] = Tissue.SPONGIOSA
    c.tissues[rib & (c.y > 38 - 0.1 * (c.z - 80)) & (np.abs(c.x) < 62)] = Tissue.CARTILAGE
    c.tissues[wall & (np.abs(c.x) < 11) & (c.y > 30) & (c.z > 82)] = Tissue.SPONGIOSA


def _pelvis(c: Canvas) -> None:
    """The iliac wings: two curved plates."""
    box = c.box((-105, -85, -180), (105, 60, -35))
    x, y, z = np.abs(c.x[box]), c.y[box], c.z[box]
    width = np.interp(z, (-170, -125, -90, -45), (52, 56, 70, 84)).astype(np.float32)
    off = np.abs(np.sqrt((x / width) ** 2 + ((y - 4) / (width * 0.86)) ** 2) - 1.0) * width  # mm from the plate
    angle = np.arctan2(y - 4, x)
    crest = -46 - 26 * np.clip(angle + 0.25, -1.2, 1.2) ** 2
    wing = (off < 3.6) & (angle > -1.02) & (angle < 0.42 + 0.002 * (z + 80)) & (z < crest) & (z > -132)
    _bone(c, box, wing, (off < 1.6) & wing)


def _hips(c: Canvas) -> None:
    """Both hip joints with the heads of the femurs, pubis and ischium."""
    for side in (-1, 1):
        joint = c.ellipsoid((side * 60, -2, -138), (21, 20, 20))
        _bone(c, joint.box, joint.field < 1.0, joint.field < 0.82)
        c.tissues[joint.box][(joint.field > 0.74) & (joint.field < 0.86)] = Tissue.CARTILAGE
        for path in HIP_BARS:
            bar = c.tube(mirrored(path, side), reach_mm=1.0)
            _bone(c, bar.box, bar.field < 0, bar.field < -2.0)


def _spine(c: Canvas) -> None:
    """Vertebral bodies with discs between them, arch, transverse and spinous processes, canal, sacrum."""
    box = c.box((-42, -85, -190), (42, 5, 175))
    z = c.z[box]
    heights, sizes = (-160, -110, -80, -60, 0, 60, 150), (0.35, 0.8, 1.12, 1.08, 1.0, 0.9, 0.8)
    size = np.interp(z, heights, sizes).astype(np.float32)
    x, y = c.x[box] / size, (c.y[box] - SPINE_Y - sagittal_curve(z)) / size
    offset = np.mod(z + VERTEBRA_MM / 2, VERTEBRA_MM) - VERTEBRA_MM / 2  # from the middle of the nearest vertebra
    width = np.interp(z, (-170, -80), (16, 30))
    plate = ((x / width) ** 2 + ((y + 6) / 15) ** 2 < 1) & (z < -73) & (z > -150)
    _bone(c, box, plate, ((x / (width - 2.5)) ** 2 + ((y + 6) / 12) ** 2 < 1) & plate)
    ring = np.sqrt((x / 10.0) ** 2 + ((y + 20.5) / 8.0) ** 2)
    arch = _arch(x, y, z, offset, ring)
    _bone(c, box, arch & (z > -130), (ring < 1.36) & (ring > 1.14) & arch)
    vertebra = ((x / 18.0) ** 2 + (np.where(y < 0, y * 1.05, y) / 13.5) ** 2 < 1) & (z >= -73)
    edge = ((x / 16.6) ** 2 + (y / 12.2) ** 2 > 1) | (np.abs(offset) > 6.8)
    bone = vertebra & (np.abs(offset) < 7.9)
    c.paint(box, vertebra, Tissue.CARTILAGE)
    c.paint(box, bone, Tissue.SPONGIOSA, organ_id("VBs"))
    c.paint(box, bone & edge, Tissue.CORTEX, organ_id("VBs"))
    canal = (ring < 1.0) & (z > -112)
    c.paint(box, canal, Tissue.CSF, organ_id("SpinalCanal"))
    c.paint(box, (ring < 0.55) & (z > CONUS_Z), Tissue.CORD, organ_id("SpinalCanal"))


def _arch(x: NDArray, y: NDArray, z: NDArray, offset: NDArray, ring: NDArray) -> NDArray:
    """The ring of bone around the canal, with its spinous and transverse processes."""
    lamina = (ring < 1.5) & ((np.abs(offset + 2) < 6.5) | ((np.abs(x) > 8) & (y > -24)))
    spinous = (np.abs(x) < 2.6) & (y < -28) & (y > -40) & (np.abs(offset + 4) < 5.5)
    transverse = (np.abs(y + 21 + 0.12 * np.abs(x)) < 3.4) & (np.abs(x) < 27) & (np.abs(offset - 1) < 3.6) & (z < 70)
    return lamina | spinous | transverse
