"""Exercises of the chapter "Growing bodies"."""

from __future__ import annotations

import numpy as np
from scipy import stats

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def growth_percentile(value, skewness, median, variation):
    """The percentage of healthy children of this age with a smaller value, by the LMS method of growth charts."""
    if skewness == 0:
        z = np.log(value / median) / variation
    else:
        z = ((value / median) ** skewness - 1) / (skewness * variation)
    return 100 * stats.norm.cdf(z)


def _by_box_cox(value, skewness, median, variation):
    transformed = stats.boxcox(np.atleast_1d(np.asarray(value, float) / median), skewness)
    return 100 * stats.norm.cdf(transformed / variation).reshape(np.shape(value))


def _z(value, skewness, median, variation):
    return stats.norm.ppf(growth_percentile(value, skewness, median, variation) / 100)


EXERCISES = {
    "growth_percentile": FunctionExercise(
        reference=growth_percentile,
        checks=[
            Check("a child whose value is the median", lambda: (8.0, 1.0, 8.0, 0.1), 50, "50: half are smaller"),
            Check("one standard deviation above the median, L = 1", lambda: (8.8, 1.0, 8.0, 0.1), 84.1345),
            Check("two standard deviations below the median, L = 1", lambda: (6.4, 1.0, 8.0, 0.1), 2.27501),
            Check("L = 0, one standard deviation up in the logarithm", lambda: (8 * np.exp(0.1), 0, 8.0, 0.1), 84.1345),
            Check(
                "a skewed measure, L = -1.6",
                lambda: (30.0, -1.6, 17.0, 0.12),
                _by_box_cox,
                "what SciPy's Box-Cox gives",
            ),
            Check(
                "a girl of one year and 9 kg, with the World Health Organization's L, M, and S",
                lambda: (9.0, -0.2022, 8.9462, 0.12267),
                51.948,
            ),
            Check("several children at once", lambda: (np.array([6.0, 8.0, 9.0]), 0.5, 8.0, 0.1), _by_box_cox),
        ],
        hints=[
            "First z, then the percentile: `stats.norm.cdf(z)` is the fraction below z in a normal distribution.",
            "z = ((value / M) ** L - 1) / (L * S); a percentage is a hundred times the fraction.",
            "L = 0 would divide by zero; there z is `np.log(value / M) / S`.",
        ],
        slips={
            "This is a fraction; a percentile runs from 0 to 100.": lambda *given: growth_percentile(*given) / 100,
            "This is z, in standard deviations; the percentile follows from it.": _z,
            "L = 0 needs its own case.": lambda value, skewness, median, variation: (
                100 * stats.norm.cdf(((value / median) ** skewness - 1) / np.float64(skewness * variation))
            ),
            "L is left out: the distribution is skewed.": lambda value, skewness, median, variation: (
                100 * stats.norm.cdf((value / median - 1) / variation)
            ),
            "This is the percentage of children who are larger.": lambda *given: 100 - growth_percentile(*given),
            "S is a fraction of the median, not an amount.": lambda value, skewness, median, variation: (
                100 * stats.norm.cdf((value - median) / variation)
            ),
        },
    ),
    "kidney length": Exercise(
        answer=lambda height_cm: 0.051 * height_cm + 2.102,
        hint="Multiply the height by 0.051, then add 2.102; all in centimeters.",
        mistakes={
            "The last part is missing: add 2.102.": lambda height_cm: 0.051 * height_cm,
            "Multiply the height first, then add.": lambda height_cm: 0.051 * (height_cm + 2.102),
            "The formula needs the height in centimeters, not in millimeters.": lambda height_cm: (
                0.51 * height_cm + 2.102
            ),
        },
    ),
    "all three axes": Exercise(
        answer=lambda length_factor: length_factor**3,
        hint="Length, width, and depth each grow by this factor, and a volume is the product of the three.",
        mistakes={
            "This would be right if only the length grew.": lambda length_factor: length_factor,
            "That is how an area grows; a volume has one more axis.": lambda length_factor: length_factor**2,
            "The three factors must be multiplied, not added.": lambda length_factor: 3 * length_factor,
            "The gains do not add up: each factor multiplies the result of the others.": lambda length_factor: (
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
            "Divide by the volume of a voxel: larger voxels are fewer.": lambda volume_ml, spacing_mm: (
                volume_ml * 1000 * np.prod(spacing_mm)
            ),
        },
    ),
    "share on the surface": Exercise(
        answer=lambda edge: 1 - (edge - 2) ** 3 / edge**3,
        hint="Remove the surface: the cube that is left inside has edges two voxels shorter.",
        mistakes={
            "This is the fraction inside.": lambda edge: (edge - 2) ** 3 / edge**3,
            "The surface is on both sides: the edge becomes two voxels shorter.": lambda edge: (
                1 - (edge - 1) ** 3 / edge**3
            ),
            "Voxels on edges and corners belong to several of the six sides: count them once.": lambda edge: (
                6 * edge**2 / edge**3
            ),
        },
    ),
}
