"""What the study says: its tables, and the sentences that stand on them, from the rows of cases.csv.

How numbers come about is told in `results` (patients, means, contrasts) and `comparisons` (tests).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations
from statistics import fmean, median, stdev
from typing import Any

from pedseg.evaluation.comparisons import ALPHA, LEVEL, share_interval
from pedseg.evaluation.power import power_lines
from pedseg.evaluation.results import (
    HIGHER_IS_BETTER,
    MARGINS,
    MEASURES,
    ModelKey,
    Results,
    contrast,
    organ_mean,
    organ_mean_of_seed,
    read_rows,
)

__all__ = ["better", "equivalent", "noninferior", "read_rows", "story", "worse"]

FALSE_VOLUME_ML = 1.0  # of a removed kidney: drawing more than this is a false kidney
FOUND_DSC = 0.5  # a kidney that is there and drawn at least so well is found
KIDNEYS = ("Kidney_L", "Kidney_R")


def story(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Everything the report tells, ready for JSON, from rows with the columns of cases.csv.

    `table` and `organ_table` hold means with intervals for every model and test center, `contrasts`
    every test that was made; `drops`, `cross`, `home` and `centralized` are the four sentences of
    the study, `power` how small a difference the test patients could have shown, `kidneys` what was
    drawn where a kidney is gone. None means undefined; a measure that no row has is not compared.
    """
    results = Results(rows)
    contrasts = [c for measure in results.measures for c in _contrasts(results, measure)]
    return {
        "centers": results.centers,
        "seeds": results.seeds,
        "organs": results.organs,
        "evaluated": results.evaluated,
        "rules": {"level": LEVEL, "alpha": ALPHA, "margins": MARGINS, "false_volume_ml": FALSE_VOLUME_ML},
        "table": [_line(results, model_key, center) for center in results.centers for model_key in results.model_keys],
        "organ_table": [_organ_line(results, *which) for which in _everything(results)],
        "contrasts": contrasts,
        "drops": _drops(results, contrasts),
        "cross": _cross(results, contrasts),
        "home": _home(results, contrasts),
        "centralized": _centralized(results),
        "power": list(power_lines(results)),
        "kidneys": [
            line
            for c in results.centers
            for model_key in results.model_keys
            for line in _kidneys(results, model_key, c)
        ],
    }


def worse(found: Mapping[str, Any]) -> list[str]:
    """The organs on which the first side of a contrast is significantly worse (Holm)."""
    return _significant(found, -1)


def better(found: Mapping[str, Any]) -> list[str]:
    """The organs on which the first side of a contrast is significantly better (Holm)."""
    return _significant(found, 1)


def equivalent(found: Mapping[str, Any]) -> list[str]:
    """The organs on which both sides are as good as each other within the margin (TOST, Holm)."""
    return _shown(found, "p_equivalence_holm")


def noninferior(found: Mapping[str, Any]) -> list[str]:
    """The organs on which the first side is at most by the margin worse than the second (one-sided, Holm)."""
    return _shown(found, "p_noninferiority_holm")


def _shown(found: Mapping[str, Any], claim: str) -> list[str]:
    return [line["organ"] for line in found["organs"] if line[claim] is not None and line[claim] < ALPHA]


def _significant(found: Mapping[str, Any], direction: int) -> list[str]:
    sign = direction if found["measure"] in HIGHER_IS_BETTER else -direction  # a higher distance is worse
    tested = [line for line in found["organs"] if line["p_holm"] is not None]
    # The ranks tell the direction, not the shift: that is zero where most patients do not differ.
    return [line["organ"] for line in tested if line["p_holm"] < ALPHA and sign * line["rank_biserial"] > 0]


def _everything(results: Results) -> list[tuple[ModelKey, str, str]]:
    return [
        (model_key, center, organ)
        for center in results.centers
        for organ in results.organs
        for model_key in results.model_keys
    ]


