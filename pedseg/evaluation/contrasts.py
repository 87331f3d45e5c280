"""Contrasts: one model minus another on every evaluated organ, with tests corrected by Holm over the organs."""

from __future__ import annotations

from dataclasses import dataclass

from pedseg.evaluation.comparisons import ALPHA, Comparison, compare_paired, compare_unpaired, holm
from pedseg.evaluation.results import HIGHER_IS_BETTER, MARGINS, ModelAtCenter, Results


@dataclass(frozen=True, kw_only=True)
class OrganComparison(Comparison):
    """The comparison on one organ, its p values corrected by Holm over the organs."""

    organ: str
    p_holm: float | None
    p_equivalence_holm: float | None
    p_noninferiority_holm: float | None


@dataclass(frozen=True)
class Contrast:
    """First minus second on every evaluated organ, in one measure; `paired` patient by patient."""

    name: str
    measure: str
    paired: bool
    first: ModelAtCenter
    second: ModelAtCenter
    organs: list[OrganComparison]

    def worse(self) -> list[str]:
        """The organs on which the first side is significantly worse (Holm)."""
        return self._significant(-1)

    def better(self) -> list[str]:
        """The organs on which the first side is significantly better (Holm)."""
        return self._significant(1)

    def equivalent(self) -> list[str]:
        """The organs on which both sides are as good as each other within the margin (TOST, Holm)."""
        return [o.organ for o in self.organs if o.p_equivalence_holm is not None and o.p_equivalence_holm < ALPHA]

    def noninferior(self) -> list[str]:
        """The organs on which the first side is at most by the margin worse than the second (one-sided, Holm)."""
        claims = {o.organ: o.p_noninferiority_holm for o in self.organs}
        return [organ for organ, p in claims.items() if p is not None and p < ALPHA]

    def _significant(self, direction: int) -> list[str]:
        sign = direction if self.measure in HIGHER_IS_BETTER else -direction  # a higher distance is worse
        shown = [o for o in self.organs if o.p_holm is not None and o.p_holm < ALPHA]
        # The ranks tell the direction, not the shift: that is zero where most patients do not differ.
        return [o.organ for o in shown if sign * (o.rank_biserial or 0.0) > 0]


def contrast(results: Results, first: ModelAtCenter, second: ModelAtCenter, measure: str, name: str = "") -> Contrast:
    """First minus second on every evaluated organ, with Holm over the organs.

    One test center compares pairs of patients, two centers compare two groups. Equivalence is asked within
    `MARGINS`, of pairs only.
    """
    organs, paired = results.evaluated, first.tested_on == second.tested_on
    comparisons: list[Comparison]
    if paired:
        pairs = results.paired_means(first, second, measure)
        margin, higher = MARGINS[measure], measure in HIGHER_IS_BETTER
        comparisons = [
            compare_paired(pair["first"], pair["second"], margin, higher_is_better=higher)
            for pair in (pairs[organ] for organ in organs)
        ]
    else:
        a, b = (results.patient_means(at, measure, organs) for at in (first, second))
        comparisons = [compare_unpaired(a[organ].dropna(), b[organ].dropna()) for organ in organs]
    corrected = [holm([getattr(c, p) for c in comparisons]) for p in ("p", "p_equivalence", "p_noninferiority")]
    by_organ = [
        OrganComparison(**vars(c), organ=organ, p_holm=p, p_equivalence_holm=p_eq, p_noninferiority_holm=p_ni)
        for c, organ, p, p_eq, p_ni in zip(comparisons, organs, *corrected, strict=True)
    ]
    return Contrast(name, measure, paired, first, second, by_organ)
