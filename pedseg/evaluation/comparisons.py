"""Is one model better than another, by how much, and how sure is that?

Everything here takes plain numbers, one a patient. Paired: both models met the same patients.
Unpaired: two groups of different patients, as when one model meets its own hospital and then another.
A difference is always first minus second, in the unit of the measure.

Wilcoxon signed-rank (`signed_rank`) or Mann-Whitney, Holm over organs, percentile bootstrap over
patients, Hodges-Lehmann shift, rank-biserial correlation. "As good as" is a claim of its own: two
one-sided signed-rank tests against a stated margin (TOST), never `p > 0.05`; "not worse than" is one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pedseg.evaluation.signed_rank import (
    equivalence_p,
    hodges_lehmann,
    noninferiority_p,
    rank_biserial,
    shift_limits,
    wilcoxon_p,
)

LEVEL = 0.95  # of every interval
ALPHA = 0.05
RESAMPLES = 2000
FEWEST = 6  # patients: the whole range of five holds their median in 94 % only, so no interval of 95 % exists


@dataclass(frozen=True)
class Comparison:
    """What two models differ by on one organ; None where too few patients allow no statement.

    `interval` is the bootstrap interval of `median_difference`, `shift_interval` the exact interval of the
    Hodges-Lehmann shift (pairs only), each of 95 %; `rank_biserial` runs from -1 (second always higher) to 1
    (first always higher). `p_equivalence` and `p_noninferiority` (the first is not worse than the second by more than
    the margin) are None without a margin.
    """

    n: tuple[int, int]
    median_difference: float | None
    interval: tuple[float, float] | None
    hodges_lehmann: float | None
    rank_biserial: float | None
    p: float | None
    p_equivalence: float | None = None
    shift_interval: tuple[float, float] | None = None
    p_noninferiority: float | None = None


def compare_paired(
    first: ArrayLike, second: ArrayLike, margin: float | None = None, *, higher_is_better: bool = True
) -> Comparison:
    """Two models on the same patients: values (n,) and (n,), the same patient at the same place."""
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    n = len(differences)
    if n == 0:
        return Comparison((0, 0), None, None, None, None, None)
    return Comparison(
        n=(n, n),
        median_difference=float(np.median(differences)),
        interval=bootstrap_interval(differences, np.median, fewest=FEWEST),
        hodges_lehmann=hodges_lehmann(differences),
        rank_biserial=rank_biserial(differences),
        p=wilcoxon_p(differences),
        p_equivalence=None if margin is None else equivalence_p(differences, margin),
        shift_interval=shift_limits(differences, (1 - LEVEL) / 2),
        p_noninferiority=None
        if margin is None
        else noninferiority_p(differences if higher_is_better else -differences, margin),
    )


def compare_unpaired(first: ArrayLike, second: ArrayLike) -> Comparison:
    """One model on two groups of different patients: values (n,) and (m,)."""
    from scipy.stats import mannwhitneyu

    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not (a.size and b.size):
        return Comparison((a.size, b.size), None, None, None, None, None)
    table = a[:, None] - b[None, :]  # (n, m)
    return Comparison(
        n=(a.size, b.size),
        median_difference=float(np.median(a) - np.median(b)),
        interval=bootstrap_interval_of_two(a, b, np.median, fewest=FEWEST),
        hodges_lehmann=float(np.median(table)),
        rank_biserial=float(np.sign(table).mean()),
        p=float(mannwhitneyu(a, b).pvalue) if np.ptp(np.concatenate([a, b])) > 0 else 1.0,
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for how many were asked (Holm 1979); None stays None and does not count."""
    asked = sorted((p, k) for k, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, k) in enumerate(asked):
        highest = max(highest, min(1.0, p * (len(asked) - rank)))
        corrected[k] = highest
    return corrected


def bootstrap_interval(
    values: NDArray[np.float64], statistic: Callable[..., NDArray], *, fewest: int = 2
) -> tuple[float, float] | None:
    """Percentile interval of `statistic(…, axis=1)` when patients (n,) are drawn again; None for n < `fewest`."""
    if len(values) < fewest:
        return None
    resampled = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    return percentile_interval(statistic(values[resampled], axis=1))


def percentile_interval(estimates: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of bootstrap estimates."""
    low, high = np.percentile(estimates, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def wilson_interval(hits: int, of: int) -> tuple[float, float] | None:
    """Wilson's interval of a share (1927), right for few patients and shares near 0 and 1; None of nobody."""
    from scipy.stats import binomtest

    if not of:
        return None
    interval = binomtest(hits, of).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap_interval_of_two(
    a: NDArray, b: NDArray, statistic: Callable[..., NDArray], *, fewest: int = 2
) -> tuple[float, float] | None:
    """The same of `statistic(a) - statistic(b)` of two groups of patients, both drawn again."""
    if min(a.size, b.size) < fewest:
        return None
    rng = np.random.default_rng(0)
    first, second = (statistic(v[rng.integers(v.size, size=(RESAMPLES, v.size))], axis=1) for v in (a, b))
    return percentile_interval(first - second)
