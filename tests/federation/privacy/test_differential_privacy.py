"""Clipping, noise and epsilon beside formulas and Opacus."""

from __future__ import annotations

import math

import numpy as np
import pytest
from opacus.accountants import RDPAccountant

from pedseg.errors import PedsegInputError
from pedseg.federation.privacy.differential_privacy import add_noise, clip, epsilon
from pedseg.federation.update_validation import update_norm

BEFORE = {"a": np.zeros((30, 20), np.float32), "b": np.ones(50, np.float32)}
AFTER = {"a": np.full((30, 20), 0.5, np.float32), "b": np.ones(50, np.float32)}


def test_clipping_shortens_and_keeps_the_direction() -> None:
    length = update_norm(AFTER, BEFORE)
    assert length == pytest.approx(math.sqrt(600 * 0.25))
    short = clip(AFTER, BEFORE, 2.0)
    assert update_norm(short, BEFORE) == pytest.approx(2.0, rel=1e-6)
    assert np.allclose(short["a"], 0.5 * 2 / length) and np.array_equal(short["b"], BEFORE["b"])
    assert all(np.array_equal(clip(AFTER, BEFORE, 100.0)[name], AFTER[name]) for name in AFTER)
    assert all(np.array_equal(clip(BEFORE, BEFORE, 1.0)[name], BEFORE[name]) for name in BEFORE)


def test_an_update_that_is_short_enough_keeps_every_bit() -> None:
    rng = np.random.default_rng(3)
    before, after = ({"w": rng.normal(size=999).astype(np.float32)} for _ in range(2))
    assert np.array_equal(clip(after, before, 1e3)["w"], after["w"])


def test_noise_has_the_stated_spread_and_keeps_the_number_type() -> None:
    rng = np.random.default_rng(0)
    out = add_noise(AFTER, BEFORE, clipping_norm=2.0, noise_multiplier=1.5, rng=rng)
    added = out["a"] - clip(AFTER, BEFORE, 2.0)["a"]
    assert added.std() == pytest.approx(3.0, rel=0.1) and abs(added.mean()) < 0.4
    assert out["a"].dtype == np.float32
    with pytest.raises(PedsegInputError, match="E-SETTING"):
        add_noise(AFTER, BEFORE, clipping_norm=0.0, noise_multiplier=1.0, rng=rng)


@pytest.mark.parametrize("noise", [2.0, 4.0, 10.0])
@pytest.mark.parametrize("rounds", [1, 10, 100])
def test_epsilon_is_a_little_below_the_bound_of_opacus(noise: float, rounds: int) -> None:
    accountant = RDPAccountant()  # type: ignore[no-untyped-call]
    accountant.history = [(noise / 2, 1.0, rounds)]  # the sensitivity is twice the bound
    bound = accountant.get_epsilon(1e-5)
    assert 0.8 * bound < epsilon(noise, rounds) <= bound + 1e-6


def test_epsilon_at_the_ends() -> None:
    assert epsilon(0.0, 1) == math.inf
    assert epsilon(1e6, 1) == pytest.approx(0.0, abs=1e-3)
    assert epsilon(4.0, 10) < epsilon(4.0, 20) < epsilon(2.0, 20)
