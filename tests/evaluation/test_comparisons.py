"""The tests behind the sentences: equal to scipy and statsmodels, to values by hand, and sane at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from pedseg.evaluation.comparisons import (
    bootstrap_interval,
    compare_paired,
    compare_unpaired,
    holm,
    wilson_interval,
)


@pytest.mark.parametrize("seed", range(50))
def test_holm_equals_statsmodels(seed):
    rng = np.random.default_rng(seed)
    p_values = list(np.round(rng.random(rng.integers(1, 13)) ** 2, rng.integers(1, 5)))  # 0, 1 and ties among them
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_by_hand_and_with_an_organ_that_was_not_asked():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, None, 0.04]) == [pytest.approx(0.02), None, pytest.approx(0.04)]
    assert holm([]) == []


@pytest.mark.parametrize("zeros", [[0.0], [0.0] * 20])
def test_no_difference_at_all(zeros):
    comparison = compare_paired(zeros, zeros, margin=0.02)
    assert (comparison.p, comparison.rank_biserial, comparison.hodges_lehmann) == (1.0, 0.0, 0.0)


def test_bootstrap_interval_covers_like_scipys_and_is_fixed():
    values = np.random.default_rng(1).normal(2.0, 1.0, 40)
    interval = bootstrap_interval(values, np.median)
    theirs = stats.bootstrap((values,), np.median, method="percentile", rng=3, n_resamples=5000).confidence_interval
    assert interval == pytest.approx(tuple(theirs), abs=0.1)
    assert interval == bootstrap_interval(values, np.median)
    assert bootstrap_interval(values[:1], np.median) is None


def test_bootstrap_interval_holds_what_it_promises():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        interval = bootstrap_interval(rng.normal(size=25), np.mean)
        hits += interval is not None and interval[0] <= 0 <= interval[1]
    assert 0.88 <= hits / 200 <= 0.99


def test_paired_comparison_has_its_sign_from_first_minus_second():
    second = np.linspace(0.5, 0.9, 15)
    comparison = compare_paired(second + 0.05, second, margin=0.02)
    assert comparison.n == (15, 15)
    assert comparison.median_difference == pytest.approx(0.05)
    assert comparison.interval == pytest.approx((0.05, 0.05))
    assert comparison.shift_interval == pytest.approx((0.05, 0.05))
    assert comparison.rank_biserial == 1.0
    assert comparison.p is not None and comparison.p < 0.001
    assert comparison.p_equivalence is not None and comparison.p_equivalence > 0.9
    assert comparison.p_noninferiority is not None and comparison.p_noninferiority < 0.001
    distances = compare_paired(second + 0.05, second, margin=0.02, higher_is_better=False)
    assert distances.p_noninferiority is not None and distances.p_noninferiority > 0.9


def test_unpaired_comparison_equals_mann_whitney_and_hand_counts():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, 18), rng.normal(1, 1, 23)
    assert compare_unpaired(a, b).p == pytest.approx(stats.mannwhitneyu(a, b).pvalue)
    small = compare_unpaired([1, 4], [2, 3, 9])  # 1 and 4 beat 2 and 3 twice, lose four times
    assert small.rank_biserial == pytest.approx((2 - 4) / 6)
    assert small.hodges_lehmann == pytest.approx(-1.5)  # median of -8 -5 -2 -1 1 2
    assert small.median_difference == pytest.approx(-0.5)
    assert small.n == (2, 3)


def test_too_few_patients_give_none_not_a_number():
    assert compare_paired([], []).p is None
    assert compare_unpaired([0.5], []).p is None
    assert compare_paired([0.5], [0.4]).interval is None
    assert compare_paired([0.5], [0.4]).shift_interval is None
    assert compare_unpaired([0.5, 0.5], [0.5]).p == 1.0


@pytest.mark.parametrize(("patients", "known"), [(5, False), (6, True)])
def test_five_patients_have_no_interval_of_their_median(patients, known):
    """From smallest to largest of five lies their true median in 1 - 2 / 2^5 = 94 %: no interval of 95 % exists."""
    values = np.arange(patients) / 10
    paired, unpaired = compare_paired(values, np.zeros(patients)), compare_unpaired(values, np.arange(9.0))
    assert (paired.interval is not None, paired.shift_interval is not None) == (known, known)
    assert (unpaired.interval is not None) == known and unpaired.p is not None


@pytest.mark.parametrize(("hits", "of"), [(0, 10), (3, 10), (25, 25)])
def test_intervals_of_shares_equal_statsmodels(hits, of):
    assert wilson_interval(hits, of) == pytest.approx(proportion_confint(hits, of, method="wilson"))
    assert wilson_interval(0, 0) is None
