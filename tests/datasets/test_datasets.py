"""Data sets on disk: what is written is read back, and public layouts are understood."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from pedseg import organs
from pedseg.datasets.cases import Case, assign_splits
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import check_dataset, read_centers, read_dataset
from pedseg.datasets.writing import write_case, write_index, written_cases
from pedseg.errors import PedsegInputError
from pedseg.scan import Scan, read_nifti, write_nifti

SHAPE = (20, 16, 12)
AFFINE = np.array([[12.0, 0, 0, -114], [0, 11.0, 0, -80.5], [0, 0, 10.0, -300], [0, 0, 0, 1]])
# Corner of a 3x3x3 block for each organ that the small child has; x grows to its right.
BLOCKS = {
    "Liver": (13, 8, 6),
    "Spleen": (4, 8, 6),
    "Kidney_L": (5, 4, 2),
    "Kidney_R": (13, 4, 2),
    "Heart": (9, 8, 9),
    "Bowel^Stomach": (9, 9, 2),
}


def small_child(seed: int, without: str = "") -> tuple[Scan, Scan]:
    """A CT of 20x16x12 voxels, an ellipse of soft tissue in a rim of fat in air, and six organs in it."""
    x, y, _ = np.indices(SHAPE)
    radius = ((x - 9.5) / 9) ** 2 + ((y - 7.5) / 7) ** 2
    hu = np.select([radius < 0.8, radius < 1.0], [60.0, -90.0], -1000.0)
    hu[9:11, 2:4] = 500.0  # spine
    noise = np.random.default_rng(seed).normal(0, 12, SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    for name, (i, j, k) in BLOCKS.items():
        if name != without:
            labels[i : i + 3, j : j + 3, k : k + 3] = organs.organ(name).id
    return Scan(np.maximum(np.round(hu + noise), -1024).astype(np.int16), AFFINE), Scan(labels, AFFINE)


def write_center(folder: Path, center: str, splits: tuple[str, ...], first_seed: int = 0) -> Path:
    """A data set of small children; those that are finished are kept, as a resumed run does."""
    for number, split in enumerate(splits):
        name = f"{center.lower()}-{number}"
        if name not in written_cases(folder):
            image, labels = small_child(first_seed + number, without="Kidney_L" if number == 1 else "")
            write_case(
                folder,
                name,
                image,
                labels,
                patient=f"{center}{number}",
                center=center,
                split=split,
                age_months=24 + number,
                sex="FM"[number % 2],
                manual=BLOCKS,
                license="Apache-2.0",
            )
    write_index(folder, center=center)
    return folder


@pytest.fixture(scope="module")
def polder(tmp_path_factory) -> Path:
    splits = ("train", "train", "validation", "test")
    return write_center(tmp_path_factory.mktemp("data") / "Dataset901_Polder", "Polder", splits)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- round trip -------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(polder):
    dataset = read_dataset(polder)
    assert (dataset.center, len(dataset.cases)) == ("Polder", 4)
    assert dataset.labels == {organ.id: organ.name for organ in organs.ORGANS}
    assert [case.name for case in dataset.split("train")] == ["polder-0", "polder-1"]
    assert [case.name for case in dataset.split("validation")] == ["polder-2"]
    assert [case.name for case in dataset.split("test")] == ["polder-3"]
    for number, case in enumerate(dataset.cases):
        image, labels = small_child(number, without="Kidney_L" if number == 1 else "")
        np.testing.assert_array_equal(load_image(case).voxels, image.voxels)
        np.testing.assert_array_equal(load_labels(dataset, case).voxels, labels.voxels)
        np.testing.assert_allclose(load_image(case).affine, AFFINE, atol=1e-4)
        np.testing.assert_allclose(load_labels(dataset, case).affine, AFFINE, atol=1e-4)
        assert (case.patient, case.age_months, case.sex) == (f"Polder{number}", 24 + number, "FM"[number % 2])


def test_a_removed_kidney_is_absent_and_an_undrawn_organ_is_not(polder):
    dataset = read_dataset(polder)
    order = ("Liver", "Spleen", "Kidney_L", "Kidney_R", "Heart", "Bowel^Stomach")
    assert dataset.organs == order
    assert [case.annotated for case in dataset.cases] == [order] * 4
    assert [case.absent for case in dataset.cases] == [(), ("Kidney_L",), (), ()]


def test_nothing_is_found_and_no_file_is_left_over(polder):
    assert check_dataset(polder) == []
    assert sorted(path.name for path in polder.iterdir()) == [
        "cases.tsv",
        "datalist.json",
        "dataset.json",
        "imagesTr",
        "imagesTs",
        "labelsTr",
        "labelsTs",
        "splits_final.json",
    ]


def test_nnunet_finds_its_files(polder):
    about = json.loads((polder / "dataset.json").read_text())
    assert about["channel_names"] == {"0": "CT"}
    assert about["numTraining"] == 3
    assert about["file_ending"] == ".nii.gz"
    assert list(about["labels"].items())[:2] == [("background", 0), ("Liver", 1)]
    assert sorted(about["labels"].values()) == list(range(20))
    assert sorted(path.name for path in (polder / "labelsTr").iterdir()) == [f"polder-{n}.nii.gz" for n in range(3)]
    (fold,) = json.loads((polder / "splits_final.json").read_text())
    assert fold == {"train": ["polder-0", "polder-1"], "val": ["polder-2"]}


@pytest.mark.slow
def test_monai_opens_the_data_list(polder):
    """Twin: MONAI's own reader of such lists."""
    from monai.data import load_decathlon_datalist

    listed = load_decathlon_datalist(str(polder / "datalist.json"), True, "training", base_dir=str(polder))
    assert [(Path(entry["image"]).is_file(), Path(entry["label"]).is_file(), entry["fold"]) for entry in listed] == [
        (True, True, 1),
        (True, True, 1),
        (True, True, 0),
    ]
    (test,) = load_decathlon_datalist(str(polder / "datalist.json"), True, "testing", base_dir=str(polder))
    assert test == {
        "image": str(polder / "imagesTs/polder-3_0000.nii.gz"),
        "label": str(polder / "labelsTs/polder-3.nii.gz"),
    }


