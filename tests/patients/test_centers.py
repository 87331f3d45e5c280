"""Virtual centers: whom they treat, how they scan, and data sets that can be resumed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from pedseg.findings import PedsegInputError
from pedseg.patients.centers import CENTERS, NECKAR, POLDER, draw_patient, make_dataset
from pedseg.patients.datasets import check_dataset, load_labels, read_dataset
from pedseg.scan import read_nifti

SMALL = {"train": 1, "validation": 1, "test": 1}
COARSE = {center.name: replace(center, build_mm=(5.0, 5.0, 5.0)) for center in CENTERS.values()}


def contents(folder) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("center", CENTERS.values(), ids=lambda c: c.name)
def test_patients_show_the_habits_of_their_center(center):
    patients = [draw_patient(center, 0, index) for index in range(60)]
    ages = [child.age_years for child, _ in patients]
    assert min(ages) >= center.age_years[0] and max(ages) <= center.age_years[2]
    assert np.median(ages) == pytest.approx(center.age_years[1], abs=0.5)
    removed = [child.removed_kidney for child, _ in patients if child.removed_kidney]
    assert len(removed) / 60 == pytest.approx(center.removed_share, abs=0.07)
    assert removed.count("left") / len(removed) == pytest.approx(center.left_share, abs=0.12)
    first = [protocol == center.protocols[0][1] for _, protocol in patients]
    assert sum(first) == 58
    assert {child.sex for child, _ in patients} == {"F", "M"}
    assert len({child.seed for child, _ in patients}) == 60


@pytest.mark.parametrize("center", CENTERS.values(), ids=lambda c: c.name)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("first", [0, 30])
def test_every_thirty_patients_show_the_habits_exactly(center, seed, first):
    patients = [draw_patient(center, seed, index) for index in range(first, first + 30)]
    removed = [child.removed_kidney for child, _ in patients]
    mostly, rarely = ("left", "right") if center.left_share > 0.5 else ("right", "left")
    assert (removed.count(mostly), removed.count(rarely)) == (10, 2)
    assert sum(protocol == center.protocols[0][1] for _, protocol in patients) == 29
    assert sum(child.sex == "F" for child, _ in patients) == 15


def test_the_centers_remove_opposite_kidneys_and_scan_in_opposite_phases():
    assert POLDER.left_share == pytest.approx(1 - NECKAR.left_share)
    assert POLDER.protocols[0][1].phase != NECKAR.protocols[0][1].phase


@pytest.mark.parametrize("center", COARSE.values(), ids=lambda c: c.name)
def test_a_data_set_is_written_and_passes_every_check(tmp_path, center):
    names = list(make_dataset(center, tmp_path, **SMALL))
    assert names == [f"{center.name.lower()}-{number:03d}" for number in (1, 2, 3)]
    assert check_dataset(tmp_path) == []
    dataset = read_dataset(tmp_path)
    assert dataset.center == center.name
    assert [case.split for case in sorted(dataset.cases, key=lambda case: case.name)] == ["train", "validation", "test"]
    for index, case in enumerate(sorted(dataset.cases, key=lambda case: case.name)):
        child, protocol = draw_patient(center, 0, index)
        assert case.age_months == round(12 * child.age_years) and case.sex == child.sex
        assert read_nifti(case.image_file).spacing_mm[2] == pytest.approx(protocol.slice_mm)
        gone = {"left": "Kidney_L", "right": "Kidney_R"}.get(child.removed_kidney)
        assert {organ for organ in case.absent if organ.startswith("Kidney")} == ({gone} if gone else set())
        assert set(case.annotated) >= {"Liver", "Kidney_L", "Kidney_R"}
        assert load_labels(dataset, case).voxels.max() <= 19


def test_an_interrupted_call_is_resumed_and_gives_the_same_bytes(tmp_path):
    center = COARSE["Polder"]
    list(make_dataset(center, tmp_path / "whole", **SMALL))
    broken = make_dataset(center, tmp_path / "resumed", **SMALL)
    first = next(broken)
    broken.close()
    image = tmp_path / "resumed" / "imagesTr" / f"{first}_0000.nii.gz"
    before = image.stat().st_mtime_ns
    list(make_dataset(center, tmp_path / "resumed", **SMALL))
    assert image.stat().st_mtime_ns == before
    assert contents(tmp_path / "whole") == contents(tmp_path / "resumed")


def test_another_seed_or_center_is_not_taken_for_finished(tmp_path):
    center = COARSE["Polder"]
    list(make_dataset(center, tmp_path, train=1, validation=0, test=0, seed=0))
    before = contents(tmp_path)
    list(make_dataset(center, tmp_path, train=1, validation=0, test=0, seed=1))
    assert contents(tmp_path)["imagesTr/polder-001_0000.nii.gz"] != before["imagesTr/polder-001_0000.nii.gz"]


def test_cases_that_do_not_belong_are_refused(tmp_path):
    center = COARSE["Polder"]
    list(make_dataset(center, tmp_path, train=2, validation=0, test=0))
    with pytest.raises(PedsegInputError, match="polder-002"):
        list(make_dataset(center, tmp_path, train=1, validation=0, test=0))
