"""The organs at risk (OAR) and their TG-263 names, label numbers, tolerances and colors: one table that can be swapped.

The first nine are those that the pediatric study evaluates. Items 10 to 19 are a working
proposal (each exists in TotalSegmentator, most in Pediatric-CT-SEG or AMOS22); the study's
own list of nineteen is not public. To use another list, point PEDSEG_ORGANS at a table of
the same columns before Python starts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pedseg import tables
from pedseg.errors import input_error

COLUMNS = ("id", "name", "plain", "group", "evaluated", "tolerance_mm", "color", "line", "aliases")
DEFAULT_TABLE = Path(__file__).with_name("organs.tsv")


@dataclass(frozen=True)
class Organ:
    """One organ at risk: its id in label maps, its TG-263 name and how it is drawn.

    `tolerance_mm` is the surface tolerance for NSD (FLARE22 values where they exist).
    `line` is a matplotlib line style, so that color is never alone.
    """

    id: int
    name: str
    plain: str
    group: str
    evaluated: bool
    tolerance_mm: float
    color: str
    line: str
    aliases: tuple[str, ...]


def read_table(file: Path) -> tuple[Organ, ...]:
    """Read an organ table (tab separated); ids must run from 1 without a gap, names and aliases be unique."""
    try:
        rows = tables.read_rows(file, "id")
    except (OSError, ValueError) as error:
        raise input_error("E-ORGAN-TABLE", file, f"it cannot be read ({error}).", "Check PEDSEG_ORGANS.") from error
    if not rows or set(COLUMNS) - set(rows[0]):
        problem = f"the header is not {' '.join(COLUMNS)}."
        raise input_error("E-ORGAN-TABLE", file, problem, "Copy pedseg/organs.tsv and edit it.")
    try:
        organs = tuple(map(_organ, rows))
    except ValueError as error:
        problem = f"an id or a tolerance is no number ({error})."
        raise input_error("E-ORGAN-TABLE", file, problem, "Write whole ids and tolerances in mm.") from error
    if [organ.id for organ in organs] != list(range(1, len(organs) + 1)) or len(organs) > 255:
        problem = "ids do not run 1, 2, 3, … up to 255."
        raise input_error("E-ORGAN-TABLE", file, problem, "Number the rows without a gap.")
    owners: dict[str, Organ] = {}
    for organ in organs:
        for alias in (organ.name, *organ.aliases):
            owner = owners.setdefault(normalize(alias), organ)
            if owner is not organ:
                problem = f"{alias!r} names rows {owner.id} and {organ.id}."
                raise input_error("E-ORGAN-TABLE", file, problem, "Give every name to one organ only.")
    return organs


def _organ(row: dict[str, str]) -> Organ:
    """One row of the table."""
    values = {column: row[column] for column in ("name", "plain", "group", "color", "line")}
    return Organ(
        id=int(row["id"]),
        evaluated=row["evaluated"] == "yes",
        tolerance_mm=float(row["tolerance_mm"]),
        aliases=tuple(filter(None, row["aliases"].split(";"))),
        **values,
    )


def normalize(name: str) -> str:
    """A name without case, punctuation and separators: `Kidney-Left` and `kidney_left` are the same."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


def is_marked(name: str) -> bool:
    """Whether a sign says that a structure is not the plain organ: TG-263 has ~ for a part, _ for what gets no dose."""
    return re.search(r"^[\W_]|[~!?*+#=<>&%|]|[-_]$", name.strip()) is not None


ORGANS = read_table(Path(os.environ.get("PEDSEG_ORGANS") or DEFAULT_TABLE))
NAMES = tuple(organ.name for organ in ORGANS)
EVALUATED = tuple(organ.name for organ in ORGANS if organ.evaluated)
_BY_NAME = {organ.name: organ for organ in ORGANS}
_BY_ALIAS = {normalize(alias): organ for organ in ORGANS for alias in (organ.name, *organ.aliases)}


def organ(name: str) -> Organ:
    """The organ of this exact TG-263 name; `KeyError` if the table has none."""
    return _BY_NAME[name]


def recognize(name: str) -> Organ | None:
    """The organ that a foreign name means, by exact look-up in the alias table, or None.

    Never a fuzzy match: `Kidney_L` and `Kidney_R` differ by one letter, `~Liver` is a part of a liver.
    """
    return None if is_marked(name) else _BY_ALIAS.get(normalize(name))


def suggest(name: str) -> str:
    """The known name nearest to an unknown one, for an error message; empty if none is near."""
    near = get_close_matches(normalize(name), _BY_ALIAS, n=1, cutoff=0.6)
    return _BY_ALIAS[near[0]].name if near else ""
