"""Statistical power of a test cohort: how small a difference it can show, and how tight an equivalence.

Without that, "no significant difference" may mean that nobody could have seen one. Power is simulated from the
study's own paired differences: they are moved so that their Hodges-Lehmann shift is zero, patients are resampled
with replacement, and each resampled cohort is tested. Formulas for normal differences or for large cohorts (Noether
1987) fit small ones badly; simulation is what Mollan et al. recommend for rank tests (J Biopharm Stat 2020;30:639).
Resampling narrows the variance by (n - 1) / n on average; the differences are widened by that.

A cohort is tested with the level of the strictest step of Holm, alpha / number of organs: what is found there is found
whatever the other organs do. An organ on which the models agree to the last digit has no spread to simulate from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pedseg.evaluation.comparisons import ALPHA
from pedseg.evaluation.results import MARGINS, Results
from pedseg.evaluation.signed_rank import hodges_lehmann, limit_places, pair_means

POWER = 0.8
COHORTS = 1000  # resampled cohorts: power to about 1 %


@dataclass(frozen=True)
class Power:
    """What `n` patients can find on one organ; None where so few patients can find nothing at all.

    `smallest_difference` is found with the wanted power, up or down. `smallest_margin` is the margin within which
    equally good models are proven equal with the wanted power; `equivalence_power` is the chance that they are
    within the margin of the study.
    """

    n: int
    smallest_difference: float | None = None
    smallest_margin: float | None = None
    equivalence_power: float | None = None


@dataclass(frozen=True, kw_only=True)
class OrganPower(Power):
    """The same, with the organ's name."""

    organ: str


def estimate_power(differences: ArrayLike, margin: float, *, alpha: float) -> Power:
    """What a cohort with the spread of these paired differences (n,) finds by tests of the level `alpha`.

    Two-sided signed-rank test of a difference; two one-sided ones of equivalence, where the true difference is zero.
    """
    d = np.asarray(differences, dtype=float)
    limits = _limits(d, alpha / 2, alpha)
    if limits is None:
        return Power(len(d))
    different, equal = limits[:, 0], limits[:, 1]
    below, above = different.T  # a shift s is found upwards where s + below > 0, downwards where above - s < 0
    width = np.maximum(-equal[:, 0], equal[:, 1])
    return Power(
        n=len(d),
        smallest_difference=float(max(np.quantile(-below, POWER), np.quantile(above, POWER))),
        smallest_margin=float(np.quantile(width, POWER)),
        equivalence_power=float((width < margin).mean()),
    )


def _limits(d: NDArray[np.float64], *alphas: float) -> NDArray[np.float64] | None:
    """Limits of the shift (`signed_rank.shift_limits`) in every resampled cohort at every level, (cohorts, levels, 2).

    All cohorts hold the same pairs of patients, each so many times: they are sorted once and counted in each cohort.
    """
    n, places = len(d), limit_places(len(d), *alphas)
    if n < 2 or places is None:
        return None
    spread = (d - hodges_lehmann(d)) * np.sqrt(n / (n - 1))
    i, j = np.triu_indices(n)
    means = pair_means(spread)
    order = np.argsort(means, kind="stable")
    i, j, means, limits = i[order], j[order], means[order], []
    for cohort in np.random.default_rng(0).integers(n, size=(COHORTS, n)):
        times = np.bincount(cohort, minlength=n)  # that each patient is in this cohort
        pairs = np.where(i == j, times[i] * (times[i] + 1) // 2, times[i] * times[j])
        limits.append(means[np.searchsorted(pairs.cumsum(), places, side="right")])
    return np.array(limits).reshape(COHORTS, len(alphas), 2)


@dataclass(frozen=True)
class CenterPower:
    """What the test patients of a center can show of the federated model beside the center's own local one.

    `expected_equivalent` is how many organs would pass the equivalence test, at the least, if the models were equal
    on all.
    """

    comparison: str
    tested_on: str
    trained_on: str
    measure: str
    margin: float
    power: float
    alpha: float
    expected_equivalent: float
    organs: list[OrganPower]


def center_powers(results: Results) -> Iterator[CenterPower]:
    """The power in DSC of every center's test patients, organ by organ."""
    federated, measure, margin = results.kind("federated"), "dsc", MARGINS["dsc"]
    for center in results.centers:
        local = results.local(center)
        if federated is None or local is None:
            continue
        pairs = results.paired_means(federated.at(center), local.at(center), measure)
        differences = {o: pairs[o]["first"] - pairs[o]["second"] for o in results.evaluated if len(pairs[o])}
        if differences:
            alpha = ALPHA / len(differences)
            powers = {organ: estimate_power(d, margin, alpha=alpha) for organ, d in differences.items()}
            organs = [OrganPower(**vars(power), organ=organ) for organ, power in powers.items()]
            expected = sum(power.equivalence_power or 0.0 for power in organs)
            name = "federated - home local"
            yield CenterPower(name, center, federated.trained_on, measure, margin, POWER, alpha, expected, organs)
