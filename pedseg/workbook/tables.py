"""The tables of the report as HTML, from what `pedseg.evaluation.statistics.summarize_rows` tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pedseg.evaluation.failure_reasons import KINDS, Failure
from pedseg.evaluation.failures import worst
from pedseg.organs import organ

ROLES = {
    "home": "own local model",
    "away": "other center’s local model",
    "federated": "federated",
    "centralized": "centralized",
}
DIGITS = {"dsc": 3, "dsc_all": 3, "hd95_mm": 1, "msd_mm": 2, "nsd": 3}
Story = Mapping[str, Any]


def html_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """A table with a caption, column and row headers with their scope; cells are HTML already."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    table = f"<table><caption>{caption}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    note = f'<p class="note">{note}</p>' if note else ""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{caption}">{table}</div>{note}'


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number for people: a real minus sign, an en dash where it is undefined."""
    if value is None:
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share in percent, held together by a space that does not break."""
    return "–" if share is None else f"{100 * share:.0f}\u00a0%"


def by_role(line: Mapping[str, Any]) -> int:
    """Where a model stands in a row of four: own, other, federated, centralized, then any further."""
    return list(ROLES).index(line["role"]) if line["role"] in ROLES else len(ROLES)


def mean(cell: Mapping[str, Any], digits: int, *, interval: bool = True) -> str:
    """A mean with its 95 % interval and, after several seeds, their spread."""
    out = number(cell["mean"], digits)
    if interval and cell["low"] is not None:
        out += f" <small>{number(cell['low'], digits)} to {number(cell['high'], digits)}</small>"
    if interval and cell["seed_sd"] is not None:
        out += f" <small>seeds ±{number(cell['seed_sd'], digits)}</small>"
    return out


def four_columns(story: Story, measure: str = "dsc", title: str = "") -> str:
    """The table of the study: a row a test center, a column a role; several neighbors stand below each other."""
    rows = []
    for center in story["centers"]:
        cells = []
        for role in ROLES:
            found = [line for line in story["table"] if line["tested_on"] == center and line["role"] == role]
            named = [
                (f"<small>{escape(line['trained_on'])}:</small> " if role == "away" else "", line) for line in found
            ]
            cells.append("<br>".join(who + mean(line[measure], DIGITS[measure]) for who, line in named) or "–")
        rows.append([f"patients of {escape(center)}", *cells])
    return html_table(title, ["tested on", *ROLES.values()], rows)


def center_table(story: Story, center: str) -> str:
    """All measures of all models on one test center."""
    lines = [line for role in ROLES for line in story["table"] if line["tested_on"] == center and line["role"] == role]
    shown = ["dsc", "dsc_all", "hd95_mm", "msd_mm"]
    shown += ["nsd"] if any(line.get("nsd", {}).get("mean") is not None for line in lines) else []  # not in old studies
    rows = [[model_name(line), *(mean(line[m], DIGITS[m]) for m in shown)] for line in lines]
    nine, all_ = len(story["evaluated"]), len(story["organs"])
    patients = max((line["dsc_all"]["patients"] for line in lines), default=0)
    head = [
        "model",
        f"DSC, {nine} evaluated organs",
        f"DSC, all {all_} organs",
        "HD95, mm",
        "mean surface distance, mm",
        *(["NSD"] if "nsd" in shown else []),
    ]
    caption = f"All models on the {patients} test patients of {escape(center)}"
    note = f"Distances: mean over the {nine} evaluated organs. Small: 95 % interval over patients."
    if "nsd" in shown:
        tolerances = [organ(name).tolerance_mm for name in story["evaluated"]] or [0]
        note += (
            " NSD: share of both surfaces that lies within the tolerance of the organ "
            f"({min(tolerances):g} to {max(tolerances):g} mm), over the same organs; 1 is perfect."
        )
    return html_table(caption, head, rows, note)


def model_name(line: Mapping[str, Any]) -> str:
    """A model as people call it."""
    return f"local, {escape(line['trained_on'])}" if line["model"] == "local" else escape(line["model"])


