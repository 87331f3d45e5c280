"""The HTML report of a study: results, statistical tests, failures, learning curves and settings in one file.

It holds everything it shows, needs no network and no script, and follows the reader's light or dark mode. The template
`report.html.j2` holds its tables and sentences; here are the numbers, charts and pictures that they need.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from pedseg.errors import input_error
from pedseg.evaluation.failure import KINDS, Failure
from pedseg.evaluation.failures import read_failures
from pedseg.evaluation.results import ModelKey, read_rows, rows_file
from pedseg.evaluation.severity import varied
from pedseg.evaluation.statistics import summarize_rows
from pedseg.files import write_atomically
from pedseg.organs import EVALUATED, organ
from pedseg.scan import Scan, read_nifti
from pedseg.workbook import charts, scores
from pedseg.workbook.figures import fullest, organs_in, png, slices_figure

Summary = Mapping[str, Any]
ROLES = {
    "home": "own local model",
    "away": "other center’s local model",
    "federated": "federated",
    "centralized": "centralized",
}
MEASURES = {"dsc": "DSC", "hd95_mm": "HD95, mm", "msd_mm": "Mean surface distance, mm", "nsd": "NSD"}
DIGITS = {"dsc": 3, "dsc_all": 3, "hd95_mm": 1, "msd_mm": 2, "nsd": 3}
LISTED_FAILURES = 12
CHART_INCHES = 5.0  # narrow, so that its text can be read on a phone


def write_report(study_folder: Path) -> Path:
    """Write `report.html` beside the `cases.csv` and `summary.json` of a study, and return its path.

    Parts without data (curves, pictures, settings) are left out. Raises `PedsegInputError` where a study has left no
    cases.csv or summary.json.
    """
    folder = Path(study_folder)
    for file in (rows_file(folder), folder / "summary.json"):
        if not file.is_file():
            remedy = "Run `python3 run.py study` to its end first."
            raise input_error("E-NO-STUDY", file, "there is no such file.", remedy)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    statistics = summary.get("statistics") or summarize_rows(read_rows(rows_file(folder)))
    file = folder / "report.html"
    page = render(summary, statistics, list(contour_pictures(folder)), read_failures(folder))
    write_atomically(file, page.encode())
    return file


def render(
    summary: Summary,
    statistics: Mapping[str, Any],
    pictures: Sequence[tuple[bytes, str]] = (),
    failures: Sequence[Failure] = (),
) -> str:
    """The page as text; `statistics` as computed from cases.csv, `pictures` as (PNG, alt text)."""
    tolerances_mm = [organ(name).tolerance_mm for name in statistics["evaluated"]] or [0]
    template = html_environment().get_template("report.html.j2")
    return template.render(
        summary=summary,
        statistics=statistics,
        model_name=model_name,
        tolerances_mm=(min(tolerances_mm), max(tolerances_mm)),
        pictures=[(base64.b64encode(picture).decode(), alt) for picture, alt in pictures],
        failures=varied(failures, LISTED_FAILURES),
        failure_counts=scores.kinds(failures).drop(columns="kind"),
        significance=significance(statistics),
        organ_charts=[organ_chart(statistics, center) for center in statistics["centers"]],
        curves=list(learning_curves(summary, statistics)),
        settings=settings(summary, statistics),
    )


def html_environment() -> Environment:
    """Jinja with the filters and names of the template; text is escaped, and a missing value is an error."""
    environment = Environment(
        loader=PackageLoader("pedseg.workbook", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "percent": percent, "p_value": p_value, "by_role": by_role}
    environment.filters |= {"organ": lambda name: organ(name).plain, "role_name": ROLES.get, "amount": amount}
    environment.globals |= {"roles": ROLES, "measures": MEASURES, "digits": DIGITS, "kinds": KINDS}
    return environment


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number with a real minus sign; an en dash where it is undefined."""
    return "–" if value is None else f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A fraction in percent, with a no-break space."""
    return "–" if share is None else f"{100 * share:.0f}\u00a0%"


def p_value(p: float | None) -> str:
    """A p value as journals print it."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def model_name(model: str, trained_on: str) -> str:
    """A model's display name."""
    return str(ModelKey(model, trained_on))


def amount(failure: Failure) -> str:
    """How bad a failure is, with its unit."""
    if failure.unit == "DSC":
        return f"DSC {number(failure.amount, 2)}"
    return f"{number(failure.amount, 0 if failure.unit in ('%', 'mm') else 1)}\u00a0{failure.unit}"


