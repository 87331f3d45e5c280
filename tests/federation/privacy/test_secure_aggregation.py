"""Masks cancel in the sum to the last bit, hide each part, and are void when one is missing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from pedseg.errors import PedsegInputError
from pedseg.federation.keys import make_keys
from pedseg.federation.privacy.secure_aggregation import mask_update, sum_masked

NAMES = ("Aa", "Bb", "Cc", "Dd")
KEYS = [make_keys(name) for name in NAMES]
MEMBERS = [keys.member for keys in KEYS]
RNG = np.random.default_rng(4)
UPDATES = [{"w": RNG.normal(0, 0.05, (40, 50)), "b": RNG.normal(0, 0.05, 7)} for _ in NAMES]
SHARES = (0.4, 0.3, 0.2, 0.1)


def parts(context_hash: str = "run 1 round 1") -> dict:
    return {
        keys.name: mask_update(update, share, keys, MEMBERS, context_hash)
        for keys, update, share in zip(KEYS, UPDATES, SHARES, strict=True)
    }


def test_the_sum_is_the_weighted_mean() -> None:
    total = sum_masked(parts(), NAMES, "x")
    for name in ("w", "b"):
        mean = sum(share * update[name] for share, update in zip(SHARES, UPDATES, strict=True))
        assert np.abs(total[name] - mean).max() <= 4 * 0.5 * 2**-20 + 1e-7  # each of four was rounded once
        assert total[name].dtype == np.float32


def test_masks_cancel_exactly_whatever_they_are() -> None:
    first, second = sum_masked(parts("one"), NAMES, "x"), sum_masked(parts("two"), NAMES, "x")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_single_part_looks_like_random_numbers() -> None:
    part = parts()["Aa"]["w"].ravel() / 2.0**32
    assert kstest(part, "uniform").pvalue > 0.001
    again = parts("another")["Aa"]["w"].ravel() / 2.0**32
    assert abs(np.corrcoef(part, again)[0, 1]) < 0.1
    assert abs(np.corrcoef(part, UPDATES[0]["w"].ravel())[0, 1]) < 0.1


def test_without_one_center_the_round_is_void_and_its_name_is_told() -> None:
    some = parts()
    del some["Bb"]
    with pytest.raises(PedsegInputError, match=r"E-MASK-MISSING Bb"):
        sum_masked(some, NAMES, "x")


def test_two_centers_cannot_hide_from_each_other() -> None:
    with pytest.raises(PedsegInputError, match="E-MASK-FEW"):
        mask_update(UPDATES[0], 0.5, KEYS[0], MEMBERS[:2], "x")
    with pytest.raises(PedsegInputError, match="E-MASK-FEW"):
        mask_update(UPDATES[0], 0.5, KEYS[0], [MEMBERS[0], MEMBERS[1], MEMBERS[1]], "x")


@pytest.mark.parametrize("value", [1.5, -1.5, np.nan, np.inf])
def test_what_would_run_over_is_refused(value: float) -> None:
    with pytest.raises(PedsegInputError, match="E-MASK-RANGE"):
        mask_update({"w": np.array([value])}, 1.0, KEYS[0], MEMBERS, "x")


def test_a_coordinator_with_false_keys_gets_noise() -> None:
    """One that gave a center false keys of the others would have to break the comparison over the phone."""
    false = [MEMBERS[0], *(make_keys(name).member for name in NAMES[1:])]
    some = parts()
    some["Aa"] = mask_update(UPDATES[0], SHARES[0], KEYS[0], false, "run 1 round 1")
    assert np.abs(sum_masked(some, NAMES, "x")["w"]).mean() > 100
