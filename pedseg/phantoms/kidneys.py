"""Kidneys and adrenals of a phantom: where they lie, cortex, pyramids, sinus and pelvis, ureters, perirenal fat.

All millimeters are those of the standard 5-year-old (`canvas`). Upper poles lie nearer to the spine and farther back
than lower poles, as the psoas muscles, on which kidneys lie, run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms import landmarks
from pedseg.phantoms.anatomy import Tissue, organ_id
from pedseg.phantoms.builder import PhantomBuilder
from pedseg.phantoms.canvas import Box, Shape, largest_component, rotation_matrix, union
from pedseg.phantoms.landmarks import mirrored
from pedseg.phantoms.surgery import MAX_GROWTH

VOLUME_OF_LENGTH = 2.5  # a kidney longer by a factor holds that factor to this power of the volume
KIDNEY_MM = np.array([18.5, 16.5, 32.5])  # half axes; with its volume a kidney is then as long as PMC4901001 has it
TILT_DEG = np.array([15.5, -5.0, -30.0])  # of a right kidney: upper pole back, upper pole medial, hilum forward
LOBULATION_YEARS, LOBULATION = (0.0, 1.0, 4.0, 6.0), (0.10, 0.07, 0.02, 0.0)  # of the radius; gone by school age
PERIRENAL_YEARS, PERIRENAL_MM = (0.0, 5.0, 15.0, 40.0), (0.8, 1.6, 3.5, 7.0)  # of the room; plausible guesses
RNG_PART = 22


@dataclass(frozen=True)
class KidneyPose:
    """Where one kidney of a child lies and how large it is; `side` is -1 on the left and 1 on the right."""

    side: int
    middle: NDArray
    angles_deg: NDArray
    half_axes: NDArray
    volume_ml: float

    @property
    def rotation(self) -> NDArray:
        """From the kidney's own axes to those of the body."""
        return rotation_matrix(self.angles_deg)

    @property
    def hilum(self) -> NDArray:
        """Where the vessels enter: medial and a little forward."""
        return self.middle + self.rotation @ [-self.side * 0.82 * self.half_axes[0], 2.0, 0.0]


def kidney_poses(b: PhantomBuilder) -> list[KidneyPose]:
    """The kidneys that are there; the one that remains after a nephrectomy has grown, most of all in length."""
    effects, rng = b.surgery, b.generator(RNG_PART)
    growth = 1.0 + (effects.growth - 1.0) * rng.uniform(0.85, 1.0)
    share = rng.normal(0.5, 0.02)
    drift, tilt = rng.normal(0, 4, 2), rng.normal(0, 3, (2, 3))
    horseshoe = effects.child.variant == "horseshoe kidney"
    poses = []
    for i, (side, gone, other) in enumerate(((-1, b.left, b.right), (1, b.right, b.left))):
        beside_bed = effects.child.tumor == "neuroblastoma" and side == effects.child.operated_side
        grown = (growth - 1.0) / MAX_GROWTH if other else 0.0
        middle = np.array([side * (46.0 + 4 * grown), -27.5 + 3 * grown, -4.0 * side + drift[i]])
        middle += b.displacements[4 + i] * [0.8, 0.5, 1] + (effects.kidney_shift_mm if beside_bed else np.zeros(3))
        angles = TILT_DEG * [1, side, side] + tilt[i]
        longer = growth if other else 1.0
        volume_ml = b.size.volume_ml["Kidneys"] * (share if side < 0 else 1 - share) * longer**VOLUME_OF_LENGTH
        volume_ml *= effects.kidney_volume_share if beside_bed else 1
        wider = longer ** ((VOLUME_OF_LENGTH - 1) / 2)
        half_axes = KIDNEY_MM * [wider, wider, longer]
        if horseshoe:  # lower poles turn toward each other
            middle, angles = np.array([side * 33.0, -22.0, -14.0]), np.array([8.0, 16.0 * side, -42.0 * side])
        if not gone:
            poses.append(KidneyPose(side, middle, angles, half_axes, volume_ml))
    return poses


