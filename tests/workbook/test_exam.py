"""Networks meet children: rows for the table, contours for the reading room."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pedseg.evaluation.results import Results
from pedseg.evaluation.study import COLUMNS
from pedseg.learning.network import build, get_weights
from pedseg.learning.plans import fingerprint, make_plan
from pedseg.learning.prediction import predict
from pedseg.learning.training import save_weights
from pedseg.patients.centers import POLDER, make_dataset
from pedseg.patients.datasets import load_image, read_dataset
from pedseg.workbook import exam


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
    rows = exam.examine(build(plan, 0), plan, [polder], model="local", trained_on="Polder")
    assert len(rows) == 3 * len(plan.organs)
    assert set(COLUMNS) <= set(rows[0])
    assert Results(rows).centers == ["Polder"]


def test_what_nobody_annotated_is_not_examined(polder, plan, monkeypatch):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    case = dataclasses.replace(polder.cases[0], annotated=("Liver", "Heart"))
    known = dataclasses.replace(polder, cases=(case,))
    rows = exam.examine(build(plan, 0), plan, [known], model="local", trained_on="Polder")
    assert [row["organ"] for row in rows] == ["Liver", "Heart"]


def test_the_first_seed_of_every_model_is_offered(study):
    files = exam.weight_files(study)
    assert list(files) == ["federated", "Polder alone"]
    assert files["federated"].name == "seed0_federated.safetensors"
    assert list(exam.weight_files(study / "weights")) == ["federated", "Polder alone"]


def test_a_network_draws_when_it_is_looked_at_and_only_once(polder, plan, study, monkeypatch):
    drawn = []
    monkeypatch.setattr(exam, "predict", lambda *arguments: drawn.append(1) or predict(*arguments))
    room = exam.reading_room([polder], study)
    assert len(room) == 3 and all(title.startswith("Polder: polder-00") for title in room)
    sight = next(iter(room.values()))()
    assert list(sight.predictions) == ["federated", "Polder alone"] and not drawn
    first = sight.predictions["federated"]
    assert first is sight.predictions["federated"] and len(drawn) == 1
    assert np.array_equal(first, predict(build(plan, 1), load_image(polder.cases[0]), plan))


def test_a_child_is_described_for_a_list(polder):
    case = dataclasses.replace(polder.cases[0], name="x", age_months=27, absent=("Kidney_L", "Gallbladder"))
    assert exam.describe(polder, case) == "Polder: x, 2 y 3 m, no left kidney"
    assert exam.describe(polder, dataclasses.replace(case, age_months=None, absent=())) == "Polder: x"
