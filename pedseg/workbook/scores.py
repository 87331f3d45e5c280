"""Scores as the tables and charts of a notebook show them: by model, organ, factor of domain shift, scenario.

Models are keys (`ModelKey`), sorted as tables show them, and print as their display names.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping
from numbers import Number
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from pedseg import memory
from pedseg.evaluation.domain_shift import evaluate_shift
from pedseg.evaluation.dose import organ_dose_gy
from pedseg.evaluation.failure import KINDS, Failure
from pedseg.evaluation.failure_reasons import CAUSES
from pedseg.evaluation.failure_study import share_text, vanishing_table
from pedseg.evaluation.results import ModelKey, Results
from pedseg.evaluation.severity import weight_of
from pedseg.evaluation.statistics import KIDNEYS
from pedseg.organs import organ
from pedseg.workbook import lesson

ORDER = ("local", "federated", "federated_gin", "centralized", "centralized_gin")
A_FEW = ("contrast phase", "80 kV", "on the side; turned first", "on the side; as they lie")  # factors
Interval = tuple[float, float, float]  # mean, low, high
Lines = Iterable[Mapping[str, Any]]  # of a summary.json


def model_order(model_key: ModelKey) -> tuple[int, str]:
    """Where a model stands in a list: single hospitals, federated, centralized, then any further."""
    return (ORDER.index(model_key.model) if model_key.model in ORDER else len(ORDER), model_key.trained_on)


def _with_interval(mean: float, interval: Iterable[float | None] | None) -> Interval:
    """Mean, low and high; a single patient has no interval but the mean itself."""
    low, high = interval or (None, None)
    return (mean, mean if low is None else low, mean if high is None else high)


def means(rows: pd.DataFrame) -> dict[ModelKey, dict[str, float]]:
    """Mean DSC over the evaluated organs: `means[model][center tested]`; each organ weighs the same."""
    results = Results(rows)
    table = {
        key: {c: results.organ_mean(key.at(c), "dsc", results.evaluated).mean for c in results.centers}
        for key in sorted(results.model_keys, key=model_order)
    }
    return {key: {c: mean for c, mean in line.items() if mean is not None} for key, line in table.items()}


def by_organ(rows: pd.DataFrame, center: str) -> dict[ModelKey, dict[str, Interval]]:
    """Mean DSC and 95 % interval of each evaluated organ in one center's test children, by model, for `charts.dots`."""
    results = Results(rows)
    table: dict[ModelKey, dict[str, Interval]] = {}
    for key in sorted(results.model_keys, key=model_order):
        lines = {name: results.organ_mean(key.at(center), "dsc", [name]) for name in results.evaluated}
        table[key] = {
            name: _with_interval(line.mean, (line.low, line.high))
            for name, line in lines.items()
            if line.mean is not None
        }
    return table


def false_kidneys(rows: pd.DataFrame) -> pd.DataFrame:
    """What each model predicted where a kidney had been removed, one line a child, the largest first."""
    gone = rows[rows["organ"].isin(KIDNEYS) & ~rows["present"] & (rows["seed"] == 0)]
    keys = map(ModelKey, gone["model"], gone["trained_on"])
    lines = {
        "child": gone["case"],
        "removed": [organ(name).plain for name in gone["organ"]],
        "model": [str(key) for key in keys],
        "drawn all the same (mL)": gone["predicted_ml"].round(1),
    }
    return pd.DataFrame(lines).sort_values("drawn all the same (mL)", ascending=False, kind="stable")


def kidneys(table: pd.DataFrame) -> pd.DataFrame:
    """What was predicted where a kidney is gone, beside how many present ones were found; a line a model and center.

    `table` is that of `kidney_detection`.
    """
    chosen = table[(table["kidney"] == "both") & (table["removed"] > 0)]
    keys = pd.Series(map(ModelKey, chosen["model"], chosen["trained_on"]), chosen.index, dtype=object)
    lines = {
        "children of": chosen["tested_on"],
        "drawn by": keys.map(str),
        "kidneys gone": chosen["removed"],
        "median drawn there (mL)": chosen["median_false_ml"].astype(float).round(1),
        "more than 1 mL drawn there": map(share_text, chosen["share_false"], chosen["share_false_interval"]),
        "kidneys present": chosen["present"],
        "found": map(share_text, chosen["sensitivity"], chosen["sensitivity_interval"]),
        "place": keys.map(model_order),
    }
    return pd.DataFrame(lines).sort_values(["children of", "place"]).drop(columns="place")


