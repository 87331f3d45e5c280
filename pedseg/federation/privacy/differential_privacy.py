"""Differential privacy of updates: clipping, Gaussian noise, and the privacy loss epsilon.

Clipping bounds how far one center can move the model; Gaussian noise on top hides what it was moved by, up
to a loss of privacy that is measured by epsilon (Dwork and Roth 2014).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from pedseg.federation.config import invalid_setting
from pedseg.federation.update_validation import update_norm

DELTA = 1e-5  # the probability with which epsilon may be exceeded
Weights = Mapping[str, NDArray]


def clip(weights: Weights, before: Weights, clipping_norm: float) -> dict[str, NDArray]:
    """The same update, scaled down to `clipping_norm` (L2 norm over all weights) if it is longer."""
    norm = update_norm(weights, before)
    if norm <= clipping_norm:
        return dict(weights)
    factor = clipping_norm / norm
    return {name: (start + factor * (weights[name] - start)).astype(start.dtype) for name, start in before.items()}


def add_noise(
    weights: Weights, before: Weights, *, clipping_norm: float, noise_multiplier: float, rng: np.random.Generator
) -> dict[str, NDArray]:
    """The clipped update with Gaussian noise of `noise_multiplier` times `clipping_norm` on every weight.

    `rng` must not be guessable: `np.random.default_rng()` takes its seed from the system.
    """
    if clipping_norm <= 0 or noise_multiplier < 0:
        problem = f"clipping norm {clipping_norm}, noise multiplier {noise_multiplier}."
        raise invalid_setting("noise_multiplier", problem, "Give a clipping norm above 0 and noise from 0 up.")
    clipped, sd = clip(weights, before, clipping_norm), noise_multiplier * clipping_norm
    return {name: (array + rng.normal(0.0, sd, array.shape)).astype(array.dtype) for name, array in clipped.items()}


def epsilon(noise_multiplier: float, rounds: int, delta: float = DELTA) -> float:
    """The privacy that a center loses over `rounds` noisy updates, as epsilon at `delta`.

    It holds against whoever reads every single update, the coordinator included, for any two data
    sets that the center might have: their clipped updates differ by twice the norm at most. Exact for
    Gaussian noise (Balle and Wang 2018); several rounds are one with less noise. Infinite without noise.
    """
    return epsilon_of([noise_multiplier] * rounds, delta)


def epsilon_of(noise_multipliers: Sequence[float], delta: float = DELTA) -> float:
    """The same for updates with a noise multiplier of their own each; 0 for no update."""
    from scipy.optimize import brentq  # 23 MiB, which a federation without noise does without

    if not noise_multipliers:
        return 0.0
    if min(noise_multipliers) <= 0:
        return math.inf
    distance = 2.0 * math.sqrt(sum(noise**-2 for noise in noise_multipliers))  # in standard deviations

    def surplus(eps: float) -> float:
        tail = math.exp(eps + log_ndtr(-distance / 2 - eps / distance))
        return float(ndtr(distance / 2 - eps / distance) - tail - delta)

    return float(brentq(surplus, 0.0, distance**2 + 40 * distance + 40)) if surplus(0.0) > 0 else 0.0
