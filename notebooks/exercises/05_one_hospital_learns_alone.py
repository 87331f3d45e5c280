"""Exercises of chapter 05, One hospital learns alone."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise


def _dice(truth, prediction):
    return 2 * np.count_nonzero(truth & prediction) / (np.count_nonzero(truth) + np.count_nonzero(prediction))


def _jaccard(truth, prediction):
    return np.count_nonzero(truth & prediction) / np.count_nonzero(truth | prediction)


EXERCISES = {
    "dice": Exercise(
        answer=_dice,
        hint="Twice the shared voxels over the sum of both volumes.",
        mistakes={
            "This is Jaccard (shared over united); Dice counts the shared part twice.": _jaccard,
            "The shared part counts twice.": lambda truth, prediction: _dice(truth, prediction) / 2,
        },
    ),
    "drop": Exercise(
        answer=lambda home, away: home - away,
        hint="Home minus away, so that a loss is a positive number.",
        mistakes={"Swap the sign: home minus away.": lambda home, away: away - home},
    ),
}
