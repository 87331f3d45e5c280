"""Compare two contour sets of one scan, organ by organ: DSC, HD95, MSD, NSD, added path length, and volumes.

Neither set is the truth. DSC and the distances are the same both ways; the added path length is what must be drawn anew
to turn the first set into the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import find_objects

from pedseg.datasets.loading import organs_present
from pedseg.files import write_atomically
from pedseg.metrics import OrganScore, added_path_length_mm, score_case
from pedseg.organs import NAMES, organ
from pedseg.scan import Scan, to_ras

HEADINGS = ("organ", "DSC", "HD95 mm", "MSD mm", "NSD", "added path mm", "A mL", "B mL")
DIGITS = (3, 1, 2, 3, 0, 1, 1)
EXPLANATION = (
    "Neither set is called the truth. Added path: the line that must be drawn anew to turn A into B, without tolerance"
    " (Vaassen 2020). “–”: only one of the two has the organ."
)
STYLE = """body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse } th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #8886 }
th:first-child, td:first-child { text-align: left } :root { color-scheme: light dark }"""


@dataclass(frozen=True)
class OrganComparison:
    """One organ in two contour sets; the distances are None where only one of them has it."""

    organ: str
    dsc: float
    hd95_mm: float | None
    msd_mm: float | None
    nsd: float | None
    added_path_mm: float
    a_ml: float
    b_ml: float


def compare_contours(a: Scan, b: Scan) -> list[OrganComparison]:
    """Compare two maps of organ ids on one grid; one line for each organ that is in either."""
    a, b = to_ras(a), to_ras(b)  # the added path is counted in axial slices
    present = [name for name in NAMES if name in {*organs_present(a), *organs_present(b)}]
    scores = score_case(b.voxels, a.voxels, a.spacing_mm, present)
    return [_compare(score, a, b) for score in scores]


def _compare(score: OrganScore, a: Scan, b: Scan) -> OrganComparison:
    masks = [scan.voxels == organ(score.organ).id for scan in (a, b)]
    (box,) = find_objects((masks[0] | masks[1]).astype(np.uint8))
    path_mm = added_path_length_mm(masks[1][box], masks[0][box], a.spacing_mm)
    in_both = score.volume_ml > 0 and score.predicted_ml > 0
    distances = (score.hd95_mm, score.msd_mm, score.nsd) if in_both else (None, None, None)
    return OrganComparison(score.organ, score.dsc or 0.0, *distances, path_mm, score.predicted_ml, score.volume_ml)


def text_table(rows: Sequence[OrganComparison]) -> str:
    """The comparison as lines of text; "–" where only one of the sets has the organ."""
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def _cells(row: OrganComparison) -> tuple[str, ...]:
    name, *numbers = astuple(row)
    values = ("–" if x is None else f"{x:.{n}f}" for x, n in zip(numbers, DIGITS, strict=True))
    return (name, *values)


def write(file: Path, rows: Sequence[OrganComparison], a: str, b: str, notes: Sequence[str]) -> None:
    """Write the comparison as CSV (empty where only one set has the organ), or as a page if the name ends in .html."""
    if file.suffix.lower() == ".csv":
        write_atomically(file, pd.DataFrame(rows).round(6).to_csv(index=False, lineterminator="\n").encode())
    else:
        write_html(file, rows, a, b, notes)


def html_table(rows: Sequence[OrganComparison]) -> str:
    """The comparison as an HTML table."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in HEADINGS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def write_html(file: Path, rows: Sequence[OrganComparison], a: str, b: str, notes: Sequence[str]) -> None:
    """Write the comparison as a page that needs nothing else; `a` and `b` are the names of the sets."""
    title = f"{escape(a)} (A) beside {escape(b)} (B)"
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1>{html_table(rows)}<p>{EXPLANATION}</p><ul>{listed}</ul></html>"
    )
    write_atomically(file, page.encode())
