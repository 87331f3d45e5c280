"""CT meets MR: every scenario, model and test is in the rows, nothing is trained twice, and a run goes on."""

import csv
import json
import shutil
from dataclasses import replace

import pytest

from pedseg.evaluation import fedgin as room
from pedseg.evaluation import study_training
from pedseg.evaluation.config import FEDGIN
from pedseg.evaluation.fedgin import Size, run_fedgin
from pedseg.evaluation.gains import FIVE, gains, means, overall
from pedseg.evaluation.results import typed_rows
from pedseg.learning import training
from pedseg.learning.weights import load_weights
from pedseg.phantoms.centers import Center

SIZE = Size((("limited-1:1", (3, 3)), ("complete", (4, 3))), validation=1, test=3)
SETTINGS = replace(FEDGIN, seeds=1, federation=replace(FEDGIN.federation, rounds=2, local_steps=1))


def rows_of(out):
    with (out / "cases.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def coarse(center: Center) -> Center:
    """A center that scans in voxels of 6 x 6 x 8 mm."""
    protocols = tuple((share, replace(protocol, pixel_mm=6.0, slice_mm=8.0)) for share, protocol in center.protocols)
    return replace(center, build_mm=(6.0, 6.0, 8.0), protocols=protocols)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny experiment: coarse children, one step a round."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("fedgin")
    for name in ("CT", "MR"):
        patch.setattr(room, name, coarse(getattr(room, name)))
    few = ("Polder", "Fjord", "Fjord T1w 3 T")
    patch.setattr(room, "TESTS", {name: coarse(room.TESTS[name]) for name in few})
    patch.setattr(room, "SPACING_MM", (8.0, 8.0, 8.0))
    progress = list(run_fedgin(folder / "out", SETTINGS, data=folder / "data", size=SIZE))
    yield folder, progress
    patch.undo()


def test_a_part_of_the_experiment_is_asked_for_by_name(tmp_path, monkeypatch):
    from pedseg.__main__ import main

    asked = []
    monkeypatch.setattr(room, "run_fedgin", lambda out, config, size: asked.append((config, size)) or iter(()))
    monkeypatch.setattr(room, "table", lambda out: "")
    for name in room.FEDGIN_SCENARIOS:
        assert main(["fedgin", "--scenario", name]) == 0
    assert [[name for name, _ in part.scenarios] for _, part in asked] == [[name] for name in room.FEDGIN_SCENARIOS]
    assert main(["fedgin", "--rounds", "80", "--scenario", "complete", "--scenario", "limited-1:1"]) == 0
    some, part = asked[-1]
    assert (some.federation.rounds, [name for name, _ in part.scenarios]) == (80, ["limited-1:1", "complete"])
    for name in room.FEDGIN_MODELS:
        assert main(["fedgin", "--model", name, "--test-patients", "40"]) == 0
        assert (asked[-1][1].models, asked[-1][1].test) == ((name,), 40)
    assert main(["fedgin"]) == 0
    assert asked[-1][1] == room.FULL


@pytest.mark.slow
def test_every_model_of_every_scenario_meets_every_test(finished):
    rows = rows_of(finished[0] / "out")
    assert tuple(rows[0]) == room.ALL_COLUMNS
    combinations = {(row["scenario"], row["model"], row["trained_on"], row["tested_on"]) for row in rows}
    models = [("local", "Polder"), ("local", "Fjord")]
    models += [(kind, "Polder+Fjord") for kind in ("federated", "federated_gin", "centralized_gin")]
    assert combinations == {(s, *m, t) for s in ("limited-1:1", "complete") for m in models for t in room.TESTS}
    assert {len({row["patient"] for row in rows if row["tested_on"] == test}) for test in room.TESTS} == {3}


@pytest.mark.slow
def test_seen_is_what_was_in_training(finished):
    rows = rows_of(finished[0] / "out")
    seen = {(row["model"], row["trained_on"], row["tested_on"]) for row in rows if row["seen"] == "yes"}
    assert {row["seen"] for row in rows} == {"yes", "no"}
    both = [
        (kind, "Polder+Fjord", test) for kind in ("federated", "federated_gin", "centralized_gin") for test in CENTERS
    ]
    assert seen == {("local", "Polder", "Polder"), ("local", "Fjord", "Fjord"), *both}


CENTERS = ("Polder", "Fjord")


@pytest.mark.slow
def test_a_local_network_that_two_scenarios_share_is_trained_once(finished):
    rows = rows_of(finished[0] / "out")
    of_fjord = [row for row in rows if (row["model"], row["trained_on"]) == ("local", "Fjord")]
    halves = [
        [{**row, "scenario": ""} for row in of_fjord if row["scenario"] == s] for s in ("limited-1:1", "complete")
    ]
    assert halves[0] == halves[1]
    assert len(list((finished[0] / "out" / "work").glob("*/seed0_local_Fjord.safetensors"))) == 1
    assert len(list((finished[0] / "out" / "work").glob("*/seed0_local_Polder.safetensors"))) == 2


@pytest.mark.slow
def test_only_the_models_with_gin_learned_with_it(finished):
    plans = {}
    for file in (finished[0] / "out" / "weights").iterdir():
        plans[file.stem] = load_weights(file)[1]
    assert {name for name, plan in plans.items() if plan.gin_probability} == {
        name for name in plans if name.endswith("_gin")
    }
    assert all(plan.intensity == "body" and plan.spacing_mm == (8.0, 8.0, 8.0) for plan in plans.values())
    assert len({replace(plan, gin_probability=0.0).to_json() for plan in plans.values()}) == 1


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_writes_the_same(finished, monkeypatch):
    folder, progress = finished
    before = rows_of(folder / "out")
    monkeypatch.setattr(training, "train", None)
    monkeypatch.setattr(study_training, "train_rounds", None)
    list(run_fedgin(folder / "out", SETTINGS, data=folder / "data", size=SIZE))
    assert rows_of(folder / "out") == before
    done = [step.done for step in progress]
    assert done == sorted(done) and progress[-1].done == progress[-1].total


@pytest.mark.slow
def test_more_patients_meet_the_models_that_are_asked_for_and_nothing_is_trained(finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    monkeypatch.setattr(training, "train", None)
    monkeypatch.setattr(study_training, "train_rounds", None)
    larger = replace(SIZE, test=4, models=("federated", "federated_gin"))
    list(run_fedgin(tmp_path / "out", SETTINGS, data=finished[0] / "data", size=larger))
    before, rows = rows_of(finished[0] / "out"), rows_of(tmp_path / "out")
    assert {row["model"] for row in rows} == set(larger.models)
    for test in room.TESTS:
        assert len({row["patient"] for row in rows if row["tested_on"] == test}) == 4
    first = [row for row in before if row["model"] in larger.models]
    assert all(row in rows for row in first)  # the same children, and one more


@pytest.mark.slow
def test_the_summary_tells_means_and_gains(finished):
    summary = json.loads((finished[0] / "out" / "summary.json").read_text())
    assert summary["patients"]["complete"] == {
        "Polder": {"train": 4, "validation": 1},
        "Fjord": {"train": 3, "validation": 1},
    }
    assert {line["organ"] for line in summary["gains"]} == set(FIVE)
    assert len(summary["means"]) == 2 * 5 * 3
    assert "Fjord T1w 3 T" in room.table(finished[0] / "out")


def scored(model, patient, organ, dsc, seed=0):
    who = {"seed": seed, "model": model, "trained_on": "Polder+Fjord", "tested_on": "Fjord", "scenario": "limited-1:1"}
    numbers = {"present": "1", "dsc": dsc, "hd95_mm": "", "msd_mm": "", "volume_ml": 1, "predicted_ml": 1, "nsd": ""}
    return {**who, "patient": patient, "case": patient, "organ": organ, **numbers}


def test_two_kidneys_count_as_one_organ_and_gains_are_paired_by_patient():
    rows = []
    for patient in range(6):
        for model, gain in (("federated", 0.0), ("federated_gin", 0.1 + 0.01 * patient)):
            rows += [
                scored(model, f"p{patient}", "Liver", 0.5 + gain),
                scored(model, f"p{patient}", "Kidney_L", 0.2 + gain),
            ]
            if patient:  # the first one has lost the right kidney
                rows.append(scored(model, f"p{patient}", "Kidney_R", 0.4 + gain))
    (line,) = [line for line in means(typed_rows(rows)) if line["model"] == "federated"]
    assert line["liver"] == pytest.approx(0.5) and line["spleen"] is None
    assert line["kidneys"] == pytest.approx((0.2 + 5 * 0.3) / 6)
    assert line["five"]["mean"] == pytest.approx((0.5 + (0.2 + 5 * 0.3) / 6) / 2)
    by_organ = {line["organ"]: line for line in gains(typed_rows(rows))}
    assert by_organ["liver"]["mean_difference"] == pytest.approx(0.125)
    assert by_organ["kidneys"]["n"] == (6, 6) and by_organ["spleen"]["n"] == (0, 0)
    assert by_organ["liver"]["p"] == pytest.approx(2 / 64)  # all six better: the smallest p of six pairs
    assert by_organ["liver"]["p_holm"] == pytest.approx(4 / 64)  # two organs are asked


def test_the_overall_difference_is_that_of_each_patients_means():
    rows = []
    for patient in range(6):
        for seed in (0, 1):
            for model, gain in (("federated", 0.0), ("federated_gin", 0.01 * patient - 0.02 * seed)):
                rows += [scored(model, f"p{patient}", organ, 0.5 + gain, seed) for organ in ("Liver", "Spleen")]
                rows.append(scored(model, f"p{patient}", "Heart", 0.5 - gain, seed))
    five, every = overall(typed_rows(rows))
    assert (five["organs"], every["organs"]) == ("five", "all")
    assert five["n"] == (6, 6) and five["seeds"] == pytest.approx([0.025, 0.005])
    assert five["mean_difference"] == pytest.approx(0.015)  # mean of 0 to 5, in hundredths, less 1
    assert every["mean_difference"] == pytest.approx(0.005)  # two organs up, one down
    assert five["median_difference"] == pytest.approx(0.015)
