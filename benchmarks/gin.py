"""CPU milliseconds of GIN on one prepared volume of the lesson, beside MONAI's nearest relative.

The peer is `RandHistogramShift`, MONAI's random non-linear gray scale: one curve for the whole volume, no neighborhood.
GIN's cost depends on which kernel sizes are drawn (all 1: a tenth of all 3); medians over 20 draws, one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from monai.transforms import RandHistogramShift

from pedseg.learning.gin import gin

SHAPE = (80, 56, 64)  # voxels, a child of five at 3 x 3 x 4 mm
CALLS = 20
LIMIT_MS = 150


def median_ms(call: Callable[[int], object]) -> float:
    """Median CPU time of a call, which is given its number; the first two warm up."""
    spent = []
    for number in range(CALLS + 2):
        start = time.process_time()
        call(number)
        spent.append(1000 * (time.process_time() - start))
    return statistics.median(spent[2:])


def measure() -> list[dict]:
    """One row: GIN on a body in air, and the peer on the same volume."""
    torch.set_num_threads(1)
    inside = np.zeros((1, *SHAPE), dtype=bool)
    inside[:, 8:-8, 6:-6] = True
    volume = np.random.default_rng(0).standard_normal((1, 1, *SHAPE)).astype(np.float32) * inside
    shift = RandHistogramShift(num_control_points=10, prob=1.0)
    shift.set_random_state(0)
    ours = median_ms(lambda seed: gin(volume, seed=seed, inside=inside))
    peer = median_ms(lambda seed: shift(volume[0]))
    name = f"GIN on a lesson volume, limit {LIMIT_MS} (peer: MONAI RandHistogramShift)"
    return [{"name": name, "ours": ours, "peer": peer, "ratio": peer / ours, "unit": "CPU ms"}]


if __name__ == "__main__":
    print(measure())
