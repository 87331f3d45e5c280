"""The failure list of the recorded study: what matters first, no correct answers, one line a child and organ."""

from __future__ import annotations

import csv
import io
import json
import lzma
from dataclasses import replace

import pytest

from pedseg.evaluation.failure import Failure
from pedseg.evaluation.failures import read_failures, write_failures
from pedseg.evaluation.results import ModelKey, read_rows, rows_file
from pedseg.organs import EVALUATED
from pedseg.viewer.case_list import SIDE, STUDY, CaseKey, list_cases
from pedseg.viewer.failure_list import (
    KINDS,
    LISTS,
    FailureList,
    entry_of,
    filter_failures,
    in_order,
    list_failures,
    map_cells,
)
from pedseg.workbook import lesson


@pytest.fixture(scope="module")
def study():
    return lesson.recorded("study")


@pytest.fixture(scope="module")
def entries(study):
    return list_failures(study)


def test_of_the_first_twenty_lines_most_are_evaluated_organs_or_sides(entries):
    first = entries[:20]
    assert sum(entry.organ in EVALUATED or "swapped" in entry.kinds for entry in first) >= 15
    assert [entry.tier for entry in first] == sorted(entry.tier for entry in first)


def test_no_correct_answer_is_listed(study, entries):
    """Whatever is listed was drawn wrong: an absent organ with 1 mL or more, a present one with a DSC below .95."""
    rows = read_rows(rows_file(study))
    rows = rows[rows["seed"] == 0].set_index(["tested_on", "case", "organ", "model", "trained_on"])
    listed = [entry for entry in entries if entry.group != "side"]
    for entry in listed:
        for model in entry.models:
            row = rows.loc[(*entry.case_key[:2], entry.organ, model.model, model.trained_on)]
            assert row["predicted_ml"] >= 1 if not row["present"] else row["dsc"] < 0.99
            assert row["present"] or entry.kinds[0] == "false"


def test_every_recorded_failure_is_in_one_line_of_its_child_and_organ(study, entries):
    recorded = read_failures(study)
    listed = [entry for entry in entries if entry.group != "side"]
    assert sum(len(entry.failures) for entry in listed) == len(recorded)
    assert {f.sentence for entry in listed for f in entry.failures} == {failure.sentence for failure in recorded}
    assert len({(entry.case_key, entry.organ) for entry in listed}) == len(listed)
    assert {kind for entry in entries for kind in entry.kinds} <= set(KINDS)


def test_a_line_has_the_models_kinds_and_largest_change_of_dose_of_its_organ():
    first = Failure("c1", "Neckar", "Liver", "local", "Polder", "worst", 0.5, "DSC", 20.0, None, "", dose_gy=(1.0, 1.1))
    worse = replace(first, model="federated", trained_on="Neckar+Polder", kind="leaking", dose_gy=(1.0, 0.2))
    line = entry_of([worse, replace(worse, kind="worst"), first])
    assert [str(model) for model in line.models] == ["federated", "Polder alone"] and len(line.failures) == 3
    assert line.kinds == ("leaking",) and line.dose_change_gy == -0.8
    assert entry_of([first]).kinds == ("worst",) and entry_of([replace(first, dose_gy=None)]).dose_change_gy is None


def test_every_line_says_what_and_each_reason_has_its_ratio(entries):
    assert all(len(entry.line) < 140 and entry.case_key.case in entry.line for entry in entries)
    reasons = [f for entry in entries for f in entry.failures if f.causes and f.kind != "side"]
    assert len(reasons) > 100 and all("times as often, n = " in failure.sentence for failure in reasons)
    assert any("Gy" in entry.line for entry in entries)


def test_every_patient_on_the_side_has_one_line_with_both_numbers(study, entries):
    text = lzma.decompress((study / "shift.csv.xz").read_bytes()).decode()
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["factor"] == "on the side; as they lie"]
    side = filter_failures(entries, group="side")
    assert sorted((entry.case_key.center, entry.case_key.case) for entry in side) == sorted(
        {(row["tested_on"], row["case"]) for row in rows}
    )
    assert all(
        str(entry.model).endswith(", as it lies") and "turned onto its back first" in entry.failures[0].sentence
        for entry in side
    )


def test_the_filters_filter(entries):
    entry = next(entry for entry in entries if len(entry.models) > 1 and entry.causes)
    model = entry.models[1]
    wanted = {"group": entry.group, "kind": entry.kinds[0], "organ": entry.organ, "cause": entry.causes[0]}
    few = filter_failures(entries, **wanted, center=entry.center, model=model)
    assert [(e.case_key, e.organ) for e in few].count((entry.case_key, entry.organ)) == 1
    assert all(e.model == model and entry.causes[0] in e.causes and e.organ == entry.organ for e in few)
    assert filter_failures(entries) == entries and 0 < len(few) < len(entries) / 10
    assert {entry.group for entry in entries} == set(LISTS)


def test_the_order_by_dose_puts_the_largest_change_first(entries):
    changes = [abs(entry.dose_change_gy or 0.0) for entry in in_order(entries, "dose")]
    assert changes == sorted(changes, reverse=True) and changes[0] > 5
    assert in_order(entries, "weight") == entries


def test_the_map_counts_failed_scans(entries):
    cells = map_cells(entries)
    assert len(cells["organs"]) >= 15 and len(cells["columns"]) == 8 and cells["tested"] == "33"
    row, column = 5, 3
    name, at = cells["organs"][row]["name"], cells["columns"][column]
    by_hand = {
        entry.case_key.case
        for entry in entries
        if entry.organ == name and entry.center == at["center"] and at["title"] in map(str, entry.models)
    }
    assert cells["counts"][row][column] == len(by_hand)
    assert map_cells(FailureList())["organs"] == []


def test_a_fragment_names_one_line(entries):
    fragments = [entry.fragment for entry in entries]
    assert len(set(fragments)) == len(fragments)
    assert entries[0].fragment == f"failure={entries[0].case_key.case}%2F{entries[0].organ}"


def test_every_entry_can_be_opened(study, entries):
    cases = list_cases(lesson.samples(), study)
    assert {entry.case_key for entry in entries} <= set(cases)
    assert {entry.case_key.kind for entry in entries} == {STUDY, SIDE}


def test_where_nothing_was_recorded_the_list_is_empty(tmp_path):
    assert list_failures(tmp_path) == []


def test_a_line_by_hand(tmp_path):
    who = ("c1", "Polder", "Kidney_L")
    worst = Failure(*who, "local", "Neckar", "worst", 0.5, "DSC", 40.0, (1, 2, 3), "Bad.", ("young",), (2.0, 0.5))
    leak = Failure(*who, "federated", "A+B", "leaking", 9.0, "mL", 50.0, None, "Worse.", (), (2.0, 3.0))
    write_failures(tmp_path, [worst, leak], {})
    (entry,) = list_failures(tmp_path)
    assert entry.line == "left kidney: beyond its border · c1 · federated, Neckar alone · −1.5 Gy"
    assert (entry.case_key, entry.tier, entry.weighted_ml) == (CaseKey("Polder", "c1", STUDY), 2, 150.0)
    assert entry.voxel is None and entry.by_model(ModelKey("local", "Neckar")).voxel == (1, 2, 3)
    assert json.loads((tmp_path / "failures.json").read_text())[0]["dose_gy"] == [2.0, 0.5]