def by_role(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Lines of a table in the order of the study: own local, other local, federated, centralized, any further model."""
    roles = list(ROLES)
    return sorted(lines, key=lambda line: roles.index(line["role"]) if line["role"] in roles else len(roles))


def significance(statistics: Mapping[str, Any]) -> dict[tuple[str, str, str, str], str]:
    """`better` or `worse` than the own local model in DSC, by (test center, model, trained on, organ)."""
    verdicts = {}
    for contrast in statistics["contrasts"]:
        if contrast["measure"] == "dsc" and contrast["name"] in ("other local - home local", "federated - home local"):
            side = contrast["first"]
            for line in contrast["organs"]:
                if line["p_holm"] is not None and line["p_holm"] < statistics["rules"]["alpha"]:
                    verdict = "better" if line["rank_biserial"] > 0 else "worse"
                    verdicts[side["tested_on"], side["model"], side["trained_on"], line["organ"]] = verdict
    return verdicts


def settings(summary: Summary, statistics: Mapping[str, Any]) -> dict[str, str]:
    """What another person needs to run the study again: settings, data, software versions, hardware."""
    margins = []
    for measure, margin in statistics["rules"]["margins"].items():
        name, _, unit = MEASURES[measure].partition(", ")
        margins.append(f"{name} ±{margin:g} {unit}".strip())
    facts = {
        "seeds": statistics["seeds"],
        **{name: value for name, value in summary.get("settings", {}).items() if name != "seeds"},
        **{f"cases of {center}": counts for center, counts in summary.get("data", {}).items()},
        "organs left out, annotated nowhere": summary.get("left_out") or "none",
        "equivalence margins": margins,
        "versions": summary.get("versions", {}),
        "machine": list(summary.get("machine", {}).values()),
        "peak memory": f"{summary['peak_memory_mib']:.0f} MiB" if "peak_memory_mib" in summary else "",
    }
    texts = {name: _as_text(value) for name, value in facts.items()}
    return {name: text for name, text in texts.items() if text}


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def organ_chart(statistics: Mapping[str, Any], center: str) -> Markup:
    """Mean DSC of each evaluated organ under each model on one center's test patients, with 95 % intervals."""
    values: dict[str, dict[str, tuple]] = {}
    for line in by_role([line for line in statistics["organ_table"] if line["tested_on"] == center]):
        dsc, name = line["dsc"], line["organ"]
        if name in statistics["evaluated"] and dsc["mean"] is not None:
            interval = (dsc["mean"], dsc["mean"]) if dsc["low"] is None else (dsc["low"], dsc["high"])
            values.setdefault(model_name(line["model"], line["trained_on"]), {})[name] = (dsc["mean"], *interval)
    figure = charts.dots(values, x="mean DSC, 95 % interval", width=CHART_INCHES)
    return svg(figure, f"Mean DSC by organ and model on patients of {center}; the numbers are in the table below.")


def learning_curves(summary: Summary, statistics: Mapping[str, Any]) -> Iterator[tuple[str, Markup]]:
    """Training loss and validation DSC over training steps as (title, chart), one line per model and seed."""
    models = sorted(
        {ModelKey(line["model"], line["trained_on"]) for line in statistics["table"]}, key=scores.model_order
    )
    for title, key, y in (("Training loss", "loss", "loss"), ("Mean DSC on validation cases", "dsc", "mean DSC")):
        curves: dict[str, list[tuple[float, float]]] = {}
        for model in sorted(models, key=scores.model_order):
            for seed in statistics["seeds"]:
                points = summary.get("curves", {}).get(f"seed{seed}_{model.file_name}", [])
                line = [(point["step"], point[key]) for point in points if point.get(key) is not None]
                if line:  # no number between two seeds: their lines are not joined
                    curves.setdefault(str(model), []).extend([*line, (float("nan"), float("nan"))])
        if curves:
            ends = "; ".join(f"{name} ends at {points[-2][1]:.3g}" for name, points in curves.items())
            figure = charts.learning_curves(curves, x="training steps, all centers together", y=y, width=CHART_INCHES)
            yield title, svg(figure, f"{title} over training steps: {ends}.")


def svg(figure: Figure, alt: str) -> Markup:
    """A chart as SVG to stand in a page: text stays text, colors follow the page, the same figure gives the same bytes.

    The style sheet must define the variables `--c0`, `--c1`, … for `charts.STYLES` and `--line` for grid lines.
    """
    stream = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "pedseg"}):
        figure.savefig(stream, format="svg", transparent=True, metadata=no_metadata)
    text = stream.getvalue()
    text = re.sub(r"<style.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' id="[\w.]+_\d+"', "", text)  # numbered anew in each chart; the others are hashes of what they name
    colors = {color.lower(): f"var(--c{index})" for index, (color, *_) in enumerate(charts.STYLES)}
    for color, variable in {**colors, charts.GRID: "var(--line)", "#000000": "currentColor"}.items():
        text = text.replace(color, variable)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1))


def contour_pictures(study_folder: Path) -> Iterator[tuple[bytes, str]]:
    """Pictures of contours as (PNG, alt text), one test case per center.

    A study keeps the case in `predictions/CENTER/CASE/`: `image.nii.gz`, `truth.nii.gz`, and a label map of each model
    (`local_CENTER.nii.gz`, `federated.nii.gz`).
    """
    for center in sorted(Path(study_folder).glob("predictions/*")):
        cases = [truth.parent for truth in sorted(center.glob("*/truth.nii.gz"))]
        case = next((case for case in cases if (case / "image.nii.gz").is_file()), None)
        if case:
            figure, alt = _contours_figure(case, center.name)
            yield png(figure), alt


def _contours_figure(case: Path, center: str) -> tuple[Figure, str]:
    """An axial slice with reference and predicted contours, one panel per model, and its alt text."""
    image, truth = read_nifti(case / "image.nii.gz"), read_nifti(case / "truth.nii.gz").voxels
    organs = [name for name in EVALUATED if name in organs_in(truth)]
    trained_on = [file.name.removesuffix(".nii.gz").removeprefix("local_") for file in sorted(case.glob("local_*"))]
    models = [ModelKey("local", name) for name in sorted(trained_on, key=lambda name: name != center)]
    panels: dict[str, tuple[Scan, dict]] = {}
    for model in (*models, ModelKey("federated", "")):
        file = case / f"{model.file_name}.nii.gz"
        if file.is_file():
            options = {"truth": truth, "prediction": read_nifti(file).voxels, "organs": organs}
            panels[str(model)] = (image, options)
    alt = (
        f"An axial CT slice of test patient {case.name} of {center}, once for each model ({'; '.join(panels)}): "
        "reference contours solid, predicted contours dashed."
    )
    return slices_figure(panels, "axial", fullest(truth, "axial", organs)), alt
