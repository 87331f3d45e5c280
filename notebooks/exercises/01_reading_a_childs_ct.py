"""Exercises of the chapter "Reading a child's CT"."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def to_gray(hu, center, width):
    """HU as gray values between 0 (black) and 1 (white), in a window of this center and width."""
    lowest = center - width / 2
    return np.clip((hu - lowest) / width, 0, 1)


def _by_scikit_image(hu, center, width):
    from skimage.exposure import rescale_intensity

    in_range = (center - width / 2, center + width / 2)
    return rescale_intensity(np.asarray(hu, float), in_range=in_range, out_range=(0, 1))


def _slice():
    return np.random.default_rng(1).normal(0, 400, (6, 5)), 60, 350


EXERCISES = {
    "to_gray": FunctionExercise(
        reference=to_gray,
        checks=[
            Check("the center of the soft-tissue window, 40 HU", lambda: (np.array([40.0]), 40, 400), [0.5]),
            Check("its two ends, -160 and 240 HU", lambda: (np.array([-160.0, 240.0]), 40, 400), [0, 1]),
            Check("air and metal, -1000 and 3000 HU", lambda: (np.array([-1000.0, 3000.0]), 40, 400), [0, 1]),
            Check(
                "whole numbers, as scanners store them",
                lambda: (np.array([-60, 40, 140], np.int16), 40, 400),
                [0.25, 0.5, 0.75],
            ),
            Check("the lung window, center -500 and width 1400", lambda: (np.array([-800.0]), -500, 1400), [2 / 7]),
            Check("a noisy slice", _slice, _by_scikit_image, "what scikit-image's `rescale_intensity` gives"),
        ],
        hints=[
            "The lowest HU that is not black is the center minus half the width.",
            "Subtract the lowest HU and divide by the width: the window becomes 0 to 1.",
            "`np.clip(values, 0, 1)` makes everything below black and everything above white.",
        ],
        slips={
            "What lies outside the window must be cut off at 0 and 1.": lambda hu, center, width: (
                (hu - center) / width + 0.5
            ),
            "Only half of the width lies below the center.": lambda hu, center, width: np.clip(
                (hu - center + width) / width, 0, 1
            ),
            "Half of the width lies on each side of the center.": lambda hu, center, width: np.clip(
                (hu - center + width) / (2 * width), 0, 1
            ),
            "Black and white are swapped: the brightest HU should be 1.": lambda hu, center, width: (
                1 - to_gray(hu, center, width)
            ),
            "These are still HU: divide by the width.": lambda hu, center, width: np.clip(
                hu, center - width / 2, center + width / 2
            ),
        },
    ),
    "voxel volume": Exercise(
        answer=lambda spacing_mm: np.prod(spacing_mm) / 1000,
        hint="A voxel is a small box: width × depth × height. How many cubic millimeters make a milliliter?",
        mistakes={
            "These are cubic millimeters. A milliliter holds 1000 of them.": lambda spacing_mm: np.prod(spacing_mm),
            "The edges must be multiplied, not added.": lambda spacing_mm: np.sum(spacing_mm) / 1000,
        },
    ),
    "side of the liver": Exercise(
        answer=lambda: "right",
        hint="Find the liver, and the letter at that edge of the picture.",
        mistakes={"It is on the left of the picture. On which side of the child is that?": lambda: "left"},
    ),
}
