"""Networks meet children: rows for the table, contours for the reading room."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.evaluation import domain_shift as sweeps
from pedseg.evaluation.failure_reasons import Failure
from pedseg.evaluation.misplacement import from_contours
from pedseg.evaluation.results import ModelKey, Results
from pedseg.evaluation.study import COLUMNS
from pedseg.learning.inference import predict
from pedseg.learning.network import build, get_weights
from pedseg.learning.plans import fingerprint, make_plan
from pedseg.learning.training import save_weights
from pedseg.phantoms.centers import POLDER, make_dataset
from pedseg.workbook import evaluation_helpers


@pytest.fixture(scope="module")
def polder(tmp_path_factory):
    """Three test children of Polder."""
    folder = tmp_path_factory.mktemp("data") / "Dataset901_Polder"
    list(make_dataset(dataclasses.replace(POLDER, repeat_share=0.0), folder, train=0, validation=0, test=3))
    return read_dataset(folder)


@pytest.fixture(scope="module")
def plan(polder):
    return make_plan(fingerprint(polder, polder.cases))


@pytest.fixture(scope="module")
def study(polder, plan, tmp_path_factory):
    """Weights of three untrained models, named as a study names them."""
    folder = tmp_path_factory.mktemp("study")
    for seed, name in enumerate(("seed0_local_Polder", "seed0_federated", "seed1_federated")):
        save_weights(folder / "weights" / f"{name}.safetensors", get_weights(build(plan, seed)), plan)
    return folder


def test_rows_have_the_columns_of_the_study(polder, plan, monkeypatch):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    rows = evaluation_helpers.examine(build(plan, 0), plan, [polder], model="local", trained_on="Polder")
    assert len(rows) == 3 * len(plan.organs)
    assert set(COLUMNS) <= set(rows[0])
    assert Results(rows).centers == ["Polder"]


def test_what_nobody_annotated_is_not_examined(polder, plan, monkeypatch):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    case = dataclasses.replace(polder.cases[0], annotated=("Liver", "Heart"))
    known = dataclasses.replace(polder, cases=(case,))
    rows = evaluation_helpers.examine(build(plan, 0), plan, [known], model="local", trained_on="Polder")
    assert [row["organ"] for row in rows] == ["Liver", "Heart"]


def test_the_first_seed_of_every_model_is_offered(study):
    files = evaluation_helpers.weight_files(study)
    assert list(files) == ["federated", "Polder alone"]
    assert files["federated"].name == "seed0_federated.safetensors"
    assert list(evaluation_helpers.weight_files(study / "weights")) == ["federated", "Polder alone"]


def test_a_network_draws_when_it_is_looked_at_and_only_once(polder, plan, study, monkeypatch):
    drawn = []
    monkeypatch.setattr(evaluation_helpers, "predict", lambda *arguments: drawn.append(1) or predict(*arguments))
    room = evaluation_helpers.reading_room([polder], study)
    assert len(room) == 3 and all(title.startswith("Polder: polder-00") for title in room)
    sight = next(iter(room.values()))()
    assert list(sight.predictions) == ["federated", "Polder alone"] and not drawn
    first = sight.predictions["federated"]
    assert first is sight.predictions["federated"] and len(drawn) == 1
    assert np.array_equal(first, predict(build(plan, 1), load_image(polder.cases[0]), plan))


def test_every_test_child_is_drawn(polder, plan, monkeypatch):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    drawn = list(evaluation_helpers.drawings(build(plan, 0), plan, [polder]))
    assert [case.name for case, _, _ in drawn] == [case.name for case in polder.cases]
    assert all(label_map.shape == scan.shape for _, scan, label_map in drawn)
    assert list(evaluation_helpers.drawings(build(plan, 0), plan, [])) == []


def test_failures_are_those_of_the_rules_for_every_model(polder, plan, study, monkeypatch):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    found = evaluation_helpers.failures([polder], study)
    assert {failure.model_key for failure in found} <= {ModelKey("local", "Polder"), ModelKey("federated", "Polder")}
    assert [f.severity for f in found] == sorted((f.severity for f in found), reverse=True)
    case = polder.cases[0]
    scan, truth = load_image(case), load_labels(polder, case).voxels
    drawn = predict(build(plan, 0), scan, plan)
    theirs = from_contours(truth, drawn, scan.spacing_mm, case, ModelKey("local", "Polder"))
    ours = [f for f in found if f.case == case.name and f.model == "local"]
    assert {(f.organ, f.kind, f.voxel) for f in ours} == {(f.organ, f.kind, f.voxel) for f in theirs}


def test_recorded_failures_are_read_where_they_are(tmp_path):
    assert evaluation_helpers.recorded_failures(tmp_path) == []
    one = Failure("p1", "Polder", "Liver", "local", "Polder", "part", 3.0, "mL", 0.5, (1, 2, 3), "In two pieces.")
    (tmp_path / "failures.json").write_text(json.dumps([one.as_json()]))
    assert evaluation_helpers.recorded_failures(tmp_path) == [one]


def test_recorded_costs_are_read_and_others_are_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path / "runs"))
    calls = []

    def evaluate_shift(study, out, *, patients, names, workers):
        calls.append((study, patients, names))
        out.mkdir(parents=True, exist_ok=True)
        (out / "shift.json").write_text('{"costs": [{"factor": "80 kV"}]}')
        yield 1, 1

    monkeypatch.setattr(evaluation_helpers, "evaluate_shift", evaluate_shift)
    study = tmp_path / "study"
    study.mkdir()
    assert evaluation_helpers.costs(study) == [{"factor": "80 kV"}]
    assert calls == [(study, 1, evaluation_helpers.A_FEW)] and "a few causes are measured" in capsys.readouterr().out
    (study / "shift.json").write_text('{"costs": []}')
    assert evaluation_helpers.costs(study) == [] and len(calls) == 1


def test_the_few_causes_are_known():
    assert set(evaluation_helpers.A_FEW) <= {cause.name for cause in sweeps.SHIFT_FACTORS}


def test_a_child_is_described_for_a_list(polder):
    case = dataclasses.replace(polder.cases[0], name="x", age_months=27, absent=("Kidney_L", "Gallbladder"))
    assert evaluation_helpers.describe(polder, case) == "Polder: x, 2 y 3 m, no left kidney"
    assert evaluation_helpers.describe(polder, dataclasses.replace(case, age_months=None, absent=())) == "Polder: x"
