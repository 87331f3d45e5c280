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
from pedseg.evaluation.power import center_powers
from pedseg.evaluation.results import (
    MARGINS,
    MEASURES,
    Contrast,
    ModelKey,
    Results,
    Side,
    contrast,
    organ_mean,
    organ_mean_of_seed,
)

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
    of_dsc = [c for c in contrasts if c.measure == "dsc"]
    return {
        "centers": results.centers,
        "seeds": results.seeds,
        "organs": results.organs,
        "evaluated": results.evaluated,
        "rules": {"level": LEVEL, "alpha": ALPHA, "margins": MARGINS, "false_volume_ml": FALSE_VOLUME_ML},
        "table": list(_center_means(results)),
        "organ_table": list(_organ_means(results)),
        "contrasts": [asdict(c) for c in contrasts],
        "drops": _records(_drops(results, of_dsc)),
        "cross": _records(_cross_center(results, of_dsc)),
        "home": _records(_home(results, of_dsc)),
        "centralized": _records(_centralized(results)),
        "power": [asdict(power) for power in center_powers(results)],
        "kidneys": _records(kidney_detection(results)),
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a table for JSON, None where a value is undefined."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _side(model_key: ModelKey, center: str) -> dict[str, str]:
    return {**asdict(model_key), "tested_on": center, "role": model_key.role(center)}


def _means(results: Results, model_key: ModelKey, center: str, organs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The mean over organs in every measure."""
    return {measure: asdict(organ_mean(results, model_key, center, measure, organs)) for measure in MEASURES}


def _center_means(results: Results) -> Iterator[dict[str, Any]]:
    """Each model on each test center: DSC over the evaluated and over all organs, the others over the evaluated."""
    for center in results.centers:
        for model_key in results.model_keys:
            dsc_all = asdict(organ_mean(results, model_key, center, "dsc", results.organs))
            means = _means(results, model_key, center, results.evaluated)
            yield {**_side(model_key, center), "dsc_all": dsc_all, **means}


def _organ_means(results: Results) -> Iterator[dict[str, Any]]:
    """Each organ by itself: its means, in how many patients it is present, and in how many absent."""
    for center in results.centers:
        for organ in results.organs:
            for model_key in results.model_keys:
                means = _means(results, model_key, center, [organ])
                absent = len(results.patient_means(model_key, center, "predicted_ml", [organ], present=False))
                counts = {"organ": organ, "patients": means["dsc"]["patients"], "absent": absent}
                yield {**_side(model_key, center), **counts, **means}


def planned_contrasts(results: Results, measure: str) -> list[Contrast]:
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
        contrast(results, Side(a.model, a.trained_on, here), Side(b.model, b.trained_on, there), measure, name)
        for name, (a, here), (b, there) in sides
        if a is not None and b is not None
    ]


def _named(contrasts: list[Contrast], name: str) -> list[Contrast]:
    return [c for c in contrasts if c.name == name]


def _dsc(results: Results, side: Side, organs: Sequence[str]) -> float | None:
    return organ_mean(results, side.model_key, side.tested_on, "dsc", organs).mean


def _each_seed(results: Results, found: Contrast) -> list[Contrast]:
    """The same comparison in every seed alone, as a study would see it that trained each model once."""
    return [contrast(results.of_seed(seed), found.first, found.second, found.measure) for seed in results.seeds]


def _drops(results: Results, contrasts: list[Contrast]) -> pd.DataFrame:
    """What each local model loses next door: beside itself at home (unpaired), and beside the model trained there."""
    lines = []
    for away_home in _named(contrasts, "away - home"):
        side = away_home.first
        away, home = (_dsc(results, s, results.evaluated) for s in (side, away_home.second))
        if away is None or home is None:
            continue
        line = {"trained_on": side.trained_on, "tested_on": side.tested_on, "home": home, "away": away}
        line |= {"drop": home - away, "organs": len(results.evaluated), "worse_than_at_home": away_home.worse()}
        beside = next((c for c in _named(contrasts, "other local - home local") if c.first == side), None)
        line |= {
            "worse_than_the_local_model_there": beside.worse() if beside else [],
            "better_than_the_local_model_there": beside.better() if beside else [],
            "worse_there_by_seed": [len(c.worse()) for c in _each_seed(results, beside)] if beside else [],
        }
        lines.append(line)
    return pd.DataFrame(lines)


def _cross_center(results: Results, contrasts: list[Contrast]) -> pd.DataFrame:
    """Whether the federation serves a center better than a neighbor's model does."""
    lines = []
    for found in _named(contrasts, "federated - other local"):
        means = {o: (_dsc(results, found.first, [o]), _dsc(results, found.second, [o])) for o in results.evaluated}
        line = {"tested_on": found.first.tested_on, "other": found.second.trained_on, "organs": len(means)}
        as_good = [o for o, (a, b) in means.items() if a is not None and b is not None and a >= b]
        line |= {"at_least_as_good": as_good}
        lines.append(line | {"significantly_better": found.better(), "significantly_worse": found.worse()})
    return pd.DataFrame(lines)


def _home(results: Results, contrasts: list[Contrast]) -> pd.DataFrame:
    """Whether the federation is as good at a center as the model it trained alone."""
    lines = []
    for found in _named(contrasts, "federated - home local"):
        federated, home = (_dsc(results, side, results.evaluated) for side in (found.first, found.second))
        if federated is None or home is None:
            continue
        lines.append(
            {
                "tested_on": found.first.tested_on,
                "home": home,
                "federated": federated,
                "difference": federated - home,
                "difference_seed_sd": _seed_sd(results, found),
                "margin": MARGINS["dsc"],
                "organs": len(results.evaluated),
                "equivalent": found.equivalent(),
                "noninferior": found.noninferior(),
                "equivalent_by_seed": [len(c.equivalent()) for c in _each_seed(results, found)],
                "significantly_better": found.better(),
                "significantly_worse": found.worse(),
            }
        )
    return pd.DataFrame(lines)


def _seed_sd(results: Results, found: Contrast) -> float | None:
    """Standard deviation over seeds of the difference of both sides of a contrast; None for one seed."""
    differences = []
    for seed in results.seeds:
        a, b = (
            organ_mean_of_seed(results, side.model_key, side.tested_on, seed, "dsc", results.evaluated)
            for side in (found.first, found.second)
        )
        if a is not None and b is not None:
            differences.append(a - b)
    return stdev(differences) if len(differences) > 1 else None


def _centralized(results: Results) -> pd.DataFrame:
    """How much of the pooled ideal the federation reaches, over the evaluated organs."""
    lines = []
    federated, centralized = results.kind("federated"), results.kind("centralized")
    for center in results.centers if federated and centralized else []:
        ours, ideal = (
            organ_mean(results, model_key, center, "dsc", results.evaluated).mean
            for model_key in (federated, centralized)
            if model_key
        )
        if ours is not None and ideal:
            lines.append({"tested_on": center, "federated": ours, "centralized": ideal, "ratio": ours / ideal})
    return pd.DataFrame(lines)


def kidney_detection(results: Results) -> pd.DataFrame:
    """False volume where a kidney is removed, beside how many present ones are found; a blind model has neither.

    One line a test center, model and kidney (left, right, both), with the columns of `summarize_rows`'s `kidneys`.
    """
    lines = []
    for center in results.centers:
        for model_key in results.model_keys:
            false_ml = results.patient_means(model_key, center, "predicted_ml", KIDNEYS, present=False)
            dsc = results.patient_means(model_key, center, "dsc", KIDNEYS)
            for kidney, sides in (*((name, [name]) for name in KIDNEYS), ("both", KIDNEYS)):
                removed, present = ([v for s in sides for v in table[s].dropna()] for table in (false_ml, dsc))
                lines.append(_side(model_key, center) | {"kidney": kidney} | _kidney_line(removed, present))
    return pd.DataFrame(lines)


def _kidney_line(removed_ml: list[float], present_dsc: list[float]) -> dict[str, Any]:
    """False volumes of removed kidneys and DSC of present ones, counted."""
    false, found = [v > FALSE_VOLUME_ML for v in removed_ml], [v >= FOUND_DSC for v in present_dsc]
    return {
        "removed": len(removed_ml),
        "median_false_ml": median(removed_ml) if removed_ml else None,
        "share_false": fmean(false) if false else None,
        "share_false_interval": wilson_interval(sum(false), len(false)),
        "present": len(present_dsc),
        "sensitivity": fmean(found) if found else None,
        "sensitivity_interval": wilson_interval(sum(found), len(found)),
        "dsc": fmean(present_dsc) if present_dsc else None,
    }
