"""Exercises of chapter 08, On their side, one kidney."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise


def _axis_deg(places_mm, *, column=1):
    _, directions = np.linalg.eigh(np.cov(np.transpose(places_mm)))
    x, y = directions[:, column]
    return np.rad2deg(np.arctan2(y, x)) % 180


EXERCISES = {
    "long axis": Exercise(
        answer=_axis_deg,
        hint="Which of the two directions is the long one? `np.arctan2(y, x)` is its angle, in radians.",
        mistakes={
            "This is the short axis, from back to front. `eigh` puts the smaller spread first.": lambda places_mm: (
                _axis_deg(places_mm, column=0)
            ),
            "These are radians; `np.rad2deg` converts them to degrees.": lambda places_mm: np.deg2rad(
                _axis_deg(places_mm)
            ),
            "This is measured from the y axis: `np.arctan2` takes y first, then x.": lambda places_mm: (
                (90 - _axis_deg(places_mm)) % 180
            ),
            "The same line, seen from the other end: `% 180` brings it between 0 and 180.": lambda places_mm: (
                _axis_deg(places_mm) - 180
            ),
        },
    ),
    "explained share": Exercise(
        answer=lambda cost, drop: cost / drop,
        hint="The part over the whole: what this factor costs, divided by the whole drop.",
        mistakes={
            "Upside down: the part over the whole.": lambda cost, drop: drop / cost,
            "This is what the factor costs; divide it by the drop.": lambda cost, drop: cost,
            "This is the fraction that is left for all other factors.": lambda cost, drop: 1 - cost / drop,
        },
    ),
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
    "kind of failure": Exercise(
        answer=lambda: "swapped",
        hint="Answer with a word of the column `kind`, in quotation marks.",
        mistakes={
            "There is a dashed line, so the network drew it.": lambda: "missed",
            "There is a solid line, so the organ is there.": lambda: "false",
            "The drawn kidney is in one piece; a part elsewhere would be one of two.": lambda: "part",
            "A leak begins at the border of the true organ and spreads from there.": lambda: "leaking",
            "True, but there is a better word: which organ lies inside the dashed line?": lambda: "displaced",
        },
    ),
}
