"""The children of the list: those that are grown anew are those of the study, voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.evaluation.results import read_rows
from pedseg.metrics import score_case
from pedseg.organs import NAMES
from pedseg.viewer.case_list import SAMPLE, SIDE, STUDY, everyone
from pedseg.viewer.engines import contours
from pedseg.workbook import lesson


@pytest.fixture(scope="module")
def study():
    return lesson.recorded("study")


@pytest.fixture(scope="module")
def children(study):
    return everyone(lesson.samples(), study)


def rows(study, case):
    return [row for row in read_rows(study / "cases.csv") if row["case"] == case and row["seed"] == "0"]


def test_samples_study_and_those_on_their_side_are_listed_by_center(children):
    assert children.centers == ["Polder", "Neckar"]
    for center in children.centers:
        kinds = [child.kind for child in children.of(center)]
        assert kinds[:3] == [SAMPLE] * 3 and {*kinds} == {SAMPLE, STUDY, SIDE}
    titles = [child.title for child in children.all.values()]
    assert any("no left kidney" in title for title in titles) and any("on the right side" in title for title in titles)


def test_every_child_of_a_center_has_a_file_name_of_its_own(children):
    for center in children.centers:
        stems = [child.stem for child in children.of(center)]
        assert len({*stems}) == len(stems) and not any(" " in stem for stem in stems)


def test_a_child_of_the_study_grows_again_with_the_recorded_volumes(children, study):
    scan, truth = children.all["Polder", "polder-037", STUDY].open()
    recorded = {row["organ"]: float(row["volume_ml"]) for row in rows(study, "polder-037")}
    scored = score_case(truth.voxels, truth.voxels, scan.spacing_mm, NAMES)
    assert {each.organ: pytest.approx(each.volume_ml, abs=0.01) for each in scored} == recorded


@pytest.mark.slow
def test_and_the_federated_model_draws_on_it_what_was_recorded(children, study):
    child = children.all["Polder", "polder-037", STUDY]
    scan, _ = child.open()
    drawn = contours(study)(scan, child)["federated"]
    volumes = np.bincount(drawn.ravel(), minlength=len(NAMES) + 1) * scan.voxel_ml
    for row in rows(study, "polder-037"):
        if row["model"] == "federated":
            place = NAMES.index(row["organ"]) + 1
            assert volumes[place] == pytest.approx(float(row["predicted_ml"]), rel=0.03, abs=0.3)


def test_a_sample_comes_from_disk_and_says_where_it_lies(children):
    child = children.all["Neckar", "neckar-001", SAMPLE]
    scan, truth = child.open()
    assert child.image_file.is_file() and scan.shape == truth.shape and scan.orientation == "RAS"


def test_children_of_other_hospitals_are_not_grown(children, study, tmp_path):
    (tmp_path / "cases.csv").write_text("tested_on,case,organ,volume_ml\nElsewhere,else-1,Liver,900\n")
    assert {child.kind for child in everyone(lesson.samples(), tmp_path).all.values()} == {SAMPLE}
    assert {child.kind for child in everyone(lesson.samples(), tmp_path / "nowhere").all.values()} == {SAMPLE}
