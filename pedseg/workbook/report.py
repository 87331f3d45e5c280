"""The report of a study: one HTML file that tells what was run, what came out and how sure it is.

It holds everything it shows, needs no network and no script, and reads on a phone, on paper, in the
dark and by ear.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from pedseg.errors import input_error
from pedseg.evaluation.failures import Failure
from pedseg.evaluation.statistics import read_rows, story
from pedseg.organs import organ
from pedseg.scan import write_whole
from pedseg.workbook import tables
from pedseg.workbook.contour_pictures import draw_pictures
from pedseg.workbook.svg import dot_chart, line_chart
from pedseg.workbook.tables import html_table, number, percent

Summary = Mapping[str, Any]
HONEST = (
    "Virtual children are drawn by a program. They show the <em>pattern</em> of federated learning (what a model "
    "loses next door, what the federation gives back), not the values of a clinic. And whatever the scans: "
    "nothing here says that a model is fit to plan a treatment."
)


def write_report(study_folder: Path) -> Path:
    """Write `report.html` beside the `cases.csv` and `summary.json` of a study, and return its path.

    Parts whose data is not there (curves, pictures, settings) are left out. Raises
    `PedsegInputError` where a study has left no cases.csv or summary.json.
    """
    folder = Path(study_folder)
    for name in ("cases.csv", "summary.json"):
        if not (folder / name).is_file():
            raise input_error(
                "E-NO-STUDY", folder / name, "there is no such file.", "Run `python3 run.py study` to its end first."
            )
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    told = summary.get("statistics") or story(read_rows(folder / "cases.csv"))
    file = folder / "report.html"
    write_whole(file, page(summary, told, pictures(folder, summary), read_failures(folder)).encode())
    return file


def read_failures(folder: Path) -> list[Failure]:
    """What went wrong in a study, the worst first; nothing for a study that did not look."""
    file = folder / "failures.json"
    return [Failure.from_json(line) for line in json.loads(file.read_text(encoding="utf-8"))] if file.is_file() else []


def page(
    summary: Summary,
    told: Mapping[str, Any],
    shown: Iterable[tuple[bytes, str]] = (),
    failures: Sequence[Failure] = (),
) -> str:
    """The whole page as text; `shown` are contour pictures as (PNG, alt text)."""
    style = files("pedseg.workbook").joinpath("report.css").read_text(encoding="utf-8")
    parts = {
        "": f"<h1>Alone, next door, together: {escape(' and '.join(told['centers']))}</h1>"
        f'<p class="honest"><strong>How to read this.</strong> {HONEST}</p>',
        "The table": tables.four_columns(told, title=f"Mean DSC over the {len(told['evaluated'])} evaluated organs")
        + _note(told),
        "What it says": sentences(told),
        "What these patients can show": power(told),
        "All measures": "".join(tables.center_table(told, center) for center in told["centers"]),
        "Organ by organ": f'<div class="charts">{"".join(_organs(told, center) for center in told["centers"])}</div>'
        + "".join(tables.organ_table(told, center) for center in told["centers"]),
        "Removed kidneys": tables.kidney_table(told),
        "Where it fails": tables.failure_list(failures) + tables.failure_counts(failures) if failures else "",
        "Contours": "".join(_picture(*one) for one in shown),
        "Learning curves": curves(summary),
        "Every comparison that was made": '<p class="note">Open a line to read it; what is open is printed.</p>'
        + "".join(_details(told, measure, name) for measure, name in tables.MEASURE_NAMES.items()),
        "How it was run": settings(summary, told),
    }
    body = "".join(
        f"<section>{f'<h2>{title}</h2>' if title else ''}{part}</section>" for title, part in parts.items() if part
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>pedseg study report</title><style>{style}</style></head><body><main>{body}</main></body></html>\n"
    )


def _note(told: Mapping[str, Any]) -> str:
    seeds = len(told["seeds"])
    spread = (
        f"“seeds ±”: standard deviation over {seeds} seeds."
        if seeds > 1
        else "One seed: how much luck matters is not known."
    )
    return (
        '<p class="note">DSC: 0 no overlap, 1 perfect; a missed organ counts 0, an absent one not at all. '
        f"Small: 95 % bootstrap interval over patients. {spread}</p>"
    )


def sentences(told: Mapping[str, Any]) -> str:
    """The findings in words, each with its numbers, good or bad."""
    lines = [
        f"The local model of <strong>{escape(drop['trained_on'])}</strong> reaches a DSC of {number(drop['home'])} "
        f"at home and {number(drop['away'])} on patients of {escape(drop['tested_on'])} (drop {number(drop['drop'])}). "
        "There it is significantly worse than the model trained there in "
        f"{_of(drop, 'worse_than_the_local_model_there')}{_runs(drop, 'worse_there_by_seed')}, "
        f"and significantly worse than at home (other patients) in {_of(drop, 'worse_than_at_home')}."
        for drop in told["drops"]
    ]
    lines += [
        f"On patients of <strong>{escape(cross['tested_on'])}</strong> the federated model is at least as good as "
        f"the local model of {escape(cross['other'])} in {_of(cross, 'at_least_as_good')}, significantly better in "
        f"{_of(cross, 'significantly_better')}, significantly worse in {_of(cross, 'significantly_worse')}."
        for cross in told["cross"]
    ]
    lines += [
        f"Beside the own local model of <strong>{escape(home['tested_on'])}</strong> the federated one differs by "
        f"{number(home['difference'], sign=True)} DSC{_seeds(home.get('difference_seed_sd'))}. Equivalence test with a "
        f"margin of ±{home['margin']:g} DSC: equally good in {_of(home, 'equivalent')}"
        f"{_runs(home, 'equivalent_by_seed')}; "
        f"not worse by more than the margin in {_of(home, 'noninferior')}. It is significantly better in "
        f"{_of(home, 'significantly_better')} and significantly worse in {_of(home, 'significantly_worse')}."
        for home in told["home"]
    ]
    lines += [
        f"On patients of <strong>{escape(ideal['tested_on'])}</strong> the federation reaches "
        f"{100 * ideal['ratio']:.1f}\u00a0% of the centralized model, which saw all scans in one place "
        f"({number(ideal['federated'])} and {number(ideal['centralized'])})."
        for ideal in told["centralized"]
    ]
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if lines else ""


def _seeds(spread: float | None) -> str:
    return "" if spread is None else f" (seeds ±{number(spread)})"


def _runs(line: Mapping[str, Any], key: str) -> str:
    """How many organs in each seed alone; nothing for one seed."""
    counts = line.get(key, [])
    return f" (seed by seed: {', '.join(map(str, counts))})" if len(counts) > 1 else ""


def power(told: Mapping[str, Any]) -> str:
    """How small a difference the test patients could have shown, and how likely an equivalence."""
    lines = told.get("power") or []
    if not lines:
        return ""
    text = (
        "A test that finds nothing says little where it could not have found much. Simulated from the paired "
        f"differences of this study ({percent(lines[0]['power'])} power, signed-rank tests at the strictest step of "
        f"Holm, p &lt; {lines[0]['alpha']:.4f}): the smallest true difference that would be found, and how likely "
        "two models that are truly equal would be proven so."
    )
    return f'<p class="note">{text}</p>' + "".join(map(tables.power_table, lines))


def _of(line: Mapping[str, Any], key: str) -> str:
    """`3 of 9 organs (liver, spleen, heart)`."""
    names, total = line[key], line["organs"]
    named = f" ({', '.join(escape(organ(name).plain) for name in names)})" if 0 < len(names) < total else ""
    return f"{len(names)} of {total} organs{named}"


def _organs(told: Mapping[str, Any], center: str) -> str:
    """The chart of one center: mean DSC of every model on every evaluated organ."""
    series: dict[str, dict[str, tuple]] = {}
    for name, lines in tables.organ_rows(told, center).items():
        for line in sorted(lines, key=tables.by_role):
            if name in told["evaluated"] and line["dsc"]["mean"] is not None:
                cell, label = line["dsc"], f"local, {line['trained_on']}" if line["model"] == "local" else line["model"]
                series.setdefault(label, {})[organ(name).plain] = (cell["mean"], cell["low"], cell["high"])
    chart = dot_chart(series, title=f"DSC on patients of {center}", x="mean DSC, 95 % interval")
    return f"<figure>{chart}</figure>" if chart else ""


def curves(summary: Summary) -> str:
    """Loss and validation DSC over training steps, a line a seed."""
    losses: dict[str, list] = defaultdict(list)
    dices: dict[str, list] = defaultdict(list)
    for name, points in sorted(map(_run, summary.get("curves", {}).items()), key=lambda run: _order(run[0])):
        losses[name].append([(p["step"], p["loss"]) for p in points if p.get("loss") is not None])
        dices[name].append([(p["step"], p["dsc"]) for p in points if p.get("dsc") is not None])
    x = "training steps, all centers together"
    charts = [
        line_chart(losses, title="Training loss", x=x),
        line_chart(dices, title="Mean DSC on validation cases", x=x),
    ]
    drawn = "".join(f"<figure>{chart}</figure>" for chart in charts if chart)
    return f'<div class="charts">{drawn}</div>' if drawn else ""


def _run(run: tuple[str, list]) -> tuple[str, list]:
    """`seed0_local_Polder` is called `local, Polder`."""
    name, points = run
    return (name.split("_", 1)[1].replace("_", ", ") if name.startswith("seed") and "_" in name else name), points


def _order(name: str) -> tuple[int, str]:
    """Local models first, then federated, then centralized, as everywhere in the report."""
    kinds = ("local", "federated", "centralized")
    return next((k for k, kind in enumerate(kinds) if name.startswith(kind)), len(kinds)), name


def pictures(folder: Path, summary: Summary) -> list[tuple[bytes, str]]:
    """The contour pictures: those the summary names (`{file: alt text}`), else drawn from the kept predictions."""
    named = summary.get("pictures") or {}
    named = named if isinstance(named, Mapping) else {entry["file"]: entry["alt"] for entry in named}
    there = [(folder / "pictures" / Path(name).name, alt) for name, alt in named.items()]
    there = [(file, alt) for file, alt in there if file.is_file()] or list(draw_pictures(folder))
    return [(file.read_bytes(), alt) for file, alt in there]


def _picture(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode()
    alt = escape(alt, quote=True)
    return f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"><figcaption>{alt}</figcaption></figure>'


def _details(told: Mapping[str, Any], measure: str, name: str) -> str:
    """All comparisons in one measure, folded away."""
    margin = told["rules"]["margins"].get(measure)
    found = "".join(tables.contrast_table(c, margin) for c in told["contrasts"] if c["measure"] == measure)
    return f"<details><summary>{name}</summary>{found}</details>" if found else ""


def settings(summary: Summary, told: Mapping[str, Any]) -> str:
    """What another person needs to run it again: settings, data, versions, time, memory, fingerprints."""
    margins = ", ".join(f"{tables.MEASURE_NAMES[m]} ±{v:g}" for m, v in told["rules"]["margins"].items())
    facts: dict[str, Any] = {
        "seeds": ", ".join(map(str, told["seeds"])),
        **{str(key): value for key, value in summary.get("settings", {}).items() if key != "seeds"},
        **{f"cases of {center}": counts for center, counts in summary.get("data", {}).items()},
        "organs nobody annotated, left out": ", ".join(summary.get("left_out", [])) or "none",
        "equivalence margins": margins,
        "versions": ", ".join(f"{k} {v}" for k, v in summary.get("versions", {}).items()),
        "machine": ", ".join(str(v) for v in summary.get("machine", {}).values()),
    }
    if "peak_memory_mib" in summary:
        facts["peak memory"] = f"{summary['peak_memory_mib']:.0f} MiB"
    out = html_table(
        "Settings", ["what", "value"], [[escape(k), _plain(v)] for k, v in facts.items() if v not in ("", None)]
    )
    seconds = summary.get("seconds", {})
    times = [[escape(stage), number(t.get("wall"), 1), number(t.get("cpu"), 1)] for stage, t in seconds.items()]
    out += html_table("Seconds", ["stage", "wall", "CPU"], times) if times else ""
    sums = [[escape(name), f"<code>{escape(digest)}</code>"] for name, digest in summary.get("sha256", {}).items()]
    return out + (html_table("Fingerprints of the weights", ["model", "sha256"], sums) if sums else "")


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{escape(str(k))} {escape(str(v))}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(escape(str(v)) for v in value)
    return escape(str(value))
