"""Flaws: two different ones by number, invisible to the checks, each found by its tool, undone to the last voxel."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pedseg.datasets.cases import DataSet
from pedseg.datasets.checks import center_mm
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import check_dataset, read_dataset
from pedseg.organs import organ
from pedseg.phantoms.flaws import DECISIONS, FLAWS, PATIENTS, draw_flaws, flawed_cases, make_hospital, repair

NUMBER, FEW = 41, {"train": 3, "validation": 1, "test": 0}
ONE = {"train": 1, "validation": 0, "test": 0}
PAIRS = (
    (), ("mirrored sides", "wrong phase"), ("swapped label", "thick slices"), ("contouring habit", "unequal organ list")
)  # fmt: skip


@dataclass(frozen=True)
class Hospital:
    """A data set of four children, and which of them have which flaw."""

    dataset: DataSet
    cases: dict[str, list[str]]

    def first(self, flaw: str) -> str:
        """The name of the first child with a flaw."""
        return self.cases[flaw][0]

    def voxels(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Image and labels of a child."""
        case = next(case for case in self.dataset.cases if case.name == name)
        return load_image(case).voxels, load_labels(self.dataset, case).voxels

    def phase(self, name: str) -> str:
        """The stated contrast phase of a child."""
        return next(case.phase for case in self.dataset.cases if case.name == name)


@pytest.fixture(scope="session")
def flawed(tmp_path_factory) -> dict[tuple[str, ...], Hospital]:
    """The same children four times: without a flaw, and with each pair of `PAIRS`."""
    hospitals = {}
    for place, pair in enumerate(PAIRS):
        folder = tmp_path_factory.mktemp("flaws") / f"Dataset90{place}_Delta"
        names = list(make_hospital(folder, NUMBER, pair, FEW))
        assert names == [f"delta-00{n}" for n in (1, 2, 3, 4)]
        hospitals[pair] = Hospital(read_dataset(folder), flawed_cases(NUMBER, pair, FEW))
    return hospitals


def test_two_different_flaws_follow_from_a_number_and_all_pairs_come_equally_often():
    drawn = Counter(map(draw_flaws, range(1500)))
    assert len(drawn) == 15 and all(first != second for first, second in drawn)
    assert min(drawn.values()) > 70 and draw_flaws(2026) == draw_flaws(2026)


def test_two_children_in_five_of_each_split_and_none_has_two():
    cases = flawed_cases(NUMBER, ("mirrored sides", "thick slices"))
    assert [len(names) for names in cases.values()] == [9, 9]
    assert not {*cases["mirrored sides"]} & {*cases["thick slices"]}
    train = [name for name in cases["mirrored sides"] if int(name[-3:]) <= PATIENTS["train"]]
    assert len(train) == 5
    assert len(flawed_cases(NUMBER, ("contouring habit",))["contouring habit"]) == sum(PATIENTS.values())


@pytest.mark.slow
def test_no_check_finds_a_flaw_and_no_column_names_one(flawed):
    for hospital in flawed.values():
        assert check_dataset(hospital.dataset.folder) == []
        text = (hospital.dataset.folder / "cases.tsv").read_text("utf-8")
        assert not any(word in text for flaw in FLAWS for word in (flaw, flaw.split()[0]))


@pytest.mark.slow
def test_what_is_finished_is_kept_and_another_hospital_is_made_anew(flawed, tmp_path):
    list(make_hospital(tmp_path, NUMBER, (), ONE))
    image = next((tmp_path / "imagesTr").iterdir())
    before = image.stat().st_mtime_ns
    list(make_hospital(tmp_path, NUMBER, (), ONE))
    assert image.stat().st_mtime_ns == before
    list(make_hospital(tmp_path, NUMBER, ("contouring habit",), ONE))
    assert image.stat().st_mtime_ns > before


@pytest.mark.slow
def test_mirrored_sides_turn_the_picture_and_not_the_contours(flawed):
    own, name = flawed[PAIRS[1]], flawed[PAIRS[1]].first("mirrored sides")
    (image, labels), (true_image, true_labels) = own.voxels(name), flawed[()].voxels(name)
    assert np.array_equal(image[::-1], true_image) and np.array_equal(labels, true_labels)


