"""Exercises of chapter 12, What leaves the hospital?"""

from __future__ import annotations

import math

from pedseg.workbook.exercise_checks import Exercise

EXERCISES = {
    "share of the weights": Exercise(
        answer=lambda weights, everything: weights / everything,
        hint="The bytes that are weights, divided by all bytes.",
        mistakes={
            "This is the fraction of everything else.": lambda weights, everything: 1 - weights / everything,
            "That is a percentage; a fraction lies between 0 and 1.": lambda weights, everything: (
                100 * weights / everything
            ),
        },
    ),
    "whose kidney": Exercise(
        answer=lambda ratios: min(ratios, key=ratios.get),
        hint="Which kidney does the network draw smaller than before?",
        mistakes={"This one is drawn almost as before.": lambda ratios: max(ratios, key=ratios.get)},
    ),
    "noise for more rounds": Exercise(
        answer=lambda rounds, planned: math.sqrt(planned / rounds),
        hint="Privacy is lost with the square root of rounds over noise: what keeps √rounds / noise the same?",
        mistakes={
            "Not in proportion: variances add up, standard deviations do not.": lambda rounds, planned: (
                planned / rounds
            ),
            "Upside down: more rounds need more noise.": lambda rounds, planned: math.sqrt(rounds / planned),
        },
    ),
    "pairs of masks": Exercise(
        answer=lambda centers: centers * (centers - 1) // 2,
        hint="How many pairs can they form?",
        mistakes={
            "Every pair was counted twice.": lambda centers: centers * (centers - 1),
            "That is how many masks one center shares.": lambda centers: centers - 1,
        },
    ),
}
