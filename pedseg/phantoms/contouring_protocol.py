"""Contouring protocols: rules of a hospital that change contours and never the scan, each switched alone.

Two hospitals may see the same heart and end its contour at different heights (label shift). A network learns such
rules as it learns organs; at the other hospital they count as errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pedseg.organs import organ
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.phantom import Phantom


@dataclass(frozen=True)
class ContouringProtocol:
    """What a hospital's contours include; the defaults draw every organ whole.

    `heart_top_mm`: the heart's contour ends so far above (or, negative, below) the top of the muscle, and takes in the
    great vessels up to there; None leaves them out and the muscle whole. `bowel_bottom`: "rectum", or "inlet" where
    the bowel's contour ends at the upper end of the sacrum. `canal`: the whole spinal canal, or only the cord in it.
    `field_margin_mm`: all contours stop so far from the upper and the lower end of the scan.
    """

    heart_top_mm: float | None = None
    bowel_bottom: Literal["rectum", "inlet"] = "rectum"
    canal: Literal["canal", "cord"] = "canal"
    field_margin_mm: float = 0.0


WHOLE_ORGANS = ContouringProtocol()


def contour(phantom: Phantom, protocol: ContouringProtocol) -> Phantom:
    """The phantom with its labels as a hospital contours them; what is no longer contoured becomes background."""
    if protocol == WHOLE_ORGANS:
        return phantom
    labels = phantom.labels.copy()
    height_mm = phantom.affine[2, 3] + phantom.spacing_mm[2] * np.arange(labels.shape[2])
    if protocol.heart_top_mm is not None:
        _end_heart(labels, phantom.tissues, height_mm, protocol.heart_top_mm)
    if protocol.bowel_bottom == "inlet":
        _end_bowel(labels, height_mm)
    if protocol.canal == "cord":
        labels[(labels == organ("SpinalCanal").id) & (phantom.tissues != Tissue.CORD)] = 0
    ends = (height_mm - height_mm[0], height_mm[-1] - height_mm)
    labels[:, :, np.minimum(*ends) < protocol.field_margin_mm] = 0
    return replace(phantom, labels=labels)


def _end_heart(labels: NDArray, tissues: NDArray, height_mm: NDArray, above_mm: float) -> None:
    """End the heart at one height: muscle above it goes, unlabeled great vessels below it come in."""
    heart = organ("Heart").id
    slices = np.flatnonzero((labels == heart).any(axis=(0, 1)))
    if not slices.size:
        return
    beneath = height_mm <= height_mm[slices[-1]] + above_mm
    vessels = (tissues == Tissue.HEART_BLOOD) & (labels == 0)
    labels[vessels & beneath & (height_mm >= height_mm[slices[0]])] = heart
    labels[(labels == heart) & ~beneath] = 0


def _end_bowel(labels: NDArray, height_mm: NDArray) -> None:
    """End the bowel where the lowest vertebra ends, at the inlet of the pelvis."""
    spine = np.flatnonzero((labels == organ("VBs").id).any(axis=(0, 1)))
    if spine.size:
        labels[(labels == organ("Bowel^Stomach").id) & (height_mm < height_mm[spine[0]])] = 0
