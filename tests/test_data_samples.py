"""The sample children: nothing changed by accident, readable by the strict reader, small."""

import csv
import hashlib
import json
import lzma
import runpy

import pytest

from pedseg.datasets.reading import check_dataset, read_dataset
from pedseg.evaluation import fedgin, gains
from pedseg.evaluation.domain_shift import SHIFT_FACTORS, costs_of
from pedseg.evaluation.failure_reasons import Failure
from pedseg.evaluation.failures import KINDS
from pedseg.evaluation.results import read_rows
from pedseg.evaluation.statistics import story
from pedseg.learning.network import sha256_of
from pedseg.learning.training import load_weights


@pytest.fixture(scope="module")
def rounded(root):
    """How `record.py` writes numbers."""
    return runpy.run_path(str(root / "data_samples" / "record.py"))["rounded"]


def test_manifest_tells_every_file(root):
    folder = root / "data_samples"
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    listed = {name: digest for case in manifest["cases"] for name, digest in case["sha256"].items()}
    images = {str(file.relative_to(folder).as_posix()) for file in folder.glob("Dataset*/**/*.nii.gz")}
    assert set(listed) == images
    assert len(manifest["cases"]) == 6
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert all({"age_years", "protocol", "license", "removed_kidney"} <= set(case) for case in manifest["cases"])


def test_both_centers_pass_every_check_and_show_a_removed_kidney(root):
    for folder in sorted((root / "data_samples").glob("Dataset*")):
        assert check_dataset(folder) == []
        assert any(case.absent for case in read_dataset(folder).cases)


def test_samples_are_few_megabytes(root):
    assert sum(file.stat().st_size for file in (root / "data_samples").rglob("*") if file.is_file()) < 20e6


def test_recorded_study_is_whole(root):
    folder = root / "data_samples" / "results" / "study"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rows = read_rows(folder / "cases.csv")
    assert {int(row["seed"]) for row in rows} == set(summary["settings"]["seeds"]) == {0, 1, 2}
    assert {row["model"] for row in rows} == {"local", "federated", "centralized"}
    for file in folder.glob("*.safetensors"):
        assert sha256_of(load_weights(file)[0]) == summary["sha256"][file.stem], file.name
    assert len(list(folder.glob("seed0_*.safetensors"))) == 4


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("study", ""),
        ("clinic", ".xz"),
        ("single_phase", ".xz"),
        ("single_phase_gin", ".xz"),
        *(pytest.param(name, ".xz", marks=pytest.mark.slow) for name in ("evaluate", "evaluate_extra60")),
    ],
)
def test_recorded_story_follows_from_its_rows(root, rounded, name, packed):
    folder = root / "data_samples" / "results" / name
    recorded = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["statistics"]
    told = rounded(story(read_rows(folder / f"cases.csv{packed}")))
    assert told == recorded


def test_the_same_networks_met_the_same_patients_and_more(root):
    results = root / "data_samples" / "results"
    of_study, more = (
        json.loads((results / n / "summary.json").read_text(encoding="utf-8")) for n in ("study", "evaluate")
    )
    assert more["sha256"].items() <= of_study["sha256"].items()
    rows = read_rows(results / "evaluate" / "cases.csv.xz")
    patients = {(row["tested_on"], row["patient"]) for row in rows}
    assert patients >= {(row["tested_on"], row["patient"]) for row in read_rows(results / "study" / "cases.csv")}
    assert len(patients) == 300


@pytest.mark.parametrize("name", ["study", "orientation", "augment"])
def test_recorded_costs_follow_from_their_rows(root, rounded, name):
    folder = root / "data_samples" / "results" / name
    recorded = json.loads((folder / "shift.json").read_text(encoding="utf-8"))["costs"]
    with lzma.open(folder / "shift.csv.xz", "rt", newline="", encoding="utf-8") as stream:
        told = rounded(costs_of(list(csv.DictReader(stream))))
    assert told == recorded
    assert {line["factor"] for line in recorded} <= {cause.name for cause in SHIFT_FACTORS}


def test_recorded_failures_are_of_the_recorded_cases(root):
    folder = root / "data_samples" / "results" / "study"
    failed = [Failure.from_json(one) for one in json.loads((folder / "failures.json").read_text(encoding="utf-8"))]
    cases = {row["case"] for row in read_rows(folder / "cases.csv")}
    assert failed
    assert {one.case for one in failed} <= cases
    assert {one.kind for one in failed} <= set(KINDS)


def test_recorded_experiment_with_mr_follows_from_its_rows(root, rounded):
    folder = root / "data_samples" / "results" / "fedgin"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rows = read_rows(folder / "cases.csv")
    assert tuple(rows[0]) == fedgin.ALL_COLUMNS
    assert {row["scenario"] for row in rows} == {*summary["patients"]} == {*fedgin.SCENARIOS}
    assert {row["model"] for row in rows} == {"local", "federated", "federated_gin", "centralized_gin"}
    assert {row["seed"] for row in rows if row["scenario"] == "limited-1:1"} == {"0", "1", "2"}
    assert {row["tested_on"] for row in rows} == {*fedgin.TESTS}
    trained = {(row["tested_on"], row["trained_on"]) for row in rows if row["seen"] == "yes"}
    assert all(tested_on in trained_on.split("+") for tested_on, trained_on in trained)
    told = rounded(gains.tell(rows))
    assert told == {name: summary[name] for name in told}


@pytest.mark.parametrize(("name", "times"), [("fedgin_complete", 1), ("fedgin_long", 4)])
def test_recorded_federations_before_more_children_follow_from_their_rows(root, rounded, name, times):
    folder = root / "data_samples" / "results" / name
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rows = read_rows(folder / "cases.csv.xz")
    told = rounded(gains.tell(rows))
    assert told == {name: summary[name] for name in told}
    assert {(row["scenario"], row["seed"]) for row in rows} == {("complete", seed) for seed in "012"}
    shorter = json.loads((folder.parent / "fedgin" / "summary.json").read_text(encoding="utf-8"))
    assert summary["settings"] == shorter["settings"] | {"rounds": times * shorter["settings"]["rounds"]}
    assert summary["plan"] == shorter["plan"] and set(summary["tests"].values()) == {40}
