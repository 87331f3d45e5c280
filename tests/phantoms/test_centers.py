"""Virtual centers: whom they treat, how they scan, and data sets that can be resumed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from pedseg.datasets.loading import load_labels
from pedseg.datasets.reading import check_dataset, read_dataset
from pedseg.errors import PedsegInputError
from pedseg.phantoms.centers import (
    CENTERS,
    COHORT,
    NECKAR,
    POLDER,
    RESOLUTIONS,
    follow_up,
    in_single_phase,
    make_dataset,
    planned_scans,
    sample_patient,
)
from pedseg.phantoms.contouring_protocol import ContouringProtocol
from pedseg.scan import read_nifti

SMALL = {"train": 1, "validation": 1, "test": 1}
COARSE = {center.name: replace(center, build_mm=(5.0, 5.0, 5.0), repeat_share=0.0) for center in CENTERS.values()}


def contents(folder) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("center", CENTERS.values(), ids=lambda c: c.name)
def test_patients_show_the_habits_of_their_center(center):
    patients = [sample_patient(center, 0, index) for index in range(60)]
    ages = [child.age_years for child, _ in patients]
    assert min(ages) >= center.age_years[0] and max(ages) <= center.age_years[2]
    assert np.median(ages) == pytest.approx(center.age_years[1], abs=0.5)
    removed = [child.removed_kidney for child, _ in patients if child.removed_kidney]
    assert len(removed) / 60 == pytest.approx(center.renal_share, abs=0.02)
    assert removed.count("left") / len(removed) == pytest.approx(center.left_share, abs=0.12)
    first = [protocol == center.protocols[0][1] for _, protocol in patients]
    assert sum(first) == 44
    assert {child.sex for child, _ in patients} == {"F", "M"}
    assert len({child.seed for child, _ in patients}) == 60


@pytest.mark.parametrize("center", CENTERS.values(), ids=lambda c: c.name)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("first", [0, 30])
def test_every_thirty_patients_show_the_habits_exactly(center, seed, first):
    patients = [sample_patient(center, seed, index) for index in range(first, first + 30)]
    removed = [child.removed_kidney for child, _ in patients]
    mostly, rarely = ("left", "right") if center.left_share > 0.5 else ("right", "left")
    assert (removed.count(mostly), removed.count(rarely)) == (10, 2)
    assert sum(protocol == center.protocols[0][1] for _, protocol in patients) == 22
    assert sum(child.sex == "F" for child, _ in patients) == 15
    children = [child for child, _ in patients]
    assert all((child.tumor == "renal") == (child.removed_kidney != "") for child in children)
    sides = [child.side for child in children if child.tumor == "neuroblastoma"]
    assert (sides.count("left"), sides.count("right")) == (9, 9)
    assert sum(child.clips > 0 for child in children) == round(30 * center.clip_share)
    assert sum(follow_up(center, seed, index) is not None for index in range(first, first + 30)) == 4
    assert {child.posture for child in children} == {"supine"} and {child.roll_deg for child in children} == {0.0}


@pytest.mark.parametrize("center", CENTERS.values(), ids=lambda c: c.name)
def test_nobody_was_operated_on_before_birth_or_longer_than_five_years_ago(center):
    children = [sample_patient(center, 0, index)[0] for index in range(120)]
    months = np.array([child.months_since_surgery for child in children])
    assert np.all(months < [12 * child.age_years for child in children])
    assert months.min() < 4 and 50 < months.max() <= 60


def test_a_second_visit_is_the_same_child_some_months_later():
    visits = [(sample_patient(POLDER, 0, index)[0], follow_up(POLDER, 0, index)) for index in range(60)]
    repeated = [(first, later) for first, later in visits if later is not None]
    assert len(repeated) == 8
    for first, later in repeated:
        gap = later.months_since_surgery - first.months_since_surgery
        assert 3.0 <= gap <= 12.1
        assert later.age_years - first.age_years == pytest.approx(gap / 12, abs=0.02)
        same = {"age_years": 0.0, "months_since_surgery": 0.0, "visit": 0}
        assert replace(first, **same) == replace(later, **same)


def test_postures_can_be_switched_on_alone():
    turned = replace(POLDER, lateral_share=0.3, roll_sd_deg=4.0)
    before, after = ([sample_patient(center, 0, index)[0] for index in range(60)] for center in (POLDER, turned))
    assert before == [replace(child, roll_deg=0.0) for child in after]
    lateral = [child.roll_deg for child in after if child.posture != "supine"]
    assert len(lateral) == 18 and {np.sign(roll) for roll in lateral} == {-1, 1}
    assert all(60 <= abs(roll) <= 120 for roll in lateral)
    assert 2.0 < np.std([child.roll_deg for child in after if child.posture == "supine"]) < 6.0


@pytest.mark.parametrize("center", CENTERS.values(), ids=lambda c: c.name)
def test_about_one_patient_in_seven_is_scanned_twice_and_stays_in_its_split(center):
    scans = planned_scans(center, **COHORT)
    splits = {}
    for scan in scans:
        splits.setdefault(scan.patient, set()).add(scan.split)
    assert len(splits) == sum(COHORT.values()) and all(len(split) == 1 for split in splits.values())
    second = [scan for scan in scans if scan.child.visit]
    assert all(scan.name.endswith("b") and scan.split != "validation" for scan in second)
    assert 0.1 < len(second) / len(splits) < 0.18
    assert [scan.name for scan in scans] == sorted(scan.name for scan in scans)


@pytest.mark.parametrize("center", CENTERS.values(), ids=lambda c: c.name)
def test_more_training_patients_leave_the_others_who_they_are(center):
    usual, larger = planned_scans(center, **COHORT), planned_scans(center, **COHORT, extra_patients=60)
    assert larger[: len(usual)] == usual
    extra = larger[len(usual) :]
    assert {scan.split for scan in extra} == {"train"} and len({scan.patient for scan in extra}) == 60
    tested = planned_scans(center, train=30, validation=5, test=985)  # as many as there are
    assert not {scan.name for scan in extra} & {scan.name for scan in tested}
    assert not {scan.child.seed for scan in extra} & {scan.child.seed for scan in tested}
    assert [scan.name for scan in larger] == sorted(scan.name for scan in larger)
    with pytest.raises(PedsegInputError, match="E-TOO-MANY"):
        planned_scans(center, train=30, validation=5, test=986)
    renal = {scan.patient for scan in extra if scan.child.tumor == "renal"}
    assert len(renal) == 2 * round(30 * center.renal_share)  # two blocks of thirty, dealt like all others


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
        child, protocol = sample_patient(center, 0, index)
        assert case.age_months == round(12 * child.age_years) and case.sex == child.sex
        assert read_nifti(case.image_file).spacing_mm[2] == pytest.approx(protocol.slice_mm)
        gone = {"left": "Kidney_L", "right": "Kidney_R"}.get(child.removed_kidney)
        assert {organ for organ in case.absent if organ.startswith("Kidney")} == ({gone} if gone else set())
        assert set(case.annotated) >= {"Liver", "Kidney_L", "Kidney_R"}
        assert load_labels(dataset, case).voxels.max() <= 19
        assert (case.tumor, case.posture, case.phase) == (child.tumor, child.posture, protocol.phase)
        assert case.months_since_surgery == child.months_since_surgery
        assert case.tumor == ("renal" if gone else "neuroblastoma")


def test_no_patient_crosses_from_train_to_test_on_disk(tmp_path):
    center = replace(COARSE["Polder"], build_mm=(8.0, 8.0, 8.0), repeat_share=1.0)
    center = replace(center, protocols=tuple((n, replace(p, pixel_mm=8.0, slice_mm=8.0)) for n, p in center.protocols))
    names = list(make_dataset(center, tmp_path, train=2, validation=1, test=2))
    number = center.name.lower()
    assert names == [f"{number}-{tail}" for tail in ("001", "001b", "002", "002b", "003", "004", "004b", "005", "005b")]
    cases = read_dataset(tmp_path).cases
    patients = {split: {case.patient for case in cases if case.split == split} for split in ("train", "test")}
    assert len(patients["train"]) == len(patients["test"]) == 2 and not patients["train"] & patients["test"]
    twice = [case for case in cases if case.patient == "P001"]
    assert [case.name for case in twice] == ["polder-001", "polder-001b"]
    assert twice[0].age_months < twice[1].age_months
    assert twice[0].months_since_surgery < twice[1].months_since_surgery


def test_habits_change_contours_and_not_the_image(tmp_path):
    plain = COARSE["Neckar"]
    habit = replace(plain, contouring_protocol=ContouringProtocol(bowel_bottom="inlet"))
    for name, center in (("plain", plain), ("habit", habit)):
        list(make_dataset(center, tmp_path / name, train=0, validation=0, test=1))
    files = [sorted((tmp_path / name / "imagesTs").iterdir())[0].read_bytes() for name in ("plain", "habit")]
    assert files[0] == files[1]
    labels = [read_nifti(next((tmp_path / name / "labelsTs").iterdir())).voxels for name in ("plain", "habit")]
    assert (labels[1] > 0).sum() < (labels[0] > 0).sum()


@pytest.mark.parametrize(
    ("resolution", "pixel_mm", "slice_mm", "build_mm"),
    [
        ("lesson", 3.0, 4.0, (3.0, 3.0, 2.0)),
        ("clinic", 1.0, 2.0, (1.0, 1.0, 2.0)),
        ("coarse", 5.0, 6.0, (3.0, 3.0, 2.0)),
    ],
)
def test_other_voxels_change_the_scanner_and_not_the_children(resolution, pixel_mm, slice_mm, build_mm):
    other = RESOLUTIONS[resolution](POLDER)
    assert [sample_patient(other, 0, i)[0] for i in range(9)] == [sample_patient(POLDER, 0, i)[0] for i in range(9)]
    protocol = sample_patient(other, 0, 0)[1]
    assert (protocol.pixel_mm, protocol.slice_mm, other.build_mm) == (pixel_mm, slice_mm, build_mm)


@pytest.mark.slow
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


@pytest.mark.parametrize("center", CENTERS.values(), ids=lambda c: c.name)
def test_in_one_phase_the_same_children_come_and_all_are_scanned_alike(center):
    strict = [sample_patient(in_single_phase(center), 0, index) for index in range(60)]
    assert [child for child, _ in strict] == [sample_patient(center, 0, index)[0] for index in range(60)]
    assert {protocol for _, protocol in strict} == {center.protocols[0][1]}
