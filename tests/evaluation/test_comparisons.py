"""The tests behind the sentences: equal to scipy and statsmodels, to values by hand, and sane at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pedseg.evaluation.comparisons import (
    bootstrap_interval,
    compare_paired,
    compare_unpaired,
    equivalence_p,
    hodges_lehmann,
    holm,
    rank_biserial,
    wilcoxon_p,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_by_hand_and_with_an_organ_that_was_not_asked():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, None, 0.04]) == [pytest.approx(0.02), None, pytest.approx(0.04)]
    assert holm([]) == []


def test_signed_rank_equals_scipy_and_the_exact_count():
    d = np.random.default_rng(0).normal(0.3, 1, 20)
    assert wilcoxon_p(d) == pytest.approx(stats.wilcoxon(d).pvalue)
    assert wilcoxon_p([1, 2, 3, 4, 5]) == pytest.approx(2 / 32)  # all five positive: 2 of 2^5 signs are as extreme
    assert wilcoxon_p([1, 2, 3, 4, 5, 0, 0]) == pytest.approx(2 / 32)  # zeros are left out


@pytest.mark.parametrize("zeros", [[0.0], [0.0] * 20])
def test_no_difference_at_all(zeros):
    comparison = compare_paired(zeros, zeros, margin=0.02)
    assert (comparison.p, comparison.rank_biserial, comparison.hodges_lehmann) == (1.0, 0.0, 0.0)


def test_rank_biserial_by_hand():
    assert rank_biserial([1, 2, -3]) == pytest.approx(0.0)  # ranks 1 + 2 against 3
    assert rank_biserial([1, 2, 3]) == 1.0
    assert rank_biserial([-1, 2, 0]) == pytest.approx(1 / 3)


def test_hodges_lehmann_by_hand():
    """Of 0, 1 and 5 the six pair means are 0, 0.5, 1, 2.5, 3 and 5: median 1.75."""
    assert hodges_lehmann([0, 1, 5]) == pytest.approx(1.75)


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


def test_equivalence_needs_small_differences_and_enough_patients():
    small = np.random.default_rng(3).normal(0, 0.004, 20)
    assert equivalence_p(small, 0.02) < 0.001
    assert equivalence_p(small + 0.03, 0.02) > 0.9  # outside on one side
    assert equivalence_p(small - 0.03, 0.02) > 0.9  # and on the other
    assert equivalence_p(small[:3], 0.02) > 0.05  # three patients prove nothing: 1 of 8 signs
    above, below = stats.wilcoxon(small + 0.02, alternative="greater"), stats.wilcoxon(small - 0.02, alternative="less")
    assert equivalence_p(small, 0.02) == max(above.pvalue, below.pvalue)


def test_paired_comparison_has_its_sign_from_first_minus_second():
    second = np.linspace(0.5, 0.9, 15)
    comparison = compare_paired(second + 0.05, second, margin=0.02)
    assert comparison.n == (15, 15)
    assert comparison.median_difference == pytest.approx(0.05)
    assert comparison.interval == pytest.approx((0.05, 0.05))
    assert comparison.rank_biserial == 1.0
    assert comparison.p is not None and comparison.p < 0.001
    assert comparison.p_equivalence is not None and comparison.p_equivalence > 0.9


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
    assert compare_unpaired([0.5, 0.5], [0.5]).p == 1.0
