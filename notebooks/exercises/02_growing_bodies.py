"""Exercises of chapter 02, Growing bodies."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise

EXERCISES = {
    "growth factor": Exercise(
        answer=lambda young_ml, old_ml: old_ml / young_ml,
        hint="A factor is what you multiply the small volume by to get the large one.",
        mistakes={
            "Upside down: a growing organ has a factor above one.": lambda young_ml, old_ml: young_ml / old_ml,
            "These are the milliliters it gained; the factor is a ratio.": lambda young_ml, old_ml: old_ml - young_ml,
            "This is the gain relative to the start; the factor includes the start, too.": lambda young_ml, old_ml: (
                (old_ml - young_ml) / young_ml
            ),
        },
    ),
    "kidney length": Exercise(
        answer=lambda height_cm: 0.051 * height_cm + 2.102,
        hint="The height times 0.051, and then 2.102 added; all in centimeters.",
        mistakes={
            "The last part is missing: add 2.102.": lambda height_cm: 0.051 * height_cm,
            "First multiply the height, then add.": lambda height_cm: 0.051 * (height_cm + 2.102),
            "The formula wants the height in centimeters, not in millimeters.": lambda height_cm: (
                0.51 * height_cm + 2.102
            ),
        },
    ),
    "all three axes": Exercise(
        answer=lambda length_factor: length_factor**3,
        hint="Length, width and depth each take the factor, and a volume is the product of the three.",
        mistakes={
            "This would be right if it grew in length alone.": lambda length_factor: length_factor,
            "That is how an area grows; a volume has one axis more.": lambda length_factor: length_factor**2,
            "The three factors must be multiplied, not added.": lambda length_factor: 3 * length_factor,
            "Gains do not add up: each factor works on what the others made.": lambda length_factor: (
                1 + 3 * (length_factor - 1)
            ),
        },
    ),
    "voxels of a gland": Exercise(
        answer=lambda volume_ml, spacing_mm: volume_ml * 1000 / np.prod(spacing_mm),
        hint="How many cubic millimeters does the gland have, and how many does one voxel have?",
        mistakes={
            "A milliliter has 1000 cubic millimeters.": lambda volume_ml, spacing_mm: volume_ml / np.prod(spacing_mm),
            "The edges of a voxel must be multiplied, not added.": lambda volume_ml, spacing_mm: (
                volume_ml * 1000 / np.sum(spacing_mm)
            ),
            "Divide by the volume of a voxel; larger voxels must become fewer.": lambda volume_ml, spacing_mm: (
                volume_ml * 1000 * np.prod(spacing_mm)
            ),
        },
    ),
    "share on the surface": Exercise(
        answer=lambda edge: 1 - (edge - 2) ** 3 / edge**3,
        hint="Peel the cube: the edge of what is left inside is two voxels shorter.",
        mistakes={
            "This is the fraction inside.": lambda edge: (edge - 2) ** 3 / edge**3,
            "The peel is on both sides: the edge becomes two voxels shorter.": lambda edge: (
                1 - (edge - 1) ** 3 / edge**3
            ),
            "Six sides, but voxels on edges and corners belong to several of them: count them once.": lambda edge: (
                6 * edge**2 / edge**3
            ),
        },
    ),
}
