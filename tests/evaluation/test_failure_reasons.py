"""Facts name what is on record; a fact is a reason only where contours fail more often with it than without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import StratifiedTable

from pedseg.datasets.cases import Case, DataSet
from pedseg.evaluation.failure import Failure, model_phrase
from pedseg.evaluation.failure_reasons import (
    CAUSES,
    RiskRatio,
    causes_of,
    explain,
    known_facts,
    ratio_table,
    risk_ratios,
    usual_phases,
)
from pedseg.evaluation.results import ModelKey

LOCAL, FEDERATED = ModelKey("local", "Polder"), ModelKey("federated", "Neckar+Polder")


def case(**known) -> Case:
    return Case("c1", "p1", "Neckar", "test", Path("image"), None, ("Liver",), **known)


@pytest.mark.parametrize(
    ("organ", "known", "cause", "words"),
    [
        ("Spleen", {"absent": ("Kidney_L",)}, "bed", "the left kidney is not there, and neighbors move into the gap"),
        ("Kidney_R", {"posture": "left side"}, "posture", "does not lie on its back but on the left side"),
        ("Liver", {"posture": "prone"}, "posture", "does not lie on its back but prone"),
        ("Gallbladder", {"age_months": 13}, "young", "the child is 13 months old"),
        ("Liver", {"phase": "none"}, "plain", "the scan is without contrast, so there is less to see"),
    ],
)
def test_what_is_on_record_is_a_fact(organ, known, cause, words):
    facts = known_facts(organ, case(**known), FEDERATED, tested_on="Neckar")
    assert list(facts) == [cause] and words in facts[cause]


@pytest.mark.parametrize(
    ("organ", "known"),
    [
        ("Liver", {"absent": ("Kidney_L",)}),  # on the other side
        ("Kidney_L", {"absent": ("Kidney_L",), "tumor": "renal"}),  # that it is gone is the failure, no reason for it
        ("Liver", {"posture": "supine", "age_months": 24, "phase": "portal venous"}),
        ("Liver", {}),
    ],
)
def test_what_does_not_fit_is_no_fact(organ, known):
    assert known_facts(organ, case(**known), FEDERATED, tested_on="Neckar") == {}
    assert known_facts(organ, None, FEDERATED, volume_ml=300.0, median_ml=300.0) == {}


def test_small_is_small_for_this_organ():
    assert "small" not in known_facts("Glnd_Adrenal_L", None, FEDERATED, volume_ml=1.0, median_ml=1.9)
    facts = known_facts("Liver", None, FEDERATED, volume_ml=100.0, median_ml=250.0, cut=True)
    assert facts["small"] == "the organ is small here (100.0 mL, where the median is 250.0 mL)"
    assert facts["cut"] == "the edge of the scan cuts the organ"
    assert set(facts) <= set(CAUSES)


def test_the_phase_counts_where_it_is_not_what_the_model_learned_from():
    usual = {"Polder": "portal venous", "Neckar": "none"}
    facts = known_facts("Liver", case(phase="none"), LOCAL, tested_on="Neckar", usual=usual)
    assert facts["phase"] == (
        "the scan is without contrast, and most scans that the model learned from are portal venous"
    )
    assert facts["center"] == "the model has seen no scan of Neckar"
    assert "phase" not in known_facts("Liver", case(phase="none"), FEDERATED, tested_on="Neckar", usual=usual)
    assert known_facts("Liver", case(), LOCAL, tested_on="Polder", usual=usual) == {}


def contours(*counts: tuple[int, int, int, int]) -> pd.DataFrame:
    """Strata of (failed with, held with, failed without, held without) the fact `young`."""
    lines = []
    for stratum, (a, b, c, d) in enumerate(counts):
        for n, failed, facts in ((a, True, ["young"]), (b, False, ["young"]), (c, True, []), (d, False, [])):
            lines += [(str(stratum), failed, facts)] * n
    return pd.DataFrame(lines, columns=["stratum", "failed", "facts"])


def test_the_risk_ratio_by_hand():
    """4 of 10 fail with it, 10 of 100 without: four times as often."""
    young = risk_ratios(contours((4, 6, 10, 90)))["young"]
    assert young == RiskRatio(pytest.approx(4.0), 4, 10, 10, 100) and young.explains
    assert str(young) == "such contours fail 4.0 times as often, n = 10"


def test_organs_are_compared_with_themselves():
    """All small ones are of an organ that fails often: beside their like they do not fail more often (Simpson)."""
    hard, easy = (8, 8, 2, 2), (0, 2, 4, 96)  # half fail with and without; 4 % fail
    crude, stratified = risk_ratios(contours(np.add(hard, easy)))["young"], risk_ratios(contours(hard, easy))["young"]
    assert crude.ratio > 5 and stratified.ratio < 1.0 and not stratified.explains


def test_the_risk_ratio_is_that_of_statsmodels():
    strata = [(7, 13, 9, 31), (3, 4, 12, 50), (5, 5, 1, 20)]
    theirs = StratifiedTable([np.array([[a, b], [c, d]]) for a, b, c, d in strata]).riskratio_pooled
    assert risk_ratios(contours(*strata))["young"].ratio == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize(
    ("counts", "ratio"), [((4, 6, 0, 90), None), ((0, 0, 5, 5), None), ((2, 3, 10, 90), 4.0), ((11, 89, 10, 90), 1.1)]
)
def test_what_cannot_be_compared_or_is_too_little_explains_nothing(counts, ratio):
    young = risk_ratios(contours(counts))["young"]
    assert not young.explains and young.ratio == (ratio if ratio is None else pytest.approx(ratio))
    assert risk_ratios(contours().astype({"failed": bool}))["young"].ratio is None


def ratio(value: float | None, failed: int = 20) -> RiskRatio:
    return RiskRatio(value, failed, 100, 50, 500)


def test_reasons_come_with_their_ratio_the_strongest_first_and_what_explains_nothing_says_so():
    facts = {"phase": "the phase is another", "young": "it is young", "cut": "it is cut"}
    ratios = {"phase": ratio(1.6), "young": ratio(5.3), "cut": ratio(1.04)}
    assert causes_of(facts, ratios) == ("young", "phase")
    assert explain(facts, ratios) == (
        "Likely because it is young (such contours fail 5.3 times as often, n = 100); the phase is another (such"
        " contours fail 1.6 times as often, n = 100). Known, but no reason: it is cut (such contours fail 1.0 times as"
        " often, n = 100)."
    )
    assert explain({"cut": "it is cut"}, ratios).startswith("Nothing that is known of the case explains it. Known, but")
    assert explain(facts, {}) == "Known of the case: the phase is another; it is young; it is cut."
    assert explain({}, ratios) == "Nothing is known of the case that might explain it."


def test_the_table_of_causes_puts_the_strongest_first():
    table = ratio_table({"phase": ratio(1.6), "posture": ratio(None, 0), "young": ratio(5.3)})
    assert list(table["cause"]) == ["young", "phase", "posture"]
    assert list(ratio_table({})) == list(table)


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
    failure = Failure(*who, "worst", 0.512345, "DSC", 12.35, (1, 2, 3), "So it is.", ("young",), (1.2345, None))
    line = failure.as_json()
    assert (line["amount"], line["wrong_ml"], line["dose_gy"]) == (0.5123, 12.35, [1.23, None])
    again = Failure.from_json({**line, "voxel": [1, 2, 3], "causes": ["young"]})
    assert again.voxel == (1, 2, 3) and again.causes == ("young",) and again.dose_gy == (1.23, None)
    assert again.model_key == LOCAL and model_phrase(again.model_key) == "The local model of Polder"
    assert again.dose_change_gy == -1.23  # nothing is drawn, so no dose is reported
    plain = Failure.from_json({**line, "voxel": None, "dose_gy": None, "causes": []})
    assert plain.voxel is None and plain.dose_change_gy is None
