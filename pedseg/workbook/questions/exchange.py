"""What notebook 13 asks: missing slices, names of patients, half a pixel, and what an empty contour says."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Question

EXCHANGE: dict[str, Question] = {
    "false spacing": Question(
        answer=lambda places_mm: float((places_mm[-1] - places_mm[0]) / (len(places_mm) - 1)),
        nudge="The whole way, from the first slice to the last, divided by the number of steps.",
        slips={
            "That is the step of a scan without a gap.": lambda places_mm: float(np.median(np.diff(places_mm))),
            "There is one step less than there are slices.": lambda places_mm: (
                float(places_mm[-1] - places_mm[0]) / len(places_mm)
            ),
        },
    ),
    "seconds to guess": Question(
        answer=lambda digits, per_second: 10**digits / per_second,
        nudge="How many numbers of so many digits are there? And how many are tried in a second?",
        slips={
            "That is how many numbers there are; how long does it take to try them?": lambda digits, per_second: (
                10**digits
            ),
            "Seven digits make far more than seven numbers.": lambda digits, per_second: digits / per_second,
        },
    ),
    "area through the centers": Question(
        answer=lambda edge: ((edge - 1) / edge) ** 2,
        nudge="From the center of the first voxel to the center of the last: how long is that side, of how many?",
        slips={
            "That is the side; the area is its square.": lambda edge: (edge - 1) / edge,
            "One voxel is lost along a side, half of one at each end.": lambda edge: ((edge - 2) / edge) ** 2,
        },
    ),
    "empty contour": Question(
        answer=lambda: "unknown",
        nudge="Templates make empty contours before anybody draws. What do you know: `absent` or `unknown`?",
        slips={"A template leaves the same empty contour behind in a child with two kidneys.": lambda: "absent"},
    ),
}