def organ_rows(story: Story, center: str) -> dict[str, list[dict]]:
    """The lines of the organ table of one center, by organ."""
    lines = [line for line in story["organ_table"] if line["tested_on"] == center]
    return {name: [line for line in lines if line["organ"] == name] for name in story["organs"]}


def organ_table(story: Story, center: str) -> str:
    """DSC organ by organ; an arrow where a model is significantly better or worse than the own local one."""
    marks = _marks(story, center)
    roles = [role for role in ROLES if any(line["role"] == role for line in story["organ_table"])]
    rows = []
    for name, lines in organ_rows(story, center).items():
        cells = []
        for role in roles:
            values = [
                number(line["dsc"]["mean"]) + marks.get((line["model"], line["trained_on"], name), "")
                for line in lines
                if line["role"] == role
            ]
            cells.append("<br>".join(values) or "–")
        counts = f"{lines[0]['patients']}" + (
            f" <small>({lines[0]['absent']} without)</small>" if lines[0]["absent"] else ""
        )
        star = "" if name in story["evaluated"] else ' <small title="not among the evaluated organs">◦</small>'
        rows.append([escape(organ(name).plain) + star, counts, *cells])
    note = (
        "▼ significantly worse, ▲ significantly better than the own local model on the same patients "
        "(Wilcoxon signed-rank, Holm over the evaluated organs, p &lt; 0.05). "
        "◦ not among the evaluated organs, not tested."
    )
    head = ["organ", "patients", *(ROLES[role] for role in roles)]
    return html_table(f"DSC by organ, patients of {escape(center)}", head, rows, note)


def _marks(story: Story, center: str) -> dict[tuple[str, str, str], str]:
    """Arrows by (model, trained_on, organ): each model beside the local model of the center."""
    marks = {}
    for found in story["contrasts"]:
        if found["measure"] == "dsc" and found["name"] in ("other local - home local", "federated - home local"):
            if found["first"]["tested_on"] == center:
                for line in found["organs"]:
                    if line["p_holm"] is not None and line["p_holm"] < story["rules"]["alpha"]:
                        word, arrow = ("better", "▲") if line["rank_biserial"] > 0 else ("worse", "▼")
                        key = (found["first"]["model"], found["first"]["trained_on"], line["organ"])
                        marks[key] = f' <span role="img" aria-label="significantly {word}">{arrow}</span>'
    return marks


def kidney_table(story: Story) -> str:
    """What was drawn where a kidney had been removed, beside the kidneys that are there."""
    lines = [line for line in story["kidneys"] if line["kidney"] == "both" and line["removed"]]
    if not lines:
        return "<p>No test patient had lost a kidney.</p>"
    rows = [
        [
            escape(line["tested_on"]),
            model_name(line),
            str(line["removed"]),
            number(line["median_false_ml"], 1),
            _share(line, "share_false"),
            str(line["present"]),
            _share(line, "sensitivity"),
            number(line["dsc"]),
        ]
        for line in sorted(lines, key=lambda line: (line["tested_on"], by_role(line)))
    ]
    head = [
        "tested on",
        "model",
        "removed",
        "median drawn, mL",
        "more than 1 mL drawn",
        "present",
        "found",
        "their DSC",
    ]
    note = (
        "Found: drawn with a DSC of at least 0.5. A model that is blind draws no false kidney and finds no true one. "
        "Small: 95 % Wilson interval of the share, kidneys counted one by one."
    )
    return html_table("Removed kidneys: false volume beside sensitivity", head, rows, note)


def _share(line: Mapping[str, Any], key: str) -> str:
    """A share in percent with its interval, where there is one."""
    low, high = line.get(f"{key}_interval") or (None, None)
    return percent(line[key]) + ("" if low is None else f" <small>{percent(low)} to {percent(high)}</small>")


