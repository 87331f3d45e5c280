"""Exercises of chapter 03, From scan to tensor."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise


def _resampled(shape, spacing_mm, new_mm):
    return np.maximum(1, np.round(np.asarray(shape) * np.asarray(spacing_mm) / np.asarray(new_mm)))


EXERCISES = {
    "size after resampling": Exercise(
        answer=_resampled,
        hint="The child keeps its size in millimeters: number × spacing is the same before and after.",
        mistakes={
            "The ratio is upside down: coarser voxels must become fewer.": lambda shape, spacing_mm, new_mm: _resampled(
                shape, new_mm, spacing_mm
            ),
            "Almost: a grid has a whole number of voxels, so round.": lambda shape, spacing_mm, new_mm: (
                np.asarray(shape) * np.asarray(spacing_mm) / np.asarray(new_mm)
            ),
        },
        rtol=1e-9,
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
