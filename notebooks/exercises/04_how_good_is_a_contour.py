"""Exercises of the chapter "How good is a contour?"."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def dice(truth, prediction):
    """The Dice coefficient of two masks of true and false; NaN where the true one is empty."""
    if not truth.any():
        return math.nan
    shared = np.count_nonzero(truth & prediction)
    return 2 * shared / (np.count_nonzero(truth) + np.count_nonzero(prediction))


def hd95(truth, prediction, spacing_mm):
    """The 95 % Hausdorff distance in mm; NaN where the organ is absent, the image's diagonal where it was missed."""
    if not truth.any():
        return math.nan
    if not prediction.any():
        return float(np.linalg.norm(np.multiply(truth.shape, spacing_mm)))
    there, back = _distances(truth, prediction, spacing_mm)
    return max(np.percentile(there, 95), np.percentile(back, 95))


def _distances(truth, prediction, spacing_mm):
    """From each surface voxel of the true mask to the predicted one, and back."""
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (truth, prediction)]
    far = [ndimage.distance_transform_edt(~surface, spacing_mm) for surface in surfaces]
    return far[1][surfaces[0]], far[0][surfaces[1]]


def _unless_empty(measure):
    """A measure of two masks that keeps the rules for an absent and a missed organ."""

    def measured(truth, prediction, spacing_mm):
        both = truth.any() and prediction.any()
        return measure(truth, prediction, spacing_mm) if both else hd95(truth, prediction, spacing_mm)

    return measured


def _box(shape, *box):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*edges) for edges in box)] = True
    return mask


def _blobs():
    noise = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(2, 14, 12, 9)), (0, 2, 2, 2))
    return noise[0] > 0.02, noise[1] > 0.02


SMALL, LARGE = _box((8, 8, 8), (1, 3), (1, 3), (1, 3)), _box((8, 8, 8), (1, 5), (1, 5), (1, 5))
FAR, EMPTY = _box((8, 8, 8), (6, 8), (6, 8), (6, 8)), np.zeros((8, 8, 8), bool)


def _with_speck():
    mask = _box((30, 12, 12), (1, 11), (1, 11), (1, 11))
    specked = mask.copy()
    specked[28, 6, 6] = True
    return mask, specked, (1, 1, 1)


def _monai(masks):
    import torch

    return [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in masks]


def _dice_by_monai(*masks):
    from monai.metrics import compute_dice

    return compute_dice(*reversed(_monai(masks))).item()


def _hd95_by_monai(truth, prediction, spacing_mm):
    from monai.metrics import compute_hausdorff_distance

    y, y_pred = _monai((truth, prediction))
    given = {"include_background": True, "percentile": 95, "spacing": spacing_mm}
    return compute_hausdorff_distance(y_pred, y, **given).item()


