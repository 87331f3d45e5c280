"""Exercises of chapter 01, Reading a child's CT."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise

EXERCISES = {
    "darkest shade": Exercise(
        answer=lambda center, width: center - width / 2,
        hint="Half of the window lies below its center.",
        mistakes={
            "That is the brightest end: it lies above the center.": lambda center, width: center + width / 2,
            "The width spans the whole window; only half of it lies below the center.": lambda center, width: (
                center - width
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
        hint="Look where the liver lies and which letter is at that edge of the picture.",
        mistakes={"It is on the left of the picture. On which side of the child is that?": lambda: "left"},
    ),
}