def shift_costs(study: Path) -> pd.DataFrame:
    """What each factor costs each kind of model, as recorded; else a few factors, measured now on a few children."""
    if not (study / "shift.json").is_file():
        out = lesson.runs() / f"factors-{study.name}-{lesson.size()}"
        lesson.show_message("No recorded costs are here: a few causes are measured now, on a few children.")
        measured = evaluate_shift(study, out, patients=lesson.budget(2, test=1), names=A_FEW, cores=1)
        for _ in lesson.progress(measured, text="causes"):
            memory.release_memory()
        study = out
    return pd.DataFrame(json.loads((study / "shift.json").read_text("utf-8"))["costs"])


def by_factor(
    costs: pd.DataFrame, center: str, *, only: str = "", without: str = ""
) -> dict[ModelKey, dict[str, Interval]]:
    """What each factor costs each model in one center's test children, with its interval, for `charts.dots`.

    `costs` are those of `shift_costs`. The factor that is dearest for the federated model comes first. `only` is how
    the names of the wanted factors begin, `without` the name of one that is left out besides. The federated model is
    called by the center, too, as costs do not say whom it learned from.
    """
    if costs.empty:
        return {}
    wanted = costs["factor"].str.startswith(only) & ~costs["factor"].isin(["nothing", without])
    chosen = costs[wanted & (costs["tested_on"] == center)]
    dearest = chosen[chosen["model"] == "federated"].sort_values("cost", ascending=False)["factor"]
    order = list(dict.fromkeys([*dearest, *chosen["factor"]]))
    table: dict[ModelKey, dict[str, Interval]] = {}
    for model in sorted(chosen["model"].unique(), key=ORDER.index):
        lines = chosen[chosen["model"] == model].set_index("factor")
        table[ModelKey(model, center)] = {
            factor: _with_interval(lines.loc[factor, "cost"], lines.loc[factor, "interval"])
            for factor in order
            if factor in lines.index
        }
    return table


def by_scenario(lines: Lines, scenario: str) -> dict[ModelKey, dict[str, float]]:
    """Mean DSC over five organs in one scenario of CT and MR: `[model][what was tested]`, with and without GIN."""
    table: dict[ModelKey, dict[str, float]] = {}
    for line in lines:
        if line["scenario"] == scenario:
            key = ModelKey(line["model"], line["trained_on"])
            table.setdefault(key, {})[line["tested_on"]] = line["five"]["mean"]
    # What was learned comes before what was not: "Fjord" before "Fjord T1w 3 T".
    tests = sorted({test for row in table.values() for test in row}, key=lambda test: (len(test.split()) > 1, test))
    return {
        key: {test: table[key][test] for test in tests if test in table[key]} for key in sorted(table, key=model_order)
    }


def gains(lines: Lines, scenario: str, tested_on: str) -> dict[str, Interval]:
    """What the federation with GIN is better by, organ by organ: median difference and its interval."""
    return _differences(lines, "organ", scenario=scenario, tested_on=tested_on, second="federated")


def overall(lines: Lines, scenario: str, organs: str) -> dict[str, Interval]:
    """The same over many organs at once (`five` or `all`), by what was tested."""
    return _differences(lines, "tested_on", scenario=scenario, organs=organs, second="federated")


def _differences(lines: Lines, label: str, **wanted: str) -> dict[str, Interval]:
    return {
        line[label]: _with_interval(line["median_difference"], line["interval"])
        for line in lines
        if line["median_difference"] is not None and all(line[key] == value for key, value in wanted.items())
    }


SCENARIO_NAMES = {
    "study": "as in the study", "single-phase": "one phase each", "unequal": "thirty children and six"
}  # fmt: skip


def method_gains(lines: Lines, tested_on: str = "both") -> dict[str, dict[str, Interval]]:
    """What methods add to federated averaging, `[kind of difference][method]`: mean difference in DSC, its interval."""
    table: dict[str, dict[str, Interval]] = {}
    for line in lines:
        if line["tested_on"] == tested_on and "difference" in line:
            gain = _with_interval(line["difference"], (line["low"], line["high"]))
            table.setdefault(SCENARIO_NAMES[line["scenario"]], {})[str(ModelKey(line["model"], ""))] = gain
    return table


