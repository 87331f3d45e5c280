"""Sentences name what is on record, in the order that fits the failure, and claim no more than that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pedseg.datasets.cases import Case, DataSet
from pedseg.evaluation.failure_reasons import Failure, explain, model_phrase, usual_phases
from pedseg.evaluation.results import ModelKey

LOCAL, FEDERATED = ModelKey("local", "Polder"), ModelKey("federated", "Neckar+Polder")


def case(**known) -> Case:
    return Case("c1", "p1", "Neckar", "test", Path("image"), None, ("Liver",), **known)


@pytest.mark.parametrize(
    ("kind", "organ", "known", "words"),
    [
        ("false", "Kidney_L", {"absent": ("Kidney_L",)}, "what fills the gap may look alike to a network"),
        ("leaking", "Spleen", {"absent": ("Kidney_L",)}, "the left kidney is not there, and neighbors tend to move"),
        ("swapped", "Kidney_R", {"absent": ("Kidney_L",)}, "the left kidney is not there to compare with"),
        ("swapped", "Kidney_R", {"posture": "left side"}, "does not lie on its back but on the left side"),
        ("displaced", "Liver", {"posture": "prone"}, "does not lie on its back but prone"),
        ("missed", "Gallbladder", {"age_months": 13}, "the child is 13 months old"),
        ("worst", "Kidney_R", {"tumor": "renal"}, "surgery (renal tumor) has changed what lies around"),
    ],
)
def test_what_is_on_record_is_named_as_likely(kind, organ, known, words):
    sentence = explain(kind, organ, case(**known), FEDERATED, tested_on="Neckar")
    assert sentence.startswith("Likely because ") and words in sentence


@pytest.mark.parametrize(
    ("organ", "known"),
    [
        ("Liver", {"absent": ("Kidney_L",)}),  # on the other side
        ("Liver", {"posture": "supine", "age_months": 24, "phase": "none"}),
        ("Liver", {}),
    ],
)
def test_where_nothing_fits_that_is_said(organ, known):
    assert explain("worst", organ, case(**known), FEDERATED) == "Nothing that is known of the case explains it."
    assert explain("worst", organ, None, FEDERATED, volume_ml=300.0) == "Nothing that is known of the case explains it."


def test_what_fits_the_failure_best_comes_first_and_only_two_more_follow():
    child = case(age_months=20, absent=("Kidney_L",), tumor="renal", posture="prone")
    sentence = explain("missed", "Glnd_Adrenal_L", child, FEDERATED, volume_ml=1.25, cut=True)
    assert sentence.startswith("Likely because the child does not lie on its back but prone. Also known: ")
    assert sentence.count(";") == 1 and "is small here (1.2 mL)" in sentence and "cuts the organ" in sentence
    supine = replace(child, posture="supine")
    assert explain("displaced", "Glnd_Adrenal_L", supine, FEDERATED).startswith("Likely because the left kidney")


def test_the_phase_counts_where_it_is_not_what_the_model_learned_from():
    usual = {"Polder": "portal venous", "Neckar": "none"}
    plain = case(phase="none")
    assert explain("worst", "Liver", plain, LOCAL, tested_on="Neckar", usual_phase=usual) == (
        "Likely because the scan is without contrast, and the model learned mostly from scans that are portal venous."
    )
    assert "Nothing" in explain("worst", "Liver", plain, FEDERATED, tested_on="Neckar", usual_phase=usual)
    assert "no scan of Neckar" in explain("worst", "Liver", case(), LOCAL, tested_on="Neckar", usual_phase=usual)
    assert "Nothing" in explain("worst", "Liver", case(), LOCAL, tested_on="Polder", usual_phase=usual)


def test_usual_phases_are_those_of_the_training_scans():
    def scan(name: str, split: str, phase: str) -> Case:
        return Case(name, name, "Aa", split, Path("i"), None, phase=phase)

    cases = (scan("a", "train", "none"), scan("b", "train", "none"), scan("c", "train", "arterial"))
    tests = tuple(scan(f"t{k}", "test", "arterial") for k in range(5))
    old = Case("o", "o", "Bb", "train", Path("i"), None)  # a data set that says nothing
    of_center = {"Aa": cases + tests, "Bb": (old,), "Cc": ()}
    sets = [DataSet(Path(center), center, scans, {}) for center, scans in of_center.items()]
    assert usual_phases(sets) == {"Aa": "none", "Bb": "", "Cc": ""}


def test_failures_survive_json():
    who = ("c1", "Neckar", "Liver", "local", "Polder")
    failure = Failure(*who, "worst", 0.512345, "DSC", 0.487655, (1, 2, 3), "So it is.")
    line = failure.as_json()
    assert (line["amount"], line["severity"]) == (0.5123, 0.4877)
    again = Failure.from_json({**line, "voxel": [1, 2, 3]})
    assert (
        again.voxel == (1, 2, 3)
        and again.model_key == LOCAL
        and model_phrase(again.model_key) == "The local model of Polder"
    )
    assert Failure.from_json({**line, "voxel": None}).voxel is None