def test_a_scan_in_another_orientation_is_written_as_ras(tmp_path):
    image, labels = small_child(0)
    turned = [Scan(s.voxels[::-1, ::-1].copy(), s.affine @ flip()) for s in (image, labels)]
    assert turned[0].orientation == "LPS"
    write_case(tmp_path, "a", *turned, patient="a", center="A", split="train")
    on_disk = read_nifti(tmp_path / "imagesTr" / "a_0000.nii.gz")
    assert on_disk.orientation == "RAS"
    np.testing.assert_array_equal(on_disk.voxels, image.voxels)


def flip() -> np.ndarray:
    """Index of the small child's voxels, with x and y counted from the other end."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:2, 3] = (SHAPE[0] - 1, SHAPE[1] - 1)
    return affine


def test_a_data_set_can_be_extended_and_a_case_moved_to_another_split(tmp_path):
    folder = write_center(tmp_path / "Dataset901_Polder", "Polder", ("train", "train", "test"))
    image, labels = small_child(7)
    write_case(folder, "polder-1", image, labels, patient="Polder1", center="Polder", split="test", manual=BLOCKS)
    assert [problem.code for problem in check_dataset(folder)] == ["E-UNFINISHED"]
    write_index(folder, center="Polder")
    write_center(folder, "Polder", ("train", "test", "test", "train"))
    assert [case.split for case in read_dataset(folder).cases] == ["train", "test", "test", "train"]
    assert check_dataset(folder) == []


UNWRITABLE = [
    ("E-CASE-NAME", {"name": "../x"}),
    ("E-SPLIT", {"split": "exam"}),
    ("E-CASES-TABLE", {"sex": "girl"}),
    ("E-CASES-TABLE", {"tumor": "lymphoma"}),
    ("E-CASES-TABLE", {"posture": "asleep"}),
    ("E-CASES-TABLE", {"phase": "venous"}),
    ("E-CASES-TABLE", {"months_since_surgery": -1.0}),
    ("E-CASES-TABLE", {"months_since_surgery": float("nan")}),
    ("E-ORGAN-UNKNOWN", {"manual": ["Liver", "liver"]}),
    ("E-NOT-ANNOTATED", {"manual": ["Liver"]}),
    ("E-LABEL-VALUES", {"labels": Scan(np.full(SHAPE, 20, np.uint8), AFFINE)}),
    ("E-NOT-FINITE", {"image": Scan(np.full(SHAPE, np.nan), AFFINE)}),
    ("E-GEOMETRY", {"labels": Scan(np.zeros(SHAPE, np.uint8), AFFINE + np.eye(4)[3] * [[1], [0], [0], [0]])}),
]


@pytest.mark.parametrize(
    ("code", "wrong"), UNWRITABLE, ids=lambda value: value if isinstance(value, str) else next(iter(value))
)
def test_an_unwritable_value_is_refused_before_a_byte_is_written(tmp_path, code, wrong):
    image, labels = small_child(0)
    given = {"name": "a", "image": image, "labels": labels, "patient": "a", "center": "A", "split": "train"}
    with pytest.raises(PedsegInputError, match=code):
        write_case(tmp_path / "set", **(given | wrong))
    assert list(tmp_path.iterdir()) == []


# --- what is known of a case ------------------------------------------------------------------------

KNOWN = {"tumor": "renal", "months_since_surgery": 7.5, "posture": "right side", "phase": "portal venous"}


def test_what_is_known_of_a_case_travels_with_it(tmp_path):
    for number, known in enumerate((KNOWN, {}, {"months_since_surgery": 12})):
        image, labels = small_child(number)
        given = {"patient": f"p{number}", "center": "A", "split": ("train", "validation", "test")[number]}
        write_case(tmp_path / "set", f"a-{number}", image, labels, manual=BLOCKS, **given, **known)
    write_index(tmp_path / "set", center="A")
    assert check_dataset(tmp_path / "set") == []
    first, second, third = read_dataset(tmp_path / "set").cases
    assert {name: getattr(first, name) for name in KNOWN} == KNOWN
    assert (second.tumor, second.months_since_surgery, second.posture, second.phase) == ("", None, "", "")
    assert third.months_since_surgery == 12.0


def rewritten(folder: Path, change) -> None:
    """Change the rows of cases.tsv; the first is the header."""
    file = folder / "cases.tsv"
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    file.write_text("".join("\t".join(row) + "\n" for row in change(rows)), encoding="utf-8")


def test_tables_of_before_have_fewer_columns(polder, tmp_path):
    folder = shutil.copytree(polder, tmp_path / "set")
    rewritten(folder, lambda rows: [row[: rows[0].index("sha256_image") + 1] for row in rows])
    assert check_dataset(folder) == []
    assert all(case.tumor == case.posture == case.phase == "" for case in read_dataset(folder).cases)


@pytest.mark.parametrize(
    ("column", "word"),
    [
        ("tumor", "Wilms"),
        ("posture", "left"),
        ("phase", "portal"),
        ("months_since_surgery", "2 years"),
        ("months_since_surgery", "-3"),
        ("months_since_surgery", "nan"),
    ],
)
def test_an_unknown_word_about_a_case_is_a_finding(polder, tmp_path, column, word):
    folder = shutil.copytree(polder, tmp_path / "set")

    def change(rows):
        rows[1][rows[0].index(column)] = word
        return rows

    rewritten(folder, change)
    (problem,) = check_dataset(folder)
    assert problem.code == "E-CASES-TABLE" and column in problem.problem and repr(word) in problem.problem


def test_an_index_without_a_case_is_refused(tmp_path):
    with pytest.raises(PedsegInputError, match="E-NO-CASE"):
        write_index(tmp_path, center="A")


# --- a crash ----------------------------------------------------------------------------------------

CRASH = """
import importlib.util, os, sys
from pathlib import Path

