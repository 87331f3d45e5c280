"""Exercises of chapter 04, How good is a contour?"""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise

EXERCISES = {
    "hd95": Exercise(
        answer=lambda there, back: max(np.percentile(there, 95), np.percentile(back, 95)),
        hint="One percentile for each direction, then the larger one.",
        mistakes={
            "You pooled both directions: that is another definition, and usually smaller.": lambda there, back: (
                np.percentile(np.concatenate([there, back]), 95)
            ),
            "That is the Hausdorff distance itself, without the 95th percentile.": lambda there, back: max(
                there.max(), back.max()
            ),
        },
    ),
    "surface dice": Exercise(
        answer=lambda there, back, tolerance_mm: np.mean(np.concatenate([there, back]) <= tolerance_mm),
        hint="Put both directions together; a comparison gives true and false, and their mean is a fraction.",
        mistakes={
            "Only the true surface was counted; the predicted one counts, too.": lambda there, back, tolerance_mm: (
                np.mean(there <= tolerance_mm)
            ),
            "This is the fraction that lies outside the tolerance.": lambda there, back, tolerance_mm: np.mean(
                np.concatenate([there, back]) > tolerance_mm
            ),
        },
    ),
    "diagonal": Exercise(
        answer=lambda shape, spacing_mm: np.linalg.norm(np.multiply(shape, spacing_mm)),
        hint="First each edge in millimeters; then Pythagoras, in three dimensions.",
        mistakes={
            "That is in voxels: multiply by the spacing first.": lambda shape, spacing_mm: np.linalg.norm(shape),
            "These are the edges added up; the diagonal is shorter.": lambda shape, spacing_mm: np.sum(
                np.multiply(shape, spacing_mm)
            ),
        },
    ),
    "false volume": Exercise(
        answer=lambda voxels, spacing_mm: voxels * np.prod(spacing_mm) / 1000,
        hint="The number of voxels times the volume of one; 1000 cubic millimeters are a milliliter.",
        mistakes={
            "These are cubic millimeters.": lambda voxels, spacing_mm: voxels * np.prod(spacing_mm),
            "These are voxels. How large is one?": lambda voxels, spacing_mm: voxels,
        },
    ),
}
