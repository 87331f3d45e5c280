"""The signed-rank test of paired differences, exact with ties too, and the shift that belongs to it.

Everything takes differences (n,), one a patient. Zero differences are left out, as Wilcoxon did (1945). Equal
sizes share their mean rank, and the p value counts all 2^n ways the signs could have fallen on those ranks.
scipy's exact test knows no ties and its normal approximation is rough far out, where Holm asks; distances on a
voxel grid are full of ties.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

DIGITS = 9  # differences that agree so far are equal: 0.3 - 0.2 and 0.2 - 0.1 are not, to the last bit


def signed_ranks(differences: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Ranks of the sizes of all differences but zero, and which of these are gains."""
    from scipy.stats import rankdata

    d = np.round(np.asarray(differences, dtype=float), DIGITS)
    d = d[d != 0]
    return rankdata(np.abs(d)), d > 0


def wilcoxon_p(differences: ArrayLike, alternative: str = "two-sided") -> float:
    """p value of the signed-rank test that the differences lie around zero; 1 if all are zero."""
    ranks, gains = signed_ranks(differences)
    doubled = np.rint(2 * ranks).astype(int)  # mean ranks of ties are halves
    chances = _rank_sum_chances(tuple(sorted(doubled.tolist())))
    observed = int(doubled[gains].sum())
    greater, less = float(chances[observed:].sum()), float(chances[: observed + 1].sum())
    p = {"greater": greater, "less": less, "two-sided": 2 * min(greater, less)}[alternative]
    return min(1.0, p)


@lru_cache(maxsize=64)  # without ties, all organs of as many patients have the same ranks
def _rank_sum_chances(ranks: tuple[int, ...]) -> NDArray[np.float64]:
    """How likely each sum of positive ranks is when every sign is a coin toss: (sum of all ranks + 1,)."""
    chances = np.zeros(sum(ranks) + 1)
    chances[0] = 1.0
    for rank in ranks:
        with_it = np.zeros_like(chances)
        with_it[rank:] = chances[: len(chances) - rank]
        chances = (chances + with_it) / 2
    return chances


def equivalence_p(differences: ArrayLike, margin: float) -> float:
    """p value of "the difference lies within ±`margin`": the larger of two one-sided signed-rank tests.

    Smaller than 0.05: the models are as good as each other within the margin. Schuirmann 1987.
    """
    d = np.asarray(differences, dtype=float)
    return max(noninferiority_p(d, margin), noninferiority_p(-d, margin))


def noninferiority_p(gains: ArrayLike, margin: float) -> float:
    """p value of "not worse by more than `margin`": a one-sided signed-rank test of gains (higher is better).

    One half of the test of equivalence, for a claim that a clear gain does not refute.
    """
    return wilcoxon_p(np.asarray(gains, dtype=float) + margin, "greater")


def rank_biserial(differences: ArrayLike) -> float:
    """Matched-pairs rank-biserial correlation: (rank sum of gains - of losses) / both; 0 if nothing differs."""
    ranks, gains = signed_ranks(differences)
    return float(np.where(gains, ranks, -ranks).sum() / ranks.sum()) if ranks.size else 0.0


def pair_means(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of all pairs of differences, each with itself too (Walsh averages): (n,) -> (n (n + 1) / 2,)."""
    i, j = np.triu_indices(len(differences))
    return (differences[i] + differences[j]) / 2


def hodges_lehmann(differences: ArrayLike) -> float:
    """The typical shift: the median of the means of all pairs of differences, each with itself too."""
    return float(np.median(pair_means(np.asarray(differences, dtype=float))))


@cache
def critical_rank_sum(n: int, alpha: float) -> int | None:
    """The smallest sum of positive ranks that a one-sided test with n patients calls significant; None if none is."""
    tail = _rank_sum_chances(tuple(range(1, n + 1)))[::-1].cumsum()[::-1]  # tail[w]: at least w, by chance
    significant = np.flatnonzero(tail <= alpha)
    return int(significant[0]) if significant.size else None


def shift_limits(differences: NDArray[np.float64], alpha: float) -> tuple[float, float] | None:
    """What shifts one-sided signed-rank tests of n differences do not exclude, from below and from above.

    A test with level alpha says "greater than x" for every x below the first limit, and "smaller than x" for
    every x above the second. Both together are the exact interval of the Hodges-Lehmann shift with the level
    1 - 2 alpha (Tukey 1949). None where n is too small to exclude anything.
    """
    places = limit_places(len(differences), alpha)
    if places is None:
        return None
    low, high = np.partition(pair_means(differences), places)[places]
    return float(low), float(high)


def limit_places(n: int, *alphas: float) -> list[int] | None:
    """Where both limits of each level stand among the sorted pair means of n differences; None if one has none."""
    places: list[int] = []
    for alpha in alphas:
        critical = critical_rank_sum(n, alpha)
        if critical is None:
            return None
        places += [n * (n + 1) // 2 - critical, critical - 1]
    return places
