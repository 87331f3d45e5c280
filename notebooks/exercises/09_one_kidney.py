"""Exercises of the chapter "One kidney"."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def kind_of_failure(truth, prediction, other, voxel_ml):
    """ "missed", "false", "swapped", "displaced" or "none": the first rule that applies to the masks of one organ."""
    if not truth.any():
        return "false" if np.count_nonzero(prediction) * voxel_ml >= 1 else "none"
    if not prediction.any():
        return "missed"
    if np.mean(other[prediction]) > 0.1:
        return "swapped"
    return "displaced" if np.mean(truth[prediction]) < 0.5 else "none"


def _displaced_first(truth, prediction, other, voxel_ml):
    outside = truth.any() and prediction.any() and np.mean(truth[prediction]) < 0.5
    return "displaced" if outside else kind_of_failure(truth, prediction, other, voxel_ml)


def _half_swapped(truth, prediction, other, voxel_ml):
    kind = kind_of_failure(truth, prediction, other, voxel_ml)
    if kind != "swapped" or np.mean(other[prediction]) > 0.5:
        return kind
    return kind_of_failure(truth, prediction, np.zeros_like(other), voxel_ml)


def _slab(first, last):
    """Voxels from `first` to below `last` along x, 4 by 4 across."""
    mask = np.zeros((16, 6, 6), bool)
    mask[first:last, 1:5, 1:5] = True
    return mask


RIGHT, LEFT, NOTHING = _slab(0, 3), _slab(8, 12), np.zeros((16, 6, 6), bool)

EXERCISES = {
    "pieces that stay": Exercise(
        answer=lambda volumes_ml, mean_ml: np.count_nonzero(volumes_ml >= mean_ml / 10),
        hint="The limit is a tenth of the mean volume. Count the pieces that reach it.",
        mistakes={
            "These are the pieces that are removed.": lambda volumes_ml, mean_ml: np.count_nonzero(
                volumes_ml < mean_ml / 10
            ),
            "This counts all pieces. Which of them are too small?": lambda volumes_ml, mean_ml: len(volumes_ml),
            "That is the other rule, which keeps the largest piece only; here the volume decides.": lambda **given: 1,
        },
    ),
    "kind_of_failure": FunctionExercise(
        reference=kind_of_failure,
        checks=[
            Check("a perfect contour", lambda: (LEFT, LEFT.copy(), RIGHT, 0.04), "none"),
            Check("a kidney that is there, and nothing was drawn", lambda: (LEFT, NOTHING, RIGHT, 0.04), "missed"),
            Check("64 voxels of 0.04 mL where there is no kidney", lambda: (NOTHING, LEFT, RIGHT, 0.04), "false"),
            Check("a piece of 0.64 mL where there is none", lambda: (NOTHING, LEFT, RIGHT, 0.01), "none"),
            Check("an absent kidney and nothing drawn", lambda: (NOTHING, NOTHING.copy(), RIGHT, 0.04), "none"),
            Check("a left kidney drawn around the right one", lambda: (LEFT, RIGHT.copy(), RIGHT, 0.04), "swapped"),
            Check(
                "a contour of which 16 of 80 voxels lie in the other kidney",
                lambda: (LEFT, LEFT | (RIGHT & _slab(2, 3)), RIGHT, 0.04),
                "swapped",
            ),
            Check(
                "a contour of which three quarters lie outside its kidney",
                lambda: (LEFT, _slab(5, 9), RIGHT, 0.04),
                "displaced",
            ),
            Check("a contour one voxel off", lambda: (LEFT, np.roll(LEFT, 1, axis=0), RIGHT, 0.04), "none"),
        ],
        hints=[
            "Presence first: is the true organ there, and was anything drawn?",
            "`np.count_nonzero(prediction) * voxel_ml` is what was drawn, in milliliters.",
            "Where do its voxels lie? `prediction & other` is in the other kidney, `prediction & ~truth` outside.",
        ],
        slips={
            "A piece below 1 mL is not a false organ.": lambda truth, prediction, other, voxel_ml: kind_of_failure(
                truth, prediction, other, 1.0
            ),
            "The limit is 1 mL, not a number of voxels.": lambda truth, prediction, other, voxel_ml: kind_of_failure(
                truth, prediction, other, 1.0 / 100
            ),
            "Ask for the swap before the displacement: a swapped organ lies outside, too.": _displaced_first,
            "A tenth in the other kidney is enough for a swap.": _half_swapped,
            "An absent organ that was not drawn is right, not missed.": lambda truth, prediction, other, voxel_ml: (
                kind_of_failure(truth, prediction, other, voxel_ml) if prediction.any() else "missed"
            ),
            "A contour that is slightly off is not displaced.": lambda truth, prediction, other, voxel_ml: (
                "displaced"
                if (kind := kind_of_failure(truth, prediction, other, voxel_ml)) == "none"
                and truth.any()
                and (truth != prediction).any()
                else kind
            ),
        },
    ),
}
