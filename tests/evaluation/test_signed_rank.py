"""The signed-rank test equals scipy's where that is exact, and a full count of signs where it is not."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from pedseg.evaluation.signed_rank import (
    critical_rank_sum,
    equivalence_p,
    hodges_lehmann,
    noninferiority_p,
    rank_biserial,
    shift_limits,
    wilcoxon_p,
)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("n", [4, 9, 20, 40])
def test_equals_scipys_exact_test_without_ties(n, alternative):
    d = np.random.default_rng(n).normal(0.3, 1, n)
    theirs = stats.wilcoxon(d, alternative=alternative, method="exact").pvalue
    assert wilcoxon_p(d, alternative) == pytest.approx(theirs)


def test_by_hand():
    assert wilcoxon_p([1, 2, 3, 4, 5]) == pytest.approx(2 / 32)  # all five positive: 2 of 2^5 signs are as extreme
    assert wilcoxon_p([1, 2, 3, 4, 5, 0, 0]) == pytest.approx(2 / 32)  # zeros are left out
    assert wilcoxon_p([1, 1, -1]) == pytest.approx(1.0)  # mean ranks 2, 2, 2: half of all signs give 4 or more
    assert wilcoxon_p([1, 1, -1], "greater") == pytest.approx(4 / 8)


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_count_of_all_signs_with_ties(seed):
    """Every way the signs may fall on the mean ranks, one by one."""
    rng = np.random.default_rng(seed)
    values = [*rng.integers(-3, 4, rng.integers(0, 9)), rng.choice([-2, 1])]
    d = np.array([v for v in values if v])
    ranks = stats.rankdata(np.abs(d))
    sums = np.array([(ranks * np.array(signs)).sum() for signs in product((0, 1), repeat=len(d))])
    observed = ranks[d > 0].sum()
    greater, less = (sums >= observed - 1e-9).mean(), (sums <= observed + 1e-9).mean()
    assert wilcoxon_p(values, "greater") == pytest.approx(greater)
    assert wilcoxon_p(values) == pytest.approx(min(1.0, 2 * min(greater, less)))


def test_differences_that_agree_but_for_the_last_bit_are_ties():
    noisy = [0.3 - 0.2, 0.2 - 0.1, -(0.8 - 0.7), 0.5 - 0.5]
    assert len({abs(v) for v in noisy}) > 2  # 0.1, three times, as the machine sees it
    assert wilcoxon_p(noisy) == wilcoxon_p([1, 1, -1, 0])
    assert equivalence_p([4.92426 - 3.92426] * 8, 1.0) == 1.0  # on the margin, eight times, is not within it


def test_equivalence_needs_small_differences_and_enough_patients():
    small = np.random.default_rng(3).normal(0, 0.004, 20)
    assert equivalence_p(small, 0.02) < 0.001
    assert equivalence_p(small + 0.03, 0.02) > 0.9  # outside on one side
    assert equivalence_p(small - 0.03, 0.02) > 0.9  # and on the other
    assert equivalence_p(small[:3], 0.02) > 0.05  # three patients prove nothing: 1 of 8 signs
    above, below = stats.wilcoxon(small + 0.02, alternative="greater"), stats.wilcoxon(small - 0.02, alternative="less")
    assert equivalence_p(small, 0.02) == pytest.approx(max(above.pvalue, below.pvalue))


def test_a_gain_is_not_worse_and_a_loss_beyond_the_margin_is():
    small = np.random.default_rng(3).normal(0, 0.004, 20)
    assert noninferiority_p(small + 0.03, 0.02) < 0.001 < 0.9 < equivalence_p(small + 0.03, 0.02)
    assert noninferiority_p(small - 0.03, 0.02) > 0.9
    assert noninferiority_p([1, 2, 3, 4, 5], 0.5) == pytest.approx(1 / 32)  # by hand: all five above, 1 of 2^5 signs
    assert noninferiority_p(small[:3], 0.02) > 0.05


def test_rank_biserial_by_hand():
    assert rank_biserial([1, 2, -3]) == pytest.approx(0.0)  # ranks 1 + 2 against 3
    assert rank_biserial([1, 2, 3]) == 1.0
    assert rank_biserial([-1, 2, 0]) == pytest.approx(1 / 3)
    assert rank_biserial([0, 0]) == 0.0


def test_hodges_lehmann_by_hand():
    """Of 0, 1 and 5 the six pair means are 0, 0.5, 1, 2.5, 3 and 5: median 1.75."""
    assert hodges_lehmann([0, 1, 5]) == pytest.approx(1.75)


def test_critical_rank_sums_stand_in_every_printed_table():
    """Two-sided 0.05: the smaller sum may be 0 of 21 for six patients, 8 of 55 for ten, 52 of 210 for twenty."""
    for n, smaller in ((6, 0), (10, 8), (20, 52)):
        assert critical_rank_sum(n, 0.025) == n * (n + 1) // 2 - smaller
    assert critical_rank_sum(5, 0.025) is None


def test_limits_are_where_the_test_turns():
    d = np.random.default_rng(5).normal(0.2, 1, 15)
    low, high = shift_limits(d, 0.025)
    assert low < hodges_lehmann(d) < high
    for inside, outside in ((low + 1e-6, low - 1e-6), (high - 1e-6, high + 1e-6)):
        assert wilcoxon_p(d - inside) > 0.05 >= wilcoxon_p(d - outside)
    assert shift_limits(d + 1, 0.025) == pytest.approx((low + 1, high + 1))
    assert shift_limits(d[:5], 0.025) is None
