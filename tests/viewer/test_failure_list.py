"""The failure list: every recorded failure, removed kidneys and children on their side, the worst first."""

from __future__ import annotations

import csv
import io
import json
import lzma

import pytest

from pedseg.viewer.case_list import SIDE, STUDY, everyone
from pedseg.viewer.failure_list import AS_IT_LIES, KINDS, chosen, entries
from pedseg.workbook import lesson


@pytest.fixture(scope="module")
def study():
    return lesson.recorded("study")


@pytest.fixture(scope="module")
def found(study):
    return entries(study)


def test_every_recorded_failure_is_there_and_the_worst_come_first(study, found):
    recorded = json.loads((study / "failures.json").read_text("utf-8"))
    ours = [each for each in found if each.kind not in ("removed", "side")]
    assert len(ours) == len(recorded)
    assert {each.sentence for each in ours} == {line["sentence"] for line in recorded}
    assert [each.severity for each in found] == sorted((each.severity for each in found), reverse=True)
    assert {each.kind for each in found} <= set(KINDS)


def test_every_removed_kidney_has_an_entry_for_every_model(study, found):
    with (study / "cases.csv").open(newline="", encoding="utf-8") as stream:
        gone = [
            row for row in csv.DictReader(stream)
            if row["organ"].startswith("Kidney") and row["present"] == "0" and row["seed"] == "0"
        ]  # fmt: skip
    removed = chosen(found, kind="removed")
    assert len(removed) == len(gone) > 0
    drawn = sum(float(row["predicted_ml"]) > 0 for row in gone)
    assert sum("all the same" in each.sentence for each in removed) == drawn
    assert all("as is right" in each.sentence for each in removed if each.severity == 0)


def test_every_child_on_its_side_has_an_entry_with_both_numbers(study, found):
    text = lzma.decompress((study / "shift.csv.xz").read_bytes()).decode()
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["factor"] == "on the side; as they lie"]
    side = chosen(found, kind="side")
    assert {(each.child[0], each.child[1]) for each in side} == {(row["tested_on"], row["case"]) for row in rows}
    assert all(each.model.endswith(AS_IT_LIES) and "turned onto its back first" in each.sentence for each in side)


def test_the_filters_filter(found):
    one = next(each for each in found if each.kind == "missed")
    wanted = (one.kind, one.child[0], one.organ, one.model)
    few = chosen(found, kind=one.kind, center=one.child[0], organ_name=one.organ, model=one.model)
    assert few == [each for each in found if (each.kind, each.child[0], each.organ, each.model) == wanted]
    assert 0 < len(few) < len(found) / 10
    assert chosen(found) == found


def test_every_entry_can_be_opened(study, found):
    children = everyone(lesson.samples(), study)
    assert {each.child for each in found} <= set(children.all)
    assert {each.child[2] for each in found} == {STUDY, SIDE}


def test_where_nothing_was_recorded_the_list_is_empty(tmp_path):
    assert entries(tmp_path) == []
