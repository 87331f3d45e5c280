"""Who gains and who pays, beside values computed by hand."""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import pytest

from pedseg.cli.evaluate import add_arguments
from pedseg.evaluation.fairness import fairness
from pedseg.evaluation.results import Results, typed_rows
from pedseg.evaluation.statistics import planned_contrasts
from pedseg.phantoms.centers import CENTERS, UNSEEN

KEYS = [("local", "Aa"), ("local", "Bb"), ("federated", "Aa+Bb")]


def rows_of(scores: dict[tuple[str, str], dict[str, float]], removed: tuple[str, ...] = ()) -> pd.DataFrame:
    """Rows of one liver each, from (center, patient) to the DSC of each model; some have lost a kidney."""
    rows = []
    for (center, patient), by_model in scores.items():
        for (model, trained_on), name in zip(KEYS, ("Aa", "Bb", "both"), strict=True):
            who = {"seed": 0, "model": model, "trained_on": trained_on, "tested_on": center, "patient": patient}
            rest = {"case": patient, "hd95_mm": 1, "msd_mm": 1, "nsd": 1, "volume_ml": 1, "predicted_ml": 1}
            rows.append({**who, **rest, "organ": "Liver", "present": True, "dsc": by_model[name]})
            rows.append({**who, **rest, "organ": "Kidney_L", "present": patient not in removed, "dsc": np.nan})
    return typed_rows(pd.DataFrame(rows))


SCORES = {
    ("Aa", "1"): {"Aa": 0.90, "Bb": 0.50, "both": 0.92},
    ("Aa", "2"): {"Aa": 0.80, "Bb": 0.50, "both": 0.84},
    ("Bb", "3"): {"Aa": 0.50, "Bb": 0.70, "both": 0.69},
    ("Bb", "4"): {"Aa": 0.50, "Bb": 0.72, "both": 0.70},
    ("Cc", "5"): {"Aa": 0.60, "Bb": 0.40, "both": 0.66},
    ("Cc", "6"): {"Aa": 0.60, "Bb": 0.60, "both": 0.66},
}


def test_groups_are_those_computed_by_hand() -> None:
    ages = {("Aa", "1"): 12, ("Aa", "2"): 23, ("Bb", "3"): 72, ("Bb", "4"): 140, ("Cc", "5"): None}
    lines = {(line["by"], line["group"]): line for line in fairness(rows_of(SCORES, removed=("1", "4")), ages)}
    expected = {
        ("hospital", "Aa"): (0.85, 0.88), ("hospital", "Bb"): (0.71, 0.695), ("hospital", "Cc"): (0.55, 0.66),
        ("hospital", "worst off"): (0.55, 0.66), ("hospital", "spread"): (0.30, 0.22),
        ("age", "under two"): (0.85, 0.88), ("age", "six and older"): (0.71, 0.695),
        ("age", "worst off"): (0.71, 0.695), ("age", "spread"): (0.14, 0.185),
        ("kidneys", "a kidney removed"): (0.81, 0.81), ("kidneys", "both kidneys"): (0.65, 0.7125),
        ("kidneys", "worst off"): (0.65, 0.7125), ("kidneys", "spread"): (0.16, 0.0975),
    }  # fmt: skip
    assert set(lines) == set(expected)
    for key, (alone, federated) in expected.items():
        assert (lines[key]["alone"], lines[key]["federated"]) == pytest.approx((alone, federated)), key
        assert lines[key]["difference"] == pytest.approx(federated - alone)
    # Drawn again, Aa gains 0.02, 0.03 or 0.04, and Bb pays 0.01 to 0.02.
    assert (lines["hospital", "Aa"]["low"], lines["hospital", "Aa"]["high"]) == pytest.approx((0.02, 0.04))
    assert (lines["hospital", "Bb"]["low"], lines["hospital", "Bb"]["high"]) == pytest.approx((-0.02, -0.01))
    assert lines["hospital", "Cc"]["patients"] == 2


def test_without_a_federation_or_without_a_local_model_nobody_gains() -> None:
    rows = rows_of(SCORES)
    assert list(fairness(rows[rows["model"] == "local"], {})) == []
    assert list(fairness(rows[rows["model"] == "federated"], {})) == []


def test_an_unseen_hospital_compares_the_federation_with_each_hospitals_own() -> None:
    rows = rows_of({key: value for key, value in SCORES.items() if key[0] == "Cc"})
    contrasts = planned_contrasts(Results(rows), "dsc")
    assert [(c.name, c.second.trained_on) for c in contrasts] == [
        ("federated - other local", "Aa"), ("federated - other local", "Bb"),
    ]  # fmt: skip


def test_the_command_knows_the_hospitals_that_there_are() -> None:
    """It names them itself, so that it need not load them to print its help."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    (center,) = (action for action in parser._actions if action.dest == "center")
    assert center.choices == [*CENTERS, *UNSEEN]
