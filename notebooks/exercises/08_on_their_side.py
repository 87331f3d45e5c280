"""Exercises of the chapter "On their side"."""

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
            "This is the short axis, from back to front. `eigh` puts the smaller variance first.": lambda places_mm: (
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
            "This is inverted: divide the part by the whole.": lambda cost, drop: drop / cost,
            "This is what the factor costs; divide it by the drop.": lambda cost, drop: cost,
            "This is the fraction that is left for all other factors.": lambda cost, drop: 1 - cost / drop,
        },
    ),
}
