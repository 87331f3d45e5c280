"""Exercises of the chapter "On their side"."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def long_axis_deg(places_mm):
    """Angle of the long axis of points (n, 2) from the x axis, in degrees, 0 to below 180."""
    _, directions = np.linalg.eigh(np.cov(places_mm.T))
    x, y = directions[:, 1]
    return np.rad2deg(np.arctan2(y, x)) % 180


def _axis_deg(places_mm, *, centered=True, turn=180):
    """The angle, and with its options the usual slips."""
    center = places_mm.mean(axis=0) if centered else 0
    _, directions = np.linalg.eigh((places_mm - center).T @ (places_mm - center))
    x, y = directions[:, 1]
    angle = np.rad2deg(np.arctan2(y, x)) % 180
    return angle if turn == 180 or angle < 90 else angle - 180


def _cross(angle_deg, *, length=100.0, width=60.0, center=(0.0, 0.0)):
    """The four ends of a cross with its long arm at this angle."""
    angle = np.deg2rad(angle_deg)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    return (np.stack([length * along, -length * along, width * across, -width * across]) + center,)


def _cloud():
    rng = np.random.default_rng(4)
    return (rng.normal(size=(500, 2)) * [60, 25] @ [[0.5, -0.9], [0.9, 0.5]] + [200, 150],)


def _by_svd(places_mm):
    _, _, axes = np.linalg.svd(places_mm - places_mm.mean(axis=0), full_matrices=False)
    return np.rad2deg(np.arctan2(axes[0, 1], axes[0, 0])) % 180


EXERCISES = {
    "long_axis_deg": FunctionExercise(
        reference=long_axis_deg,
        checks=[
            Check("a cross with its long arm at 30 degrees", lambda: _cross(30), 30.0),
            Check("a cross that stands upright", lambda: _cross(90), 90.0),
            Check(
                "a cross with its long arm at 110 degrees",
                lambda: _cross(110),
                110.0,
                "110: the same line as -70, but from 0 to 180",
            ),
            Check(
                "the cross at 30 degrees, 300 mm to the side",
                lambda: _cross(30, center=(0.0, 300.0)),
                30.0,
                "30: the place of the body does not matter",
            ),
            Check("500 random points", _cloud, _by_svd, "what a singular value decomposition gives"),
        ],
        hints=[
            "`np.cov(places_mm.T)` is the 2 × 2 covariance of x and y.",
            "`np.linalg.eigh` gives variances and directions, the smaller variance first; the directions are columns.",
            "`np.arctan2(y, x)` is the angle of the long direction, in radians. In the end take `% 180`.",
        ],
        slips={
            "This is the short axis, from back to front. `eigh` puts the smaller variance first.": lambda places_mm: (
                (long_axis_deg(places_mm) + 90) % 180
            ),
            "These are radians; `np.rad2deg` converts them to degrees.": lambda places_mm: np.deg2rad(
                long_axis_deg(places_mm)
            ),
            "This is measured from the y axis: `np.arctan2` takes y first, then x.": lambda places_mm: (
                (90 - long_axis_deg(places_mm)) % 180
            ),
            "The same line, seen from the other end: `% 180` brings it between 0 and 180.": lambda places_mm: _axis_deg(
                places_mm, turn=90
            ),
            "Subtract the mean first, as `np.cov` does.": lambda places_mm: _axis_deg(places_mm, centered=False),
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
