"""From rows of cases.csv to the story: patients counted once, pairs kept, sentences right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pedseg.evaluation.reporting import COLUMNS
from pedseg.evaluation.results import ModelKey, Results, contrast, organ_mean
from pedseg.evaluation.statistics import better, read_rows, story, worse
from pedseg.organs import EVALUATED, NAMES

CENTERS = ("Neckar", "Polder")
POOLED = "Neckar+Polder"


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
def told() -> dict:
    return story(study())


def line(lines: list[dict], **keys) -> dict:
    (found,) = [entry for entry in lines if all(entry[k] == v for k, v in keys.items())]
    return found


def test_a_patients_scans_are_averaged_before_seeds():
    rows = [
        row(dsc=0.8, case="a"), row(dsc=0.6, case="b"), row(dsc=0.9, seed=1, case="a"),  # one scan failed in seed 1
        row(dsc=0.5, patient="p2", case="c"),
    ]  # fmt: skip
    values = Results(rows).per_patient(ModelKey("local", "Polder"), "Polder", "Liver", "dsc")
    assert values == {"p1": pytest.approx((0.7 + 0.9) / 2), "p2": 0.5}


def test_the_mean_gives_each_organ_the_same_weight_and_skips_the_absent():
    rows = [row("Liver", 0.9), row("Spleen", 0.5)]
    rows += [row("Liver", 0.7, patient="p2"), row("Spleen", None, patient="p2", present=0)]
    mean = organ_mean(Results(rows), ModelKey("local", "Polder"), "Polder", "dsc", ["Liver", "Spleen", "Heart"])
    assert mean["mean"] == pytest.approx((0.8 + 0.5) / 2)
    assert mean["patients"] == 2
    assert mean["low"] <= mean["mean"] <= mean["high"]
    assert mean["seed_sd"] is None


def test_seed_spread_is_the_deviation_of_the_seeds_own_means():
    rows = [row(dsc=d, seed=s) for s, d in enumerate((0.80, 0.84, 0.88))]
    mean = organ_mean(Results(rows), ModelKey("local", "Polder"), "Polder", "dsc", ["Liver"])
    assert mean["seed_sd"] == pytest.approx(0.04)
    assert (mean["mean"], mean["low"]) == (pytest.approx(0.84), None)  # one patient: no interval, whatever the seeds


def test_paired_contrast_equals_scipy_and_statsmodels_on_the_same_patients():
    rows, organs = study(seeds=1), list(EVALUATED)
    results = Results(rows)
    federated, local = ModelKey("federated", POOLED), ModelKey("local", "Neckar")
    found = contrast(results, (federated, "Neckar"), (local, "Neckar"), "dsc")
    assert found["paired"] and [o["organ"] for o in found["organs"]] == organs
    p_values = []
    for organ in organs:
        here = [r for r in rows if r["tested_on"] == "Neckar" and r["organ"] == organ and r["dsc"]]
        ours = {r["patient"]: float(r["dsc"]) for r in here if r["model"] == "federated"}
        theirs = {r["patient"]: float(r["dsc"]) for r in here if (r["model"], r["trained_on"]) == ("local", "Neckar")}
        p_values.append(stats.wilcoxon([ours[p] - theirs[p] for p in ours]).pvalue)
    assert [o["p"] for o in found["organs"]] == pytest.approx(p_values)
    assert [o["p_holm"] for o in found["organs"]] == pytest.approx(multipletests(p_values, method="holm")[1])


def test_pairs_are_the_patients_that_both_models_have():
    rows = [row(dsc=0.9), row(dsc=0.9, patient="p2"), row(dsc=0.8, model="federated", trained_on=POOLED, patient="p2")]
    found = contrast(
        Results(rows), (ModelKey("federated", POOLED), "Polder"), (ModelKey("local", "Polder"), "Polder"), "dsc"
    )
    assert found["organs"][0]["n"] == (1, 1)
    assert found["organs"][0]["median_difference"] == pytest.approx(-0.1)


def test_pairs_count_scans_and_seeds_that_both_models_have():
    """Seed 1 lacks the federated model, seed 0 one scan of the local one: what is left is 0.9 beside 0.8."""
    federated = dict(model="federated", trained_on=POOLED)
    rows = [row(dsc=0.8, case="a"), row(dsc=0.2, case="a", seed=1)]
    rows += [row(dsc=0.9, case="a", **federated), row(dsc=0.1, case="b", **federated)]
    both = Results(rows).pairs(ModelKey("federated", POOLED), ModelKey("local", "Polder"), "Polder", "Liver", "dsc")
    assert both == ([pytest.approx(0.9)], [pytest.approx(0.8)])


def test_differences_are_averaged_over_scans_then_seeds():
    """Seed 0: scans 0.1 and 0.3 apart, so 0.2; seed 1: 0.4; the patient counts 0.3."""
    values = [("a", 0, 0.1), ("b", 0, 0.3), ("a", 1, 0.4)]
    rows = [row(dsc=0.5, case=case, seed=seed) for case, seed, _ in values]
    rows += [row(dsc=0.5 + d, case=case, seed=s, model="federated", trained_on=POOLED) for case, s, d in values]
    found = contrast(
        Results(rows), (ModelKey("federated", POOLED), "Polder"), (ModelKey("local", "Polder"), "Polder"), "dsc"
    )
    assert found["organs"][0]["n"] == (1, 1)
    assert found["organs"][0]["median_difference"] == pytest.approx(0.3)


def test_a_difference_of_few_patients_keeps_its_direction():
    """Six of 22 patients gain, 16 do not differ: the shift is zero, the ranks say better (p = 2 / 2^6)."""
    rows = [row(dsc=0.8, patient=f"p{k}") for k in range(22)]
    gains = [0.01 * max(0, k - 15) for k in range(22)]
    rows += [row(dsc=0.8 + g, patient=f"p{k}", model="federated", trained_on=POOLED) for k, g in enumerate(gains)]
    found = contrast(
        Results(rows), (ModelKey("federated", POOLED), "Polder"), (ModelKey("local", "Polder"), "Polder"), "dsc"
    )
    assert found["organs"][0]["hodges_lehmann"] == 0
    assert better(found) == ["Liver"] and worse(found) == []


def test_a_higher_nsd_is_better_and_a_higher_distance_worse(told):
    for found in told["contrasts"]:
        if found["name"] == "other local - home local":
            assert worse(found) == list(EVALUATED) and better(found) == []


def test_a_table_without_nsd_is_read_all_the_same():
    rows = [{key: value for key, value in line.items() if key != "nsd"} for line in study(patients=7, seeds=1)]
    told = story(rows)
    assert {found["measure"] for found in told["contrasts"]} == {"dsc", "hd95_mm", "msd_mm"}
    assert told["table"][0]["nsd"]["mean"] is None and told["table"][0]["dsc"]["mean"] > 0.5


def test_power_stands_beside_what_was_found(told):
    assert [line["tested_on"] for line in told["power"]] == list(CENTERS)
    kidney = line(told["power"][0]["organs"], organ="Kidney_L")
    assert kidney["n"] == 15 and 0 < kidney["smallest_difference"] < 0.01 and kidney["equivalence_power"] == 1.0


def test_home_and_away_are_compared_without_pairs(told):
    unpaired = [c for c in told["contrasts"] if c["name"] == "away - home"]
    assert len(unpaired) == 2 * 4 and not any(c["paired"] or c["organs"][0]["p_equivalence"] for c in unpaired)
    assert all(c["paired"] for c in told["contrasts"] if c["name"] != "away - home")
    kidney = line(unpaired[0]["organs"], organ="Kidney_L")
    assert kidney["n"] == (15, 15)  # of 20 a center, five lack it


def test_the_drop_is_found_on_every_organ(told):
    for drop in told["drops"]:
        assert drop["drop"] == pytest.approx(0.1, abs=0.02)
        assert drop["worse_than_the_local_model_there"] == list(EVALUATED)
        assert drop["worse_than_at_home"] == list(EVALUATED)
        assert drop["worse_there_by_seed"] == [9, 9]
    assert {(d["trained_on"], d["tested_on"]) for d in told["drops"]} == {("Neckar", "Polder"), ("Polder", "Neckar")}


def test_the_federation_wins_across_and_matches_home(told):
    for cross in told["cross"]:
        assert cross["at_least_as_good"] == cross["significantly_better"] == list(EVALUATED)
        assert cross["significantly_worse"] == []
    for home in told["home"]:
        assert home["difference"] == pytest.approx(-0.005, abs=0.002)
        assert home["equivalent"] == list(EVALUATED) and home["margin"] == 0.01  # though significantly lower
        assert home["noninferior"] == list(EVALUATED) and home["equivalent_by_seed"] == [9, 9]
        assert home["difference_seed_sd"] == pytest.approx(0, abs=0.001)
        assert set(home["significantly_worse"]) <= set(EVALUATED) and home["significantly_worse"]
    for ideal in told["centralized"]:
        assert ideal["ratio"] == pytest.approx(0.845 / 0.855, abs=0.003)


def test_each_seed_is_counted_as_if_it_were_alone():
    rows = study(seeds=2, organs=EVALUATED)
    second = [r for r in rows if r["seed"] == "1" and r["model"] == "local" and r["dsc"]]
    at_home = {(r["patient"], r["organ"]): r["dsc"] for r in second if r["trained_on"] == r["tested_on"]}
    for one in second:  # here nobody loses anything next door
        one["dsc"] = at_home[one["patient"], one["organ"]]
    told = story(rows)
    assert [drop["worse_there_by_seed"] for drop in told["drops"]] == [[9, 0], [9, 0]]


def test_without_a_difference_nothing_is_significant():
    rows = [r for r in study(patients=8, seeds=1) if r["model"] in ("federated", "centralized")]
    same = [{**r, "model": "federated"} for r in rows if r["model"] == "centralized"]
    told = story([r for r in rows if r["model"] == "centralized"] + same)
    (first, *_) = [c for c in told["contrasts"] if c["name"] == "federated - centralized"]
    assert {o["p_holm"] for o in first["organs"]} == {1.0}
    assert all(c["ratio"] == 1.0 for c in told["centralized"])
    assert told["drops"] == told["cross"] == told["home"] == []


def test_false_kidneys_stand_beside_sensitivity(told):
    away = line(told["kidneys"], role="away", tested_on="Polder", kidney="Kidney_L")
    assert (away["removed"], away["present"], away["sensitivity"]) == (5, 15, 1.0)
    low, high = away["share_false_interval"]
    assert 0.37 < low < 0.4 and 0.95 < high < 1  # 4 of 5 patients say little
    assert (away["median_false_ml"], away["share_false"]) == (pytest.approx(30.0), pytest.approx(4 / 5))
    home = line(told["kidneys"], role="home", tested_on="Polder", kidney="Kidney_L")
    assert (home["median_false_ml"], home["share_false"]) == (pytest.approx(0.2), 0.0)
    right = line(told["kidneys"], role="home", tested_on="Polder", kidney="Kidney_R")
    assert (right["removed"], right["median_false_ml"], right["share_false"]) == (0, None, None)
    assert line(told["kidneys"], role="home", tested_on="Polder", kidney="both")["present"] == 35


def test_the_table_names_every_model_on_every_center(told):
    assert len(told["table"]) == 8
    home = line(told["table"], role="home", tested_on="Polder")
    assert home["dsc"]["mean"] == pytest.approx(0.85, abs=0.02)
    assert home["dsc"]["seed_sd"] is not None and home["dsc"]["patients"] == 20
    kidney = line(told["organ_table"], organ="Kidney_L", role="home", tested_on="Polder")
    assert (kidney["patients"], kidney["absent"]) == (15, 5)


def test_story_is_json_and_the_same_twice(told):
    text = json.dumps(told, allow_nan=False)
    assert text == json.dumps(story(study()), allow_nan=False)


def test_few_organs_and_one_center_do_not_break_it():
    told = story([row("Gallbladder", 0.4), row("Gallbladder", 0.6, patient="p2")])
    assert told["evaluated"] == [] and told["table"][0]["dsc"]["mean"] is None
    assert told["table"][0]["dsc_all"]["mean"] == pytest.approx(0.5)
    assert story([])["table"] == []


def test_rows_come_from_the_file(tmp_path):
    file = tmp_path / "cases.csv"
    rows = [row("Liver", 0.5), row("Kidney_L", None, present=0)]
    lines = [",".join(COLUMNS), *(",".join(r[c] for c in COLUMNS) for r in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert read_rows(file) == rows


def test_a_presence_that_is_neither_yes_nor_no_is_refused():
    with pytest.raises(KeyError, match="maybe"):
        story([row(present="maybe")])