def _who(model_key: ModelKey, center: str) -> dict[str, str]:
    return {
        "model": model_key.model,
        "trained_on": model_key.trained_on,
        "tested_on": center,
        "role": model_key.role(center),
    }


def _line(results: Results, model_key: ModelKey, center: str) -> dict[str, Any]:
    """One model on one test center: DSC over the evaluated and over all organs, the others over the evaluated."""
    means = {measure: organ_mean(results, model_key, center, measure, results.evaluated) for measure in MEASURES}
    return {
        **_who(model_key, center),
        "dsc_all": organ_mean(results, model_key, center, "dsc", results.organs),
        **means,
    }


def _organ_line(results: Results, model_key: ModelKey, center: str, organ: str) -> dict[str, Any]:
    """One organ: its means, in how many patients it is present, and in how many absent."""
    means = {measure: organ_mean(results, model_key, center, measure, [organ]) for measure in MEASURES}
    absent = len(results.per_patient(model_key, center, organ, "predicted_ml", present=False))
    return {**_who(model_key, center), "organ": organ, "patients": means["dsc"]["patients"], "absent": absent, **means}


def _contrasts(results: Results, measure: str) -> list[dict[str, Any]]:
    """Every comparison that was decided on beforehand, in one measure."""
    sides: list[tuple[str, tuple[ModelKey | None, str], tuple[ModelKey | None, str]]] = []
    federated, centralized = results.kind("federated"), results.kind("centralized")
    for here, there in permutations(results.centers, 2):
        sides.append(("away - home", (results.local(here), there), (results.local(here), here)))
        sides.append(("other local - home local", (results.local(there), here), (results.local(here), here)))
        sides.append(("federated - other local", (federated, here), (results.local(there), here)))
    for here in results.centers:
        sides.append(("federated - home local", (federated, here), (results.local(here), here)))
        sides.append(("federated - centralized", (federated, here), (centralized, here)))
    return [
        {"name": name, **contrast(results, (a, here), (b, there), measure)}
        for name, (a, here), (b, there) in sides
        if a is not None and b is not None
    ]


