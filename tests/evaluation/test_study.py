"""The study on two tiny hospitals: what it leaves, that it goes on where it stopped, what it refuses."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from pedseg.datasets.reading import read_centers, read_dataset
from pedseg.datasets.writing import write_case, write_index
from pedseg.errors import PedsegInputError
from pedseg.evaluation import study_training, virtual_data
from pedseg.evaluation.config import StudyConfig
from pedseg.evaluation.failures import read_failures
from pedseg.evaluation.reporting import table
from pedseg.evaluation.results import COLUMNS, ModelKey
from pedseg.evaluation.severity import by_severity
from pedseg.evaluation.study import run_study
from pedseg.evaluation.trained_models import read_identity
from pedseg.federation.config import FederationConfig
from pedseg.learning import training
from pedseg.learning.weights import load_weights, sha256_of
from pedseg.organs import organ
from pedseg.scan import Scan, read_nifti, write_nifti

ORGANS = ("Liver", "Spleen", "Kidney_L")
SETTINGS = StudyConfig(FederationConfig(rounds=2, local_steps=2), seeds=2)


def rows_of(out):
    with (out / "cases.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def finished(hospitals, tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    progress = list(run_study(hospitals, out, SETTINGS))
    return out, progress


@pytest.mark.slow
def test_cases_csv_holds_every_model_on_every_test_patient_of_every_center(finished):
    rows = rows_of(finished[0])
    assert tuple(rows[0]) == COLUMNS and all(0 <= float(row["nsd"]) <= 1 for row in rows)
    models = {(row["seed"], row["model"], row["trained_on"]) for row in rows}
    kinds = [("local", "Aa"), ("local", "Bb"), ("federated", "Aa+Bb"), ("centralized", "Aa+Bb")]
    assert models == {(seed, *kind) for seed in "01" for kind in kinds}
    assert len(rows) == 2 * 4 * 2 * 3  # seeds, models, test cases, organs
    assert {row["present"] for row in rows} == {"1"}
    assert all(0 <= float(row["dsc"]) <= 1 for row in rows)


@pytest.mark.slow
def test_summary_tells_how_it_came_about(finished):
    summary = json.loads((finished[0] / "summary.json").read_text())
    assert summary["settings"] == {
        "profile": "lesson",
        "seeds": [0, 1],
        "rounds": 2,
        "local_steps": 2,
        "orientation": "",
        "gin_probability": 0.0,
    }
    assert len(summary["left_out"]) == 16
    assert len(summary["sha256"]) == 8
    for name, digest in summary["sha256"].items():
        weights, _, _ = load_weights(finished[0] / "weights" / f"{name}.safetensors")
        assert sha256_of(weights) == digest
    identities = {read_identity(file) for file in (finished[0] / "weights").iterdir()}
    kinds = [("local", "Aa"), ("local", "Bb"), ("federated", "Aa+Bb"), ("centralized", "Aa+Bb")]
    assert identities == {(ModelKey(*kind), seed) for seed in (0, 1) for kind in kinds}
    assert [point["step"] for point in summary["curves"]["seed0_local_Aa"]] == [2, 4]
    assert all(point["dsc"] is not None for curve in summary["curves"].values() for point in curve)
    assert summary["peak_memory_mib"] > 50
    assert "nine organs" in table(finished[0])


@pytest.mark.slow
def test_failures_of_the_first_seed_are_told_the_worst_first(finished):
    failures = json.loads((finished[0] / "failures.json").read_text(encoding="utf-8"))
    rows = {(row["case"], row["organ"]) for row in rows_of(finished[0])}
    assert failures and all((line["case"], line["organ"]) in rows for line in failures)
    assert {(line["model"], line["trained_on"]) for line in failures} <= {
        ("local", "Aa"), ("local", "Bb"), ("federated", "Aa+Bb"), ("centralized", "Aa+Bb"),
    }  # fmt: skip
    recorded = read_failures(finished[0])
    assert recorded == by_severity(recorded) and len(recorded) == len(failures)
    assert (finished[0] / "causes.csv").read_text().startswith("cause,ratio")
    assert all(len(line["voxel"]) == 3 and line["sentence"].endswith(".") for line in failures)


@pytest.mark.slow
def test_progress_never_goes_back_and_ends_at_the_end(finished):
    done = [step.done for step in finished[1]]
    assert done == sorted(done)
    assert finished[1][-1].done == finished[1][-1].total


@pytest.mark.slow
def test_a_stopped_study_goes_on_and_ends_alike(hospitals, tmp_path, finished):
    stream = run_study(hospitals, tmp_path, SETTINGS)
    for _, step in zip(range(12), stream, strict=False):
        assert step.stage
    stream.close()
    list(run_study(hospitals, tmp_path, SETTINGS))
    assert rows_of(tmp_path) == rows_of(finished[0])
    summaries = [json.loads((out / "summary.json").read_text()) for out in (tmp_path, finished[0])]
    assert summaries[0]["sha256"] == summaries[1]["sha256"]


@pytest.mark.slow
def test_a_finished_study_trains_nothing_again(hospitals, finished, monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "train", fail)
    monkeypatch.setattr(study_training, "train_rounds", fail)
    before = rows_of(finished[0])
    list(run_study(hospitals, finished[0], SETTINGS))
    assert rows_of(finished[0]) == before


@pytest.mark.slow
def test_a_study_from_before_nsd_is_tested_again_and_not_trained(hospitals, finished, tmp_path, monkeypatch):
    out = tmp_path / "old"
    shutil.copytree(finished[0], out)
    for file in out.rglob("*_on_*.csv"):
        lines = file.read_text().splitlines()
        file.write_text("".join(line.rsplit(",", 1)[0] + "\n" for line in lines))
    for file in out.rglob("*.contours.json"):
        file.unlink()
    monkeypatch.setattr(training, "train", None)
    monkeypatch.setattr(study_training, "train_rounds", None)
    list(run_study(hospitals, out, SETTINGS))
    assert rows_of(out) == rows_of(finished[0])
    assert (out / "failures.json").read_bytes() == (finished[0] / "failures.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["seed0_local_Aa.safetensors", "seed0_federated.safetensors", "*.contours.json"])
def test_work_that_was_cut_off_is_done_again(hospitals, finished, tmp_path, pattern):
    out = shutil.copytree(finished[0], tmp_path / "out")
    damaged = [*(out / "work").rglob(pattern)]
    for file in damaged:
        file.write_bytes(file.read_bytes()[:-20])
    list(run_study(hospitals, out, SETTINGS))
    assert damaged and rows_of(out) == rows_of(finished[0])
    digests = [json.loads((folder / "summary.json").read_text())["sha256"] for folder in (out, finished[0])]
    assert digests[0] == digests[1]
    assert (out / "failures.json").read_bytes() == (finished[0] / "failures.json").read_bytes()


def spleen_ml(rows):
    return [float(row["volume_ml"]) for row in rows if (row["tested_on"], row["organ"]) == ("Aa", "Spleen")]


@pytest.mark.slow
def test_corrected_data_are_no_finished_study(hospitals, tmp_path):
    """Nor do weights, pictures and second scans of another study stay in its folder."""
    data, out = shutil.copytree(hospitals, tmp_path / "data"), tmp_path / "out"
    one = StudyConfig(FederationConfig(rounds=1, local_steps=1))
    list(run_study(data, out, replace(one, seeds=2)))
    assert spleen_ml(rows_of(out)) == pytest.approx([5**3 * 0.216] * 8)
    (out / "rescans.csv").write_text("of these models\n")
    (file,) = (data / "Dataset900_Aa" / "labelsTs").iterdir()
    labels = read_nifti(file)
    labels.voxels[tuple(np.argwhere(labels.voxels == organ("Spleen").id)[::2].T)] = 0
    write_nifti(file, labels)
    list(run_study(data, out, one))
    assert spleen_ml(rows_of(out)) == pytest.approx([62 * 0.216] * 4, abs=0.01)
    assert sorted(file.name[:5] for file in (out / "weights").iterdir()) == ["seed0"] * 4
    assert not (out / "rescans.csv").exists()
    pictures = {file: file.read_bytes() for file in (out / "predictions").glob("Aa/*/*")}
    for steps in (2, 1):  # other settings, and the first ones again
        list(run_study(data, out, replace(one, federation=FederationConfig(rounds=1, local_steps=steps))))
        same = {file: file.read_bytes() for file in (out / "predictions").glob("Aa/*/*")} == pictures
        assert same == (steps == 1)


def test_all_that_is_said_of_a_case_counts(hospitals, tmp_path):
    """Who drew an organ, whose scan it is, and what a number means are no less than the voxels."""
    folder = shutil.copytree(sorted(hospitals.iterdir())[0], tmp_path / "data")
    dataset = read_dataset(folder)
    (case,) = dataset.split("test")
    states = [dataset.state_of(case)]
    for change in ({"silver": ("Spleen",)}, {"patient": "another"}, {"annotated": ("Liver",)}, {"split": "train"}):
        states.append(dataset.state_of(replace(case, **change)))
    states.append(replace(dataset, labels={1: "Spleen", 2: "Liver"}).state_of(case))
    masks, digests = tmp_path / "segmentations", [dataset.sha256("test"), dataset.sha256("train")]
    for value in (0, 1):  # a folder of masks, of which one is saved over
        write_nifti(masks / "liver.nii.gz", Scan(np.full((9, 9, 9), value, np.uint8), np.eye(4)))
        masked = replace(case, label_file=masks)
        states.append(dataset.state_of(masked))
        digests.append(replace(dataset, cases=(masked,)).sha256("test"))
    assert len({*states}) == len(states) and dataset.state_of(case) == states[0]
    assert len({*digests}) == len(digests)
    assert read_dataset(shutil.copytree(folder, tmp_path / "elsewhere")).sha256("test") == digests[0]


@pytest.mark.slow
def test_gin_is_a_switch_of_all_models(hospitals, tmp_path):
    config = StudyConfig(FederationConfig(rounds=1, local_steps=1, gin_probability=1.0))
    list(run_study(hospitals, tmp_path, config))
    files = sorted((tmp_path / "weights").iterdir())
    assert len(files) == 4
    assert {load_weights(file)[1].gin_probability for file in files} == {1.0}
    assert json.loads((tmp_path / "summary.json").read_text())["plan"]["gin_probability"] == 1.0


@pytest.mark.slow
def test_the_federated_model_is_the_federations_own(hospitals, tmp_path, finished):
    from pedseg.federation import transports

    *_, last = transports.federate(replace(SETTINGS.federation, data=hospitals, out=tmp_path, seed=1))
    summary = json.loads((finished[0] / "summary.json").read_text())
    assert last.sha256 == summary["sha256"]["seed1_federated"]


def test_one_data_set_is_no_federation(tmp_path, tiny_case):
    folder = tmp_path / "data" / "Dataset901_Aa"
    for place, split in enumerate(("train", "train", "validation", "test")):
        image, labels = tiny_case(place, 60.0)
        write_case(folder, f"a-{place}", image, labels, patient=f"a{place}", center="Aa", split=split, manual=ORGANS)
    write_index(folder, center="Aa")
    with pytest.raises(PedsegInputError, match="needs two"):
        list(run_study(tmp_path / "data", tmp_path / "out", SETTINGS))


def test_a_center_without_training_cases_is_named_before_training(tmp_path, tiny_case):
    for number, (center, split) in enumerate((("Aa", "train"), ("Bb", "test"))):
        folder = tmp_path / "data" / f"Dataset90{number}_{center}"
        for place in range(4):
            image, labels = tiny_case(10 * number + place, 60.0)
            own = "test" if place == 3 else split
            name = f"{center}-{place}"
            write_case(folder, name, image, labels, patient=name, center=center, split=own, manual=ORGANS)
        write_index(folder, center=center)
    with pytest.raises(PedsegInputError, match=r"Bb.*no case is for train"):
        list(run_study(tmp_path / "data", tmp_path / "out", SETTINGS))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "options", "code"),
    [
        (True, {"single_phase": True}, "E-GIVEN-DATA"),
        (True, {"resolution": "coarse"}, "E-GIVEN-DATA"),
        (True, {"extra_patients": 60}, "E-GIVEN-DATA"),
        (False, {"filters": 16}, "E-FILTERS"),
    ],
)
def test_options_that_would_be_passed_over_are_refused_before_a_child_is_made(
    tmp_path, monkeypatch, given, options, code
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PedsegInputError, match=code):
        list(run_study(tmp_path if given else None, tmp_path / "out", replace(SETTINGS, **options)))
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_hospitals_of_one_phase_or_with_more_patients_have_a_folder_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(virtual_data, "COHORT", {"train": 3, "validation": 0, "test": 1})
    config = StudyConfig(FederationConfig(rounds=1, local_steps=1), single_phase=True, extra_patients=1)
    list(run_study(None, tmp_path / "out", config))
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["data_single_phase_1_extra"]
    datasets = read_centers(tmp_path / "runs" / "data_single_phase_1_extra")
    assert {d.center: {case.phase for case in d.cases} for d in datasets} == {
        "Neckar": {"none"},
        "Polder": {"portal venous"},
    }
    assert {len({case.patient for case in d.split("train")}) for d in datasets} == {4}
