"""Rows of scores as the tables and charts of a notebook want them.

Rows have the columns of cases.csv, fresh from `exam.examine` or read back from a study. Models
are called by what a reader would say: `Polder alone`, `federated`, `centralized`.
"""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pedseg.evaluation.failure_reasons import Failure
from pedseg.evaluation.failures import KINDS
from pedseg.evaluation.results import ModelKey, Results, organ_mean
from pedseg.organs import EVALUATED, organ

Rows = Iterable[Mapping[str, Any]]
ORDER = ("local", "federated", "centralized")


def title(model_key: ModelKey) -> str:
    """What a model is called: `Polder alone`, `federated`, `centralized`."""
    return f"{model_key.trained_on} alone" if model_key.model == "local" else model_key.model


def model_keys(results: Results) -> list[ModelKey]:
    """The models of some results, those of single hospitals first."""
    return sorted(results.model_keys, key=_place)


def _place(model_key: ModelKey) -> tuple[int, str]:
    """Where a model stands in a list: single hospitals, federated, centralized, then any further."""
    return (ORDER.index(model_key.model) if model_key.model in ORDER else len(ORDER), model_key.trained_on)


def means(rows: Rows, measure: str = "dsc") -> dict[str, dict[str, float]]:
    """Mean over the evaluated organs: `means[model][center tested]`; each organ weighs the same."""
    results = Results(rows)
    found = {
        title(model_key): {
            c: organ_mean(results, model_key, c, measure, results.evaluated)["mean"] for c in results.centers
        }
        for model_key in model_keys(results)
    }
    return {name: {c: value for c, value in line.items() if value is not None} for name, line in found.items()}


def by_organ(rows: Rows, center: str, measure: str = "dsc") -> dict[str, dict[str, tuple[float, float, float]]]:
    """Mean and 95 % interval of each evaluated organ in one center's test children, by model, for `charts.dots`."""
    results = Results(rows)
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for model_key in model_keys(results):
        lines = {name: organ_mean(results, model_key, center, measure, [name]) for name in results.evaluated}
        found[title(model_key)] = {name: interval(line) for name, line in lines.items() if line["mean"] is not None}
    return found


def interval(line: Mapping[str, Any]) -> tuple[float, float, float]:
    """Mean, low and high; a single patient has no interval but the mean itself."""
    mean = line["mean"]
    return (mean, mean if line["low"] is None else line["low"], mean if line["high"] is None else line["high"])


def false_kidneys(rows: Rows) -> list[dict[str, Any]]:
    """What each model drew where a kidney had been removed, one line a child, the largest first."""
    gone = [row for row in rows if row["organ"] in ("Kidney_L", "Kidney_R") and str(row["present"]) in ("0", "False")]
    lines = [
        {
            "child": row["case"],
            "removed": organ(row["organ"]).plain,
            "model": title(ModelKey(row["model"], row["trained_on"])),
            "drawn all the same (mL)": round(float(row["predicted_ml"]), 1),
        }
        for row in gone
        if int(row["seed"]) == 0
    ]
    return sorted(lines, key=lambda line: -line["drawn all the same (mL)"])


