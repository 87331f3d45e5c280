"""Rows of scores become the tables and charts that a notebook shows."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from pedseg.evaluation.domain_shift import SHIFT_FACTORS
from pedseg.evaluation.failure import KINDS, Failure
from pedseg.evaluation.results import ModelKey, Results, typed_rows
from pedseg.evaluation.statistics import kidney_detection
from pedseg.workbook import scores


def row(model, trained_on, tested_on, child, organ, dsc, *, seed=0, predicted_ml=10.0) -> dict:
    """One line as in cases.csv; `dsc` None for an organ that is not there."""
    quality = (
        {"dsc": dsc, "hd95_mm": 3.0, "msd_mm": 1.0}
        if dsc is not None
        else dict.fromkeys(("dsc", "hd95_mm", "msd_mm"), "")
    )
    who = {
        "seed": seed,
        "model": model,
        "trained_on": trained_on,
        "tested_on": tested_on,
        "patient": child,
        "case": child,
    }
    return {
        **who,
        "organ": organ,
        "present": int(dsc is not None),
        **quality,
        "volume_ml": 12.0,
        "predicted_ml": predicted_ml,
    }


LOCAL, FEDERATED = ModelKey("local", "Polder"), ModelKey("federated", "Neckar+Polder")
LINES = [
    row("local", "Polder", "Polder", "p1", "Liver", 0.9),
    row("local", "Polder", "Polder", "p2", "Liver", 0.8),
    row("local", "Polder", "Polder", "p1", "Spleen", 0.6),
    row("local", "Polder", "Neckar", "n1", "Liver", 0.5),
    row("federated", "Neckar+Polder", "Neckar", "n1", "Liver", 0.7),
    row("federated", "Neckar+Polder", "Neckar", "n1", "Gallbladder", 0.1),
    row("federated", "Neckar+Polder", "Neckar", "n1", "Kidney_L", None, predicted_ml=4.26),
    row("federated", "Neckar+Polder", "Neckar", "n2", "Kidney_R", None, predicted_ml=0.0),
    row("federated", "Neckar+Polder", "Neckar", "n2", "Liver", 0.2),
    row("federated", "Neckar+Polder", "Neckar", "n2", "Liver", 0.0, seed=1),
]
ROWS = typed_rows(LINES)


def test_models_are_called_by_what_they_learned_from():
    assert str(LOCAL) == "Polder alone"
    assert str(FEDERATED) == "federated"
    assert list(scores.means(ROWS)) == [LOCAL, FEDERATED]


def test_means_give_each_organ_the_same_weight():
    """Polder at home: liver (0.9 + 0.8) / 2, spleen 0.6; the gallbladder is not among the evaluated."""
    means = scores.means(ROWS)
    assert means[LOCAL] == {"Neckar": pytest.approx(0.5), "Polder": pytest.approx((0.85 + 0.6) / 2)}
    assert means[FEDERATED] == {"Neckar": pytest.approx((0.7 + 0.1) / 2)}


def test_by_organ_has_intervals_and_leaves_out_what_was_not_tested():
    table = scores.by_organ(ROWS, "Polder")
    mean, low, high = table[LOCAL]["Liver"]
    assert mean == pytest.approx(0.85) and low == pytest.approx(0.8) and high == pytest.approx(0.9)
    assert table[LOCAL]["Spleen"] == (0.6, 0.6, 0.6)
    assert table[FEDERATED] == {}


def test_false_kidneys_come_largest_first():
    table = scores.false_kidneys(ROWS)
    lines = table[["child", "removed", "drawn all the same (mL)"]].itertuples(index=False, name=None)
    assert list(lines) == [
        ("n1", "left kidney", 4.3),
        ("n2", "right kidney", 0.0),
    ]


def test_false_kidneys_stand_beside_the_true_ones_that_were_found():
    """In Neckar one false kidney of 4.3 mL and one of 0; in Polder none was removed, so there is no line."""
    there = row("federated", "Neckar+Polder", "Neckar", "n1", "Kidney_R", 0.4)
    table = kidney_detection(Results(typed_rows([*LINES, there])))
    (line,) = scores.kidneys(table).to_dict("records")
    assert (line["children of"], line["drawn by"], line["kidneys gone"]) == ("Neckar", "federated", 2)
    assert line["median drawn there (mL)"] == 2.1 and line["more than 1 mL drawn there"].startswith("50 % (")
    assert line["kidneys present"] == 1 and line["found"].startswith("0 % (")  # drawn with a DSC of 0.4 only


def test_where_no_kidney_is_left_no_share_is_found():
    (line,) = scores.kidneys(kidney_detection(Results(ROWS))).to_dict("records")
    assert line["kidneys present"] == 0 and line["found"] == "–"


def cost(factor, model, center, value) -> dict:
    return {"factor": factor, "model": model, "tested_on": center, "cost": value, "interval": [value - 1, value + 1]}


COSTS = pd.DataFrame(
    [
        cost("nothing", "local", "Polder", 0),
        cost("80 kV", "local", "Polder", 5),
        cost("table", "local", "Polder", 1),
        cost("80 kV", "federated", "Polder", 2),
        cost("table", "federated", "Polder", 3),
        cost("table", "federated", "Neckar", 9),
    ]
)


def test_factors_are_ordered_by_what_they_cost_the_federated_model():
    table = scores.by_factor(COSTS, "Polder")
    assert table == {
        LOCAL: {"table": (1, 0, 2), "80 kV": (5, 4, 6)},
        ModelKey("federated", "Polder"): {"table": (3, 2, 4), "80 kV": (2, 1, 3)},
    }
    assert [list(line) for line in table.values()] == [["table", "80 kV"]] * 2
    assert list(map(str, scores.by_factor(COSTS, "Neckar"))) == ["federated"]


def test_factors_can_be_chosen_or_left_out():
    assert list(scores.by_factor(COSTS, "Polder", only="80")[ModelKey("federated", "Polder")]) == ["80 kV"]
    assert list(scores.by_factor(COSTS, "Polder", without="80 kV")[LOCAL]) == ["table"]
    assert scores.by_factor(pd.DataFrame([]), "Polder") == {}


def failure(kind, model="local", trained_on="Polder") -> Failure:
    return Failure("p1", "Polder", "Kidney_L", model, trained_on, kind, 3.0, "mL", 5.0, (1, 2, 3), "It went wrong.")


def test_failures_are_counted_by_kind_and_model():
    table = scores.kinds([failure("missed"), failure("missed"), failure("part", "federated", "Neckar+Polder")])
    assert list(table["kind"]) == list(KINDS)
    (missed,) = table[table["kind"] == "missed"].to_dict("records")
    assert missed == {"kind": "missed", "in words": "not drawn", "Polder alone": 2, "federated": 0}
    assert set(scores.kinds([])) == {"kind", "in words"}


def test_failures_are_told_in_words():
    assert scores.sentences([failure("missed")]).to_dict("records") == [
        {"child": "p1", "organ": "left kidney", "kind": "missed", "what happened": "It went wrong."}
    ]


def test_a_table_escapes_its_text_and_aligns_its_numbers():
    text = scores.as_html(pd.DataFrame([{"organ": "a < b", "DSC": 0.5}]), "caption & more")
    assert '<td style="text-align:left">a &lt; b</td><td style="text-align:right;white-space:nowrap">0.5</td>' in text
    assert "caption &amp; more" in text and '<th scope="col"' in text
    assert scores.as_html(pd.DataFrame([]), "Nothing") == "<p>Nothing: none.</p>"


def of_scenario(model, trained_on, tested_on, mean) -> dict:
    who = {"scenario": "limited-1:1", "model": model, "trained_on": trained_on, "tested_on": tested_on}
    return {**who, "five": {"mean": mean}}


def test_the_table_of_ct_and_mr_has_locals_first_and_what_was_learned_before_what_was_not():
    lines = [
        of_scenario("federated_gin", "A+B", "B T1w", 0.6),
        of_scenario("federated_gin", "A+B", "A", 0.7),
        of_scenario("federated", "A+B", "A", 0.8),
        of_scenario("local", "A", "A", 0.9),
        {**of_scenario("local", "A", "A", 0.1), "scenario": "complete"},
    ]
    table = scores.by_scenario(lines, "limited-1:1")
    local, plain, with_gin = (
        ModelKey(*key) for key in (("local", "A"), ("federated", "A+B"), ("federated_gin", "A+B"))
    )
    assert table == {local: {"A": 0.9}, plain: {"A": 0.8}, with_gin: {"A": 0.7, "B T1w": 0.6}}
    assert list(map(str, table)) == ["A alone", "federated", "federated with GIN"]
    assert list(table[with_gin]) == ["A", "B T1w"]


def test_gains_are_those_of_one_scenario_and_test_and_a_missing_interval_is_the_value():
    line = {"scenario": "s", "tested_on": "A", "second": "federated", "organ": "liver"}
    lines = [
        {**line, "median_difference": 0.1, "interval": (0.0, 0.2)},
        {**line, "organ": "spleen", "median_difference": 0.3, "interval": None},
        {**line, "organ": "pancreas", "median_difference": None, "interval": None},
        {**line, "tested_on": "B", "median_difference": 0.9, "interval": None},
    ]
    assert scores.gains(lines, "s", "A") == {"liver": (0.1, 0.0, 0.2), "spleen": (0.3, 0.3, 0.3)}
    of_all = [{**line, "organs": line["organ"]} for line in lines]
    of_all.append({**of_all[0], "second": "centralized_gin", "median_difference": 0.5})
    assert scores.overall(of_all, "s", "liver") == {"A": (0.1, 0.0, 0.2), "B": (0.9, 0.9, 0.9)}


def test_trainings_with_noise_are_sorted_by_hospitals_and_noise():
    rows = [
        {"hospitals": n, "noise_multiplier": z, "seed": s, "dsc": 0.1 * n - z, "epsilon": math.inf if z == 0 else 2e4}
        for s in "01" for z in (0.01, 0) for n in (5, 2)
    ]  # fmt: skip
    values, labels = scores.by_noise(pd.DataFrame(rows))
    assert list(values) == ["2 hospitals", "5 hospitals"] and list(values["5 hospitals"]) == [0.0, 0.01]
    assert values["5 hospitals"][0.01] == [0.49, 0.49]
    assert labels == {0.0: "0\nno promise", 0.01: "0.01\nε = 2e+04"}


def test_recorded_costs_are_read_and_others_are_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path / "runs"))
    calls = []

    def evaluate_shift(study, out, *, patients, names, cores):
        calls.append((study, patients, names))
        out.mkdir(parents=True, exist_ok=True)
        (out / "shift.json").write_text('{"costs": [{"factor": "80 kV"}]}')
        yield 1, 1

    monkeypatch.setattr(scores, "evaluate_shift", evaluate_shift)
    study = tmp_path / "study"
    study.mkdir()
    assert scores.shift_costs(study).to_dict("records") == [{"factor": "80 kV"}]
    assert calls == [(study, 1, scores.A_FEW)] and "a few causes are measured" in capsys.readouterr().out
    (study / "shift.json").write_text('{"costs": []}')
    assert scores.shift_costs(study).empty and len(calls) == 1


def test_the_few_factors_are_known():
    assert set(scores.A_FEW) <= {factor.name for factor in SHIFT_FACTORS}