def _named(contrasts: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [c for c in contrasts if c["name"] == name and c["measure"] == "dsc"]


def _dsc(results: Results, side: Mapping[str, str], organs: list[str]) -> float | None:
    return organ_mean(results, ModelKey(side["model"], side["trained_on"]), side["tested_on"], "dsc", organs)["mean"]


def _means(results: Results, found: Mapping[str, Any]) -> tuple[float, float] | None:
    """Mean DSC over the evaluated organs of both sides of a contrast."""
    first, second = (_dsc(results, found[side], results.evaluated) for side in ("first", "second"))
    return None if first is None or second is None else (first, second)


def _drops(results: Results, contrasts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each local model loses next door: beside itself at home (unpaired), and beside the model trained there."""
    lines = []
    for found in _named(contrasts, "away - home"):
        means, side = _means(results, found), found["first"]
        beside = [c for c in _named(contrasts, "other local - home local") if c["first"] == side]
        if means:
            lines.append(
                {
                    "trained_on": side["trained_on"],
                    "tested_on": side["tested_on"],
                    "home": means[1],
                    "away": means[0],
                    "drop": means[1] - means[0],
                    "organs": len(results.evaluated),
                    "worse_than_at_home": worse(found),
                    "worse_than_the_local_model_there": worse(beside[0]) if beside else [],
                    "better_than_the_local_model_there": better(beside[0]) if beside else [],
                    "worse_there_by_seed": [len(worse(c)) for c in _each_seed(results, beside[0])] if beside else [],
                }
            )
    return lines


def _cross(results: Results, contrasts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether the federation serves a center better than a neighbor's model does."""
    lines = []
    for found in _named(contrasts, "federated - other local"):
        means = {o: [_dsc(results, found[side], [o]) for side in ("first", "second")] for o in results.evaluated}
        lines.append(
            {
                "tested_on": found["first"]["tested_on"],
                "other": found["second"]["trained_on"],
                "organs": len(means),
                "at_least_as_good": [o for o, (a, b) in means.items() if a is not None and b is not None and a >= b],
                "significantly_better": better(found),
                "significantly_worse": worse(found),
            }
        )
    return lines


def _home(results: Results, contrasts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether the federation is as good at a center as the model it trained alone."""
    lines = []
    for found in _named(contrasts, "federated - home local"):
        if means := _means(results, found):
            lines.append(
                {
                    "tested_on": found["first"]["tested_on"],
                    "home": means[1],
                    "federated": means[0],
                    "difference": means[0] - means[1],
                    "difference_seed_sd": _seed_sd(results, found),
                    "margin": MARGINS["dsc"],
                    "organs": len(results.evaluated),
                    "equivalent": equivalent(found),
                    "noninferior": noninferior(found),
                    "equivalent_by_seed": [len(equivalent(c)) for c in _each_seed(results, found)],
                    "significantly_better": better(found),
                    "significantly_worse": worse(found),
                }
            )
    return lines


def _each_seed(results: Results, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same comparison in every seed alone, as a study would see it that trained each model once."""
    sides = [
        (ModelKey(side["model"], side["trained_on"]), side["tested_on"]) for side in (found["first"], found["second"])
    ]
    return [contrast(results.of_seed(seed), sides[0], sides[1], found["measure"]) for seed in results.seeds]


def _seed_sd(results: Results, found: Mapping[str, Any]) -> float | None:
    """Standard deviation over seeds of the difference of both sides of a contrast; None for one seed."""
    sides = [
        (ModelKey(side["model"], side["trained_on"]), side["tested_on"]) for side in (found["first"], found["second"])
    ]
    means = [[organ_mean_of_seed(results, *side, seed) for side in sides] for seed in results.seeds]
    differences = [a - b for a, b in means if a is not None and b is not None]
    return stdev(differences) if len(differences) > 1 else None


def _centralized(results: Results) -> list[dict[str, Any]]:
    """How much of the pooled ideal the federation reaches, over the evaluated organs."""
    lines = []
    federated, centralized = results.kind("federated"), results.kind("centralized")
    for center in results.centers if federated and centralized else []:
        ours, ideal = (
            _dsc(results, _who(model_key, center), results.evaluated)
            for model_key in (federated, centralized)
            if model_key
        )
        if ours is not None and ideal:
            lines.append({"tested_on": center, "federated": ours, "centralized": ideal, "ratio": ours / ideal})
    return lines


def _share(name: str, hits: list[bool]) -> dict[str, Any]:
    """The share of patients of whom something is true, with its interval."""
    return {name: fmean(hits) if hits else None, f"{name}_interval": share_interval(sum(hits), len(hits))}


def _kidneys(results: Results, model_key: ModelKey, center: str) -> list[dict[str, Any]]:
    """False volume where a kidney is gone, beside how many present ones are found; a blind model has neither."""
    gone, there = {}, {}
    for kidney in KIDNEYS:
        gone[kidney] = list(results.per_patient(model_key, center, kidney, "predicted_ml", present=False).values())
        there[kidney] = list(results.per_patient(model_key, center, kidney, "dsc").values())
    gone["both"], there["both"] = (side["Kidney_L"] + side["Kidney_R"] for side in (gone, there))
    return [
        {
            **_who(model_key, center),
            "kidney": kidney,
            "removed": len(gone[kidney]),
            "median_false_ml": median(gone[kidney]) if gone[kidney] else None,
            **_share("share_false", [v > FALSE_VOLUME_ML for v in gone[kidney]]),
            "present": len(there[kidney]),
            **_share("sensitivity", [v >= FOUND_DSC for v in there[kidney]]),
            "dsc": fmean(there[kidney]) if there[kidney] else None,
        }
        for kidney in (*KIDNEYS, "both")
    ]