def power_table(told: Mapping[str, Any]) -> str:
    """What the test patients of one center could have shown, organ by organ; `told` is a line of `story["power"]`."""
    rows = [
        [
            escape(organ(line["organ"]).plain),
            str(line["n"]),
            number(line["smallest_difference"]),
            percent(line["equivalence_power"]),
            number(line["smallest_margin"]),
        ]
        for line in told["organs"]
    ]
    head = [
        "organ",
        "patients",
        "smallest DSC difference found",
        f"chance to prove equality within ±{told['margin']:g}",
        "smallest margin within which equality is proven",
    ]
    caption = f"Patients of {escape(told['tested_on'])}: federated minus own local model"
    note = (
        f"If both models were equal on every organ, at least {number(told['expected_equivalent'], 1)} of {len(rows)} "
        "organs would be expected to pass the equivalence test."
    )
    return html_table(caption, head, rows, note)


def amount(failure: Failure) -> str:
    """How bad a failure is, with its unit."""
    if failure.unit == "DSC":
        return f"DSC {number(failure.amount, 2)}"
    return f"{number(failure.amount, 0 if failure.unit in ('%', 'mm') else 1)}\u00a0{failure.unit}"


def failure_list(failures: Sequence[Failure], count: int = 12) -> str:
    """The worst failures in words, the worst first."""
    chosen = worst(failures, count)
    items = "".join(
        f"<li><strong>{escape(f.case)}, {escape(organ(f.organ).plain)}: {KINDS[f.kind]}, {amount(f)}.</strong> "
        f"{escape(f.sentence)}</li>"
        for f in chosen
    )
    return (
        f"<p>The {len(chosen)} worst contours of the first seed: evaluated organs first, each contour once, each kind "
        "of failure at most three times, each organ at most twice. Causes are likely ones; nothing here proves them."
        f"</p><ol>{items}</ol>"
    )


def failure_counts(failures: Sequence[Failure]) -> str:
    """How often each kind of failure happened to each model."""
    counts = Counter((f.kind, model_name({"model": f.model, "trained_on": f.trained_on})) for f in failures)
    models = sorted({model for _, model in counts})
    rows = [[words, *(str(counts[kind, model]) for model in models)] for kind, words in KINDS.items()]
    return html_table("How often, all test cases of the first seed", ["what", *models], rows)


def contrast_table(found: Mapping[str, Any], margin: float | None = None) -> str:
    """One comparison organ by organ, with everything that was computed."""
    first, second = ({**found[side], "role": ""} for side in ("first", "second"))
    digits = DIGITS[found["measure"]]
    rows = []
    for line in found["organs"]:
        n = str(line["n"][0]) if found["paired"] else f"{line['n'][0]} and {line['n'][1]}"
        low, high = line["interval"] or (None, None)
        shift = number(line["median_difference"], digits, sign=True)
        shift += f" <small>{number(low, digits)} to {number(high, digits)}</small>"
        typical = number(line["hodges_lehmann"], digits, sign=True)
        if line.get("shift_interval"):
            low, high = line["shift_interval"]
            typical += f" <small>{number(low, digits)} to {number(high, digits)}</small>"
        rest = [typical, number(line["rank_biserial"], 2, sign=True)]
        p_values = [_p(line[key]) for key in ("p", "p_holm", *(CLAIMS if found["paired"] else ()))]
        rows.append([escape(organ(line["organ"]).plain), n, shift, *rest, *p_values])
    head = ["organ", "patients", "median difference", "Hodges–Lehmann", "rank-biserial", "p", "p, Holm"]
    within = "" if margin is None else f" within ±{margin:g}"
    head += [f"p equivalence{within}, Holm", "p not worse, Holm"] if found["paired"] else []
    sides = " minus ".join(f"{model_name(side)} on {escape(side['tested_on'])}" for side in (first, second))
    test = "Wilcoxon signed-rank" if found["paired"] else "Mann–Whitney, different patients"
    return html_table(f"{MEASURE_NAMES[found['measure']]}: {sides} ({test})", head, rows)


CLAIMS = ("p_equivalence_holm", "p_noninferiority_holm")
MEASURE_NAMES = {"dsc": "DSC", "hd95_mm": "HD95, mm", "msd_mm": "Mean surface distance, mm", "nsd": "NSD"}


def _p(p: float | None) -> str:
    if p is None:
        return "–"
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}"
