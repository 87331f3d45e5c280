"""Clipping and noise: how little of what leaves a hospital can be made to tell.

Clipping bounds how far one center can move the model; Gaussian noise on top hides what it was moved by, up
to a loss of privacy that is measured by epsilon (Dwork and Roth 2014).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from pedseg.errors import input_error
from pedseg.federation.averaging import update_norm

Weights = Mapping[str, NDArray]


def clipped(weights: Weights, before: Weights, largest: float) -> dict[str, NDArray]:
    """The same update, shortened to the length `largest` (L2 norm over all weights) if it is longer."""
    length = update_norm(weights, before)
    if length <= largest:
        return dict(weights)
    return {n: (start + largest / length * (weights[n] - start)).astype(start.dtype) for n, start in before.items()}


def noisy(
    weights: Weights, before: Weights, *, largest: float, noise: float, rng: np.random.Generator
) -> dict[str, NDArray]:
    """The update clipped to `largest`, with Gaussian noise of `noise` times that bound on every weight.

    `rng` must not be guessable: `np.random.default_rng()` takes its seed from the system.
    """
    if largest <= 0 or noise < 0:
        raise input_error(
            "E-SETTING", "noise", f"bound {largest}, noise {noise}.", "Give a bound above 0 and noise from 0 up."
        )
    short = clipped(weights, before, largest)
    spread = noise * largest
    return {name: (array + rng.normal(0.0, spread, array.shape)).astype(array.dtype) for name, array in short.items()}


def epsilon(noise: float, rounds: int, delta: float = 1e-5) -> float:
    """The privacy that a center loses over `rounds` noisy answers, as epsilon at `delta`.

    It holds against whoever reads every single answer, the coordinator included, for any two data
    sets that the center might have: their clipped updates differ by twice the bound at most. Exact for
    Gaussian noise (Balle and Wang 2018); several rounds are one with less noise. Infinite without noise.
    """
    return epsilon_of([noise] * rounds, delta)


def epsilon_of(noises: Sequence[float], delta: float = 1e-5) -> float:
    """The same for answers with noise of their own each; 0 if nothing was answered."""
    from scipy.optimize import brentq  # 23 MiB, which a federation without noise does without

    if not noises:
        return 0.0
    if min(noises) <= 0:
        return math.inf
    distance = 2.0 * math.sqrt(sum(noise**-2 for noise in noises))  # between the two, in standard deviations

    def surplus(eps: float) -> float:
        tail = math.exp(eps + log_ndtr(-distance / 2 - eps / distance))
        return float(ndtr(distance / 2 - eps / distance) - tail - delta)

    return float(brentq(surplus, 0.0, distance**2 + 40 * distance + 40)) if surplus(0.0) > 0 else 0.0