def kidneys(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was drawn where a kidney is gone, beside how many present ones were found; one line a model and center.

    `lines` are those of `story(rows)["kidneys"]`.
    """
    chosen = [line for line in lines if line["kidney"] == "both" and line["removed"]]
    chosen.sort(key=lambda line: (line["tested_on"], _place(ModelKey(line["model"], line["trained_on"]))))
    return [
        {
            "children of": line["tested_on"],
            "drawn by": title(ModelKey(line["model"], line["trained_on"])),
            "kidneys gone": line["removed"],
            "median drawn there (mL)": round(line["median_false_ml"], 1),
            "more than 1 mL drawn there": _share(line, "share_false"),
            "kidneys present": line["present"],
            "found": _share(line, "sensitivity"),
        }
        for line in chosen
    ]


def _share(line: Mapping[str, Any], key: str) -> str:
    """A share in percent and, where it is known, the interval around it."""
    if line[key] is None:
        return "–"
    interval = line.get(f"{key}_interval")
    around = f" ({100 * interval[0]:.0f} to {100 * interval[1]:.0f} %)" if interval else ""
    return f"{100 * line[key]:.0f} %{around}"


def by_cause(
    costs: Iterable[Mapping[str, Any]], center: str, *, only: str = "", without: str = ""
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """What each cause costs each model in one center's test children, with its interval, for `charts.dots`.

    `costs` are the lines of shift.json. The cause that is dearest for the federated model comes first. `only` is how
    the names of the wanted causes begin, `without` the name of one that is left out besides.
    """
    lines = [line for line in costs if line["tested_on"] == center and line["factor"] not in ("nothing", without)]
    chosen = [line for line in lines if line["factor"].startswith(only)]
    dear = {line["factor"]: line["cost"] for line in chosen if line["model"] == "federated"}
    chosen.sort(key=lambda line: (_place(ModelKey(line["model"], center)), -dear.get(line["factor"], 0.0)))
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for line in chosen:
        interval = line["interval"] or (line["cost"],) * 2  # one patient has none
        found.setdefault(title(ModelKey(line["model"], center)), {})[line["factor"]] = (line["cost"], *interval)
    return found


def by_scenario(means: Iterable[Mapping[str, Any]], scenario: str) -> dict[str, dict[str, float]]:
    """Mean DSC over five organs in one scenario of CT and MR: `[model][what was tested]`, with and without GIN."""
    chosen = [line for line in means if line["scenario"] == scenario]
    chosen.sort(key=lambda line: (line["model"].removesuffix("_gin") == "centralized", line["model"]))
    chosen.sort(key=lambda line: line["model"] != "local")
    found: dict[str, dict[str, float]] = {}
    for line in chosen:
        name = title(ModelKey(line["model"], line["trained_on"])).replace("_gin", " with GIN")
        found.setdefault(name, {})[line["tested_on"]] = line["five"]["mean"]
    tests = sorted({test for row in found.values() for test in row}, key=lambda test: (len(test.split()) > 1, test))
    return {name: {test: row[test] for test in tests if test in row} for name, row in found.items()}


def gains(
    lines: Iterable[Mapping[str, Any]], scenario: str, tested_on: str, second: str = "federated"
) -> dict[str, tuple[float, float, float]]:
    """What the federation with GIN is better by, organ by organ: median difference and its interval."""
    chosen = [line for line in lines if (line["scenario"], line["tested_on"]) == (scenario, tested_on)]
    return _differences(chosen, second, "organ")


def overall(lines: Iterable[Mapping[str, Any]], scenario: str, organs: str) -> dict[str, tuple[float, float, float]]:
    """The same over many organs at once (`five` or `all`), by what was tested."""
    chosen = [line for line in lines if (line["scenario"], line["organs"]) == (scenario, organs)]
    return _differences(chosen, "federated", "tested_on")


def _differences(lines: Iterable[Mapping[str, Any]], second: str, name: str) -> dict[str, tuple[float, float, float]]:
    return {
        line[name]: (line["median_difference"], *(line["interval"] or (line["median_difference"],) * 2))
        for line in lines
        if line["second"] == second and line["median_difference"] is not None
    }


def kinds(failures: Iterable[Failure]) -> list[dict[str, Any]]:
    """How often each kind of failure happened to each model, one line a kind."""
    failures = list(failures)
    counts = Counter((failure.kind, failure.model_key) for failure in failures)
    models = sorted({failure.model_key for failure in failures}, key=_place)
    return [
        {"kind": kind, "in words": words, **{title(model_key): counts[kind, model_key] for model_key in models}}
        for kind, words in KINDS.items()
    ]


def sentences(failures: Iterable[Failure]) -> list[dict[str, Any]]:
    """Failures in words, one line a failure."""
    return [
        {"child": each.case, "organ": organ(each.organ).plain, "kind": each.kind, "what happened": each.sentence}
        for each in failures
    ]


def worst(rows: Rows, count: int = 10, model: str = "federated") -> list[dict[str, Any]]:
    """The contours that went most wrong: evaluated organs with the lowest DSC, the first seed only."""
    scored = [row for row in rows if row["model"] == model and row["dsc"] not in ("", None) and int(row["seed"]) == 0]
    chosen = sorted((row for row in scored if row["organ"] in EVALUATED), key=lambda row: float(row["dsc"]))
    return [
        {
            "child": row["case"],
            "organ": organ(row["organ"]).plain,
            "DSC": round(float(row["dsc"]), 2),
            "HD95 (mm)": round(float(row["hd95_mm"]), 1),
            "true (mL)": round(float(row["volume_ml"]), 1),
            "drawn (mL)": round(float(row["predicted_ml"]), 1),
        }
        for row in chosen[:count]
    ]


def shown(lines: Sequence[Mapping[str, Any]], caption: str = ""):
    """Lines as a table in the notebook; numbers to the right, a caption above."""
    from IPython.display import HTML

    return HTML(as_html(lines, caption))


def as_html(lines: Sequence[Mapping[str, Any]], caption: str = "") -> str:
    """Lines with the same keys as an HTML table with a header row; says so if there is none."""
    if not lines:
        return f"<p>{html.escape(caption)}: none.</p>"
    head = "".join(f'<th scope="col" style="text-align:left">{html.escape(str(key))}</th>' for key in lines[0])
    body = "".join("<tr>" + "".join(_cell(value) for value in line.values()) + "</tr>" for line in lines)
    top = f'<caption style="text-align:left;caption-side:top">{html.escape(caption)}</caption>' if caption else ""
    return f"<table>{top}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    side = "right" if isinstance(value, int | float) else "left"
    return f'<td style="text-align:{side}">{html.escape(str(value))}</td>'


def by_noise(rows: Rows) -> tuple[dict[str, dict[float, list[float]]], dict[float, str]]:
    """Whole trainings with noise: DSC of each seed by hospitals and noise, and what stands under each noise."""
    values: dict[str, dict[float, list[float]]] = {}
    labels: dict[float, str] = {}
    for row in sorted(rows, key=lambda row: (int(row["hospitals"]), float(row["noise_multiplier"]))):
        noise, epsilon = float(row["noise_multiplier"]), float(row["epsilon"])
        values.setdefault(f"{row['hospitals']} hospitals", {}).setdefault(noise, []).append(float(row["dsc"]))
        labels[noise] = f"{noise:g}\nε = {epsilon:.0e}" if math.isfinite(epsilon) else f"{noise:g}\nno promise"
    return values, dict(sorted(labels.items()))
