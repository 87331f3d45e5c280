"""The case list: cases that are simulated again are those of the study, voxel by voxel."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pedseg.evaluation.results import rows_file
from pedseg.evaluation.trained_models import weight_files
from pedseg.metrics import score_case
from pedseg.organs import EVALUATED, NAMES, organ
from pedseg.viewer import engines
from pedseg.viewer.case_list import DATA_SET, FINE, SAMPLE, SIDE, STUDY, describe, list_cases, list_data
from pedseg.viewer.models import grid_note, study_predictions
from pedseg.workbook import lesson


@pytest.fixture(scope="module")
def study():
    return lesson.recorded("study")


@pytest.fixture(scope="module")
def cases(study):
    return list_cases(lesson.samples(), study)


def of_center(cases, center):
    return [case for case in cases.values() if case.key.center == center]


def rows(study, case):
    rows = pd.read_csv(rows_file(study))
    return rows[(rows["case"] == case) & (rows["seed"] == 0)]


def test_samples_study_and_those_on_their_side_are_listed_by_center(cases):
    assert list(dict.fromkeys(key.center for key in cases)) == ["Polder", "Neckar", "Polder, fine", "Neckar, fine"]
    for center in ("Polder", "Neckar"):
        kinds = [case.key.kind for case in of_center(cases, center)]
        assert kinds[:3] == [SAMPLE] * 3 and {*kinds} == {SAMPLE, STUDY, SIDE}
        assert {case.key.case for case in of_center(cases, f"{center}, fine")} == {
            case.key.case for case in of_center(cases, center) if case.key.kind == STUDY
        }
    titles = [case.title for case in cases.values()]
    assert any("no left kidney" in title for title in titles) and any("on the right side" in title for title in titles)


def test_every_case_of_a_center_has_a_file_name_of_its_own(cases):
    for center in ("Polder", "Neckar"):
        stems = [case.file_stem for case in of_center(cases, center)]
        assert len({*stems}) == len(stems) and not any(" " in stem for stem in stems)


def test_a_case_of_the_study_is_simulated_again_with_the_recorded_volumes(cases, study):
    scan, truth = cases["Polder", "polder-037", STUDY].open()
    recorded = {row.organ: row.volume_ml for row in rows(study, "polder-037").itertuples()}
    scored = score_case(truth.voxels, truth.voxels, scan.spacing_mm, NAMES)
    assert {score.organ: pytest.approx(score.volume_ml, abs=0.01) for score in scored} == recorded


@pytest.mark.slow
def test_a_fine_child_is_the_same_child_made_once(cases, tmp_path, monkeypatch):
    """1 x 1 x 2 mm, organs in the same place and of the same volume, then read from disk."""
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path))
    fine = cases["Polder, fine", "polder-048", FINE]
    scan, truth = fine.open()
    assert scan.spacing_mm == (1.0, 1.0, 2.0)
    coarse_scan, coarse = cases["Polder", "polder-048", STUDY].open()
    for name in EVALUATED:
        a, b = (np.argwhere(labels.voxels == organ(name).id) for labels in (truth, coarse))
        assert len(a) * scan.voxel_ml == pytest.approx(len(b) * coarse_scan.voxel_ml, rel=0.1)
        middles_mm = [(m.affine @ [*v.mean(axis=0), 1])[:3] for m, v in ((scan, a), (coarse_scan, b))]
        assert np.abs(np.subtract(*middles_mm)).max() < 2
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "fine").iterdir()}
    again, labels = fine.open()
    assert np.array_equal(again.voxels, scan.voxels) and np.array_equal(labels.voxels, truth.voxels)
    assert len(files) == 2 and files == {file: file.stat().st_mtime_ns for file in (tmp_path / "fine").iterdir()}


@pytest.mark.slow
def test_networks_draw_on_a_fine_child_and_say_how(cases, study, tmp_path, monkeypatch):
    """As well as on the coarse scan that they were made for."""
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path))
    case = cases["Polder, fine", "polder-037", FINE]
    scan, truth = case.open()
    predictions = study_predictions(study)(scan, case, lambda: False)
    note = "The networks compute in voxels of 3 × 3 × 4 mm; their probabilities are interpolated to 1 × 1 × 2 mm here."
    assert grid_note(predictions, scan) == note
    federated = next(model for model in predictions if str(model) == "federated")
    scores = score_case(truth.voxels, predictions[federated], scan.spacing_mm, EVALUATED)
    recorded = rows(study, "polder-037").query("model == 'federated' and organ in @EVALUATED")["dsc"].mean()
    assert np.nanmean([score.dsc for score in scores if score.dsc is not None]) > recorded - 0.03
    coarse = cases["Polder", "polder-037", STUDY]
    assert grid_note(study_predictions(study)(coarse.open()[0], coarse, lambda: False), coarse.open()[0]) == ""


@pytest.mark.slow
def test_and_the_federated_model_draws_on_it_what_was_recorded(cases, study):
    case = cases["Polder", "polder-037", STUDY]
    scan, _ = case.open()
    federated = next(model for model in weight_files(study) if str(model) == "federated")
    predicted = study_predictions(study)(scan, case, lambda: False)[federated]
    volumes_ml = np.bincount(predicted.ravel(), minlength=len(NAMES) + 1) * scan.voxel_ml
    for row in rows(study, "polder-037").query("model == 'federated'").itertuples():
        assert volumes_ml[NAMES.index(row.organ) + 1] == pytest.approx(row.predicted_ml, rel=0.03, abs=0.3)


def test_a_sample_comes_from_disk_and_says_where_it_lies(cases):
    case = cases["Neckar", "neckar-001", SAMPLE]
    scan, truth = case.open()
    assert case.image_file.is_file() and scan.shape == truth.shape and scan.orientation == "RAS"


def test_children_of_other_hospitals_are_not_simulated(tmp_path):
    (tmp_path / "cases.csv").write_text("tested_on,case,organ,volume_ml\nElsewhere,else-1,Liver,900\n")
    assert {key.kind for key in list_cases(lesson.samples(), tmp_path)} == {SAMPLE}
    assert {key.kind for key in list_cases(lesson.samples(), tmp_path / "nowhere")} == {SAMPLE}


def test_a_case_is_described_for_a_list():
    case = replace(lesson.samples()[0].cases[0], name="x", age_months=27, absent=("Kidney_L", "Gallbladder"))
    assert describe(case) == "x, 2 y 3 m, no left kidney"
    assert describe(replace(case, age_months=None, absent=())) == "x"


def test_the_picture_engine_lists_the_samples_by_title(study):
    cases = engines.reading_room(lesson.samples()[:1], study, "matplotlib").cases
    assert len(cases) == 3 and all(title.startswith("Polder: polder-00") for title in cases)


def test_contours_of_a_data_set_are_true_only_if_its_scans_are_phantoms(root, tmp_path):
    source = root / "data_samples" / "Dataset901_Polder"
    assert all(case.open()[1] is not None and not case.is_own for case in [*list_data(source).values()][:1])
    own = tmp_path / "Dataset905_Own"
    shutil.copytree(source, own)
    table = (own / "cases.tsv").read_text()
    (own / "cases.tsv").write_text(table.replace("pedseg phantom", "our archive"))
    case = next(iter(list_data(tmp_path).values()))
    assert case.is_own and case.open()[1] is None and [*case.contours()] == [DATA_SET]
    assert case.contours()[DATA_SET].max() > 0
    shutil.copytree(own, tmp_path / "another" / "Dataset905_Own")  # drafts of its case 1 are not those of ours
    other = next(iter(list_data(tmp_path / "another").values()))
    assert other.key == case.key and other.file_stem != case.file_stem


def test_the_sides_of_a_child_on_its_side_are_those_of_its_body(cases):
    """From the spleen to the liver it is far to the right, whatever way the child lies."""
    case = next(case for case in cases.values() if "on the right side" in case.title)
    scan, truth = case.open()
    liver, spleen = (np.argwhere(truth.voxels == organ(name).id).mean(axis=0) for name in ("Liver", "Spleen"))
    moved_mm = ((liver - spleen) * scan.spacing_mm) @ case.axes  # right, anterior, superior
    assert moved_mm[0] > 40 and moved_mm[0] > 1.5 * np.abs(moved_mm[1:]).max() and moved_mm[1] > 0  # and to the front
