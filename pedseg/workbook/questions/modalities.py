"""What notebook 10 asks: how bright tissue is in MR, what air does to a norm, what GIN draws, and who gains."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Question


def _spin_echo(t1_ms, t2_ms, density, tr_ms, te_ms):
    return density * (1 - np.exp(-tr_ms / t1_ms)) * np.exp(-te_ms / t2_ms)


def _share_of_air(image, inside):
    return np.sum(np.square(image[~inside])) / np.sum(np.square(image))


def _numbers_of_one(k=3):
    """Weights and biases of the layers 1 -> 2 -> 2 -> 2 -> 1."""
    return k**3 * (1 * 2 + 2 * 2 + 2 * 2 + 2 * 1) + (2 + 2 + 2 + 1)


MODALITIES: dict[str, Question] = {
    "spin echo": Question(
        answer=lambda **given: _spin_echo(**given),
        nudge="Three factors: the density, what has come back by then, and what is left at the echo. `np.exp` helps.",
        slips={
            "This is what is left at the echo; how much had come back before?": lambda density, t2_ms, te_ms, **rest: (
                density * np.exp(-te_ms / t2_ms)
            ),
            "This is what had come back; at the echo, less is left of it.": lambda density, t1_ms, tr_ms, **rest: (
                density * (1 - np.exp(-tr_ms / t1_ms))
            ),
            "T1 and T2 have changed places: T1 goes with TR, T2 with TE.": lambda t1_ms, t2_ms, density, tr_ms, te_ms: (
                _spin_echo(t2_ms, t1_ms, density, tr_ms, te_ms)
            ),
            "Some of it is missing: multiply by the density.": lambda density, **rest: _spin_echo(density=1.0, **rest),
        },
    ),
    "share of air": Question(
        answer=lambda image, inside: _share_of_air(image, inside),
        nudge="The sum of squares outside the body over the sum of all squares; `~inside` is what lies outside.",
        slips={
            "This is the share of the body; air is the rest.": lambda image, inside: 1 - _share_of_air(image, inside),
            "These are voxels. The norm adds their squares.": lambda image, inside: np.mean(~inside),
            "This is the share of the norm, the root of the sum; the sum is asked for.": lambda image, inside: np.sqrt(
                _share_of_air(image, inside)
            ),
        },
    ),
    "numbers of GIN": Question(
        answer=lambda samples: samples * _numbers_of_one(),
        nudge="Weights: 27 for every pair of an input and an output channel. One bias an output. For each sample anew.",
        slips={
            "This is one set. With kernels of its own, every sample needs one.": lambda samples: _numbers_of_one(),
            "The biases are missing: one for each output channel of each layer.": lambda samples: (
                samples * (_numbers_of_one() - 7)
            ),
            "These are kernels of a single voxel; one of size 3 has 3 × 3 × 3 weights.": lambda samples: (
                samples * _numbers_of_one(k=1)
            ),
            "These are flat kernels; in three dimensions one of size 3 has 27 weights.": lambda samples: (
                samples * (9 * 12 + 7)
            ),
        },
    ),
    "who gains most": Question(
        answer=lambda gains: max(gains, key=gains.get),
        nudge="The name of an organ, in quotation marks; or let `max` find it.",
        slips={"That one gains least.": lambda gains: min(gains, key=gains.get)},
    ),
}