def kidneys(b: PhantomBuilder) -> None:
    """Both kidneys in their fat, adrenals above them, ureters."""
    effects, rng = b.surgery, b.generator(RNG_PART, 4)
    adrenalectomy = rng.random() < 0.5  # the adrenal is taken with the kidney in every second child
    for side, gone in ((-1, b.left), (1, b.right)):
        beside_bed = effects.child.tumor == "neuroblastoma" and side == effects.child.operated_side
        if not ((gone and adrenalectomy) or (beside_bed and effects.adrenal_gone)):
            _adrenal(b, side)
    for pose in kidney_poses(b):
        _kidney(b, pose)


def _kidney(b: PhantomBuilder, pose: KidneyPose) -> None:
    """A bean of cortex with pyramids around a sinus of fat and the renal pelvis, which opens toward the spine."""
    c, age = b.canvas, b.surgery.child.age_years
    box, (inward, q, r) = _own_axes(b, pose)
    radius = np.sqrt(inward * inward + q * q + r * r) + np.float32(1e-4)
    pyramid = _pyramids(b.generator(RNG_PART, 2 + pose.side), inward / radius, q / radius, r / radius)
    field = radius - float(np.interp(age, LOBULATION_YEARS, LOBULATION)) * (pyramid - 0.9) * 2.5
    field += 0.75 * np.exp(-(((inward - 0.92) / 0.5) ** 2 + (q / 0.6) ** 2 + (r / 0.38) ** 2))  # the hilum
    if b.surgery.child.variant == "horseshoe kidney":
        field = _with_isthmus(b, box, pose, field)
    organ = f"Kidney_{'L' if pose.side < 0 else 'R'}"
    mask = b.organ(Shape(box, field), Tissue.KIDNEY_CORTEX, organ, pose.volume_ml)
    level = float(field[mask].max()) if mask.any() else 1.0
    medulla = mask & (pyramid > 0.885) & (radius < 0.76 * level) & (radius > 0.3)
    c.tissues[box][medulla] = Tissue.KIDNEY_MEDULLA
    _sinus(b, box, mask, (inward, q, r))
    _ureter(b, pose)
    fat_mm = float(np.interp(age, PERIRENAL_YEARS, PERIRENAL_MM)) * float(np.sqrt(b.size.visceral)) / c.scale.mean()
    c.free[box] &= ~((field < level + fat_mm / 20.0) & b.body.below[box])  # it stays fat


def _own_axes(b: PhantomBuilder, pose: KidneyPose) -> tuple[Box, tuple[NDArray, NDArray, NDArray]]:
    """The voxels around a kidney, and where they lie in it: toward the hilum, forward, upward, 1 on its surface."""
    half = np.sqrt((pose.rotation**2) @ np.square(pose.half_axes)) * 1.5
    low, high = pose.middle - half, pose.middle + half
    if b.surgery.child.variant == "horseshoe kidney":
        low, high = np.minimum(low, [-2, -8, -50]), np.maximum(high, [2, 12, -20])
    box = b.canvas.box(low, high)
    offsets = b.canvas.offsets(box, pose.middle)
    rows = (pose.rotation.T / pose.half_axes[:, None]).astype(np.float32)
    p, q, r = (row[0] * offsets[0] + row[1] * offsets[1] + row[2] * offsets[2] for row in rows)
    return box, (-pose.side * p, q, r)


def _pyramids(rng: np.random.Generator, p: NDArray, q: NDArray, r: NDArray) -> NDArray:
    """Cosine of the angle to the nearest pyramid: a front and a back row of five, one at each pole."""
    best = np.abs(r)  # the poles
    for height in (-0.72, -0.38, 0.0, 0.38, 0.72):
        for front in (-1, 1):
            axis = np.array([-0.55 + rng.normal(0, 0.06), 0.62 * front, height + rng.normal(0, 0.05)])
            axis = (axis / np.linalg.norm(axis)).astype(np.float32)
            best = np.maximum(best, axis[0] * p + axis[1] * q + axis[2] * r)
    return best


def _with_isthmus(b: PhantomBuilder, box: Box, pose: KidneyPose, field: NDArray) -> NDArray:
    """A horseshoe: the lower pole goes on to the midline, in front of aorta and cava."""
    pole = pose.middle + pose.rotation @ [0.0, 0.0, -0.75 * pose.half_axes[2]]
    tube = b.canvas.tube([(*pole, 10.0), (pose.side * 14.0, 2.0, -36.0, 8.0), (-pose.side * 6, 4.0, -36.0, 7.5)], 10.0)
    bridge = union(Shape(box, np.full_like(field, np.inf)), Shape(tube.box, 1.0 + tube.field / 14.0))
    inner = tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(box, bridge.box, strict=True))
    field = np.minimum(field, bridge.field[inner])
    return np.where(b.canvas.x[box] * pose.side > 0, field, np.inf).astype(np.float32)


