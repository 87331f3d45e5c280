"""Exercises of the chapter "From scan to tensor"."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def resample_labels(labels, spacing_mm, new_mm):
    """A label map on a grid of another spacing over the same box: each new voxel takes the nearest voxel's label."""
    for axis in range(3):
        count = max(1, round(labels.shape[axis] * spacing_mm[axis] / new_mm[axis]))
        middles = (np.arange(count) + 0.5) / count * labels.shape[axis] - 0.5
        labels = np.take(labels, np.rint(middles).astype(int), axis)
    return labels


def _by_pedseg(labels, spacing_mm, new_mm):
    from pedseg.scan import Scan, resample

    return resample(Scan(labels, np.diag([*spacing_mm, 1.0])), new_mm, order=0).voxels


def _blocks(*counts):
    return np.random.default_rng(3).integers(0, 20, counts).astype(np.uint8)


def _liver_beside_pancreas():
    return np.repeat(np.array([1, 3], np.uint8), 4)[:, None, None] * np.ones((1, 4, 4), np.uint8)


def _left_corner(labels, spacing_mm, new_mm):
    for axis in range(3):
        count = max(1, round(labels.shape[axis] * spacing_mm[axis] / new_mm[axis]))
        labels = np.take(labels, np.arange(count) * labels.shape[axis] // count, axis)
    return labels


def _linear(labels, spacing_mm, new_mm):
    from pedseg.scan import Scan, resample

    return np.rint(resample(Scan(labels, np.diag([*spacing_mm, 1.0])), new_mm, order=1).voxels).astype(int)


def _rounded_down(labels, spacing_mm, new_mm):
    grid = []
    for voxels, old, new in zip(labels.shape, spacing_mm, new_mm, strict=True):
        count = int(voxels * old / new)
        grid.append(np.rint((np.arange(count) + 0.5) / count * voxels - 0.5).astype(int))
    return labels[np.ix_(*grid)]


EXERCISES = {
    "resample_labels": FunctionExercise(
        reference=resample_labels,
        checks=[
            Check(
                "27 voxels of 1 mm that become one of 3 mm",
                lambda: (np.arange(27).reshape(3, 3, 3), (1, 1, 1), (3, 3, 3)),
                np.full((1, 1, 1), 13),
                "the one in the center, 13",
            ),
            Check(
                "voxels of 2 mm that become 1 mm",
                lambda: (_blocks(3, 4, 2), (2, 2, 2), (1, 1, 1)),
                lambda labels, *_: labels.repeat(2, 0).repeat(2, 1).repeat(2, 2),
                "each number eight times",
            ),
            Check(
                "slices of 5 mm that become 2 mm",
                lambda: (_blocks(6, 6, 21), (1, 1, 5), (3, 1, 2)),
                _by_pedseg,
                "what `pedseg.scan.resample` gives",
            ),
            Check(
                "the size after 1.7 mm become 4 mm",
                lambda: (_blocks(21, 4, 4), (1.7, 1, 1), (4, 1, 1)),
                [9, 4, 4],
                "(9, 4, 4): 21 × 1.7 / 4 is 8.9",
                lambda resample, *given: np.shape(resample(*given)),
            ),
            Check(
                "the numbers in liver (1) beside pancreas (3), on a finer grid",
                lambda: (_liver_beside_pancreas(), (4, 4, 4), (1.5, 4, 4)),
                [1, 3],
                "1 and 3: no spleen (2) between them",
                lambda resample, *given: sorted({int(label) for label in np.ravel(resample(*given))}),
            ),
            Check(
                "a map that is thinner than one new voxel",
                lambda: (np.full((1, 3, 3), 7), (1, 1, 1), (5, 1, 1)),
                np.full((1, 3, 3), 7),
                "at least one voxel",
            ),
        ],
        hints=[
            "Number × spacing stays the same, so the new number of voxels is the rounded old number × old / new.",
            "Do one axis after the other: which old index is nearest to the center of each new voxel?",
            "The center of new voxel i of n lies at (i + 0.5) / n of the length, that is, at old index "
            "(i + 0.5) / n × old number - 0.5. `np.take(labels, indices, axis)` picks.",
        ],
        slips={
            "The ratio is inverted: coarser voxels are fewer.": lambda labels, spacing_mm, new_mm: resample_labels(
                labels, new_mm, spacing_mm
            ),
            "You start at the corner of each voxel; take the old voxel at its center.": _left_corner,
            "This mixes labels: halfway between 1 and 3 there is no 2.": _linear,
            "Round the number of voxels instead of truncating it, and keep at least one.": _rounded_down,
            "Each axis has its own spacing.": lambda labels, spacing_mm, new_mm: resample_labels(
                labels, [spacing_mm[0]] * 3, [new_mm[0]] * 3
            ),
        },
    ),
    "normalized": Exercise(
        answer=lambda hu, clip_hu, mean_hu, sd_hu: (np.clip(hu, *clip_hu) - mean_hu) / sd_hu,
        hint="First clip, then subtract the mean, then divide by the standard deviation.",
        mistakes={
            "Clip first: the network never sees values beyond the limits.": lambda hu, clip_hu, mean_hu, sd_hu: (
                (hu - mean_hu) / sd_hu
            ),
            "Only shifted so far: divide by the standard deviation too.": lambda hu, clip_hu, mean_hu, sd_hu: (
                np.clip(hu, *clip_hu) - mean_hu
            ),
        },
    ),
}
