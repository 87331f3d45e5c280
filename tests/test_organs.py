"""The organ table: ids, names, and who is meant by a foreign name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pedseg import organs
from pedseg.errors import PedsegInputError

# Names as other conventions write them (facts/names.md, section 6), and the organ that is meant.
FOREIGN = {
    "kidney_left": "Kidney_L",
    "kidney-right": "Kidney_R",
    "right kidney": "Kidney_R",
    "KIDNEY_L": "Kidney_L",
    "Lt Kidney": "Kidney_L",
    "li. Niere": "Kidney_L",
    "Leber": "Liver",
    "gall-bladder": "Gallbladder",
    "gall bladder": "Gallbladder",
    "adrenal_gland_left": "Glnd_Adrenal_L",
    "adrenal-right": "Glnd_Adrenal_R",
    "lung_l": "Lung_L",
    "postcava": "V_Venacava_I",
    "inferior_vena_cava": "V_Venacava_I",
    "portal_vein_and_splenic_vein": "V_Portal",
    "urinary_bladder": "Bladder",
    "spinal-canal": "SpinalCanal",
    "arota": "A_Aorta",
}
# Near to a name of the table, but another structure, or a side that is not said.
OTHERS = [
    "kidney",
    "lung",
    "spinal_cord",
    "vertebrae_L1",
    "stomach",
    "duodenum",
    "colon",
    "adrenal_gland",
    "Kidney_",
    "",
    "?",
]


@pytest.mark.parametrize(("foreign", "name"), FOREIGN.items())
def test_foreign_names_are_recognized(foreign, name):
    assert organs.recognize(foreign) is organs.organ(name)


@pytest.mark.parametrize("foreign", OTHERS)
def test_other_structures_are_not_taken_for_an_organ(foreign):
    assert organs.recognize(foreign) is None


def test_nineteen_organs_nine_evaluated():
    assert [organ.id for organ in organs.ORGANS] == list(range(1, 20))
    assert organs.EVALUATED == organs.NAMES[:9]
    assert all(organ.tolerance_mm > 0 for organ in organs.ORGANS)


def test_no_two_organs_are_drawn_alike():
    assert len({(organ.color, organ.line) for organ in organs.ORGANS}) == 19


def test_an_unknown_name_gets_the_nearest_known_one():
    assert organs.suggest("Pancrea") == "Pancreas"
    assert organs.suggest("left kidny") == "Kidney_L"
    assert organs.suggest("xyz") == ""


def write_table(file: Path, edit) -> Path:
    rows = [line.split("\t") for line in organs.DEFAULT_TABLE.read_text(encoding="utf-8").splitlines()]
    edit(rows)
    file.write_text("\n".join("\t".join(row) for row in rows) + "\n", encoding="utf-8")
    return file


BROKEN_TABLES = {
    "an id is left out": lambda rows: rows.pop(4),
    "an id is no number": lambda rows: rows[3].__setitem__(0, "three"),
    "a tolerance is no number": lambda rows: rows[3].__setitem__(5, "wide"),
    "a name twice": lambda rows: rows[2].__setitem__(1, "liver"),
    "an alias of two organs": lambda rows: rows[2].__setitem__(8, "leber"),
    "a column twice": lambda rows: [row.append("x") for row in rows[1:]] and rows[0].append("id"),
    "a row too short": lambda rows: rows[2].pop(),
    "a column is missing": lambda rows: [row.pop() for row in rows],
    "no row": lambda rows: rows.__delitem__(slice(1, None)),
}


@pytest.mark.parametrize("edit", BROKEN_TABLES.values(), ids=BROKEN_TABLES)
def test_a_broken_table_is_refused(tmp_path, edit):
    file = write_table(tmp_path / "organs.tsv", edit)
    with pytest.raises(PedsegInputError) as caught:
        organs.read_table(file)
    (problem,) = caught.value.problems
    assert problem.code == "E-ORGAN-TABLE"
    assert problem.file == str(file)
    assert problem.remedy


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(PedsegInputError, match="E-ORGAN-TABLE"):
        organs.read_table(tmp_path / "none.tsv")


def test_another_table_can_be_swapped_in_before_python_starts(tmp_path):
    file = write_table(tmp_path / "organs.tsv", lambda rows: rows.__delitem__(slice(4, None)))
    code = "from pedseg.organs import NAMES; print(*NAMES)"
    environment = os.environ | {"PEDSEG_ORGANS": str(file), "PYTHONPATH": str(Path(organs.__file__).parents[1])}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["Liver", "Spleen", "Pancreas"]
