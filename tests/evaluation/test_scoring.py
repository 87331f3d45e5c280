"""Testing one model leaves rows with today's columns, and beside them what went wrong."""

from __future__ import annotations

import csv
import json

import pytest

from pedseg.datasets.reading import read_centers
from pedseg.evaluation import scoring
from pedseg.evaluation.reporting import COLUMNS
from pedseg.evaluation.results import ModelKey
from pedseg.learning import network, plans

ARM = ModelKey("local", "Aa")


@pytest.fixture(scope="module")
def tested(hospitals, tmp_path_factory):
    """An untrained network on the test case of Aa."""
    folder = tmp_path_factory.mktemp("tested")
    datasets = read_centers(hospitals)
    plan = plans.make_plan(plans.merge([plans.fingerprint(d, d.split("train")) for d in datasets]), "lesson")
    file = folder / "seed0_local_Aa_on_Aa.csv"
    cases = list(scoring.score_center(network.build(plan, 0), plan, datasets[0], ARM, 0, file, kept=folder / "kept"))
    assert [case.name for case in cases] == [case.name for case in datasets[0].split("test")]
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
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    failures = scoring.gather([file], rows, datasets)
    assert json.dumps(failures)
    severities = [failure["severity"] for failure in failures]
    assert severities == sorted(severities, reverse=True) and 0 < severities[0] <= 1
    assert {"worst", "missed", "false"} & {failure["kind"] for failure in failures}  # it was never trained
    assert all(failure["voxel"] is not None and failure["sentence"] for failure in failures)
    assert scoring.gather([], [], datasets) == []


def test_other_seeds_leave_rows_alone(tested, tmp_path):
    datasets = tested[1]
    plan = plans.make_plan(plans.merge([plans.fingerprint(d, d.split("train")) for d in datasets]), "lesson")
    other = tmp_path / "seed1.csv"
    list(scoring.score_center(network.build(plan, 0), plan, datasets[1], ARM, 1, other))
    assert [path.name for path in tmp_path.iterdir()] == ["seed1.csv"]