EXERCISES = {
    "dice": FunctionExercise(
        reference=dice,
        checks=[
            Check("two equal masks", lambda: (SMALL, SMALL.copy()), 1),
            Check("two masks that do not overlap", lambda: (SMALL, FAR), 0),
            Check("8 voxels within 64", lambda: (SMALL, LARGE), 2 * 8 / 72),
            Check("a missed organ (nothing was drawn)", lambda: (SMALL, EMPTY), 0),
            Check("two empty masks", lambda: (EMPTY, EMPTY.copy()), math.nan, "NaN: there is no organ to score"),
            Check("an absent organ that was drawn", lambda: (EMPTY, SMALL), math.nan, "NaN: it has no true contour"),
            Check("two random blobs", _blobs, _dice_by_monai, "what MONAI's `compute_dice` gives"),
        ],
        hints=[
            "`truth & prediction` is true where both are; `np.count_nonzero` counts.",
            "Twice the shared voxels over the sum of the voxels of both.",
            "First check `if not truth.any()`: then the answer is `np.nan`, whatever was drawn.",
        ],
        slips={
            "This is Jaccard, intersection over union; Dice counts the shared part twice.": lambda truth, prediction: (
                np.float64(np.sum(truth & prediction)) / np.sum(truth | prediction) if truth.any() else math.nan
            ),
            "The shared part counts twice.": lambda truth, prediction: dice(truth, prediction) / 2,
            "This also counts the background, and most of a scan is background.": lambda truth, prediction: np.mean(
                truth == prediction
            ),
            "An absent organ has no Dice: 0 would blame the network.": lambda truth, prediction: np.nan_to_num(
                dice(truth, prediction)
            ),
            "An absent organ has no Dice: 1 would praise a network that drew nothing.": lambda truth, prediction: (
                dice(truth, prediction) if truth.any() or prediction.any() else 1.0
            ),
            "NaN also where an absent organ was drawn: the true mask decides.": lambda truth, prediction: (
                dice(truth, prediction) if truth.any() or not prediction.any() else 0.0
            ),
            "A missed organ is a failure of the network: 0, not NaN.": lambda truth, prediction: (
                dice(truth, prediction) if prediction.any() else math.nan
            ),
        },
    ),
    "hd95": FunctionExercise(
        reference=hd95,
        checks=[
            Check("two equal masks", lambda: (LARGE, LARGE.copy(), (1, 1, 3)), 0),
            Check(
                "two single voxels, two slices of 5 mm apart",
                lambda: (_box((3, 3, 6), (1, 2), (1, 2), (1, 2)), _box((3, 3, 6), (1, 2), (1, 2), (3, 4)), (1, 1, 5)),
                10,
            ),
            Check(
                "a speck of one voxel far from a large organ", _with_speck, 0, "0: it is less than 5 % of the surface"
            ),
            Check(
                "a line of 21 voxels of which one was drawn",
                lambda: (_box((21, 1, 1), (0, 21)), _box((21, 1, 1), (0, 1)), (2, 2, 2)),
                38,
                "38: the larger direction decides",
            ),
            Check(
                "two random blobs that touch the border",
                lambda: (*_blobs(), (1.2, 0.7, 3.0)),
                _hd95_by_monai,
                "what MONAI's `compute_hausdorff_distance` gives",
            ),
            Check(
                "a missed organ in 3 × 4 × 6 voxels of 1 × 1 × 2 mm",
                lambda: (_box((3, 4, 6), (1, 2), (1, 2), (1, 2)), np.zeros((3, 4, 6), bool), (1, 1, 2)),
                13,
                "13, the diagonal of the image",
            ),
            Check("an absent organ", lambda: (EMPTY, EMPTY.copy(), (1, 1, 1)), math.nan, "NaN"),
            Check("an absent organ that was drawn", lambda: (EMPTY, SMALL, (1, 1, 1)), math.nan, "NaN"),
        ],
        hints=[
            "First the two rules: no true organ gives `np.nan`; nothing drawn gives the diagonal, "
            "`np.linalg.norm(np.multiply(truth.shape, spacing_mm))`.",
            "The surface of a mask is what erosion removes: `mask & ~ndimage.binary_erosion(mask)`.",
            "`ndimage.distance_transform_edt(~surface, spacing_mm)` is, at every voxel, the distance to that surface; "
            "look it up at the voxels of the other surface.",
            "Take `np.percentile(distances, 95)` of each direction, then the larger one.",
        ],
        slips={
            "These are voxels: the distance transform needs the spacing.": _unless_empty(
                lambda truth, prediction, spacing_mm: hd95(truth, prediction, (1, 1, 1))
            ),
            "You pooled both directions: that is another definition, and its result is usually smaller.": _unless_empty(
                lambda *given: np.percentile(np.concatenate(_distances(*given)), 95)
            ),
            "That is the Hausdorff distance itself, without the 95th percentile.": _unless_empty(
                lambda *given: max(d.max() for d in _distances(*given))
            ),
            "Only one direction was measured.": _unless_empty(lambda *given: np.percentile(_distances(*given)[0], 95)),
            "Only the way back was measured.": _unless_empty(lambda *given: np.percentile(_distances(*given)[1], 95)),
            "This is the mean of both directions; the larger one counts.": _unless_empty(
                lambda *given: np.mean([np.percentile(d, 95) for d in _distances(*given)])
            ),
            "A missed organ must not disappear: give it the diagonal.": lambda truth, prediction, spacing_mm: (
                hd95(truth, prediction, spacing_mm) if prediction.any() else math.nan
            ),
            "The diagonal is in millimeters, too.": lambda truth, prediction, spacing_mm: (
                hd95(truth, prediction, spacing_mm)
                if prediction.any() or not truth.any()
                else float(np.linalg.norm(truth.shape))
            ),
            "An absent organ has no distance: 0 would praise a false organ.": lambda truth, prediction, spacing_mm: (
                hd95(truth, prediction, spacing_mm) if truth.any() else 0.0
            ),
        },
    ),
    "surface dice": Exercise(
        answer=lambda there, back, tolerance_mm: np.mean(np.concatenate([there, back]) <= tolerance_mm),
        hint="Concatenate both directions; a comparison gives true and false, and their mean is a fraction.",
        mistakes={
            "Only the true surface was counted; the predicted one counts, too.": lambda there, back, tolerance_mm: (
                np.mean(there <= tolerance_mm)
            ),
            "This is the fraction that lies outside the tolerance.": lambda there, back, tolerance_mm: np.mean(
                np.concatenate([there, back]) > tolerance_mm
            ),
        },
    ),
    "false volume": Exercise(
        answer=lambda voxels, spacing_mm: voxels * np.prod(spacing_mm) / 1000,
        hint="The number of voxels times the volume of one; 1000 cubic millimeters are one milliliter.",
        mistakes={
            "These are cubic millimeters.": lambda voxels, spacing_mm: voxels * np.prod(spacing_mm),
            "These are voxels. How large is one?": lambda voxels, spacing_mm: voxels,
        },
    ),
}
