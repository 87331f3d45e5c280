"""The study's summary statistics: tables of means, planned contrasts and what follows from them, from cases.csv.

How numbers come about is said in `results` (patients, means, contrasts) and `comparisons` (tests).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import permutations
from statistics import fmean, median, stdev
from typing import Any

import pandas as pd

from pedseg.evaluation.comparisons import ALPHA, LEVEL, wilson_interval
from pedseg.evaluation.contrasts import Contrast, contrast
from pedseg.evaluation.power import center_powers
from pedseg.evaluation.results import MARGINS, MEASURES, ModelAtCenter, Results

FALSE_VOLUME_ML = 1.0  # of a removed kidney: predicting more than this is a false kidney
FOUND_DSC = 0.5  # a kidney that is there and predicted at least so well is found
KIDNEYS = ("Kidney_L", "Kidney_R")


def summarize_rows(rows: pd.DataFrame) -> dict[str, Any]:
    """Everything the report shows, ready for JSON, from typed rows of cases.csv.

    `table` and `organ_table` hold means with intervals for every model and test center, `contrasts`
    every test that was made; `drops`, `cross`, `home` and `centralized` are the four findings of
    the study, `power` how small a difference the test patients could have shown, `kidneys` what was
    predicted where a kidney is removed. None means undefined; a measure that no row has is not compared.
    """
    results = Results(rows)
    contrasts = [c for measure in results.measures for c in planned_contrasts(results, measure)]
    of_dsc, kidneys = [c for c in contrasts if c.measure == "dsc"], kidney_detection(results)
    return {
        "centers": results.centers,
        "seeds": results.seeds,
        "organs": results.organs,
        "evaluated": results.evaluated,
        "rules": {"level": LEVEL, "alpha": ALPHA, "margins": MARGINS, "false_volume_ml": FALSE_VOLUME_ML},
        "table": list(_center_means(results)),
        "organ_table": list(_organ_means(results)),
        "contrasts": [asdict(c) for c in contrasts],
        "drops": list(_drops(results, of_dsc)),
        "cross": list(_cross_center(results, of_dsc)),
        "home": list(_home(results, of_dsc)),
        "centralized": list(_centralized(results, of_dsc)),
        "power": [asdict(power) for power in center_powers(results)],
        "kidneys": kidneys.astype(object).where(kidneys.notna(), None).to_dict("records"),  # None where undefined
    }


def _who(at: ModelAtCenter) -> dict[str, str]:
    return {**asdict(at), "role": at.role}


def _means(results: Results, at: ModelAtCenter, organs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The mean over organs in every measure."""
    return {measure: asdict(results.organ_mean(at, measure, organs)) for measure in MEASURES}


def _center_means(results: Results) -> Iterator[dict[str, Any]]:
    """Each model on each test center: DSC over the evaluated and over all organs, the others over the evaluated."""
    for at in results.tested:
        dsc_all = asdict(results.organ_mean(at, "dsc", results.organs))
        yield {**_who(at), "dsc_all": dsc_all, **_means(results, at, results.evaluated)}


def _organ_means(results: Results) -> Iterator[dict[str, Any]]:
    """Each organ by itself: its means, in how many patients it is present, and in how many absent."""
    for center in results.centers:
        for organ in results.organs:
            for at in (key.at(center) for key in results.model_keys):
                means = _means(results, at, [organ])
                absent = len(results.patient_means(at, "predicted_ml", [organ], present=False))
                yield {**_who(at), "organ": organ, "patients": means["dsc"]["patients"], "absent": absent, **means}


def planned_contrasts(results: Results, measure: str) -> list[Contrast]:
    """Every comparison that was decided on beforehand, in one measure."""
    sides = []
    local, federated = results.local, results.kind("federated")
    trained = {key.trained_on for key in results.model_keys if key.model == "local"}
    for here, there in permutations(sorted(trained.union(results.centers)), 2):
        sides.append(("away - home", local(here), there, local(here), here))
        sides.append(("other local - home local", local(there), here, local(here), here))
        sides.append(("federated - other local", federated, here, local(there), here))
    for here in results.centers:
        sides.append(("federated - home local", federated, here, local(here), here))
        sides.append(("federated - centralized", federated, here, results.kind("centralized"), here))
    return [
        contrast(results, first.at(here), second.at(there), measure, name)
        for name, first, here, second, there in sides
        if first and second and {here, there} <= {*results.centers}
    ]


def _named(contrasts: list[Contrast], name: str) -> list[Contrast]:
    return [c for c in contrasts if c.name == name]


def _dsc(results: Results, at: ModelAtCenter, organs: Sequence[str]) -> float | None:
    return results.organ_mean(at, "dsc", organs).mean


def _each_seed(results: Results, compared: Contrast) -> list[Contrast]:
    """The same comparison in every seed alone."""
    return [contrast(alone, compared.first, compared.second, compared.measure) for alone in results.by_seed]


