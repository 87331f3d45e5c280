"""From rows of cases.csv to the summary statistics: patients counted once, pairs kept, sentences right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pedseg.evaluation.contrasts import contrast
from pedseg.evaluation.results import COLUMNS, ModelAtCenter, Results, read_rows, typed_rows, write_rows
from pedseg.evaluation.statistics import planned_contrasts, summarize_rows
from pedseg.organs import EVALUATED, NAMES

CENTERS = ("Neckar", "Polder")
POOLED = "Neckar+Polder"
FEDERATED, LOCAL = ModelAtCenter("federated", POOLED, "Polder"), ModelAtCenter("local", "Polder", "Polder")


def row(organ: str = "Liver", dsc: float | None = 0.9, **changed) -> dict:
    """One row as study.py writes it, read back by csv: all text."""
    usual = {
        "seed": 0, "model": "local", "trained_on": "Polder", "tested_on": "Polder", "patient": "p1", "case": "c1",
        "organ": organ, "present": 1, "dsc": dsc, "hd95_mm": 4.0, "msd_mm": 1.0,
        "volume_ml": 100.0, "predicted_ml": 101.0, "nsd": 0.95,
    }  # fmt: skip
    return {key: "" if value is None else str(value) for key, value in {**usual, **changed}.items()}


def study(*, patients: int = 20, seeds: int = 2, organs: tuple[str, ...] = NAMES) -> list[dict]:
    """A study with a known truth: away costs 0.1 DSC on every organ, the federation 0.005, pooling gains 0.005."""
    model_keys = [("local", "Neckar"), ("local", "Polder"), ("federated", POOLED), ("centralized", POOLED)]
    rows = []
    for number, (center, organ, seed) in enumerate((c, o, s) for c in CENTERS for o in organs for s in range(seeds)):
        for k in range(patients):
            mine = 0.85 + 0.05 * np.random.default_rng((k, CENTERS.index(center), organs.index(organ))).normal() / 3
            for a, (model, trained_on) in enumerate(model_keys):
                noise = 0.002 * np.random.default_rng((number, k, a)).normal()
                shift = {"federated": -0.005, "centralized": 0.005}.get(model, 0.0 if trained_on == center else -0.1)
                gone = organ == "Kidney_L" and k < 5
                false_ml = 30.0 if model == "local" and trained_on != center and k < 4 else 0.2
                who = dict(seed=seed, model=model, trained_on=trained_on, tested_on=center, patient=f"{center}{k}")
                if gone:
                    absent = dict(present=0, hd95_mm=None, msd_mm=None, nsd=None, volume_ml=0.0, predicted_ml=false_ml)
                    rows.append(row(organ, None, **who, **absent))
                else:
                    far = dict(hd95_mm=5 - 20 * shift + noise, msd_mm=1 - 10 * shift + noise, nsd=0.95 + shift + noise)
                    rows.append(row(organ, mine + shift + noise, **who, **far))
    return rows


@pytest.fixture(scope="module")
def summary() -> dict:
    return summarize_rows(typed_rows(study()))


def line(lines: list[dict], **keys) -> dict:
    (entry,) = [entry for entry in lines if all(entry[k] == v for k, v in keys.items())]
    return entry


def test_a_patients_scans_are_averaged_before_seeds():
    rows = [
        row(dsc=0.8, case="a"), row(dsc=0.6, case="b"), row(dsc=0.9, seed=1, case="a"),  # one scan failed in seed 1
        row(dsc=0.5, patient="p2", case="c"),
    ]  # fmt: skip
    values = Results(typed_rows(rows)).patient_means(LOCAL, "dsc", ["Liver"])
    assert values["Liver"].to_dict() == {"p1": pytest.approx((0.7 + 0.9) / 2), "p2": 0.5}


def test_the_mean_gives_each_organ_the_same_weight_and_skips_the_absent():
    rows = [row("Liver", 0.9), row("Spleen", 0.5)]
    rows += [row("Liver", 0.7, patient="p2"), row("Spleen", None, patient="p2", present=0)]
    mean = Results(typed_rows(rows)).organ_mean(LOCAL, "dsc", ["Liver", "Spleen", "Heart"])
    assert mean.mean == pytest.approx((0.8 + 0.5) / 2)
    assert mean.patients == 2
    assert mean.low <= mean.mean <= mean.high
    assert mean.seed_sd is None


def test_seed_spread_is_the_deviation_of_the_seeds_own_means():
    rows = [row(dsc=d, seed=s) for s, d in enumerate((0.80, 0.84, 0.88))]
    mean = Results(typed_rows(rows)).organ_mean(LOCAL, "dsc", ["Liver"])
    assert mean.seed_sd == pytest.approx(0.04)
    assert (mean.mean, mean.low) == (pytest.approx(0.84), None)  # one patient: no interval, whatever the seeds


def test_paired_contrast_equals_scipy_and_statsmodels_on_the_same_patients():
    rows, organs = study(seeds=1), list(EVALUATED)
    results = Results(typed_rows(rows))
    federated, local = (ModelAtCenter(*who, "Neckar") for who in (("federated", POOLED), ("local", "Neckar")))
    compared = contrast(results, federated, local, "dsc")
    assert compared.paired and [o.organ for o in compared.organs] == organs
    p_values = []
    for organ in organs:
        here = [r for r in rows if r["tested_on"] == "Neckar" and r["organ"] == organ and r["dsc"]]
        ours = {r["patient"]: float(r["dsc"]) for r in here if r["model"] == "federated"}
        theirs = {r["patient"]: float(r["dsc"]) for r in here if (r["model"], r["trained_on"]) == ("local", "Neckar")}
        p_values.append(stats.wilcoxon([ours[p] - theirs[p] for p in ours]).pvalue)
    assert [o.p for o in compared.organs] == pytest.approx(p_values)
    assert [o.p_holm for o in compared.organs] == pytest.approx(multipletests(p_values, method="holm")[1])


def test_pairs_are_the_patients_that_both_models_have():
    rows = [row(dsc=0.9), row(dsc=0.9, patient="p2"), row(dsc=0.8, model="federated", trained_on=POOLED, patient="p2")]
    compared = contrast(Results(typed_rows(rows)), FEDERATED, LOCAL, "dsc")
    assert compared.organs[0].n == (1, 1)
    assert compared.organs[0].median_difference == pytest.approx(-0.1)


def test_pairs_count_scans_and_seeds_that_both_models_have():
    """Seed 1 lacks the federated model, seed 0 one scan of the local one: what is left is 0.9 beside 0.8."""
    federated = dict(model="federated", trained_on=POOLED)
    rows = [row(dsc=0.8, case="a"), row(dsc=0.2, case="a", seed=1)]
    rows += [row(dsc=0.9, case="a", **federated), row(dsc=0.1, case="b", **federated)]
    results = Results(typed_rows(rows))
    pairs = results.paired_means(FEDERATED, LOCAL, "dsc")["Liver"]
    assert pairs.to_numpy().tolist() == [[pytest.approx(0.9), pytest.approx(0.8)]]


def test_differences_are_averaged_over_scans_then_seeds():
    """Seed 0: scans 0.1 and 0.3 apart, so 0.2; seed 1: 0.4; the patient counts 0.3."""
    values = [("a", 0, 0.1), ("b", 0, 0.3), ("a", 1, 0.4)]
    rows = [row(dsc=0.5, case=case, seed=seed) for case, seed, _ in values]
    rows += [row(dsc=0.5 + d, case=case, seed=s, model="federated", trained_on=POOLED) for case, s, d in values]
    compared = contrast(Results(typed_rows(rows)), FEDERATED, LOCAL, "dsc")
    assert compared.organs[0].n == (1, 1)
    assert compared.organs[0].median_difference == pytest.approx(0.3)


def test_a_difference_of_few_patients_keeps_its_direction():
    """Six of 22 patients gain, 16 do not differ: the shift is zero, the ranks say better (p = 2 / 2^6)."""
    rows = [row(dsc=0.8, patient=f"p{k}") for k in range(22)]
    gains = [0.01 * max(0, k - 15) for k in range(22)]
    rows += [row(dsc=0.8 + g, patient=f"p{k}", model="federated", trained_on=POOLED) for k, g in enumerate(gains)]
    compared = contrast(Results(typed_rows(rows)), FEDERATED, LOCAL, "dsc")
    assert compared.organs[0].hodges_lehmann == 0
    assert compared.better() == ["Liver"] and compared.worse() == []


def test_a_higher_nsd_is_better_and_a_higher_distance_worse():
    results = Results(typed_rows(study()))
    for compared in [c for measure in results.measures for c in planned_contrasts(results, measure)]:
        if compared.name == "other local - home local":
            assert compared.worse() == list(EVALUATED) and compared.better() == []


def test_a_table_without_nsd_is_read_all_the_same():
    rows = [{key: value for key, value in line.items() if key != "nsd"} for line in study(patients=7, seeds=1)]
    summary = summarize_rows(typed_rows(rows))
    assert {compared["measure"] for compared in summary["contrasts"]} == {"dsc", "hd95_mm", "msd_mm"}
    assert summary["table"][0]["nsd"]["mean"] is None and summary["table"][0]["dsc"]["mean"] > 0.5


@pytest.mark.slow
def test_power_stands_beside_what_was_found(summary):
    assert [line["tested_on"] for line in summary["power"]] == list(CENTERS)
    kidney = line(summary["power"][0]["organs"], organ="Kidney_L")
    assert kidney["n"] == 15 and 0 < kidney["smallest_difference"] < 0.01 and kidney["equivalence_power"] == 1.0


def test_home_and_away_are_compared_without_pairs(summary):
    unpaired = [c for c in summary["contrasts"] if c["name"] == "away - home"]
    assert len(unpaired) == 2 * 4 and not any(c["paired"] or c["organs"][0]["p_equivalence"] for c in unpaired)
    assert all(c["paired"] for c in summary["contrasts"] if c["name"] != "away - home")
    kidney = line(unpaired[0]["organs"], organ="Kidney_L")
    assert kidney["n"] == (15, 15)  # of 20 a center, five lack it


def test_the_drop_is_found_on_every_organ(summary):
    for drop in summary["drops"]:
        assert drop["drop"] == pytest.approx(0.1, abs=0.02)
        assert drop["worse_than_the_local_model_there"] == list(EVALUATED)
        assert drop["worse_than_at_home"] == list(EVALUATED)
        assert drop["worse_there_by_seed"] == [9, 9]
    assert {(d["trained_on"], d["tested_on"]) for d in summary["drops"]} == {("Neckar", "Polder"), ("Polder", "Neckar")}


def test_the_federation_wins_across_and_matches_home(summary):
    for cross in summary["cross"]:
        assert cross["at_least_as_good"] == cross["significantly_better"] == list(EVALUATED)
        assert cross["significantly_worse"] == []
    for home in summary["home"]:
        assert home["difference"] == pytest.approx(-0.005, abs=0.002)
        assert home["equivalent"] == list(EVALUATED) and home["margin"] == 0.01  # though significantly lower
        assert home["noninferior"] == list(EVALUATED) and home["equivalent_by_seed"] == [9, 9]
        assert home["difference_seed_sd"] == pytest.approx(0, abs=0.001)
        assert set(home["significantly_worse"]) <= set(EVALUATED) and home["significantly_worse"]
    for ideal in summary["centralized"]:
        assert ideal["ratio"] == pytest.approx(0.845 / 0.855, abs=0.003)


@pytest.mark.slow
def test_each_seed_is_counted_as_if_it_were_alone():
    rows = study(seeds=2, organs=EVALUATED)
    second = [r for r in rows if r["seed"] == "1" and r["model"] == "local" and r["dsc"]]
    at_home = {(r["patient"], r["organ"]): r["dsc"] for r in second if r["trained_on"] == r["tested_on"]}
    for line_ in second:  # here nobody loses anything next door
        line_["dsc"] = at_home[line_["patient"], line_["organ"]]
    summary = summarize_rows(typed_rows(rows))
    assert [drop["worse_there_by_seed"] for drop in summary["drops"]] == [[9, 0], [9, 0]]


def test_without_a_difference_nothing_is_significant():
    rows = [r for r in study(patients=8, seeds=1) if r["model"] in ("federated", "centralized")]
    same = [{**r, "model": "federated"} for r in rows if r["model"] == "centralized"]
    summary = summarize_rows(typed_rows([r for r in rows if r["model"] == "centralized"] + same))
    (first, *_) = [c for c in summary["contrasts"] if c["name"] == "federated - centralized"]
    assert {o["p_holm"] for o in first["organs"]} == {1.0}
    assert all(c["ratio"] == 1.0 for c in summary["centralized"])
    assert summary["drops"] == summary["cross"] == summary["home"] == []


def test_false_kidneys_stand_beside_sensitivity(summary):
    away = line(summary["kidneys"], role="away", tested_on="Polder", kidney="Kidney_L")
    assert (away["removed"], away["present"], away["sensitivity"]) == (5, 15, 1.0)
    low, high = away["share_false_interval"]
    assert 0.37 < low < 0.4 and 0.95 < high < 1  # 4 of 5 patients say little
    assert (away["median_false_ml"], away["share_false"]) == (pytest.approx(30.0), pytest.approx(4 / 5))
    home = line(summary["kidneys"], role="home", tested_on="Polder", kidney="Kidney_L")
    assert (home["median_false_ml"], home["share_false"]) == (pytest.approx(0.2), 0.0)
    right = line(summary["kidneys"], role="home", tested_on="Polder", kidney="Kidney_R")
    assert (right["removed"], right["median_false_ml"], right["share_false"]) == (0, None, None)
    assert line(summary["kidneys"], role="home", tested_on="Polder", kidney="both")["present"] == 35


def test_the_table_names_every_model_on_every_center(summary):
    assert len(summary["table"]) == 8
    home = line(summary["table"], role="home", tested_on="Polder")
    assert home["dsc"]["mean"] == pytest.approx(0.85, abs=0.02)
    assert home["dsc"]["seed_sd"] is not None and home["dsc"]["patients"] == 20
    kidney = line(summary["organ_table"], organ="Kidney_L", role="home", tested_on="Polder")
    assert (kidney["patients"], kidney["absent"]) == (15, 5)


@pytest.mark.slow
def test_the_summary_is_json_and_the_same_twice(summary):
    text = json.dumps(summary, allow_nan=False)
    assert text == json.dumps(summarize_rows(typed_rows(study())), allow_nan=False)


def test_few_organs_and_one_center_do_not_break_it():
    summary = summarize_rows(typed_rows([row("Gallbladder", 0.4), row("Gallbladder", 0.6, patient="p2")]))
    assert summary["evaluated"] == [] and summary["table"][0]["dsc"]["mean"] is None
    assert summary["table"][0]["dsc_all"]["mean"] == pytest.approx(0.5)
    assert summarize_rows(typed_rows([]))["table"] == []


def test_rows_come_from_the_file(tmp_path):
    file = tmp_path / "cases.csv"
    rows = [row("Liver", 0.5), row("Kidney_L", None, present=0)]
    lines = [",".join(COLUMNS), *(",".join(r[c] for c in COLUMNS) for r in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = read_rows(file)
    assert table.equals(typed_rows(rows)) and tuple(table) == COLUMNS
    assert table["present"].tolist() == [True, False] and table["seed"].tolist() == [0, 0]
    assert table["dsc"][0] == 0.5 and np.isnan(table["dsc"][1])
    write_rows(tmp_path / "again.csv", table)
    assert (tmp_path / "again.csv").read_text() == file.read_text().replace(".0", "")  # six digits, no more


def test_a_presence_that_is_neither_yes_nor_no_is_refused():
    with pytest.raises(KeyError, match="maybe"):
        typed_rows([row(present="maybe")])
