"""Exercises of chapter 10, CT meets MR."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise


def _spin_echo(t1_ms, t2_ms, density, tr_ms, te_ms):
    return density * (1 - np.exp(-tr_ms / t1_ms)) * np.exp(-te_ms / t2_ms)


def _share_of_air(image, inside):
    return np.sum(np.square(image[~inside])) / np.sum(np.square(image))


def _numbers_of_one(k=3):
    """Weights and biases of the layers 1 -> 2 -> 2 -> 2 -> 1."""
    return k**3 * (1 * 2 + 2 * 2 + 2 * 2 + 2 * 1) + (2 + 2 + 2 + 1)


EXERCISES = {
    "spin echo": Exercise(
        answer=_spin_echo,
        hint="Three factors: the density, what has recovered by then, and what is left at the echo. Use `np.exp`.",
        mistakes={
            "This is what is left at the echo; how much had recovered before?": lambda density, t2_ms, te_ms, **rest: (
                density * np.exp(-te_ms / t2_ms)
            ),
            "This is what had recovered; less of it is left at the echo.": lambda density, t1_ms, tr_ms, **rest: (
                density * (1 - np.exp(-tr_ms / t1_ms))
            ),
            "T1 and T2 are swapped: T1 goes with TR, T2 with TE.": lambda t1_ms, t2_ms, density, tr_ms, te_ms: (
                _spin_echo(t2_ms, t1_ms, density, tr_ms, te_ms)
            ),
            "One factor is missing: multiply by the density.": lambda density, **rest: _spin_echo(density=1.0, **rest),
        },
    ),
    "share of air": Exercise(
        answer=_share_of_air,
        hint="The sum of squares outside the body over the sum of all squares; `~inside` is what lies outside.",
        mistakes={
            "This is the body's fraction; air is the rest.": lambda image, inside: 1 - _share_of_air(image, inside),
            "This counts voxels. The norm adds their squares.": lambda image, inside: np.mean(~inside),
            "This is the fraction of the norm, the root of the sum; use the sum itself.": lambda image, inside: np.sqrt(
                _share_of_air(image, inside)
            ),
        },
    ),
    "numbers of GIN": Exercise(
        answer=lambda samples: samples * _numbers_of_one(),
        hint="27 weights for each pair of input and output channel, one bias per output channel; anew for each sample.",
        mistakes={
            "This is one set. With kernels of its own, every sample needs one.": lambda samples: _numbers_of_one(),
            "The biases are missing: one per output channel of each layer.": lambda samples: (
                samples * (_numbers_of_one() - 7)
            ),
            "These are kernels of a single voxel; a kernel of size 3 has 3 × 3 × 3 weights.": lambda samples: (
                samples * _numbers_of_one(k=1)
            ),
            "These are flat kernels; in three dimensions a kernel of size 3 has 27 weights.": lambda samples: (
                samples * (9 * 12 + 7)
            ),
        },
    ),
    "who gains most": Exercise(
        answer=lambda gains: max(gains, key=gains.get),
        hint="The name of an organ, in quotation marks; or let `max` find it.",
        mistakes={"This one gains least.": lambda gains: min(gains, key=gains.get)},
    ),
}
