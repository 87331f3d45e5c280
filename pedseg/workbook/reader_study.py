"""What readers' scores say together: agreement of every two readings, and scores beside DSC, as HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import pandas as pd

from pedseg.evaluation.reader_scores import Agreement, ReaderScore, agreements, as_csv, with_dsc
from pedseg.workbook import charts, figures
from pedseg.workbook.scores import as_html

AGREEMENT_NEEDS = (
    "Agreement needs two readings with contours in common: another reader, or yourself again as reading 2, without"
    " looking at the first."
)
DSC_NEEDS = "Scores beside DSC need scores of the study's test children, whose DSC is on record."


def readings_html(scores: Sequence[ReaderScore], rows: pd.DataFrame | None = None) -> str:
    """Agreement, scores beside the DSC in `rows` (of one seed), and a link to download all scores as CSV.

    Where something is missing, it says what it needs.
    """
    pairs = agreements(scores)
    table = with_dsc(scores, rows) if rows is not None else pd.DataFrame()
    needs = [AGREEMENT_NEEDS] * (not pairs) + [DSC_NEEDS] * table.empty
    parts = [f"<p>{' '.join([f'{len(scores)} scores.', *needs])}</p>"]
    if pairs:
        parts.append(as_html(agreement_table(pairs), "Agreement of two readings (quadratically weighted kappa)"))
    if len(table):
        picture = figures.show(charts.scores_against(table), "Scores of readers against DSC.")
        parts.append(picture.data["text/html"])
    if scores:
        data = base64.b64encode(as_csv(scores).encode()).decode()
        parts.append(f'<a download="scores.csv" href="data:text/csv;base64,{data}">download all scores as CSV</a>')
    return "".join(parts)


def agreement_table(pairs: Iterable[Agreement]) -> pd.DataFrame:
    """Agreements of readings, one line a pair."""
    lines = [
        {
            "first": a.first, "second": a.second, "contours": a.items, "children": a.cases,
            "same score": f"{100 * a.same:.0f} %", "weighted kappa": _kappa(a),
        }
        for a in pairs
    ]  # fmt: skip
    return pd.DataFrame(lines)


def _kappa(agreement: Agreement) -> str:
    if agreement.kappa is None:
        return "not defined: one score only"
    interval = "" if agreement.low is None else f" ({agreement.low:.2f} to {agreement.high:.2f})"
    return f"{agreement.kappa:.2f}{interval}"
