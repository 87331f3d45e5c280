"""Effects of surgery: compensatory growth of the other kidney, a displaced or atrophic kidney, scar and metal clips.

Numbers: the kidney that is left after a nephrectomy reaches 128 +/- 11 % of the expected length after two years (Med
Pediatr Oncol 1996;26:325), fast at first. That adrenals are mostly gone after a neuroblastoma, and that kidneys may be
displaced or shrunken, is general knowledge; the shares are plausible guesses. All millimeters are those of the
standard 5-year-old (`canvas`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.canvas import Canvas
from pedseg.phantoms.child import Child
from pedseg.phantoms.landmarks import Path, mirrored

MAX_GROWTH = 0.28  # of the length of the remaining kidney
GROWTH_MONTHS = (0.0, 1.0, 3.0, 6.0, 12.0, 18.0, 24.0)
GROWTH_SHARE = (0.0, 0.15, 0.36, 0.58, 0.82, 0.94, 1.0)  # of `MAX_GROWTH`: fast at first
ADRENALECTOMY_SHARE = 0.8  # of the children after a neuroblastoma
ATROPHY_SHARE = 0.25  # of the children after a neuroblastoma: the kidney beside the bed has lost part of its volume
CLIP_MM = 5.0  # length of a clip in mm of the room
CLIP_MM3 = 12.0  # and its volume

# Scars by tumor and side (-1 left, 1 right): beside the aorta or behind the vena cava, or flat on the psoas.
SCARS: dict[str, dict[int, Path]] = {
    "renal": {
        -1: ((-28, -27, 26, 4), (-34, -32, 6, 6), (-39, -36, -16, 4)),
        1: ((29, -27, 22, 4), (35, -33, 2, 6), (40, -36, -20, 4)),
    },
    "neuroblastoma": {
        -1: ((-20, -19, 46, 6), (-18, -16, 28, 7.5), (-16, -14, 8, 6.5), (-15, -13, -12, 4)),
        1: ((20, -20, 46, 6), (22, -19, 28, 7), (21, -18, 8, 6), (19, -17, -12, 4)),
    },
}
# Where clips lie, given for the right side.
CLIP_PLACES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "renal": ((23, -17, 4), (25, -20, -4), (30, -34, 22), (34, -37, 4), (38, -39, -16), (29, -27, 12)),
    "neuroblastoma": ((20, -17, 44), (22, -22, 30), (20, -14, 18), (19, -20, 4), (17, -15, -10), (26, -20, 38)),
}


def compensatory_growth(months_since_surgery: float) -> float:
    """Length of the remaining kidney after a nephrectomy, as a multiple of what is normal for the age."""
    return 1.0 + MAX_GROWTH * float(np.interp(months_since_surgery, GROWTH_MONTHS, GROWTH_SHARE))


@dataclass(frozen=True)
class SurgeryEffects:
    """What surgery has changed in one child; nothing, where there was none."""

    child: Child
    growth: float = 1.0  # length of the remaining kidney against what is normal
    adrenal_gone: bool = False  # after a neuroblastoma; a renal tumor takes it in every second child (`viscera`)
    kidney_shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the kidney beside a neuroblastoma's bed
    kidney_volume_share: float = 1.0  # of what is normal


def sample_effects(child: Child) -> SurgeryEffects:
    """Draw the effects of surgery in one child, from its seed alone: the same at every visit."""
    if child.removed_kidney:
        return SurgeryEffects(child, growth=compensatory_growth(child.months_since_surgery))
    if child.tumor != "neuroblastoma":
        return SurgeryEffects(child)
    rng = np.random.default_rng((child.seed, 41))
    adrenal_gone, atrophic = rng.random() < ADRENALECTOMY_SHARE, rng.random() < ATROPHY_SHARE
    out, front, down = rng.uniform((2.0, -2.0, 2.0), (8.0, 3.0, 12.0))
    share = float(rng.uniform(0.6, 0.85)) if atrophic else 1.0
    return SurgeryEffects(child, 1.0, adrenal_gone, (child.operated_side * out, front, -down), share)


def add_scar(canvas: Canvas, effects: SurgeryEffects) -> None:
    """The soft, low-density scar where the tumor was; it belongs to no label."""
    child = effects.child
    if not child.tumor:
        return
    path = mirrored(SCARS[child.tumor][child.operated_side], 1)
    path[:, 3] *= 1.0 - 0.4 * min(child.months_since_surgery / 36.0, 1.0)  # it shrinks over three years to 60 %
    canvas.fill(canvas.tube(path, 1.0, 7.0), Tissue.SCAR)


def add_clips(canvas: Canvas, effects: SurgeryEffects) -> None:
    """A few short clips of metal in the bed, each of about `CLIP_MM3`, outside of every contour."""
    child = effects.child
    rng = np.random.default_rng((child.seed, 43))
    places = np.array(CLIP_PLACES[child.tumor or "renal"]) * [child.operated_side or 1, 1, 1]
    for place in rng.permutation(places)[: child.clips]:
        middle, along = place + rng.normal(0.0, 2.0, 3), rng.normal(0.0, 1.0, 3)
        half = along / np.linalg.norm(along) * CLIP_MM / 2 / canvas.scale.mean()
        _add_clip(canvas, middle - half, middle + half)


def _add_clip(canvas: Canvas, start: NDArray, end: NDArray) -> None:
    """One clip in the voxels nearest to it: two at least, so that it does not vanish on a coarse grid."""
    shape = canvas.tube([(*start, 0.1), (*end, 0.1)], 6.0, 20.0)
    field = np.where(canvas.labels[shape.box] == 0, shape.field, np.inf)
    count = max(2, round(CLIP_MM3 / 1000 / canvas.voxel_ml))
    nearest = np.argsort(field, axis=None, kind="stable")[:count]
    nearest = nearest[np.isfinite(field.ravel()[nearest])]
    canvas.tissues[shape.box][np.unravel_index(nearest, field.shape)] = Tissue.CLIP
