"""Is one model better than another, by how much, and how sure is that?

Everything here takes plain numbers, one a patient. Paired: both models drew the same patients.
Unpaired: two groups of different patients, as when one model meets its own hospital and then another.
A difference is always first minus second, in the unit of the measure.

Wilcoxon signed-rank (zero differences left out, as Wilcoxon did) or Mann-Whitney, Holm over organs,
percentile bootstrap over patients, Hodges-Lehmann shift, rank-biserial correlation. "As good as" is
a claim of its own: two one-sided signed-rank tests against a stated margin (TOST), never `p > 0.05`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95  # of every interval
ALPHA = 0.05
RESAMPLES = 2000


@dataclass(frozen=True)
class Comparison:
    """What two models differ by on one organ; None where too few patients allow no statement.

    `interval` is the bootstrap interval of `median_difference`; `rank_biserial` runs from -1 (second
    always higher) to 1 (first always higher). `p_equivalence` is None without a margin.
    """

    n: tuple[int, int]
    median_difference: float | None
    interval: tuple[float, float] | None
    hodges_lehmann: float | None
    rank_biserial: float | None
    p: float | None
    p_equivalence: float | None = None


def compare_paired(first: ArrayLike, second: ArrayLike, margin: float | None = None) -> Comparison:
    """Two models on the same patients: values (n,) and (n,), the same patient at the same place."""
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    n = len(differences)
    if n == 0:
        return Comparison((0, 0), None, None, None, None, None)
    return Comparison(
        n=(n, n),
        median_difference=float(np.median(differences)),
        interval=bootstrap_interval(differences, np.median),
        hodges_lehmann=hodges_lehmann(differences),
        rank_biserial=rank_biserial(differences),
        p=wilcoxon_p(differences),
        p_equivalence=None if margin is None else equivalence_p(differences, margin),
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
        interval=_interval_of_two(a, b),
        hodges_lehmann=float(np.median(table)),
        rank_biserial=float(np.sign(table).mean()),
        p=float(mannwhitneyu(a, b).pvalue) if np.ptp(np.concatenate([a, b])) > 0 else 1.0,
    )


def wilcoxon_p(differences: ArrayLike, alternative: str = "two-sided") -> float:
    """p value of the signed-rank test that the differences (n,) lie around zero; 1 if all are zero."""
    from scipy.stats import wilcoxon

    d = np.asarray(differences, dtype=float)
    d = d[d != 0]
    return float(wilcoxon(d, alternative=alternative).pvalue) if d.size else 1.0


def equivalence_p(differences: ArrayLike, margin: float) -> float:
    """p value of "the difference lies within ±`margin`": the larger of two one-sided signed-rank tests.

    Smaller than 0.05: the models are as good as each other within the margin. Schuirmann 1987.
    """
    d = np.asarray(differences, dtype=float)
    return max(wilcoxon_p(d + margin, "greater"), wilcoxon_p(d - margin, "less"))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for how many were asked (Holm 1979); None stays None and does not count."""
    asked = sorted((p, k) for k, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, k) in enumerate(asked):
        highest = max(highest, min(1.0, p * (len(asked) - rank)))
        corrected[k] = highest
    return corrected


def rank_biserial(differences: ArrayLike) -> float:
    """Matched-pairs rank-biserial correlation: (rank sum of gains - of losses) / both; 0 if nothing differs."""
    from scipy.stats import rankdata

    d = np.asarray(differences, dtype=float)
    d = d[d != 0]
    ranks = rankdata(np.abs(d))
    return float((ranks * np.sign(d)).sum() / ranks.sum()) if d.size else 0.0


def hodges_lehmann(differences: ArrayLike) -> float:
    """The typical shift: the median of the means of all pairs of differences, each with itself too."""
    d = np.asarray(differences, dtype=float)
    i, j = np.triu_indices(len(d))
    return float(np.median((d[i] + d[j]) / 2))


def bootstrap_interval(
    values: NDArray[np.float64], statistic: Callable[..., NDArray], *, seed: int = 0
) -> tuple[float, float] | None:
    """Percentile interval of `statistic(…, axis=1)` when patients (n,) are drawn again; None for n < 2."""
    if len(values) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    return percentile_interval(statistic(values[drawn], axis=1))


def percentile_interval(estimates: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of bootstrap estimates."""
    low, high = np.percentile(estimates, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def _interval_of_two(a: NDArray, b: NDArray, seed: int = 0) -> tuple[float, float] | None:
    """Bootstrap interval of median(a) - median(b), both groups drawn again."""
    if min(a.size, b.size) < 2:
        return None
    rng = np.random.default_rng(seed)
    medians = [np.median(v[rng.integers(v.size, size=(RESAMPLES, v.size))], axis=1) for v in (a, b)]
    return percentile_interval(medians[0] - medians[1])
