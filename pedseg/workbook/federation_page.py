"""One self-contained HTML page of a federation: curves of loss and score, every round in a table, who was left out."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from pedseg.errors import input_error
from pedseg.federation.run_folder import RoundRow, final_lines, read_rows, read_status
from pedseg.files import write_atomically
from pedseg.workbook import charts
from pedseg.workbook.report import CHART_INCHES, html_environment, svg


def write_page(folder: Path, file: Path) -> Path:
    """Write the page of the run whose coordinator works in a folder; returns the file."""
    rows = read_rows(folder)
    if not rows:
        problem, remedy = "no round is finished here.", "Give the folder of a coordinator's --out, after a round."
        raise input_error("E-NO-RUN", folder, problem, remedy)
    centers = list(dict.fromkeys(name for row in rows for name in row.losses))
    page = (
        html_environment()
        .get_template("federation_page.html.j2")
        .render(
            rows=rows,
            centers=centers,
            rounds=read_status(folder).get("rounds") or max(rows[-1].number, *rows[-1].phases),
            final=final_lines(folder),
            charts=_charts(rows),
        )
    )
    write_atomically(file, page.encode(), mode=0o600)
    return file


def _charts(rows: list[RoundRow]) -> list[tuple[str, Markup]]:
    """Training loss by center, and the validation DSC where rounds were evaluated, as (title, chart)."""
    losses: dict[str, list[tuple[float, float]]] = {}
    scores: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for curves, values in ((losses, row.losses), (scores, row.scores)):
            for name, value in values.items():
                curves.setdefault(name, []).append((row.number, value))
        if row.validation_dsc is not None:
            scores.setdefault("all centers", []).append((row.number, row.validation_dsc))
    made = []
    for title, y, curves in (("Training loss", "loss", losses), ("Validation DSC", "mean DSC", scores)):
        if curves:
            ends = "; ".join(f"{name} ends at {points[-1][1]:.3g}" for name, points in curves.items())
            figure = charts.learning_curves(curves, x="round", y=y, width=CHART_INCHES)
            figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
            made.append((title, svg(figure, f"{title} over the rounds: {ends}.")))
    return made
