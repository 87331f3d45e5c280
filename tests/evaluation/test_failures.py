"""Failures found in rows: by rule, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pedseg.datasets.cases import Case
from pedseg.evaluation.failure import KINDS, ContourFacts, Failure
from pedseg.evaluation.failures import from_rows, read_failures, with_reasons, worst_dsc, write_failures
from pedseg.evaluation.results import ModelKey, typed_rows

LOCAL = ModelKey("local", "Polder")


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
    rows += [row(f"c{k:02}", dsc=0.9 - k / 100, model="federated", trained_on="Neckar+Polder") for k in range(5)]
    failures = from_rows(typed_rows(rows))
    assert [(f.case, f.organ, f.model, f.kind) for f in failures] == [
        ("c00", "Liver", "local", "worst"), ("c01", "Liver", "local", "worst"), ("c1", "Spleen", "local", "worst"),
        ("c04", "Liver", "federated", "worst"),
    ]  # fmt: skip
    assert (failures[0].amount, failures[0].unit, failures[0].voxel) == (0.5, "DSC", None)
    assert failures[0].wrong_ml == pytest.approx((100 + 90) * (1 - 0.5))  # of 100 and 90 mL, 47.5 are common
    assert failures[0].sentence == (
        "The local model of Polder draws the liver with a DSC of 0.50, where its median is 0.69."
    )


def test_missed_organs_and_false_ones():
    rows = [
        row("c1", "Spleen", 0.0, predicted_ml=0.0), row("c2", "Spleen", 0.9, volume_ml=50.0),
        row("c1", "Kidney_L", None, predicted_ml=1.0), row("c2", "Kidney_L", None, predicted_ml=0.99),
        row("c3", "Kidney_L", 0.96, volume_ml=4.0),
    ]  # fmt: skip
    missed, false = from_rows(typed_rows(rows))
    assert (missed.kind, missed.case, missed.amount, missed.unit, missed.wrong_ml) == ("missed", "c1", 100, "mL", 100)
    assert "draws no spleen, though 100.0 mL of it are there." in missed.sentence
    assert (false.kind, false.case, false.amount, false.wrong_ml) == ("false", "c1", 1.0, 1.0)
    assert "draws 1.0 mL of left kidney, and there is none in this scan." in false.sentence


def test_a_correct_answer_is_no_failure():
    rows = [row(f"c{k}", "Kidney_L", None, predicted_ml=0.0) for k in range(20)]
    assert from_rows(typed_rows(rows)) == []


def test_the_limit_of_the_worst_tenth():
    assert worst_dsc(typed_rows([row(f"c{k}", dsc=0.5 + k / 50) for k in range(20)])) == pytest.approx(0.52)
    assert worst_dsc(typed_rows([row("c1", dsc=0.97)])) == 0.0  # nothing so good fails
    assert worst_dsc(typed_rows([row("c1", dsc=None)])) == 0.0


def test_only_the_first_seed_counts():
    rows = typed_rows([row("c1", dsc=0.5, seed=1), row("c1", dsc=0.4, seed=2)])
    assert [f.amount for f in from_rows(rows)] == [0.5]
    assert from_rows(typed_rows([])) == []


def test_place_dose_and_reasons_come_from_what_is_known_besides():
    """Of 120 livers every third is of a young child; all six that fail are. The strata are organ and model."""
    rows = typed_rows([row(f"c{k:03}", dsc=0.5 if k % 3 == 0 and k < 36 else 0.8 + k / 2000) for k in range(120)])
    ages = {("Neckar", f"c{k:03}"): 13 if k % 3 == 0 else 60 for k in range(120)}
    cases = {
        key: Case(key[1], key[1], "Neckar", "test", Path("i"), None, ("Liver",), age_months=age)
        for key, age in ages.items()
    }
    contours = {(LOCAL, "Neckar", "c000", "Liver"): ContourFacts((1, 2, 3), False, (2.0, 1.5))}
    failures, ratios = with_reasons(from_rows(rows), rows, cases, contours)
    first = next(failure for failure in failures if failure.case == "c000")
    assert (first.voxel, first.dose_gy, first.dose_change_gy) == ((1, 2, 3), (2.0, 1.5), -0.5)
    assert ratios["young"].failed == 12 and ratios["young"].contours == 40 and ratios["young"].failed_without == 0
    assert first.causes == ()  # no other contour failed: nothing to compare with
    assert "no reason: the child is 13 months old (nothing to compare with, n = 40)" in first.sentence


def test_of_a_few_contours_nothing_is_counted():
    case = Case("c1", "p1", "Neckar", "test", Path("i"), None, ("Liver",), age_months=11)
    rows = typed_rows([row("c1", dsc=0.2)])
    (failure,), ratios = with_reasons(from_rows(rows), rows, {("Neckar", "c1"): case})
    assert ratios == {} and failure.causes == () and failure.voxel is None
    assert failure.sentence.endswith(
        "Known of the case: the child is 11 months old; the model has seen no scan of Neckar."
    )
    (elsewhere,), _ = with_reasons(from_rows(rows), rows, {("Polder", "c1"): case})
    assert "11 months" not in elsewhere.sentence  # the same name in another center


@pytest.mark.parametrize("present", ["1", "True"])
def test_presence_is_read_as_csv_or_python_writes_it(present):
    assert from_rows(typed_rows([row("c1", dsc=0.2, present=present)]))[0].kind == "worst"


def test_recorded_failures_are_read_where_they_are(tmp_path):
    assert read_failures(tmp_path) == []
    failure = Failure("p1", "Polder", "Liver", "local", "Polder", "part", 3.0, "mL", 9.5, (1, 2, 3), "In two pieces.")
    write_failures(tmp_path, [failure, replace(failure, dose_gy=(1.0, 2.0), causes=("young",))], {})
    assert read_failures(tmp_path) == [failure, replace(failure, dose_gy=(1.0, 2.0), causes=("young",))]
    assert (tmp_path / "causes.csv").read_text().startswith("cause,ratio,failed,contours")
    assert {failure.kind for failure in read_failures(tmp_path)} <= set(KINDS)
