"""What a cohort can find: near the power of formulas, and what the tests themselves do in drawn cohorts."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from pedseg.evaluation.power import COHORTS, POWER, Power, center_powers, estimate_power
from pedseg.evaluation.results import Results, typed_rows
from pedseg.evaluation.signed_rank import equivalence_p, hodges_lehmann, shift_limits, wilcoxon_p

NORMAL = np.random.default_rng(7).normal(size=60)
NORMAL = (NORMAL - NORMAL.mean()) / NORMAL.std(ddof=1)  # a spread of exactly 1


def test_normal_differences_need_what_the_formula_says():
    """On normal data the signed-rank test is as good as a t test with 3 / pi of the patients (Pitman 1948)."""
    power = estimate_power(NORMAL, 1.0, alpha=0.05)
    formula = TTestPower().solve_power(nobs=60 * 3 / np.pi, alpha=0.05, power=0.8)
    assert power.smallest_difference == pytest.approx(formula, rel=0.1)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 9])
def test_the_tests_find_what_is_promised(alpha):
    """Cohorts of the same kind, drawn anew and tested one by one with the tests of the study."""
    d = np.random.default_rng(8).laplace(0.003, 0.01, 25)
    power = estimate_power(d, 0.02, alpha=alpha)
    spread = (d - hodges_lehmann(d)) * np.sqrt(25 / 24)
    cohorts = np.random.default_rng(9).choice(spread, (400, 25))
    shares = [np.mean([wilcoxon_p(c + sign * power.smallest_difference) <= alpha for c in cohorts]) for sign in (1, -1)]
    assert min(shares) == pytest.approx(0.8, abs=0.06)  # the direction that is harder to find
    within = np.mean([equivalence_p(c, power.smallest_margin) <= alpha for c in cohorts])
    assert within == pytest.approx(0.8, abs=0.06)


def test_a_wider_spread_and_fewer_patients_find_less():
    few, many, wide = estimate_power(NORMAL[:20], 1.0, alpha=0.01), estimate_power(NORMAL, 1.0, alpha=0.01), NORMAL * 3
    assert few.smallest_difference > many.smallest_difference
    assert estimate_power(wide, 3.0, alpha=0.01).smallest_margin == pytest.approx(3 * many.smallest_margin)
    assert estimate_power(NORMAL, many.smallest_margin, alpha=0.01).equivalence_power == pytest.approx(0.8, abs=0.01)


def test_what_is_moved_does_not_matter_and_too_few_find_nothing():
    assert estimate_power(NORMAL + 5, 1.0, alpha=0.05).smallest_difference == pytest.approx(
        estimate_power(NORMAL, 1.0, alpha=0.05).smallest_difference
    )
    for n in (0, 1, 8):  # 2 / 2^8 is more than 0.05 / 9: even eight gains of eight are not enough
        assert estimate_power(NORMAL[:n], 1.0, alpha=0.05 / 9) == Power(n)
    assert estimate_power(np.zeros(12), 0.01, alpha=0.05) == Power(12, 0.0, 0.0, 1.0)


def test_every_center_is_told_organ_by_organ():
    rng = np.random.default_rng(1)
    rows = [
        {"seed": 0, "model": model, "trained_on": trained_on, "tested_on": center, "patient": f"{center}{k}",
         "case": "c", "organ": organ, "present": 1, "dsc": 0.9 + 0.01 * rng.normal(), "hd95_mm": 1, "msd_mm": 1,
         "volume_ml": 1, "predicted_ml": 1}
        for center in "AB" for model, trained_on in (("local", center), ("federated", "A+B"))
        for organ in ("Liver", "Spleen", "Bladder") for k in range(12)
    ]  # fmt: skip
    rows = typed_rows(rows)
    powers = list(center_powers(Results(rows)))
    assert [power.tested_on for power in powers] == ["A", "B"]
    assert [power.organ for power in powers[0].organs] == ["Liver", "Spleen"]  # the bladder is not evaluated
    assert powers[0].alpha == pytest.approx(0.05 / 2) and powers[0].margin == 0.01
    assert powers[0].expected_equivalent == pytest.approx(sum(o.equivalence_power for o in powers[0].organs))
    assert {power.n for power in powers[0].organs} == {12}
    assert list(center_powers(Results(rows[rows["model"] == "local"]))) == []


def test_pairs_that_are_counted_give_the_limits_of_each_resampled_cohort():
    d = NORMAL[:12]
    spread = (d - hodges_lehmann(d)) * np.sqrt(12 / 11)
    cohorts = np.random.default_rng(0).integers(12, size=(COHORTS, 12))
    below, above = np.transpose([shift_limits(spread[cohort], 0.025) for cohort in cohorts])
    expected = max(np.quantile(-below, POWER), np.quantile(above, POWER))
    assert estimate_power(d, 1.0, alpha=0.05).smallest_difference == expected
