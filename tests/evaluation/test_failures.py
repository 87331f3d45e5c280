"""Failures found in rows: by rule, counted by hand, in an order that puts the worst first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pedseg.datasets.cases import Case
from pedseg.evaluation.failure_reasons import KINDS, ErrorLocation, Failure, explain
from pedseg.evaluation.failures import by_severity, from_rows, read_failures, worst
from pedseg.evaluation.misplacement import from_contours
from pedseg.evaluation.results import ModelKey, typed_rows


def row(case: str, organ: str = "Liver", dsc: float | None = 0.9, **changed) -> dict:
    """A row as csv gives it back, all text."""
    usual = {
        "seed": 0, "model": "local", "trained_on": "Polder", "tested_on": "Neckar", "patient": case, "case": case,
        "organ": organ, "present": int(dsc is not None), "dsc": dsc, "hd95_mm": 4.0, "msd_mm": 1.0,
        "volume_ml": 0.0 if dsc is None else 100.0, "predicted_ml": 90.0,
    }  # fmt: skip
    return {key: "" if value is None else str(value) for key, value in {**usual, **changed}.items()}


def test_the_worst_tenth_of_each_organ_and_model():
    """Of 20 livers the two worst, of one spleen that one; a tenth is rounded up. What is good is no failure."""
    rows = [row(f"c{k:02}", dsc=0.5 + k / 50) for k in range(20)] + [row("c1", "Spleen", 0.7), row("c1", "Heart", 0.95)]
    rows += [row(f"c{k:02}", dsc=0.9, model="federated", trained_on="Neckar+Polder") for k in range(5)]
    failures = from_rows(typed_rows(rows))
    assert [(f.case, f.organ, f.model, f.kind) for f in failures] == [
        ("c00", "Liver", "local", "worst"), ("c01", "Liver", "local", "worst"), ("c1", "Spleen", "local", "worst"),
        ("c00", "Liver", "federated", "worst"),
    ]  # fmt: skip
    assert (failures[0].amount, failures[0].unit, failures[0].severity, failures[0].voxel) == (0.5, "DSC", 0.5, None)
    assert (
        "The local model of Polder draws the liver with a DSC of 0.50, where its median is 0.69."
        in failures[0].sentence
    )
    assert "the model has seen no scan of Neckar" in failures[0].sentence


def test_missed_organs_and_false_ones():
    rows = [
        row("c1", "Spleen", 0.0, predicted_ml=0.0), row("c2", "Spleen", 0.9, volume_ml=50.0),
        row("c1", "Kidney_L", None, predicted_ml=1.0), row("c2", "Kidney_L", None, predicted_ml=0.99),
        row("c3", "Kidney_L", 0.96, volume_ml=4.0),
    ]  # fmt: skip
    missed, false = from_rows(typed_rows(rows))
    assert (missed.kind, missed.case, missed.amount, missed.unit, missed.severity) == ("missed", "c1", 100.0, "mL", 1.0)
    assert "draws no spleen, though 100.0 mL of it are there." in missed.sentence
    assert (false.kind, false.case, false.amount, false.severity) == ("false", "c1", 1.0, 0.25)  # of a usual 4 mL
    assert "draws 1.0 mL of left kidney, and there is none in this scan." in false.sentence


def test_an_organ_that_no_child_has_is_false_as_a_whole():
    (false,) = from_rows(typed_rows([row("c1", "Bladder", None, predicted_ml=7.0)]))
    assert false.severity == 1.0


def test_only_the_first_seed_counts():
    rows = typed_rows([row("c1", dsc=0.5, seed=1), row("c1", dsc=0.4, seed=2)])
    assert [f.amount for f in from_rows(rows)] == [0.5]
    assert from_rows(typed_rows([])) == []


def test_what_is_known_of_the_case_and_where_to_look_come_in():
    case = Case("c1", "p1", "Neckar", "test", Path("i"), None, ("Kidney_L",), ("Kidney_L",), age_months=11)
    locations = {(ModelKey("local", "Polder"), "Neckar", "c1", "Kidney_L"): ErrorLocation((1, 2, 3), False)}
    (false,) = from_rows(typed_rows([row("c1", "Kidney_L", None)]), {("Neckar", "c1"): case}, locations)
    assert false.voxel == (1, 2, 3)
    assert (
        "Likely because what fills the gap may look alike to a network. Also known: the model has seen no scan"
        in false.sentence
    )
    rows = typed_rows([row("c1", "Kidney_L", None, tested_on="Polder")])
    (elsewhere,) = from_rows(rows, {("Neckar", "c1"): case}, locations)
    assert elsewhere.voxel is None and "11 months" not in elsewhere.sentence  # the same name in another center


FAILURE = Failure("c1", "Neckar", "Liver", "local", "Polder", "worst", 0.5, "DSC", 0.5, None, "")


def test_the_worst_come_first_and_the_larger_of_equals():
    small, large = (replace(FAILURE, kind="missed", amount=ml, unit="mL", severity=1.0) for ml in (2.0, 30.0))
    assert by_severity([FAILURE, small, large]) == [large, small, FAILURE]


def test_a_short_list_repeats_neither_contour_nor_organ_nor_kind():
    many = [replace(FAILURE, case=f"c{k}", organ="Bladder", severity=1.0) for k in range(9)]
    many += [replace(FAILURE, case=f"c{k}", severity=0.5 - k / 100) for k in range(9)]
    many += [replace(FAILURE, kind="leaking", severity=0.45), replace(FAILURE, kind="part", case="c9", severity=0.1)]
    many += [replace(FAILURE, organ="Spleen", severity=0.05)]
    chosen = worst(many)
    assert [(f.case, f.organ, f.kind) for f in chosen] == [
        ("c0", "Liver", "worst"), ("c1", "Liver", "worst"),  # evaluated organs first, each twice at most
        ("c1", "Spleen", "worst"),  # the third of its kind
    ]  # fmt: skip
    assert worst(many, 2) == chosen[:2]
    assert worst(many, a_kind=4)[-1].organ == "Bladder"


def test_every_kind_has_its_words_and_everything_is_found_here():
    assert set(KINDS) == {"worst", "missed", "false", "swapped", "part", "displaced", "leaking"}
    assert callable(from_contours)
    for kind in KINDS:
        assert explain(kind, "Liver", None, ModelKey("local", "Polder"))


@pytest.mark.parametrize("present", ["1", "True"])
def test_presence_is_read_as_csv_or_python_writes_it(present):
    assert from_rows(typed_rows([row("c1", dsc=0.2, present=present)]))[0].kind == "worst"


def test_recorded_failures_are_read_where_they_are(tmp_path):
    assert read_failures(tmp_path) == []
    failure = Failure("p1", "Polder", "Liver", "local", "Polder", "part", 3.0, "mL", 0.5, (1, 2, 3), "In two pieces.")
    (tmp_path / "failures.json").write_text(json.dumps([failure.as_json()]))
    assert read_failures(tmp_path) == [failure]
