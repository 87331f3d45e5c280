"""What a test cohort is able to find: how small a difference, and how tight an equivalence.

Without that, "no significant difference" may mean that nobody could have seen one. The answer is simulated from the
study's own paired differences: they are moved so that their Hodges-Lehmann shift is zero, patients are drawn again
with replacement, and each drawn cohort is tested. Formulas for normal differences or for large cohorts (Noether 1987)
fit small ones badly; simulation is what Mollan et al. recommend for rank tests (J Biopharm Stat 2020;30:639). Drawing
again narrows the variance by (n - 1) / n on average; the differences are widened by that.

A cohort is tested with the level of the strictest step of Holm, alpha / number of organs: what is found there is found
whatever the other organs do. An organ on which the models agree to the last digit has no spread to simulate from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pedseg.evaluation.comparisons import ALPHA
from pedseg.evaluation.results import MARGINS, ModelKey, Results
from pedseg.evaluation.signed_rank import hodges_lehmann, shift_limits

POWER = 0.8
COHORTS = 1000  # drawn cohorts: power to about 1 %
AT_ONCE = 2_000_000  # pair means held in memory


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


def power_of(differences: ArrayLike, margin: float, *, alpha: float, power: float = POWER, seed: int = 0) -> Power:
    """What a cohort with the spread of these paired differences (n,) finds by tests of the level `alpha`.

    Two-sided signed-rank test of a difference; two one-sided ones of equivalence, where the true difference is zero.
    """
    d = np.asarray(differences, dtype=float)
    different, equal = (_limits(d, one_sided, seed) for one_sided in (alpha / 2, alpha))
    if different is None or equal is None:
        return Power(len(d))
    below, above = different.T  # a shift s is found upwards where s + below > 0, downwards where above - s < 0
    width = np.maximum(-equal[:, 0], equal[:, 1])
    return Power(
        n=len(d),
        smallest_difference=float(max(np.quantile(-below, power), np.quantile(above, power))),
        smallest_margin=float(np.quantile(width, power)),
        equivalence_power=float((width < margin).mean()),
    )


def _limits(d: NDArray[np.float64], alpha: float, seed: int) -> NDArray[np.float64] | None:
    """Limits of the shift in every drawn cohort, (cohorts, 2)."""
    if len(d) < 2:
        return None
    spread = (d - hodges_lehmann(d)) * np.sqrt(len(d) / (len(d) - 1))
    drawn = np.random.default_rng(seed).integers(len(d), size=(COHORTS, len(d)))
    parts = np.array_split(drawn, max(1, COHORTS * len(d) ** 2 // (2 * AT_ONCE)))
    limits = [shift_limits(spread[part], alpha) for part in parts]
    known = [part for part in limits if part is not None]
    return np.concatenate(known) if known else None


def power_lines(results: Results, measure: str = "dsc") -> Iterator[dict[str, Any]]:
    """For every center: what its test patients can tell of the federated model beside its own local one.

    `expected_equivalent` is how many organs would pass the equivalence test, at the least, if the models were equal
    on all.
    """
    federated = results.kind("federated")
    for center in results.centers:
        local = results.local(center)
        if federated is None or local is None:
            continue
        pairs = {o: results.pairs(federated, local, center, o, measure) for o in results.evaluated}
        asked = {organ: np.subtract(*both) for organ, both in pairs.items() if both[0]}
        if asked:
            alpha = ALPHA / len(asked)
            found = [{"organ": o, **asdict(power_of(d, MARGINS[measure], alpha=alpha))} for o, d in asked.items()]
            expected = sum(line["equivalence_power"] or 0.0 for line in found)
            yield {**_told(federated, center, measure, alpha), "expected_equivalent": expected, "organs": found}


def _told(federated: ModelKey, center: str, measure: str, alpha: float) -> dict[str, Any]:
    """What a line of power speaks of, and by which rules."""
    return {
        "comparison": "federated - home local",
        "tested_on": center,
        "trained_on": federated.trained_on,
        "measure": measure,
        "margin": MARGINS[measure],
        "power": POWER,
        "alpha": alpha,
    }