def _sinus(b: PhantomBuilder, box: Box, mask: NDArray, axes: tuple[NDArray, NDArray, NDArray]) -> None:
    """Fat of the renal sinus, more of it with age, and the pelvis and calices in it."""
    inward, q, r = axes
    age = b.surgery.child.age_years
    width = float(np.interp(age, (0, 5, 20, 60), (0.12, 0.16, 0.24, 0.34)))
    deep = np.clip((inward + 0.35) / 1.2, 0, 1)
    thick = width * (0.4 + 0.6 * np.sin(np.pi * np.clip((inward + 0.2) / 1.1, 0, 1)))
    slot = (np.abs(q) < thick) & (np.abs(r) < 0.58 - 0.3 * deep) & (inward > -0.2)
    tissues = b.canvas.tissues[box]
    tissues[mask & slot] = Tissue.FAT
    pelvis = (np.abs(q) < 0.5 * thick) & (np.abs(r + 0.06) < 0.2) & (inward > 0.0)
    calices = (np.abs(q) < 0.6 * thick) & (np.abs(np.abs(r) - 0.36) < 0.09) & (np.abs(inward) < 0.2)
    tissues[mask & (pelvis | calices)] = Tissue.URINE
    for tissue, front, height in ((Tissue.VEIN, 0.6, 0.22), (Tissue.VEIN, 0.5, -0.26), (Tissue.ARTERY, -0.5, 0.16)):
        branch = (q / width - front) ** 2 + ((r - height * (1.3 - inward)) / 0.1) ** 2 < 0.4
        tissues[mask & branch & (inward > -0.1)] = tissue


def _ureter(b: PhantomBuilder, pose: KidneyPose) -> None:
    """A thin tube from the renal pelvis over the psoas to the bladder."""
    path = mirrored(landmarks.URETER, pose.side)
    start = pose.hilum + np.array([0.0, 0.0, -4.0])
    rows = np.vstack([[*start, 1.8], [*(start + np.array([-pose.side * 4, 1.0, -9.0])), 1.4], path])
    b.canvas.fill(b.canvas.tube(rows, 1.0, 12.0), Tissue.SOFT)


def _adrenal(b: PhantomBuilder, side: int) -> None:
    """Two thin limbs that part behind a ridge: an upside-down V, in front and medial of the kidney's upper pole."""
    c = b.canvas
    top = np.array([side * 23.0, -14.0, 37.5 - 2 * side]) + b.displacements[6 + (side > 0)] * [0.6, 0.4, 1.0]
    box = c.box(top - [24, 30, 24], top + np.array([24, 14, 24]))
    x, y, z = c.offsets(box, top)
    aside = x * side + 0.12 * z
    field = np.full(x.shape, np.inf, np.float32)
    for angle_deg, length in ((16.0, 10.0), (-34.0, 9.5)):  # toward the crus, along the kidney
        sin, cos = np.sin(np.deg2rad(angle_deg)), np.cos(np.deg2rad(angle_deg))
        along, off = -cos * y - sin * aside - length, cos * aside - sin * y
        high = np.maximum(np.abs(z + 0.35 * (y + length)) - 10.5, 0)
        field = np.minimum(field, np.sqrt(np.maximum(np.abs(along) - length, 0) ** 2 + off**2 + high**2))
    mask = c.fill(
        Shape(box, field), Tissue.ADRENAL, volume_ml=b.size.volume_ml["Adrenals"] / 2, where=b.body.below,
    )  # fmt: skip
    gland = largest_component(mask, corners=True)
    c.tissues[box][mask & ~gland] = Tissue.FAT
    c.labels[box][gland] = organ_id(f"Glnd_Adrenal_{'L' if side < 0 else 'R'}")
    bed = ((aside - 1) / 13) ** 2 + ((y + 10) / 15) ** 2 + (z / 18) ** 2 < 1  # of fat, which neither limb leaves
    c.free[box] &= ~(bed & b.body.below[box])
