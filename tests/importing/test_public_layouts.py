"""Public data sets as they are laid out: AMOS22, decathlon, MONAI, nnU-Net raw, TotalSegmentator, NIfTI."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from archive import body, write_series

from pedseg.__main__ import main
from pedseg.cli.predict import targets
from pedseg.datasets.cases_table import read_table
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import list_cases, read_dataset
from pedseg.dicom.exporting import export
from pedseg.errors import InputProblem, PedsegInputError
from pedseg.importing.import_scans import ImportResult, import_scans
from pedseg.importing.scan_sources import ImportOptions
from pedseg.organ_names import NameMapping, map_roi_names, normalize_roi_name, read_names
from pedseg.organs import ORGANS, organ, recognize
from pedseg.scan import Scan, write_nifti

SHAPE = (40, 36, 20)
AFFINE = np.diag([6.0, 6.0, 8.0, 1.0])
# As the file of AMOS22 spells them.
AMOS = dict(enumerate(
    ("background", "spleen", "right kidney", "left kidney", "gall bladder", "esophagus", "liver", "stomach", "arota",
     "postcava", "pancreas", "right adrenal gland", "left adrenal gland", "duodenum", "bladder", "prostate/uterus")
))  # fmt: skip
MEANT = {
    1: "Spleen", 2: "Kidney_R", 3: "Kidney_L", 4: "Gallbladder", 5: "Esophagus", 6: "Liver", 8: "A_Aorta",
    9: "V_Venacava_I", 10: "Pancreas", 11: "Glnd_Adrenal_R", 12: "Glnd_Adrenal_L", 14: "Bladder",
}  # fmt: skip


def image(seed: int = 0) -> Scan:
    return Scan(body(SHAPE, seed)[:, ::-1].copy(), AFFINE)


def blocks(numbers) -> Scan:
    """A block for each number; RAS, right organs where x is large."""
    labels = np.zeros(SHAPE, np.uint8)
    for number in numbers:
        x = {6: 30, 2: 30, 1: 4, 3: 4}.get(number, 8 + 3 * (number % 7))
        labels[x : x + 2, 3 + 2 * number : 5 + 2 * number, number : number + 3] = number
    return Scan(labels, AFFINE)


def bring(source: Path, place: Path, **options) -> tuple[list, object]:
    became = list(import_scans(source, place / "ds", center="Here", key=place / "key", **options))
    return became, list_cases(place / "ds").dataset


def messages(became) -> str:
    words = [line for result in became if isinstance(result, ImportResult) for line in result.messages]
    return "\n".join([*words, *(result.problem for result in became if isinstance(result, InputProblem))])


def test_amos22(tmp_path):
    entries = []
    for number in (4, 507):
        name = f"amos_{number:04d}.nii.gz"
        write_nifti(tmp_path / "amos22" / "imagesTr" / name, image(number))
        write_nifti(tmp_path / "amos22" / "labelsTr" / name, blocks(range(1, 16)))
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    labels = {str(number): name for number, name in AMOS.items()}
    about = {"name": "AMOS", "modality": {"0": "CT"}, "labels": labels, "training": entries, "test": []}
    (tmp_path / "amos22" / "dataset.json").write_text(json.dumps(about))
    became, dataset = bring(tmp_path / "amos22", tmp_path, license="CC BY 4.0", origin="AMOS22")
    by_source = {row["source"].split()[-1]: row["case"] for row in read_table(tmp_path / "ds" / "cases.tsv")}
    cases = {case.name: case for case in dataset.cases}
    case, mr = cases[by_source["amos_0004"]], cases[by_source["amos_0507"]]
    assert (case.modality, mr.modality, mr.sequence) == ("CT", "MR", "other")
    assert "not imported: prostate/uterus" in messages(became)
    assert "Bowel^Stomach, of which small_bowel, colon is missing" in messages(became)
    assert {*case.annotated} == {*MEANT.values()}
    assert case.silver == ()
    drawn = load_labels(dataset, case).voxels
    for number, name in MEANT.items():
        np.testing.assert_array_equal(drawn == organ(name).id, blocks(range(1, 16)).voxels == number)
    row = (tmp_path / "ds" / "cases.tsv").read_text()
    assert "AMOS22 amos_0004" in row
    assert "CC BY 4.0" in row


def test_a_decathlon_list_and_one_of_monai_without_names(tmp_path):
    write_nifti(tmp_path / "in" / "a.nii.gz", image())
    write_nifti(tmp_path / "in" / "b.nii.gz", blocks([6, 1]))
    entry = {"image": "a.nii.gz", "label": "b.nii.gz", "fold": 0}
    file = tmp_path / "in" / "datalist.json"
    file.write_text(json.dumps({"labels": {"0": "background", "6": "liver", "1": "spleen"}, "training": [entry]}))
    _, dataset = bring(file, tmp_path / "first")
    assert {*dataset.cases[0].annotated} == {"Liver", "Spleen"}
    file.write_text(json.dumps({"training": [entry], "testing": []}))
    with pytest.raises(PedsegInputError, match="E-DATALIST"):
        bring(file, tmp_path / "second")
    (tmp_path / "names.tsv").write_text("6\tLiver\n1\tignore\n")
    _, dataset = bring(file, tmp_path / "third", options=ImportOptions(names=read_names(tmp_path / "names.tsv")))
    assert dataset.cases[0].annotated == ("Liver",)
    for image_path in ("/etc/passwd", "../../secret.nii.gz"):
        file.write_text(json.dumps({"labels": {"1": "liver"}, "training": [{"image": image_path}]}))
        with pytest.raises(PedsegInputError, match="leads out of its folder"):
            bring(file, tmp_path / "fourth")


@pytest.mark.parametrize(
    "labels",
    [
        '{"background": 0, "liver": 6, "spleen": 6, "bladder": 1}',
        '{"0": "background", "6": "liver", "6": "spleen", "1": "bladder"}',
        '{"0": "background", "6": "liver", "06": "spleen", "1": "bladder"}',
        '{"0": "background", "6": "liver", "1": "liver"}',
        '{"liver": 0, "spleen": 1, "bladder": 6}',
        '{"liver": 6.5, "spleen": 1}',
    ],
    ids=[
        "a number twice",
        "a key twice",
        "a number in two spellings",
        "a name twice",
        "an organ as background",
        "a fraction",
    ],
)
def test_a_list_in_which_a_number_is_not_one_organ_is_refused(labels, tmp_path):
    write_nifti(tmp_path / "in" / "a.nii.gz", image())
    write_nifti(tmp_path / "in" / "b.nii.gz", blocks([6, 1]))
    entry = '{"image": "a.nii.gz", "label": "b.nii.gz"}'
    (tmp_path / "in" / "list.json").write_text(f'{{"labels": {labels}, "training": [{entry}]}}')
    with pytest.raises(PedsegInputError, match="E-DATALIST"):
        bring(tmp_path / "in" / "list.json", tmp_path)
    assert not (tmp_path / "ds").exists()


def test_a_list_of_structures_that_are_no_organs_names_them(tmp_path):
    write_nifti(tmp_path / "in" / "a.nii.gz", image())
    write_nifti(tmp_path / "in" / "b.nii.gz", blocks([6]))
    entry = {"image": "a.nii.gz", "label": "b.nii.gz"}
    (tmp_path / "in" / "list.json").write_text(json.dumps({"labels": {"6": "tumor"}, "training": [entry]}))
    with pytest.raises(PedsegInputError, match=r"not imported: tumor.*--names"):
        bring(tmp_path / "in" / "list.json", tmp_path)


def test_two_scans_of_a_list_do_not_share_a_label_map(tmp_path):
    for number, name in enumerate("ac"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", image(number))
    write_nifti(tmp_path / "in" / "b.nii.gz", blocks([6, 1]))
    entries = [{"image": f"{name}.nii.gz", "label": "b.nii.gz"} for name in "ac"]
    (tmp_path / "in" / "list.json").write_text(json.dumps({"labels": {"6": "liver"}, "training": entries}))
    with pytest.raises(PedsegInputError, match=r"b.nii.gz' is there twice"):
        bring(tmp_path / "in" / "list.json", tmp_path)


def test_nnunet_raw_and_totalsegmentator(root, tmp_path):
    became, dataset = bring(root / "data_samples" / "Dataset901_Polder", tmp_path / "nnunet")
    assert len(dataset.cases) == 3
    assert {case.split for case in dataset.cases} == {"test"}
    assert all(len(case.annotated) == len(ORGANS) and case.silver == () for case in dataset.cases)
    for number in range(2):
        place = tmp_path / "total" / f"s{number:04d}"
        write_nifti(place / "ct.nii.gz", image(number))
        for name, label in {"liver": 6, "spleen": 1, "kidney_left": 3, "spinal_cord": 5}.items():
            mask = Scan((blocks([label]).voxels > 0).astype(np.uint8), AFFINE)
            write_nifti(place / "segmentations" / f"{name}.nii.gz", mask)
    became, dataset = bring(tmp_path / "total", tmp_path / "totalsegmentator", origin="TotalSegmentator v2")
    assert len(became) == 2
    for case in dataset.cases:  # a program drew them; its spinal cord is not the canal
        assert case.annotated == case.silver == ("Liver", "Spleen", "Kidney_L")
    assert "s0001" in (tmp_path / "totalsegmentator" / "ds" / "cases.tsv").read_text()


def test_plain_nifti_files_wait_unlabeled_and_lose_their_names(tmp_path):
    write_nifti(tmp_path / "in" / "Mueller_Anna.nii.gz", image())
    became, dataset = bring(tmp_path / "in", tmp_path)
    assert dataset.cases[0].split == "unlabeled"
    assert "Mueller" not in "".join(str(file) for file in (tmp_path / "ds").rglob("*"))
    became, _ = bring(tmp_path / "in" / "Mueller_Anna.nii.gz", tmp_path)
    assert became[0].already_imported


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Lt Kidney", "Kidney_L"),
        ("KIDNEY_LEFT", "Kidney_L"),
        ("kidney-left", "Kidney_L"),
        ("li. Niere", "Kidney_L"),
        ("Rechte Niere", "Kidney_R"),
        ("Glnd_Adrenal_R", "Glnd_Adrenal_R"),
        ("LUNG L", "Lung_L"),
        ("gall-bladder", "Gallbladder"),
        ("Spinal Canal", "SpinalCanal"),
        ("Bowel^Stomach", "Bowel^Stomach"),
    ],
)
def test_names_in_any_spelling(name, meant):
    assert map_roi_names([name]).organs == {meant: (name,)}


MARKED = [
    "~Liver",
    "_Liver",
    "*Liver",
    "Liver*",
    "Liver!",
    "Liver?",
    "Liver-",
    "Liver+",
    "Liver_",
    "(Liver)",
    "~Lung_L",
]


@pytest.mark.parametrize("name", MARKED)
def test_a_name_with_a_mark_is_not_the_plain_organ_and_the_plain_one_is_offered(name):
    """TG-263 (AAPM, 2018): ~ stands before a structure that is contoured in part, _ before one that gets no dose."""
    assert map_roi_names([name]).unmapped == [name]
    assert recognize(name) is None
    assert f"did you mean {'Lung_L' if 'Lung' in name else 'Liver'}?" in map_roi_names([name]).messages()[0]
    assert map_roi_names([name], {name: "Liver"}).organs == {"Liver": (name,)}


@pytest.mark.parametrize("name", ["Kidny_L", "kidneys", "Liver Anna M", "spinal cord", "PTV", "left", "", "Lung"])
def test_what_is_not_in_the_table_is_never_guessed(name):
    assert map_roi_names([name]).organs == {}
    assert map_roi_names([name]).unmapped == [name]


def test_parts_make_an_organ_only_together_and_two_names_need_a_word():
    parts = ["stomach", "Duodenum", "small-intestine", "Bowel_Large"]
    assert map_roi_names(parts).organs == {"Bowel^Stomach": tuple(parts[:2] + parts[2:])}
    assert map_roi_names(parts[:3]).incomplete == {"Bowel^Stomach": ("colon",)}
    with pytest.raises(PedsegInputError, match="E-ORGAN-TWICE"):
        map_roi_names(["Liver", "Leber"])
    assert map_roi_names(["Liver", "Leber"], {"Liver": "Liver", "Leber": "Liver"}).organs == {
        "Liver": ("Liver", "Leber")
    }
    assert map_roi_names(["Liver", "Leber"], {"Leber": ""}) == NameMapping({"Liver": ("Liver",)})
    assert normalize_roi_name("Kidney, RT.") == "kidney right"


def test_an_organ_that_is_drawn_twice_or_as_a_whole_and_in_parts():
    parts = ["Stomach", "Duodenum", "small bowel", "Colon"]
    for doubled in ("Large Bowel", "dickdarm", "colon"):
        with pytest.raises(PedsegInputError, match=r"E-ORGAN-TWICE .*'Colon' both mean colon"):
            map_roi_names([*parts, doubled])
    assert map_roi_names([*parts, "Large Bowel"], {"Large Bowel": ""}).organs == {"Bowel^Stomach": tuple(parts)}
    own = {"Large Bowel": "Bowel^Stomach", "Colon": "Bowel^Stomach"}  # as the remedy says: a line for each
    mapping = map_roi_names([*parts, "Large Bowel"], own)
    assert {*mapping.organs["Bowel^Stomach"]} == {*parts, "Large Bowel"}
    whole = map_roi_names(["Bowel^Stomach", "Stomach", "Liver"])
    assert whole.organs == {"Liver": ("Liver",), "Bowel^Stomach": ("Bowel^Stomach", "Stomach")}
    assert whole.messages() == ["Bowel^Stomach: joined from Bowel^Stomach, Stomach"]
    with pytest.raises(PedsegInputError, match="E-ORGAN-TWICE"):  # one of the two is joined, the other is not
        map_roi_names(["Liver", "Leber"], {"Leber": "Liver"})


def test_a_table_of_names_with_odd_lines_is_refused(tmp_path):
    (tmp_path / "names.tsv").write_text("Liver Anna\tLiver\nMagen\tStomach\nnonsense\n")
    with pytest.raises(PedsegInputError) as caught:
        read_names(tmp_path / "names.tsv")
    assert [problem.code for problem in caught.value.problems] == ["E-ORGAN-NAMES"] * 2
    (tmp_path / "names.tsv").write_text("A\tLiver\nB\tHeart\nA\tSpleen\n")
    with pytest.raises(PedsegInputError, match="'A' has two lines"):
        read_names(tmp_path / "names.tsv")
    (tmp_path / "names.tsv").write_bytes(b"M\xfcller\tLiver\n")
    with pytest.raises(PedsegInputError, match="E-ORGAN-NAMES"):
        read_names(tmp_path / "names.tsv")


# --- nothing is lost without a word ------------------------------------------------------------------------------


def total(place: Path, seed: int = 0) -> Path:
    """A case as TotalSegmentator lays it out."""
    write_nifti(place / "ct.nii.gz", image(seed))
    for name, label in {"liver": 6, "spleen": 1}.items():
        mask = Scan((blocks([label]).voxels > 0).astype(np.uint8), AFFINE)
        write_nifti(place / "segmentations" / f"{name}.nii.gz", mask)
    return place


@pytest.mark.parametrize("named", ["", "ct.nii.gz"])
def test_one_case_of_totalsegmentator_keeps_its_masks_and_its_name(named, tmp_path):
    for number in range(2):
        total(tmp_path / "total" / f"s{number:04d}", number)
    (tmp_path / "total" / "notes").mkdir()  # a folder that is wrong with the whole, and not with this case
    became, dataset = bring(tmp_path / "total" / "s0001" / named, tmp_path)
    assert [case.annotated for case in dataset.cases] == [("Liver", "Spleen")]
    (tmp_path / "total" / "notes").rmdir()
    became, dataset = bring(tmp_path / "total", tmp_path)
    assert sorted(result.already_imported for result in became) == [False, True]
    assert len(dataset.cases) == 2


def nnunet(folder: Path, labels: dict[str, int], channel: str = "CT") -> Path:
    """One child in the layout of nnU-Net v2; its map holds 6 and 1."""
    write_nifti(folder / "imagesTr" / "c1_0000.nii.gz", image())
    write_nifti(folder / "labelsTr" / "c1.nii.gz", blocks([6, 1]))
    about = {"channel_names": {"0": channel}, "labels": {"background": 0} | labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(about | {"numTraining": 1}))
    return folder


def test_label_maps_beside_a_folder_of_images_are_said(tmp_path):
    folder = nnunet(tmp_path / "in", {"Liver": 6, "Spleen": 1})
    became, dataset = bring(folder / "imagesTr", tmp_path)
    assert re.search("contours in .*labelsTr: name the folder above", messages(became))
    assert dataset.cases[0].split == "unlabeled"
    became, _ = bring(folder / "labelsTr" / ".." / ".." / "in", tmp_path / "other")
    assert "labelsTr" not in messages(became)


REFUSED_TABLES = {
    "a label that is no organ": ({"Liver": 6, "tumor": 1}, "CT", "E-ORGAN-UNKNOWN"),
    "one number for two": ({"Liver": 6, "Spleen": 6, "Heart": 1}, "CT", "E-DATASET-JSON"),
    "PET": ({"Liver": 6, "Spleen": 1}, "PET", "E-MODALITY"),
    "the label ignore": ({"Liver": 6, "ignore": 1}, "CT", "E-DATASET-JSON"),
}


@pytest.mark.parametrize(("labels", "channel", "code"), REFUSED_TABLES.values(), ids=REFUSED_TABLES)
def test_scans_of_a_refused_table_stay_out_and_come_in_when_it_is_right(labels, channel, code, tmp_path):
    """A tumor would be background, a PET a CT: who skips what is refused gets none of them, and loses none."""
    folder = nnunet(tmp_path / "in", labels, channel)
    became = list(import_scans(folder, tmp_path / "ds", center="Here", key=tmp_path / "key", skip_refused=True))
    assert [result.code for result in became] == [code]
    assert not (tmp_path / "ds").exists()
    nnunet(folder, {"Liver": 6, "Spleen": 1})
    became, dataset = bring(folder, tmp_path, skip_refused=True)
    assert [(result.already_imported, result.organs) for result in became] == [(False, ("Liver", "Spleen"))]
    drawn = load_labels(dataset, dataset.cases[0]).voxels
    assert (drawn == organ("Spleen").id).sum() == (blocks([1]).voxels == 1).sum()


def test_a_case_that_is_refused_stays_out_alone(tmp_path):
    """c2 has no label map and c3 lies in two splits; c1 is sound, and the others come in when they are."""
    folder = nnunet(tmp_path / "in", {"Liver": 6, "Spleen": 1})
    for name, tail, seed in (("c2", "Tr", 2), ("c3", "Tr", 3), ("c3", "Ts", 4)):
        write_nifti(folder / f"images{tail}" / f"{name}_0000.nii.gz", image(seed))
        if name != "c2":
            write_nifti(folder / f"labels{tail}" / f"{name}.nii.gz", blocks([6, 1]))
    became, dataset = bring(folder, tmp_path, skip_refused=True)
    codes = {result.code for result in became if isinstance(result, InputProblem)}
    assert codes == {"E-LABEL-MISSING", "E-CASE-TWICE"}
    assert len(dataset.cases) == 1
    write_nifti(folder / "labelsTr" / "c2.nii.gz", blocks([6, 1]))
    (folder / "imagesTs" / "c3_0000.nii.gz").unlink()
    (folder / "labelsTs" / "c3.nii.gz").unlink()
    became, dataset = bring(folder, tmp_path, skip_refused=True)
    assert [result.already_imported for result in became].count(True) == 1
    assert len(dataset.cases) == 3
    assert {case.annotated for case in dataset.cases} == {("Liver", "Spleen")}


def test_the_label_ignore_is_not_background_by_any_table(tmp_path):
    folder = nnunet(tmp_path / "in", {"Liver": 6, "ignore": 1})
    (folder / "organ_names.tsv").write_text("ignore\tignore\n")
    with pytest.raises(PedsegInputError, match=r"E-DATASET-JSON .*voxels that nobody decided"):
        bring(folder, tmp_path)
    write_nifti(tmp_path / "list" / "a.nii.gz", image())
    write_nifti(tmp_path / "list" / "b.nii.gz", blocks([6, 1]))
    file = tmp_path / "list" / "list.json"
    entry = {"image": "a.nii.gz", "label": "b.nii.gz"}
    file.write_text(json.dumps({"labels": {"6": "liver", "1": "Ignore"}, "training": [entry]}))
    with pytest.raises(PedsegInputError, match=r"E-DATALIST .*voxels that nobody decided"):
        bring(file, tmp_path)
    entry["image"] = ["a.nii.gz", "b.nii.gz"]
    file.write_text(json.dumps({"labels": {"6": "liver"}, "training": [entry]}))
    with pytest.raises(PedsegInputError, match="more than one channel"):
        bring(file, tmp_path)


def test_two_scans_of_one_name_both_wait(tmp_path):
    """The first of two entries must not win: the second, once alone, would be there already."""
    write_nifti(tmp_path / "in" / "a.nii.gz", image())
    for number in (6, 1):
        write_nifti(tmp_path / "in" / f"label{number}.nii.gz", blocks([number]))
    file = tmp_path / "in" / "list.json"
    entries = [{"image": "a.nii.gz", "label": f"label{number}.nii.gz"} for number in (6, 1)]
    about = {"labels": {"6": "liver", "1": "spleen"}}
    file.write_text(json.dumps(about | {"training": entries}))
    became = list(import_scans(file, tmp_path / "ds", center="Here", key=tmp_path / "key", skip_refused=True))
    assert [result.code for result in became] == ["E-CASE-TWICE"] * 2
    file.write_text(json.dumps(about | {"training": entries[1:]}))
    _, dataset = bring(file, tmp_path, skip_refused=True)
    assert dataset.cases[0].absent == ("Liver",)


@pytest.mark.parametrize(
    ("gray", "stretched"),
    [
        (lambda v: (v / v.max()).astype(np.float32), True),
        (lambda v: ((v - v.mean()) / v.std()).astype(np.float32), True),
        (lambda v: (v * 30).astype(np.uint16), True),
        (lambda v: v.astype(np.float64), False),
    ],
    ids=["0 to 1", "z-scores", "above 32767", "whole numbers"],
)
def test_an_mr_keeps_its_gray_values(gray, stretched, tmp_path):
    """Whole numbers fit into a data set; others are stretched, which is noted, and hardly rounded."""
    sound = np.clip(image().voxels.astype(float) + 1100, 0, 3000).round()
    folder = nnunet(tmp_path / "in", {"Liver": 6, "Spleen": 1}, "MR")
    given = gray(sound)
    write_nifti(folder / "imagesTr" / "c1_0000.nii.gz", Scan(given, AFFINE))
    became, dataset = bring(folder, tmp_path)
    assert ("gray values multiplied by" in messages(became)) == stretched
    assert ("multiplied" in read_table(tmp_path / "ds" / "cases.tsv")[0]["notes"]) == stretched
    kept = load_image(dataset.cases[0]).voxels
    assert kept.dtype == np.int16 and len(np.unique(kept)) == len(np.unique(given))
    factor = 32767 / np.abs(given).max() if stretched else 1
    np.testing.assert_allclose(kept, given * factor, atol=0.51)
    np.testing.assert_array_equal(load_image(list_cases(folder).dataset.cases[0]).voxels, kept)  # as it lies, too


def test_what_no_data_set_can_hold_is_refused_before_anything_is_written(tmp_path):
    folder = nnunet(tmp_path / "in", {"Liver": 6, "Spleen": 1})
    huge = image(2).voxels.astype(np.int32)
    huge[20, 18, 10] = 40_000
    write_nifti(folder / "imagesTr" / "c2_0000.nii.gz", Scan(huge, AFFINE))
    write_nifti(folder / "labelsTr" / "c2.nii.gz", blocks([6, 1]))
    with pytest.raises(PedsegInputError, match=r"E-NOT-HU .*c2_0000.*they reach 40000"):
        bring(folder, tmp_path)
    assert not (tmp_path / "ds").exists()
    _, dataset = bring(folder, tmp_path, skip_refused=True)
    assert len(dataset.cases) == 1


def test_options_that_change_nothing_are_refused(tmp_path):
    """A table of names that nobody reads would leave sides swapped, and nobody would know."""
    nnunet(tmp_path / "raw", {"Liver": 6, "Spleen": 1})
    total(tmp_path / "total" / "s0001")
    write_nifti(tmp_path / "nifti" / "a.nii.gz", image())
    names = ImportOptions(names={"Liver": "Spleen"})
    for source in ("raw", "total", "total/s0001", "nifti"):
        with pytest.raises(PedsegInputError, match=r"E-OPTION .*--names"):
            bring(tmp_path / source, tmp_path, options=names)
    listing = tmp_path / "nifti" / "list.json"
    listing.write_text(json.dumps({"labels": {"6": "liver"}, "training": ["a.nii.gz"]}))
    for source in (tmp_path / "raw", listing):
        with pytest.raises(PedsegInputError, match="--repair changes nothing"):
            bring(source, tmp_path, options=ImportOptions(repairs=("overlaps", "gaps")))
    assert not (tmp_path / "ds").exists()


def test_a_name_is_public_only_where_an_origin_is_told(tmp_path):
    """Two children of two hospitals in folders called s0001; of a public collection it is one scan, twice."""
    for number in range(2):
        total(tmp_path / f"hospital{number}" / "s0001", number)
    for number in range(2):
        became, dataset = bring(tmp_path / f"hospital{number}", tmp_path)
        assert [result.already_imported for result in became] == [False]
    assert len(dataset.cases) == 2 and "s0001" not in (tmp_path / "ds" / "cases.tsv").read_text()
    for number in range(2):
        became, dataset = bring(tmp_path / f"hospital{number}", tmp_path / "public", origin="TotalSegmentator v2")
    assert [result.already_imported for result in became] == [True] and len(dataset.cases) == 1


def test_masks_that_pedseg_has_written_all_come_back(root, tmp_path):
    """Lungs and bowel are whole there, and no parts as TotalSegmentator has them."""
    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")
    case = dataset.split("test")[0]
    write_nifti(tmp_path / "in" / "s0001" / "ct.nii.gz", load_image(case))
    drawn = load_labels(dataset, case)
    export(drawn, tmp_path / "in" / "s0001" / "segmentations", kind="totalsegmentator")
    _, brought = bring(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(load_labels(brought, brought.cases[0]).voxels, drawn.voxels)
    assert {"Lung_L", "Bowel^Stomach", "SpinalCanal"} <= {*brought.cases[0].annotated}


def test_files_that_are_not_read_are_named(tmp_path):
    """Masks and cases by another ending, and scans in folders below."""
    place = total(tmp_path / "total" / "s0001")
    packed = place / "segmentations" / "spleen.nii.gz"
    (place / "segmentations" / "kidney_left.nii").write_bytes(gzip.decompress(packed.read_bytes()))
    with pytest.raises(PedsegInputError, match=r"E-CASE-NAME .*kidney_left\.nii"):
        bring(tmp_path / "total", tmp_path)
    folder = nnunet(tmp_path / "raw", {"Liver": 6, "Spleen": 1})
    shutil.copy(folder / "imagesTr" / "c1_0000.nii.gz", folder / "imagesTr" / "c2_0000.NII.GZ")
    with pytest.raises(PedsegInputError, match=r"E-CASE-NAME .*c2_0000\.NII\.GZ"):
        bring(folder, tmp_path)
    for name in ("a", "below/b"):
        write_nifti(tmp_path / "nifti" / f"{name}.nii.gz", image())
    assert "1 NIfTI file(s) in subfolders" in messages(bring(tmp_path / "nifti", tmp_path)[0])
    (tmp_path / "nifti" / "list.json").write_text(
        json.dumps({"labels": {"6": "liver"}, "training": ["a.nii.gz"], "val": [{"image": "below/b.nii.gz"}]})
    )
    assert "the list 'val'" in messages(bring(tmp_path / "nifti" / "list.json", tmp_path / "other")[0])


def test_patients_without_a_ct_are_counted(tmp_path):
    write_series(tmp_path / "in" / "ct", body(SHAPE), spacing_mm=(6, 6, 8))
    for file in write_series(tmp_path / "in" / "mr", body(SHAPE), spacing_mm=(6, 6, 8), PatientID="another"):
        header = pydicom.dcmread(file)
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        header.save_as(file)
    said = messages(bring(tmp_path / "in", tmp_path)[0])
    assert f"{SHAPE[2]} file(s) of patients without a CT: MR" in said and "another" not in said


@pytest.mark.parametrize("place", ["", "below"])
def test_nifti_and_dicom_in_one_folder_may_be_one_scan_twice(place, tmp_path, capsys):
    write_series(tmp_path / "in" / "dicom", body(SHAPE), spacing_mm=(6, 6, 8))
    write_nifti(tmp_path / "in" / place / "a.nii.gz", image())
    with pytest.raises(PedsegInputError, match="E-SOURCE-MIXED"):
        bring(tmp_path / "in", tmp_path, skip_refused=True)
    assert not (tmp_path / "ds").exists()
    shutil.rmtree(tmp_path / "in" / "dicom")
    assert len(bring(tmp_path / "in" / place, tmp_path)[0]) == 1


@pytest.mark.parametrize("name", ["a.nrrd", "A.NRRD", "a.mha", "a.hdr"])
def test_scans_of_other_formats_are_named_with_what_to_do(name, tmp_path):
    write_nifti(tmp_path / "in" / "sound.nii.gz", image())
    for source in (tmp_path / "in", tmp_path / "in" / name):
        (tmp_path / "in" / name).write_bytes(b"NRRD0005\n" + bytes(400))
        with pytest.raises(PedsegInputError, match=r"E-NOT-NIFTI .*\.nii\.gz.*SimpleITK"):
            bring(source, tmp_path)
    became, dataset = bring(tmp_path / "in", tmp_path, skip_refused=True)
    assert [result.code for result in became if isinstance(result, InputProblem)] == ["E-NOT-NIFTI"]
    assert len(dataset.cases) == 1


def test_endings_in_capitals_are_read(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", image())
    (tmp_path / "in").mkdir()
    (tmp_path / "a.nii.gz").rename(tmp_path / "in" / "A.NII.GZ")
    assert len(bring(tmp_path / "in", tmp_path)[0]) == 1
    assert bring(tmp_path / "in" / "A.NII.GZ", tmp_path)[0][0].already_imported


def test_predict_names_what_it_cannot_take_and_reads_endings_in_capitals(tmp_path, capsys):
    write_series(tmp_path / "mixed" / "dicom", body(SHAPE), spacing_mm=(6, 6, 8))
    write_nifti(tmp_path / "mixed" / "a.nii.gz", image())
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0005\n")
    for source, code in ((tmp_path / "mixed", "E-SOURCE-MIXED"), (tmp_path / "a.nrrd", "E-NOT-NIFTI")):
        assert main(["predict", str(source), "--model", "none", "--out", str(tmp_path / "out")]) == 1
        assert code in capsys.readouterr().err
    shutil.rmtree(tmp_path / "mixed" / "dicom")
    (tmp_path / "mixed" / "a.nii.gz").rename(tmp_path / "mixed" / "A.NII.GZ")
    assert targets(tmp_path / "mixed", tmp_path) == [(tmp_path / "mixed" / "A.NII.GZ", tmp_path / "A.nii.gz")]
    assert main(["predict", str(tmp_path / "mixed"), "--model", "none", "--out", str(tmp_path / "out")]) == 1
    assert "none" in capsys.readouterr().err  # the scan is taken; the network is not there