@pytest.mark.slow
def test_a_wrong_phase_changes_one_word(flawed):
    own, name = flawed[PAIRS[1]], flawed[PAIRS[1]].first("wrong phase")
    assert {own.phase(name), flawed[()].phase(name)} == {"none", "portal venous"}
    assert all(np.array_equal(*pair) for pair in zip(own.voxels(name), flawed[()].voxels(name), strict=True))
    blood = own.voxels(name)[0][own.voxels(name)[1] == organ("A_Aorta").id]
    assert (np.median(blood) > 80) == (own.phase(name) == "none")


@pytest.mark.slow
def test_swapped_labels_exchange_the_lungs(flawed):
    own, name = flawed[PAIRS[2]], flawed[PAIRS[2]].first("swapped label")
    case = next(case for case in own.dataset.cases if case.name == name)
    labels = load_labels(own.dataset, case)
    assert center_mm(labels, "Lung_L")[0] > center_mm(labels, "Lung_R")[0] + 40
    assert center_mm(labels, "Spleen")[0] < center_mm(labels, "Liver")[0]


@pytest.mark.slow
def test_thick_slices_stand_in_the_header(flawed):
    own = flawed[PAIRS[2]]
    thick = {case.name for case in own.dataset.cases if load_image(case).spacing_mm[2] > 6}
    assert thick == {*own.cases["thick slices"]} and len(thick) == 1


@pytest.mark.slow
def test_a_habit_and_a_missing_organ_are_in_all_children(flawed):
    own = flawed[PAIRS[3]]
    bowel, pancreas = organ("Bowel^Stomach").id, organ("Pancreas").id
    for case in own.dataset.cases:
        labels, true = own.voxels(case.name)[1], flawed[()].voxels(case.name)[1]
        assert np.count_nonzero(labels == bowel) < 0.85 * np.count_nonzero(true == bowel)
        assert "Pancreas" in case.absent and "Pancreas" in case.annotated and not (labels == pancreas).any()


def repaired(hospital: Hospital, folder: Path, **decisions: str) -> DataSet:
    chosen = {flaw: decisions.get(flaw.split()[0], "accept") for flaw in hospital.cases}
    names = list(repair(hospital.dataset, folder, hospital.cases, chosen))
    assert names == [case.name for case in hospital.dataset.cases]
    assert check_dataset(folder) == []
    return read_dataset(folder)


@pytest.mark.slow
def test_what_can_be_undone_is_undone_to_the_last_voxel(flawed, tmp_path):
    for place, pair in enumerate(PAIRS[1:3]):
        fixed = repaired(flawed[pair], tmp_path / f"Dataset90{place}_Delta", **{f.split()[0]: "fix" for f in pair})
        kept = Hospital(fixed, {})
        for name in (case.name for case in fixed.cases if case.name not in flawed[pair].cases.get("thick slices", [])):
            assert all(np.array_equal(*both) for both in zip(kept.voxels(name), flawed[()].voxels(name), strict=True))
            assert kept.phase(name) == flawed[()].phase(name)
    assert "mirrored sides" in (tmp_path / "Dataset900_Delta" / "cases.tsv").read_text("utf-8")  # repairs are told


@pytest.mark.slow
@pytest.mark.parametrize("decision", ["exclude", "ask"])
def test_children_or_an_organ_are_left_out(decision, flawed, tmp_path):
    children = repaired(flawed[PAIRS[1]], tmp_path / "Dataset901_Delta", mirrored=decision)
    assert {c.name for c in flawed[()].dataset.cases} - {c.name for c in children.cases} == {
        *flawed[PAIRS[1]].cases["mirrored sides"]
    }
    organs = repaired(flawed[PAIRS[3]], tmp_path / "Dataset902_Delta", contouring=decision, unequal="fix")
    assert len(organs.cases) == 4
    assert all(not {"Pancreas", "Bowel^Stomach"} & {*case.annotated} for case in organs.cases)


@pytest.mark.slow
def test_accepted_flaws_stay(flawed, tmp_path):
    accepted = Hospital(repaired(flawed[PAIRS[1]], tmp_path / "Dataset901_Delta"), {})
    for name in ("delta-001", "delta-002", "delta-003", "delta-004"):
        assert np.array_equal(accepted.voxels(name)[0], flawed[PAIRS[1]].voxels(name)[0])
        assert accepted.phase(name) == flawed[PAIRS[1]].phase(name)


def test_the_catalog_is_complete():
    for name, flaw in FLAWS.items():
        assert flaw.name == name and flaw.what and flaw.found_by and flaw.why
        assert {*flaw.decisions} < {*DECISIONS}
        assert ("fix" in flaw.decisions) == (flaw.reversible or name == "unequal organ list")
