"""Scoring a model gives rows with today's columns, and beside them what went wrong."""

from __future__ import annotations

import csv
import dataclasses
import json

import pytest

from pedseg.datasets.reading import read_centers
from pedseg.evaluation import scoring
from pedseg.evaluation.misplacement import from_contours
from pedseg.evaluation.results import COLUMNS, NUMBERS, ModelKey, Results, read_rows
from pedseg.evaluation.severity import by_severity
from pedseg.evaluation.trained_models import TrainedModel
from pedseg.learning import network, plans
from pedseg.learning.fingerprint import fingerprint, merge
from pedseg.learning.weights import get_weights, save_weights
from pedseg.organs import NAMES

LOCAL = ModelKey("local", "Aa")


@pytest.fixture(scope="module")
def model(hospitals):
    """An untrained network, called the local model of Aa."""
    datasets = read_centers(hospitals)
    plan = plans.make_plan(merge([fingerprint(d, d.split("train")) for d in datasets]), "lesson")
    return TrainedModel(network.build(plan, 0), plan, LOCAL)


@pytest.fixture(scope="module")
def tested(hospitals, model, tmp_path_factory):
    """An untrained network on the test case of Aa."""
    folder = tmp_path_factory.mktemp("tested")
    datasets = read_centers(hospitals)
    file = folder / "seed0_local_Aa_on_Aa.csv"
    cases = list(scoring.score_center(model, datasets[0], file, kept=folder / "kept"))
    assert cases == [case.name for case in datasets[0].split("test")]
    return file, datasets


def test_rows_have_the_columns_of_today_and_nsd_comes_last(tested):
    with tested[0].open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS and COLUMNS[-1] == "nsd"
    assert len(rows) == 3 and all(0 <= float(row["nsd"]) <= 1 for row in rows)
    assert {(row["model"], row["trained_on"], row["tested_on"]) for row in rows} == {("local", "Aa", "Aa")}


def test_finished_means_with_todays_columns_and_of_these_cases(tested, tmp_path):
    file, (own, other) = tested
    assert scoring.is_finished(file, own) and not scoring.is_finished(tmp_path / "none.csv", own)
    assert not scoring.is_finished(file, other)
    old = tmp_path / "old.csv"
    old.write_text("".join(line.rpartition(",")[0] + "\n" for line in file.read_text().splitlines()))
    assert not scoring.is_finished(old, own)


def test_the_first_contours_are_kept(tested):
    (kept,) = (tested[0].parent / "kept" / "Aa").iterdir()
    assert {file.name for file in kept.iterdir()} == {"image.nii.gz", "truth.nii.gz", "local_Aa.nii.gz"}


def test_failures_of_rows_and_contours_come_together_with_their_place(tested):
    file, datasets = tested
    failures, ratios = scoring.collect_failures([file], read_rows(file), datasets)
    assert json.dumps([failure.as_json() for failure in failures]) and ratios == {}  # too few to count
    assert failures == by_severity(failures) and failures[0].wrong_ml > 0
    assert {"worst", "missed", "false"} & {failure.kind for failure in failures}  # it was never trained
    assert all(failure.voxel is not None and failure.sentence for failure in failures)
    assert scoring.collect_failures([], read_rows(file).iloc[:0], datasets) == ([], {})


def test_other_seeds_leave_rows_alone(tested, model, tmp_path):
    other = tmp_path / "seed1.csv"
    list(scoring.score_center(dataclasses.replace(model, seed=1), tested[1][1], other))
    assert [path.name for path in tmp_path.iterdir()] == ["seed1.csv"]


def test_scores_are_the_rows_of_the_study(tested, model):
    file, datasets = tested
    rows = scoring.score(model, scoring.load_labeled_scans(datasets[0]))
    assert tuple(rows) == COLUMNS and Results(rows).centers == ["Aa"]
    recorded = read_rows(file)
    assert rows["dsc"].to_numpy() == pytest.approx(recorded["dsc"].to_numpy(), rel=1e-5)
    assert rows.drop(columns=list(NUMBERS)).equals(recorded.drop(columns=list(NUMBERS)))


def test_what_nobody_annotated_is_not_scored(tested, model):
    dataset = tested[1][0]
    (case,) = dataset.split("test")
    known = dataclasses.replace(dataset, cases=(dataclasses.replace(case, annotated=("Liver", "Heart")),))
    whole = dataclasses.replace(model, plan=dataclasses.replace(model.plan, organs=NAMES))
    whole = dataclasses.replace(whole, network=network.build(whole.plan, 0))
    assert list(scoring.score(whole, scoring.load_labeled_scans(known))["organ"]) == ["Liver", "Heart"]


def test_every_test_case_is_seen_once_with_its_prediction(tested, model):
    seen = []
    scans = scoring.load_labeled_scans(*tested[1])
    scoring.score(
        model, scans, lambda scan, predicted: seen.append((scan.case.name, predicted.shape == scan.image.shape))
    )
    assert seen == [(case.name, True) for dataset in tested[1] for case in dataset.split("test")]
    assert scoring.score(model, []).empty


def test_misplaced_organs_are_those_of_the_rules_for_every_model(tested, model, tmp_path):
    datasets = tested[1]
    files = {}
    for seed, key in enumerate((LOCAL, ModelKey("federated", "Aa+Bb"))):
        files[key] = tmp_path / f"{seed}.safetensors"
        save_weights(files[key], get_weights(network.build(model.plan, seed)), model.plan)
    failures = scoring.find_misplaced(files, scoring.load_labeled_scans(*datasets))
    assert {failure.model_key for failure in failures} <= {*files}
    assert failures == by_severity(failures)
    (scan,) = scoring.load_labeled_scans(datasets[0])
    theirs = from_contours(scan.truth, model.predict(scan.image), scan.image.spacing_mm, scan.case, LOCAL)
    ours = [f for f in failures if f.case == scan.case.name and f.model == "local"]
    assert {(f.organ, f.kind, f.voxel) for f in ours} == {(f.organ, f.kind, f.voxel) for f in theirs}