left, replace = int(sys.argv[3]), os.replace

def replace_or_die(part, file):
    global left
    left -= 1
    if left == 0:
        os._exit(9)  # as kill -9 does: nothing is cleaned up
    replace(part, file)

os.replace = replace_or_die
spec = importlib.util.spec_from_file_location("maker", sys.argv[1])
maker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(maker)
maker.write_center(Path(sys.argv[2]), "Polder", ("train", "train", "test"))
"""


@pytest.mark.parametrize("killed_at", [2, 6, 12])  # a label map; a finished case's row; the last list of the index
def test_a_killed_run_leaves_whole_files_and_is_resumed(tmp_path, killed_at):
    whole = write_center(tmp_path / "whole" / "Dataset901_Polder", "Polder", ("train", "train", "test"))
    folder = tmp_path / "killed" / "Dataset901_Polder"
    environment = os.environ | {"PYTHONPATH": str(Path(organs.__file__).parents[1])}
    died = subprocess.run([sys.executable, "-c", CRASH, __file__, str(folder), str(killed_at)], env=environment)
    assert died.returncode == 9
    assert len(list(folder.rglob(".*.part"))) == 1
    for file in folder.rglob("[!.]*.nii.gz"):
        read_nifti(file)
    codes = {problem.code for problem in check_dataset(folder)}
    assert codes <= {"E-UNFINISHED", "E-NO-DATASET"} and codes
    write_center(folder, "Polder", ("train", "train", "test"))
    assert contents(folder) == contents(whole)


# --- nnU-Net v2 raw of other makers -----------------------------------------------------------------


def foreign(source: Path, folder: Path, labels: dict[str, int] | None = None) -> Path:
    """The data set as nnU-Net knows it: only dataset.json, imagesTr and labelsTr; scans as written by others."""
    dataset = read_dataset(source)
    numbers = labels if labels is not None else {"spleen": 3, "Left Kidney": 8, "kidney-right": 5, "liver": 12}
    meaning = {organs.recognize(name).id: number for name, number in numbers.items() if organs.recognize(name)}
    for case in dataset.cases:
        image, drawn = load_image(case), load_labels(dataset, case)
        renumbered = np.zeros(SHAPE, np.int16)
        for old, new in meaning.items():
            renumbered[drawn.voxels == old] = new
        for tail, voxels in (("images", image.voxels), ("labels", renumbered)):
            ending = "_0000.nii.gz" if tail == "images" else ".nii.gz"
            (folder / f"{tail}Tr").mkdir(parents=True, exist_ok=True)
            turned = nibabel.Nifti1Image(voxels[::-1, ::-1], AFFINE @ flip())
            nibabel.save(turned.as_reoriented([[1, 1], [2, -1], [0, 1]]), folder / f"{tail}Tr" / f"{case.name}{ending}")
    about = {"channel_names": {"0": "CT"}, "labels": {"background": 0} | numbers, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(about | {"numTraining": len(dataset.cases)}))
    return folder


@pytest.fixture
def nnunet(polder, tmp_path) -> Path:
    return foreign(polder, tmp_path / "Dataset007_Fjord")


def test_an_nnunet_folder_without_a_table_is_read(nnunet, polder):
    """Every listed organ counts as annotated; without a voxel it is absent; axes become RAS exactly."""
    dataset = read_dataset(nnunet)
    assert check_dataset(nnunet) == []
    assert dataset.center == "Fjord"
    assert dataset.labels == {3: "Spleen", 8: "Kidney_L", 5: "Kidney_R", 12: "Liver"}
    assert {case.annotated for case in dataset.cases} == {("Liver", "Spleen", "Kidney_L", "Kidney_R")}
    assert [case.absent for case in dataset.cases] == [(), ("Kidney_L",), (), ()]
    assert read_nifti(dataset.cases[0].image_file).orientation not in ("RAS", "LPS")
    for case, original in zip(dataset.cases, read_dataset(polder).cases, strict=True):
        np.testing.assert_array_equal(load_image(case).voxels, load_image(original).voxels)
        np.testing.assert_allclose(load_image(case).affine, AFFINE, atol=1e-4)
        expected = load_labels(read_dataset(polder), original).voxels
        expected[expected > 5] = 0  # heart and bowel are not in that data set
        np.testing.assert_array_equal(load_labels(dataset, case).voxels, expected)


def test_a_test_share_is_taken_where_none_is_given(nnunet):
    assert sorted(case.split for case in read_dataset(nnunet).cases) == ["test", "train", "train", "train"]


def test_scans_without_contours_are_kept_apart(nnunet):
    (nnunet / "imagesTs").mkdir()
    write_nifti(nnunet / "imagesTs" / "new_0000.nii.gz", small_child(40)[0])
    (case,) = read_dataset(nnunet).split("unlabeled")
    assert (case.name, case.label_file, case.annotated, case.absent) == ("new", None, (), ())
    assert check_dataset(nnunet) == []
    with pytest.raises(PedsegInputError, match="E-LABEL-MISSING"):
        load_labels(read_dataset(nnunet), case)


def test_a_table_of_names_joins_and_ignores_structures(polder, tmp_path):
    labels = {"spleen": 1, "liver": 2, "Magen": 3, "tumor": 4}
    folder = foreign(polder, tmp_path / "Dataset007_Fjord", labels)
    lines = "# foreign name, organ\nMagen\tBowel^Stomach\ntumor\tignore\n"
    (folder / "organ_names.tsv").write_text(lines, encoding="utf-8")
    file = folder / "labelsTr" / "polder-0.nii.gz"
    drawn = read_nifti(file)
    drawn.voxels[0, 0, :3] = (3, 3, 4)
    write_nifti(file, drawn)
    dataset = read_dataset(folder)
    assert dataset.labels == {1: "Spleen", 2: "Liver", 3: "Bowel^Stomach", 4: ""}
    counted = np.bincount(load_labels(dataset, dataset.cases[0]).voxels.ravel(), minlength=20)
    assert {organs.NAMES[i - 1]: n for i, n in enumerate(counted) if i and n} == {
        "Liver": 27,
        "Spleen": 27,
        "Bowel^Stomach": 2,
    }
    assert dataset.organs == ("Liver", "Spleen", "Bowel^Stomach")


def test_a_table_by_hand_may_name_patients_and_splits_only(nnunet):
    rows = [
        "case\tpatient\tsplit",
        "polder-0\tp\ttest",
        "polder-1\tp\ttest",
        "polder-2\tq\ttrain",
        "polder-3\tr\ttrain",
    ]
    (nnunet / "cases.tsv").write_text("\ufeff" + "\r\n".join(rows), encoding="utf-8")  # as Excel writes it
    assert check_dataset(nnunet) == []
    dataset = read_dataset(nnunet)
    assert [(case.patient, case.split) for case in dataset.cases] == [
        ("p", "test"),
        ("p", "test"),
        ("q", "train"),
        ("r", "train"),
    ]
    assert dataset.cases[1].absent == ("Kidney_L",)


def test_mirrored_organs_are_accepted_where_the_owner_says_so(polder, tmp_path):
    folder = shutil.copytree(polder, tmp_path / "set")
    file = folder / "labelsTs" / "polder-3.nii.gz"
    drawn = read_nifti(file)
    write_nifti(file, Scan(drawn.voxels[::-1].copy(), drawn.affine))
    assert [problem.code for problem in check_dataset(folder)] == ["E-LEFT-RIGHT", "E-LEFT-RIGHT"]
    about = json.loads((folder / "dataset.json").read_text())
    about["pedseg"]["situs_inversus"] = ["polder-3"]
    (folder / "dataset.json").write_text(json.dumps(about))
    assert check_dataset(folder) == []


def test_a_child_on_its_side_is_not_mirrored(polder, tmp_path):
    """Turned by 90 degrees, liver and spleen lie above each other."""
    folder = shutil.copytree(polder, tmp_path / "set")
    file = folder / "labelsTr" / "polder-0.nii.gz"
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[8:10, 11:13, 5:7], voxels[9:11, 2:4, 5:7] = organs.organ("Liver").id, organs.organ("Spleen").id
    write_nifti(file, Scan(voxels, AFFINE))
    assert "E-LEFT-RIGHT" not in {problem.code for problem in check_dataset(folder)}


# --- TotalSegmentator v2 ----------------------------------------------------------------------------

MASKS = {
    "liver": (13, 8, 6),
    "spleen": (4, 8, 6),
    "kidney_left": (5, 4, 2),
    "kidney_right": (13, 4, 2),
    "lung_upper_lobe_left": (5, 8, 9),
    "lung_lower_lobe_left": (5, 5, 9),
    "stomach": (9, 9, 2),
    "duodenum": (9, 6, 2),
    "small_bowel": (9, 9, 5),
    "colon": (9, 6, 5),
    "spinal_cord": (9, 3, 6),
    "vertebrae_L1": (9, 3, 2),
    "gluteus_maximus_left": (0, 0, 0),
}


@pytest.fixture
def totalsegmentator(tmp_path) -> Path:
    """Four subjects; the second lost its left kidney, in the third nobody drew the colon."""
    folder = tmp_path / "TotalSegmentator"
    for number in range(4):
        place = folder / f"s000{number}"
        image, _ = small_child(number)
        write_nifti(place / "ct.nii.gz", image)
        for name, (i, j, k) in MASKS.items():
            mask = np.zeros(SHAPE, np.uint8)
            mask[i : i + 3, j : j + 3, k : k + 3] = (number, name) != (1, "kidney_left")
            if (number, name) != (2, "colon"):
                write_nifti(place / "segmentations" / f"{name}.nii.gz", Scan(mask, AFFINE))
    meta = ["image_id;age;gender;split", "s0000;2.5;f;train", "s0001;4;m;train", "s0002;;;val", "s0003;6;f;test"]
    (folder / "meta.csv").write_text("\n".join(meta))
    return folder


def test_the_totalsegmentator_layout_is_read(totalsegmentator):
    dataset = read_dataset(totalsegmentator)
    assert check_dataset(totalsegmentator) == []
    all_drawn = ("Liver", "Spleen", "Kidney_L", "Kidney_R", "Lung_L", "Bowel^Stomach")
    assert [case.annotated for case in dataset.cases] == [all_drawn, all_drawn, all_drawn[:-1], all_drawn]
    assert [case.absent for case in dataset.cases] == [(), ("Kidney_L",), (), ()]
    assert [case.split for case in dataset.cases] == ["train", "train", "validation", "test"]
    assert [(case.age_months, case.sex) for case in dataset.cases] == [(30, "F"), (48, "M"), (None, ""), (72, "F")]
    counted = np.bincount(load_labels(dataset, dataset.cases[0]).voxels.ravel(), minlength=20)
    voxels = {organs.NAMES[i - 1]: n for i, n in enumerate(counted) if i and n}
    assert voxels == dict.fromkeys(all_drawn, 27) | {"Lung_L": 54, "Bowel^Stomach": 108}
    np.testing.assert_array_equal(load_image(dataset.cases[2]).voxels, small_child(2)[0].voxels)


def test_the_totalsegmentator_layout_of_mr_is_read_and_its_lungs_have_no_lobes(totalsegmentator):
    for place in totalsegmentator.glob("s*"):
        scan = read_nifti(place / "ct.nii.gz")
        write_nifti(place / "mri.nii.gz", Scan((scan.voxels + 1100).astype(np.int16), scan.affine))
        (place / "ct.nii.gz").unlink()
        (place / "segmentations" / "lung_upper_lobe_left.nii.gz").rename(place / "segmentations" / "lung_left.nii.gz")
    dataset = read_dataset(totalsegmentator)
    assert check_dataset(totalsegmentator) == []
    assert {case.modality for case in dataset.cases} == {"MR"}
    assert all("Lung_L" in case.annotated for case in dataset.cases)
    counted = np.bincount(load_labels(dataset, dataset.cases[0]).voxels.ravel(), minlength=20)
    assert counted[organs.organ("Lung_L").id] == 27


# --- images -----------------------------------------------------------------------------------------


def image_case(file: Path) -> Case:
    return Case("a", "a", "A", "train", file, None)


def test_padding_of_the_scanner_reads_as_air_and_bright_metal_stays(tmp_path):
    voxels = np.array([-3024, -2000, -1024, -1000, 0, 3071, 9000, 32767], np.int16).reshape(2, 2, 2)
    write_nifti(tmp_path / "ct.nii.gz", Scan(voxels, np.eye(4)))
    image = load_image(image_case(tmp_path / "ct.nii.gz"))
    assert image.voxels.dtype == np.int16
    assert image.voxels.ravel().tolist() == [-1024, -1024, -1024, -1000, 0, 3071, 9000, 32767]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint16])
def test_values_are_kept_in_every_type(tmp_path, dtype):
    voxels = np.array([0, 1, 40, 70000 if dtype == np.int32 else 60000], dtype).reshape(1, 2, 2)
    write_nifti(tmp_path / "ct.nii.gz", Scan(voxels, np.eye(4)))
    image = load_image(image_case(tmp_path / "ct.nii.gz"))
    assert image.voxels.dtype == np.float32
    np.testing.assert_array_equal(image.voxels, voxels)


# --- splits -----------------------------------------------------------------------------------------


def unsplit(patients: list[str], split: str = "") -> list[Case]:
    return [Case(f"{p}-{i}", p, "A", split, Path(p), Path(p)) for i, p in enumerate(patients)]


@pytest.mark.parametrize(
    ("patients", "test", "validation"),
    [(1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 1, 0), (6, 2, 0), (7, 2, 1), (20, 5, 2), (100, 25, 8)],
)
def test_a_quarter_is_test_and_a_tenth_of_the_rest_validation(patients, test, validation):
    splits = [case.split for case in assign_splits(unsplit([f"p{n}" for n in range(patients)]))]
    assert (splits.count("test"), splits.count("validation")) == (test, validation)
    assert splits.count("train") == patients - test - validation


def test_the_share_follows_from_names_alone_and_keeps_a_patient_together():
    """Golden: sha256 of p1 begins with f645, p2 3946, p3 43bb; p2 comes first and is the share of 1 in 3."""
    names = ["p1", "p2", "p3", "p2"]
    expected = {("p1", "train"), ("p2", "test"), ("p3", "train")}
    assert {(c.patient, c.split) for c in assign_splits(unsplit(names))} == expected
    assert {(c.patient, c.split) for c in assign_splits(unsplit(names[::-1]))} == expected


def test_given_splits_are_kept():
    cases = unsplit(["a", "b"], "train") + unsplit(["c"], "test") + unsplit(["d"], "validation")
    assert [case.split for case in assign_splits(cases)] == ["train", "train", "test", "validation"]
    for split in ("train", "test"):
        alike = unsplit([*"abcdefgh"], split)
        assert assign_splits(alike) == alike
    mixed = assign_splits(unsplit(["a"], "train") + unsplit([*"abcd"]))
    assert {case.split for case in mixed if case.patient == "a"} == {"train"}
    assert [case.split for case in mixed].count("test") == 1


# --- several centers --------------------------------------------------------------------------------


def test_two_centers_are_read_in_the_order_of_their_folders(polder, tmp_path):
    shutil.copytree(polder, tmp_path / "Dataset901_Polder")
    write_center(tmp_path / "Dataset902_Neckar", "Neckar", ("train", "train", "test"), first_seed=100)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "notes.txt").write_text("not a center")
    datasets = read_centers(tmp_path)
    assert [(dataset.center, len(dataset.cases)) for dataset in datasets] == [("Polder", 4), ("Neckar", 3)]
    assert datasets == [read_dataset(tmp_path / name) for name in ("Dataset901_Polder", "Dataset902_Neckar")]
