"""The inter-observer band: percentiles over patients and pairs, and models beside it, worked out by hand."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pedseg.datasets.cases import Case
from pedseg.evaluation.observer_band import PAIR_COLUMNS, band, beside_the_band, compare_observers, exchange
from pedseg.evaluation.results import Results, typed_rows
from pedseg.evaluation.scoring import LabeledScan
from pedseg.organs import NAMES, organ
from pedseg.phantoms.observers import Observer
from pedseg.scan import Scan

PEOPLE = "abc"


def pair_rows(dsc: dict[str, list[float]], organ_name: str = "Liver", case: str = "") -> pd.DataFrame:
    """One patient P, Q, … after the other, each with a DSC for every pair of people: `{"ab": [P's, Q's]}`."""
    lines = [
        (*pair, "Polder", patient, patient + case, organ_name, value, 3.0, 1.0, 0.9)
        for pair, values in dsc.items()
        for patient, value in zip("PQRS", values, strict=False)
    ]
    return pd.DataFrame([(line[0], line[1], *line[2:]) for line in lines], columns=list(PAIR_COLUMNS))


def small_scan(name: str = "polder-001") -> LabeledScan:
    """A box of liver and one voxel of spleen; a kidney is gone, and the heart is not annotated."""
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:9, 2:9, 2:9] = organ("Liver").id
    labels[10, 10, 10] = organ("Spleen").id
    annotated = ("Liver", "Spleen", "Kidney_L")
    case = Case(name, "P001", "Polder", "test", Path(), None, annotated=annotated, absent=("Kidney_L",))
    return LabeledScan(Scan(np.zeros(labels.shape, np.int16), np.diag([3.0, 3.0, 4.0, 1.0])), labels, "Polder", case)


def test_people_are_compared_in_pairs_where_the_organ_is():
    people = [Observer("truth"), Observer("larger", border_mm=2.0), Observer("smaller", border_mm=-2.0)]
    (rows,) = compare_observers([small_scan()], people)
    assert tuple(rows) == PAIR_COLUMNS
    pairs = set(zip(rows["first"], rows["second"], strict=True))
    assert pairs == {*combinations([person.name for person in people], 2)}
    assert set(rows["organ"]) == {"Liver", "Spleen"} and len(rows) == 6
    liver = rows[rows["organ"] == "Liver"].set_index(["first", "second"])["dsc"]
    assert liver["larger", "smaller"] < liver["truth", "larger"] < 1
    again, other = compare_observers([small_scan(), small_scan("polder-002")], people)
    assert again.equals(rows) and set(other["case"]) == {"polder-002"}


def test_people_without_habits_agree():
    (rows,) = compare_observers([small_scan()], [Observer("a"), Observer("b")])
    assert set(rows["dsc"]) == set(rows["nsd"]) == {1.0} and set(rows["hd95_mm"]) == {0.0}


def test_an_empty_map_has_no_rows():
    scan = small_scan()
    scan.truth[:] = 0
    (rows,) = compare_observers([scan])
    assert rows.empty and tuple(rows) == PAIR_COLUMNS
    assert band(rows).empty


def test_the_band_is_over_patients_and_pairs():
    rows = pair_rows({"ab": [0.90, 0.92], "ac": [0.94, 0.96], "bc": [0.98, 1.00]})
    dsc = band(rows).set_index("measure").loc["dsc"]
    assert dsc["patients"] == 2
    assert dsc["median"] == pytest.approx(0.95)  # of 0.90, 0.92, 0.94, 0.96, 0.98, 1.00
    assert (dsc["low"], dsc["high"]) == (pytest.approx(0.905), pytest.approx(0.995))
    assert np.isnan(dsc["against_truth"])


def test_a_patients_scans_are_averaged_and_the_truth_is_no_person():
    rows = pd.concat([pair_rows({"ab": [0.8, 0.9]}), pair_rows({"ab": [1.0]}, case="b")])
    truth = pair_rows({"ta": [0.7, 0.9], "tb": [0.8, 1.0]}).assign(first="truth")
    table = band(pd.concat([truth, rows])).set_index("measure")
    assert table.loc["dsc", "median"] == pytest.approx(0.9)
    assert table.loc["dsc", "low"] == table.loc["dsc", "high"] == pytest.approx(0.9)
    assert table.loc["dsc", "against_truth"] == pytest.approx(0.85)


def test_organs_come_in_the_order_of_the_table():
    rows = pd.concat([pair_rows({"ab": [0.8]}, name) for name in ("Heart", "Liver", "Bladder", "Spleen")])
    told = band(rows)["organ"].tolist()[:4]
    assert told == sorted(told, key=NAMES.index) == ["Liver", "Spleen", "Heart", "Bladder"]


def test_another_person_in_place_of_the_first_changes_the_score():
    rows = pair_rows({"ab": [0.90, 0.90], "ac": [0.94, 0.90], "bc": [0.99, 0.93]})
    # P: |ab - ac| = 0.04, |ab - bc| = 0.09, |ac - bc| = 0.05, mean 0.06; Q: 0, 0.03, 0.03, mean 0.02; median 0.04
    assert exchange(rows)["Liver"] == pytest.approx(0.04)
    assert np.isnan(exchange(pair_rows({"ab": [0.9]}))["Liver"])  # two people have nobody to exchange


def test_models_stand_below_within_or_above_the_band():
    band_rows = pair_rows({"ab": [0.90, 0.90], "ac": [0.92, 0.92], "bc": [0.94, 0.94]})  # band 0.90 to 0.94
    dsc = {
        ("federated", "Neckar+Polder"): (0.95, 0.97),
        ("local", "Polder"): (0.91, 0.93),
        ("local", "Neckar"): (0.89, 0.90),
    }
    who = {"seed": 0, "tested_on": "Polder", "organ": "Liver", "present": 1}
    rows = [
        {**who, "model": model, "trained_on": trained_on, "patient": patient, "case": patient, "dsc": value}
        for (model, trained_on), values in dsc.items()
        for patient, value in zip("PQ", values, strict=True)
    ]
    (line,) = beside_the_band(band_rows, Results(typed_rows(rows)))
    models = line["models"]
    assert {role: model["position"] for role, model in models.items()} == {
        "federated": "above", "home": "within", "away": "below",
    }  # fmt: skip
    assert models["federated"]["median"] == pytest.approx(0.96)
    assert models["federated"]["difference"] == pytest.approx(0.04) and models["home"]["difference"] == 0
    assert models["away"]["difference"] == pytest.approx(-0.025)
    assert line["exchange"] == pytest.approx(0.08 / 3)  # 0.02, 0.04 and 0.02
    assert {role: model["noticed"] for role, model in models.items()} == {
        "federated": True, "home": False, "away": False,
    }  # fmt: skip