def kinds(failures: Iterable[Failure]) -> pd.DataFrame:
    """How often each kind of failure happened to each model, one line a kind."""
    happened = [(failure.kind, failure.model_key) for failure in failures]
    columns: dict[str, list] = {"kind": list(KINDS), "in words": list(KINDS.values())}
    for key in sorted({key for _, key in happened}, key=model_order):
        columns[str(key)] = [happened.count((kind, key)) for kind in KINDS]
    return pd.DataFrame(columns)


def sentences(failures: Iterable[Failure]) -> pd.DataFrame:
    """Failures in words, one line a failure."""
    lines = [(failure.case, organ(failure.organ).plain, failure.kind, failure.sentence) for failure in failures]
    return pd.DataFrame(lines, columns=["child", "organ", "kind", "what happened"])


def dose_table(dose_gy: NDArray, contours: Mapping[str, NDArray], organs: Iterable[str]) -> pd.DataFrame:
    """Doses in Gy by organ, as each set of contours (label maps by name) reports them; absent organs are left out.

    A serial organ stands with its near-maximum dose, the others with their mean. With two sets of contours, the last
    column is what the second reports too much.
    """
    lines = []
    for name in organs:
        values = {what: organ_dose_gy(dose_gy, labels == organ(name).id, name) for what, labels in contours.items()}
        serial = weight_of(name).architecture == "serial"
        line = {"organ": organ(name).plain, "measure": "near-maximum" if serial else "mean"}
        line |= {what: "–" if gy is None else f"{gy:.1f}" for what, gy in values.items()}
        if len(values) == 2:
            first, second = (gy or 0.0 for gy in values.values())
            line["difference"] = f"{second - first:+.1f}".replace("-", "−")
        if any(gy is not None for gy in values.values()):
            lines.append(line)
    return pd.DataFrame(lines)


def vanishing(rescans: pd.DataFrame, change: str) -> pd.DataFrame:
    """By leading cause, the share of failures that vanishes with a change of the scan, and with other noise."""
    table = vanishing_table(rescans)
    return table[table["changed"] == change].drop(columns="changed")


def causes(table: pd.DataFrame) -> pd.DataFrame:
    """What is known of contours, by how much more often they fail with it; `table` is that of causes.csv."""
    ratios = table["ratio"].map(lambda ratio: "–" if pd.isna(ratio) else f"{ratio:.2f}")
    lines = {
        "known of the contour": table["cause"].map(CAUSES),
        "fails … times as often": ratios,
        "failed, of": [f"{a} of {n}" for a, n in zip(table["failed"], table["contours"], strict=True)],
    }
    return pd.DataFrame(lines)[table["contours"] > 0]


def by_noise(rows: pd.DataFrame) -> tuple[dict[str, dict[float, list[float]]], dict[float, str]]:
    """Whole trainings with noise: DSC of each seed by hospitals and noise, and what stands under each noise."""
    values = {
        f"{hospitals} hospitals": {float(noise): list(dsc) for noise, dsc in part.groupby("noise_multiplier")["dsc"]}
        for hospitals, part in rows.groupby("hospitals")
    }
    epsilons = rows.groupby("noise_multiplier")["epsilon"].last()
    labels = {
        noise: f"{noise:g}\nε = {epsilon:.0e}" if math.isfinite(epsilon) else f"{noise:g}\nno promise"
        for noise, epsilon in epsilons.items()
    }
    return values, labels


def shown(lines: pd.DataFrame | Lines, caption: str = ""):
    """Lines as a table in the notebook; numbers to the right, a caption above."""
    from IPython.display import HTML

    return HTML(as_html(pd.DataFrame(lines), caption))


def as_html(table: pd.DataFrame, caption: str = "") -> str:
    """A table as HTML with scoped column headers, which pandas' own lacks; says so if it is empty."""
    if table.empty:
        return f"<p>{html.escape(caption)}: none.</p>"
    head = "".join(f'<th scope="col" style="text-align:left">{html.escape(str(name))}</th>' for name in table)
    lines = ("".join(map(_cell, line)) for line in table.itertuples(index=False))
    top = f'<caption style="text-align:left;caption-side:top">{html.escape(caption)}</caption>' if caption else ""
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>{top}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    side, text = "right" if isinstance(value, Number) else "left", str(value)
    wrap = ";white-space:nowrap" if len(text) < 20 and any(map(str.isdigit, text)) else ""  # a number with its interval
    return f'<td style="text-align:{side}{wrap}">{html.escape(text)}</td>'
