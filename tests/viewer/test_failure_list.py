"""The failure list: every recorded failure, removed kidneys and patients on their side, the worst first."""

from __future__ import annotations

import csv
import io
import json
import lzma

import pytest

from pedseg.viewer.case_list import SIDE, STUDY, list_cases
from pedseg.viewer.failure_list import KINDS, filter_failures, list_failures
from pedseg.workbook import lesson


@pytest.fixture(scope="module")
def study():
    return lesson.recorded("study")


@pytest.fixture(scope="module")
def entries(study):
    return list_failures(study)


def test_every_recorded_failure_is_there_and_the_worst_come_first(study, entries):
    recorded = json.loads((study / "failures.json").read_text("utf-8"))
    ours = [entry for entry in entries if entry.kind not in ("removed", "side")]
    assert len(ours) == len(recorded)
    assert {entry.sentence for entry in ours} == {line["sentence"] for line in recorded}
    assert [entry.severity for entry in entries] == sorted((entry.severity for entry in entries), reverse=True)
    assert {entry.kind for entry in entries} <= set(KINDS)


def test_every_removed_kidney_has_an_entry_for_every_model(study, entries):
    with (study / "cases.csv").open(newline="", encoding="utf-8") as stream:
        gone = [
            row for row in csv.DictReader(stream)
            if row["organ"].startswith("Kidney") and row["present"] == "0" and row["seed"] == "0"
        ]  # fmt: skip
    removed = filter_failures(entries, kind="removed")
    assert len(removed) == len(gone) > 0
    false_kidneys = sum(float(row["predicted_ml"]) > 0 for row in gone)
    assert sum("all the same" in entry.sentence for entry in removed) == false_kidneys
    assert all("as is right" in entry.sentence for entry in removed if entry.severity == 0)


def test_every_patient_on_the_side_has_an_entry_with_both_numbers(study, entries):
    text = lzma.decompress((study / "shift.csv.xz").read_bytes()).decode()
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["factor"] == "on the side; as they lie"]
    side = filter_failures(entries, kind="side")
    assert {(entry.case_key.center, entry.case_key.case) for entry in side} == {
        (row["tested_on"], row["case"]) for row in rows
    }
    assert all(
        str(entry.model).endswith(", as it lies") and "turned onto its back first" in entry.sentence for entry in side
    )


def test_the_filters_filter(entries):
    failure = next(entry for entry in entries if entry.kind == "missed")
    wanted = {"kind": failure.kind, "center": failure.center, "organ": failure.organ, "model": failure.model}
    few = filter_failures(entries, **wanted)
    assert few == [e for e in entries if (e.kind, e.center, e.organ, e.model) == tuple(wanted.values())]
    assert 0 < len(few) < len(entries) / 10
    assert filter_failures(entries) == entries


def test_every_entry_can_be_opened(study, entries):
    cases = list_cases(lesson.samples(), study)
    assert {entry.case_key for entry in entries} <= set(cases)
    assert {entry.case_key.kind for entry in entries} == {STUDY, SIDE}


def test_where_nothing_was_recorded_the_list_is_empty(tmp_path):
    assert list_failures(tmp_path) == []
