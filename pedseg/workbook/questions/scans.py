"""What notebooks 01, 02 and 04 ask: scans, growing organs, and how good a contour is."""

from __future__ import annotations

import numpy as np

from pedseg.organs import EVALUATED, ORGANS
from pedseg.workbook.exercise_checks import Question


def _dice(truth, prediction):
    return 2 * np.count_nonzero(truth & prediction) / (np.count_nonzero(truth) + np.count_nonzero(prediction))


def _jaccard(truth, prediction):
    return np.count_nonzero(truth & prediction) / np.count_nonzero(truth | prediction)


SCANS: dict[str, Question] = {
    "number of organs": Question(
        answer=lambda: len(ORGANS),
        nudge="Python counts with `len(...)`; the organs stand in `ORGANS`.",
        slips={"This is the number of evaluated organs; there are more in the list.": lambda: len(EVALUATED)},
    ),
    "darkest shade": Question(
        answer=lambda center, width: center - width / 2,
        nudge="Half of the window lies below its center.",
        slips={
            "That is the brightest end: it lies above the center.": lambda center, width: center + width / 2,
            "The width spans the whole window; only half of it lies below the center.": lambda center, width: (
                center - width
            ),
        },
    ),
    "voxel volume": Question(
        answer=lambda spacing_mm: np.prod(spacing_mm) / 1000,
        nudge="A voxel is a small box: width × depth × height. How many cubic millimeters make a milliliter?",
        slips={
            "These are cubic millimeters. A milliliter holds 1000 of them.": lambda spacing_mm: np.prod(spacing_mm),
            "The edges must be multiplied, not added.": lambda spacing_mm: np.sum(spacing_mm) / 1000,
        },
    ),
    "side of the liver": Question(
        answer=lambda: "right",
        nudge="Look where the liver lies and which letter stands on that rim of the picture.",
        slips={"It is on the left of the picture. On which side of the child is that?": lambda: "left"},
    ),
    "dice": Question(
        answer=lambda truth, prediction: _dice(truth, prediction),
        nudge="Twice the shared voxels over the sum of both volumes.",
        slips={
            "This is Jaccard (shared over united); Dice counts the shared part twice.": lambda truth, prediction: (
                _jaccard(truth, prediction)
            ),
            "The shared part counts twice.": lambda truth, prediction: _dice(truth, prediction) / 2,
        },
    ),
    "hd95": Question(
        answer=lambda there, back: max(np.percentile(there, 95), np.percentile(back, 95)),
        nudge="One percentile for each direction, then the larger one.",
        slips={
            "Both directions in one pot: that is another definition, and mostly smaller.": lambda there, back: (
                np.percentile(np.concatenate([there, back]), 95)
            ),
            "That is the Hausdorff distance itself, without the 95th percentile.": lambda there, back: max(
                there.max(), back.max()
            ),
        },
    ),
    "surface dice": Question(
        answer=lambda there, back, tolerance_mm: np.mean(np.concatenate([there, back]) <= tolerance_mm),
        nudge="Put both directions together; comparing gives true and false, and the mean of those is a share.",
        slips={
            "This is the share of the true surface only; the drawn one counts.": lambda there, back, tolerance_mm: (
                np.mean(there <= tolerance_mm)
            ),
            "This is the share that lies outside the tolerance.": lambda there, back, tolerance_mm: np.mean(
                np.concatenate([there, back]) > tolerance_mm
            ),
        },
    ),
    "diagonal": Question(
        answer=lambda shape, spacing_mm: np.linalg.norm(np.multiply(shape, spacing_mm)),
        nudge="First each edge in millimeters; then Pythagoras, in three dimensions.",
        slips={
            "That is in voxels: multiply by the spacing first.": lambda shape, spacing_mm: np.linalg.norm(shape),
            "These are the edges added up; the diagonal is shorter.": lambda shape, spacing_mm: np.sum(
                np.multiply(shape, spacing_mm)
            ),
        },
    ),
    "growth factor": Question(
        answer=lambda young_ml, old_ml: old_ml / young_ml,
        nudge="A factor is what you multiply the small volume by to get the large one.",
        slips={
            "The wrong way round: a growing organ has a factor above one.": lambda young_ml, old_ml: young_ml / old_ml,
            "These are the milliliters it gained; the factor is a ratio.": lambda young_ml, old_ml: old_ml - young_ml,
            "This is the gain in relation to the start; the factor counts the start, too.": lambda young_ml, old_ml: (
                (old_ml - young_ml) / young_ml
            ),
        },
    ),
    "kidney length": Question(
        answer=lambda height_cm: 0.051 * height_cm + 2.102,
        nudge="The height times 0.051, and then 2.102 added; all in centimeters.",
        slips={
            "The last part is missing: add 2.102.": lambda height_cm: 0.051 * height_cm,
            "First multiply the height, then add.": lambda height_cm: 0.051 * (height_cm + 2.102),
            "The formula wants the height in centimeters, not in millimeters.": lambda height_cm: (
                0.51 * height_cm + 2.102
            ),
        },
    ),
    "all three axes": Question(
        answer=lambda length_factor: length_factor**3,
        nudge="Length, width and depth each take the factor, and a volume is the product of the three.",
        slips={
            "This would be right if it grew in length alone.": lambda length_factor: length_factor,
            "That is how an area grows; a volume has one axis more.": lambda length_factor: length_factor**2,
            "The three factors must be multiplied, not added.": lambda length_factor: 3 * length_factor,
            "Gains do not add up: each factor works on what the others made.": lambda length_factor: (
                1 + 3 * (length_factor - 1)
            ),
        },
    ),
    "voxels of a gland": Question(
        answer=lambda volume_ml, spacing_mm: volume_ml * 1000 / np.prod(spacing_mm),
        nudge="How many cubic millimeters has the gland, and how many has one voxel?",
        slips={
            "A milliliter has 1000 cubic millimeters.": lambda volume_ml, spacing_mm: volume_ml / np.prod(spacing_mm),
            "The edges of a voxel must be multiplied, not added.": lambda volume_ml, spacing_mm: (
                volume_ml * 1000 / np.sum(spacing_mm)
            ),
            "Divide by the volume of a voxel; larger voxels must become fewer.": lambda volume_ml, spacing_mm: (
                volume_ml * 1000 * np.prod(spacing_mm)
            ),
        },
    ),
    "share on the surface": Question(
        answer=lambda edge: 1 - (edge - 2) ** 3 / edge**3,
        nudge="Peel the cube: what is left inside has an edge that is shorter by two voxels.",
        slips={
            "This is the share inside.": lambda edge: (edge - 2) ** 3 / edge**3,
            "The peel lies on both sides: the edge becomes shorter by two.": lambda edge: 1 - (edge - 1) ** 3 / edge**3,
            "Six sides, but voxels on edges and corners belong to several of them and count once.": lambda edge: (
                6 * edge**2 / edge**3
            ),
        },
    ),
}