def _drops(results: Results, contrasts: list[Contrast]) -> Iterator[dict[str, Any]]:
    """What each local model loses next door: beside itself at home (unpaired), and beside the model trained there."""
    for away_home in _named(contrasts, "away - home"):
        side = away_home.first
        away, home = (_dsc(results, at, results.evaluated) for at in (side, away_home.second))
        if away is None or home is None:
            continue
        line = {"trained_on": side.trained_on, "tested_on": side.tested_on, "home": home, "away": away}
        line |= {"drop": home - away, "organs": len(results.evaluated), "worse_than_at_home": away_home.worse()}
        beside = next((c for c in _named(contrasts, "other local - home local") if c.first == side), None)
        yield line | {
            "worse_than_the_local_model_there": beside.worse() if beside else [],
            "better_than_the_local_model_there": beside.better() if beside else [],
            "worse_there_by_seed": [len(c.worse()) for c in _each_seed(results, beside)] if beside else [],
        }


def _cross_center(results: Results, contrasts: list[Contrast]) -> Iterator[dict[str, Any]]:
    """Whether the federation serves a center better than a neighbor's model does."""
    for compared in _named(contrasts, "federated - other local"):
        means = {
            o: (_dsc(results, compared.first, [o]), _dsc(results, compared.second, [o])) for o in results.evaluated
        }
        line = {"tested_on": compared.first.tested_on, "other": compared.second.trained_on, "organs": len(means)}
        as_good = [o for o, (a, b) in means.items() if a is not None and b is not None and a >= b]
        line |= {"at_least_as_good": as_good}
        yield line | {"significantly_better": compared.better(), "significantly_worse": compared.worse()}


def _home(results: Results, contrasts: list[Contrast]) -> Iterator[dict[str, Any]]:
    """Whether the federation is as good at a center as the model it trained alone."""
    for compared in _named(contrasts, "federated - home local"):
        federated, home = (_dsc(results, at, results.evaluated) for at in (compared.first, compared.second))
        if federated is None or home is None:
            continue
        yield {
            "tested_on": compared.first.tested_on,
            "home": home,
            "federated": federated,
            "difference": federated - home,
            "difference_seed_sd": _seed_sd(results, compared),
            "margin": MARGINS["dsc"],
            "organs": len(results.evaluated),
            "equivalent": compared.equivalent(),
            "noninferior": compared.noninferior(),
            "equivalent_by_seed": [len(c.equivalent()) for c in _each_seed(results, compared)],
            "significantly_better": compared.better(),
            "significantly_worse": compared.worse(),
        }


def _seed_sd(results: Results, compared: Contrast) -> float | None:
    """Standard deviation over seeds of the difference of both sides of a contrast; None for one seed."""
    differences = []
    for seed in results.seeds:
        a, b = (results.mean_of_seed(at, "dsc", results.evaluated, seed) for at in (compared.first, compared.second))
        if a is not None and b is not None:
            differences.append(a - b)
    return stdev(differences) if len(differences) > 1 else None


def _centralized(results: Results, contrasts: list[Contrast]) -> Iterator[dict[str, Any]]:
    """How much of the pooled ideal the federation reaches, over the evaluated organs."""
    for compared in _named(contrasts, "federated - centralized"):
        ours, ideal = (_dsc(results, at, results.evaluated) for at in (compared.first, compared.second))
        if ours is not None and ideal:
            center = compared.first.tested_on
            yield {"tested_on": center, "federated": ours, "centralized": ideal, "ratio": ours / ideal}


def kidney_detection(results: Results) -> pd.DataFrame:
    """False volume where a kidney is removed, beside how many present ones are found; a blind model has neither.

    One line a test center, model and kidney (left, right, both), with the columns of `summarize_rows`'s `kidneys`.
    """
    lines = []
    for at in results.tested:
        false_ml = results.patient_means(at, "predicted_ml", KIDNEYS, present=False)
        dsc = results.patient_means(at, "dsc", KIDNEYS)
        for kidney, sides in (*((name, [name]) for name in KIDNEYS), ("both", KIDNEYS)):
            removed, present = ([v for side in sides for v in table[side].dropna()] for table in (false_ml, dsc))
            lines.append(_who(at) | {"kidney": kidney} | _kidney_line(removed, present))
    return pd.DataFrame(lines)


def _kidney_line(removed_ml: list[float], present_dsc: list[float]) -> dict[str, Any]:
    """False volumes of removed kidneys and DSC of present ones, counted."""
    false, detected = [v > FALSE_VOLUME_ML for v in removed_ml], [v >= FOUND_DSC for v in present_dsc]
    return {
        "removed": len(removed_ml),
        "median_false_ml": median(removed_ml) if removed_ml else None,
        "share_false": fmean(false) if false else None,
        "share_false_interval": wilson_interval(sum(false), len(false)),
        "present": len(present_dsc),
        "sensitivity": fmean(detected) if detected else None,
        "sensitivity_interval": wilson_interval(sum(detected), len(detected)),
        "dsc": fmean(present_dsc) if present_dsc else None,
    }
