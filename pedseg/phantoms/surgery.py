"""What surgery leaves behind: the other kidney grows, a kidney is pushed aside or shrinks, a scar and metal clips stay.

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
from pedseg.phantoms.landmarks import CLIP_PLACES, SCARS, mirrored

MOST_GROWTH = 0.28  # of the length of the kidney that is left
GROWTH_MONTHS = (0.0, 1.0, 3.0, 6.0, 12.0, 18.0, 24.0)
GROWTH_SHARE = (0.0, 0.15, 0.36, 0.58, 0.82, 0.94, 1.0)  # of `MOST_GROWTH`: fast at first
ADRENAL_GONE = 0.8  # of the children after a neuroblastoma
SHRUNKEN = 0.25  # of the children after a neuroblastoma: the kidney beside the bed has lost a part of its volume
CLIP_MM = 5.0  # length of a clip in mm of the room
CLIP_MM3 = 12.0  # and its volume


def growth_in_length(months_since_surgery: float) -> float:
    """How long the kidney that is left becomes, as a multiple of what is normal for the age."""
    return 1.0 + MOST_GROWTH * float(np.interp(months_since_surgery, GROWTH_MONTHS, GROWTH_SHARE))


@dataclass(frozen=True)
class Aftermath:
    """What surgery has changed in one child; nothing, where there was none."""

    child: Child
    growth: float = 1.0  # length of the kidney that is left after the other was removed
    adrenal_gone: bool = False  # after a neuroblastoma; a renal tumor takes it in every second child (`viscera`)
    kidney_shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the kidney beside a neuroblastoma's bed
    kidney_share: float = 1.0  # of its normal volume

    @property
    def scar_scale(self) -> float:
        """How thick the scar still is: it shrinks over three years to 60 %."""
        return 1.0 - 0.4 * min(self.child.months_since_surgery / 36.0, 1.0)


def aftermath(child: Child) -> Aftermath:
    """Chance for one operated child, from its seed alone: the same at every visit."""
    if child.removed_kidney:
        return Aftermath(child, growth=growth_in_length(child.months_since_surgery))
    if child.tumor != "neuroblastoma":
        return Aftermath(child)
    rng = np.random.default_rng((child.seed, 41))
    gone, shrunken = rng.random() < ADRENAL_GONE, rng.random() < SHRUNKEN
    out, front, down = rng.uniform((2.0, -2.0, 2.0), (8.0, 3.0, 12.0))
    share = float(rng.uniform(0.6, 0.85)) if shrunken else 1.0
    return Aftermath(child, 1.0, gone, (child.operated_side * out, front, -down), share)


def draw_scar(canvas: Canvas, after: Aftermath) -> None:
    """The soft, low-density scar where the tumor was; it belongs to no label."""
    child = after.child
    if not child.tumor:
        return
    path = mirrored(SCARS[child.tumor][child.operated_side], 1)
    path[:, 3] *= after.scar_scale
    canvas.fill(canvas.tube(path, 1.0, 7.0), Tissue.SCAR)


def draw_clips(canvas: Canvas, after: Aftermath) -> None:
    """A few short clips of metal in the bed, each of about `CLIP_MM3`, outside of every contour."""
    child = after.child
    rng = np.random.default_rng((child.seed, 43))
    places = np.array(CLIP_PLACES[child.tumor or "renal"]) * [child.operated_side or 1, 1, 1]
    for place in rng.permutation(places)[: child.clips]:
        middle, along = place + rng.normal(0.0, 2.0, 3), rng.normal(0.0, 1.0, 3)
        half = along / np.linalg.norm(along) * CLIP_MM / 2 / canvas.scale.mean()
        _clip(canvas, middle - half, middle + half)


def _clip(canvas: Canvas, start: NDArray, end: NDArray) -> None:
    """The voxels nearest to one clip: two at least, so that it does not vanish on a coarse grid."""
    shape = canvas.tube([(*start, 0.1), (*end, 0.1)], 6.0, 20.0)
    field = np.where(canvas.labels[shape.box] == 0, shape.field, np.inf)
    count = max(2, round(CLIP_MM3 / 1000 / canvas.voxel_ml))
    nearest = np.argsort(field, axis=None, kind="stable")[:count]
    nearest = nearest[np.isfinite(field.ravel()[nearest])]
    place = np.unravel_index(nearest, field.shape)
    canvas.tissues[shape.box][place] = Tissue.CLIP
