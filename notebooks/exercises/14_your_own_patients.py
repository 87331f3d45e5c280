"""Exercises of the chapter "Your own patients"."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise

EXERCISES = {
    "false spacing": Exercise(
        answer=lambda places_mm: float((places_mm[-1] - places_mm[0]) / (len(places_mm) - 1)),
        hint="The whole distance, from the first slice to the last, divided by the number of steps.",
        mistakes={
            "That is the step of a scan without a gap.": lambda places_mm: float(np.median(np.diff(places_mm))),
            "There is one step fewer than there are slices.": lambda places_mm: (
                float(places_mm[-1] - places_mm[0]) / len(places_mm)
            ),
        },
    ),
    "seconds to guess": Exercise(
        answer=lambda digits, per_second: 10**digits / per_second,
        hint="How many numbers with that many digits are there? How many can be tried per second?",
        mistakes={
            "That is how many numbers there are; how long does it take to try them?": lambda digits, per_second: (
                10**digits
            ),
            "Seven digits give far more than seven numbers.": lambda digits, per_second: digits / per_second,
        },
    ),
    "area through the centers": Exercise(
        answer=lambda edge: ((edge - 1) / edge) ** 2,
        hint="From the center of the first voxel to the center of the last: how long is that side? And the cube's?",
        mistakes={
            "That is the side; the area is its square.": lambda edge: (edge - 1) / edge,
            "One voxel is lost along a side, half of one at each end.": lambda edge: ((edge - 2) / edge) ** 2,
        },
    ),
    "empty contour": Exercise(
        answer=lambda: "unknown",
        hint="Templates create empty contours before anybody draws. What do you know: `absent` or `unknown`?",
        mistakes={"A template leaves the same empty contour in a child with two kidneys.": lambda: "absent"},
    ),
}
