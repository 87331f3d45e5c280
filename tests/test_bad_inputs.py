"""Every bad input is refused by a code, names its file and says what to do; and all of them at once."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

import pedseg
from pedseg.datasets import loading, reading, writing
from pedseg.datasets.checks import why_not_hu
from pedseg.errors import InputProblem, PedsegInputError
from pedseg.organs import organ
from pedseg.scan import Scan, read_nifti, write_nifti

SHAPE = (18, 16, 10)
AFFINE = np.diag([12.0, 12.0, 15.0, 1.0])
RIM = np.indices(SHAPE)[0] < 3  # beside the body, as what lies beyond a scanner's field of view
IMAGE, LABEL = "imagesTr/c1_0000.nii.gz", "labelsTr/c1.nii.gz"
ORGANS = ("Liver", "Spleen", "Kidney_L", "Kidney_R")


def child(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """HU of a round body with a fat rim, a spine and noise, and four organs in it."""
    x, y, _ = np.indices(SHAPE)
    radius = ((x - 8.5) / 8) ** 2 + ((y - 7.5) / 7) ** 2
    hu = np.select([radius < 0.8, radius < 1.0], [60.0, -90.0], -1000.0)
    hu[8:10, 2:4] = 500.0
    hu += np.random.default_rng(seed).normal(0, 12, SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    for name, (i, j) in zip(ORGANS, ((12, 8), (4, 8), (5, 4), (11, 4)), strict=True):
        labels[i : i + 2, j : j + 2, 3:6] = organ(name).id
    return np.maximum(np.round(hu), -1024).astype(np.int16), labels


def write_center(folder: Path, center: str, first_seed: int) -> None:
    for number, split in enumerate(("train", "train", "test")):
        image, labels = child(first_seed + number)
        scans = Scan(image, AFFINE), Scan(labels, AFFINE)
        who = {"patient": f"p{number}", "center": center, "split": split}
        writing.write_case(folder, f"c{number}", *scans, manual=ORGANS, **who)
    writing.write_index(folder, center=center)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """Two centers without a fault."""
    folder = tmp_path_factory.mktemp("sound")
    write_center(folder / "Dataset901_Polder", "Polder", 0)
    write_center(folder / "Dataset902_Neckar", "Neckar", 50)
    return folder


@pytest.fixture
def centers(sound, tmp_path) -> Path:
    return shutil.copytree(sound, tmp_path / "centers")


@pytest.fixture
def polder(centers) -> Path:
    return centers / "Dataset901_Polder"


def nifti(voxels: np.ndarray, affine: np.ndarray | None = AFFINE) -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    return image


def put(file: Path, image: nibabel.Nifti1Image) -> None:
    file.write_bytes(gzip.compress(image.to_bytes()))


def hu(change: Callable[[np.ndarray], np.ndarray], name: str = IMAGE) -> Callable[[Path], str]:
    """Break the gray values of an image."""

    def damage(folder: Path) -> str:
        put(folder / name, nifti(change(child(1)[0])))
        return name

    return damage


def drawn(change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray = AFFINE) -> Callable[[Path], str]:
    """Break the label map."""

    def damage(folder: Path) -> str:
        put(folder / LABEL, nifti(change(child(1)[1]), affine))
        return LABEL

    return damage


def content(change: Callable[[bytes], bytes], name: str = IMAGE) -> Callable[[Path], str]:
    """Break the bytes of a file."""

    def damage(folder: Path) -> str:
        (folder / name).write_bytes(change((folder / name).read_bytes()))
        return name

    return damage


def header(change: Callable[[nibabel.Nifti1Header], object], name: str = IMAGE) -> Callable[[Path], str]:
    """Break the header of an image."""

    def damage(folder: Path) -> str:
        image = nifti(child(1)[0])
        image.header["vox_offset"] = 352
        change(image.header)
        raw = image.header.binaryblock + bytes(4) + image.dataobj.tobytes(order="F")
        (folder / name).write_bytes(gzip.compress(raw))
        return name

    return damage


def about(**changes: object) -> Callable[[Path], str]:
    """Change dataset.json; cases.tsv goes, so that the folder is as nnU-Net alone knows it."""

    def damage(folder: Path) -> str:
        (folder / "cases.tsv").unlink()
        file = folder / "dataset.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        return "dataset.json"

    return damage


def table(change: Callable[[list[list[str]]], object]) -> Callable[[Path], str]:
    """Change the cells of cases.tsv; the first row is the header."""

    def damage(folder: Path) -> str:
        file = folder / "cases.tsv"
        rows = [line.split("\t") for line in file.read_text().splitlines()]
        change(rows)
        file.write_text("\n".join("\t".join(row) for row in rows) + "\n")
        return "cases.tsv"

    return damage


def cell(row: int, column: str, value: str) -> Callable[[Path], str]:
    return table(lambda rows: rows[row].__setitem__(rows[0].index(column), value))


def files(*changes: tuple[str, str], named: str = "") -> Callable[[Path], str]:
    """Copy files (from, to), or remove them (to = "")."""

    def damage(folder: Path) -> str:
        for source, target in changes:
            if target:
                (folder / target).parent.mkdir(exist_ok=True)
                shutil.copy(folder / source, folder / target)
            else:
                (folder / source).unlink()
        return named

    return damage


def names(labels: dict[str, object], lines: str = "", named: str = "dataset.json") -> Callable[[Path], str]:
    """Other label names, and perhaps a table that translates them."""

    def damage(folder: Path) -> str:
        about(labels={"background": 0} | labels)(folder)
        if lines:
            (folder / "organ_names.tsv").write_text(lines)
        return named

    return damage


def with_scans(
    change: Callable[[nibabel.Nifti1Image], nibabel.Nifti1Image], name: str = IMAGE
) -> Callable[[Path], str]:
    def damage(folder: Path) -> str:
        put(folder / name, change(nifti(child(1)[0])))
        return name

    return damage


def unlisted(folder: Path) -> str:
    table(lambda rows: rows.pop(3))(folder)
    return "imagesTs/c2_0000.nii.gz"


def unlisted_all(folder: Path) -> str:
    table(lambda rows: rows.__delitem__(slice(1, None)))(folder)
    return "imagesTr/c0_0000.nii.gz"


def set_pixdim(h, value: float) -> None:
    h["pixdim"][2] = value
    h["qform_code"] = 0


def scale(h, factor: float) -> None:
    """Other voxels in pixdim, sform and qform alike."""
    h.set_sform(np.diag([*AFFINE.diagonal()[:3] * factor, 1]), code=1)
    h.set_qform(h.get_sform(), code=1)


def conflict(h, mm: float = 12.0, factor: float = 1.0) -> None:
    scale(h, factor)
    shifted = h.get_sform()
    shifted[0, 3] = mm
    h.set_qform(shifted, code=1)


def leaning(lean: float) -> nibabel.Nifti1Image:
    """700 voxels of 0.6 mm along an axis that leans by so many mm a mm."""
    affine = 0.6 * np.diag([1.0, 1.0, 1.0, 1 / 0.6])
    affine[1, 0] = 0.6 * lean
    image = nifti(np.resize(child(1)[0], (700, 16, 10)), affine)
    image.header["qform_code"] = 0
    return image


def shear(h) -> None:
    tilted = AFFINE.copy()
    tilted[1, 2] = 4.0
    h.set_sform(tilted, code=1)
    h["qform_code"] = 0


def flat(h) -> None:
    h.set_sform(np.diag([12.0, 12.0, 0.0, 1.0]), code=1)
    h["qform_code"] = 0


def flip_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def other_crc(data: bytes) -> bytes:
    return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]


def color(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    return nifti(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]))


SHIFTED = AFFINE + np.array([[0, 0, 0, 0.5], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])

# What is wrong -> (code, how to make it from a sound data set; gives the end of the file's name that must be named)
BAD: dict[str, tuple[str, Callable[[Path], str]]] = {
    # files
    "an image cut off": ("E-NIFTI-DAMAGED", content(lambda data: data[: len(data) // 2])),
    "a label map cut off": ("E-NIFTI-DAMAGED", content(lambda data: data[:-20], LABEL)),
    "one bit flipped": ("E-NIFTI-DAMAGED", content(flip_bit)),
    "a wrong checksum": ("E-NIFTI-DAMAGED", content(other_crc)),
    "garbage after the end": ("E-NIFTI-DAMAGED", content(lambda data: data + b"garbage")),
    "fewer voxels than promised": ("E-NIFTI-TRUNCATED", content(lambda d: gzip.compress(gzip.decompress(d)[:-1]))),
    "the header alone": ("E-NIFTI-TRUNCATED", content(lambda d: gzip.compress(gzip.decompress(d)[:352]))),
    "an empty file": ("E-NOT-NIFTI", content(lambda data: b"")),
    "a web page": ("E-NOT-NIFTI", content(lambda data: b"<!DOCTYPE html><html>Sign in</html>")),
    "a Git LFS pointer": ("E-NOT-NIFTI", content(lambda data: b"version https://git-lfs.github.com/spec/v1\noid x\n")),
    "not compressed": ("E-NOT-NIFTI", content(gzip.decompress)),
    "a header of zeros": ("E-NOT-NIFTI", content(lambda data: gzip.compress(bytes(5000)))),
    "voxels inside the header": ("E-NOT-NIFTI", header(lambda h: h.__setitem__("vox_offset", 0))),
    "an unknown data type": ("E-NOT-NIFTI", header(lambda h: h.__setitem__("datatype", 9999))),
    "a folder by that name": ("E-FILE", lambda folder: folder_instead(folder)),
    # geometry
    "a single slice": ("E-NOT-3D", with_scans(lambda image: nifti(np.asarray(image.dataobj)[:, :, 0]))),
    "several volumes": ("E-NOT-3D", with_scans(lambda image: nifti(np.stack([np.asarray(image.dataobj)] * 2, -1)))),
    "colors": ("E-NOT-GRAY", with_scans(color)),
    "complex numbers": ("E-NOT-GRAY", with_scans(lambda image: nifti(np.ones(SHAPE, np.complex64)))),
    "a spacing of zero": ("E-SPACING", header(lambda h: set_pixdim(h, 0))),
    "a spacing of NaN": ("E-SPACING", header(lambda h: set_pixdim(h, np.nan))),
    "a negative spacing": ("E-SPACING", header(lambda h: set_pixdim(h, -2))),
    "meters": ("E-UNITS", header(lambda h: h.set_xyzt_units("meter"))),
    "meters that say so": ("E-UNITS", header(lambda h: (scale(h, 1e-3), h.set_xyzt_units("meter")))),
    "meters that nobody mentions": ("E-SPACING", header(lambda h: (scale(h, 1e-3), h.set_xyzt_units("unknown")))),
    "five micrometers": ("E-SPACING", header(lambda h: scale(h, 0.005 / 12))),
    "ten times too large": ("E-SPACING", header(lambda h: scale(h, 10))),
    "a field of 3.9 m": ("E-FIELD", header(lambda h: (scale(h, 3), h.set_data_shape((36, 109, 3))))),
    "a field of 2 cubic meters": ("E-FIELD", header(lambda h: (scale(h, 2), h.set_data_shape((53, 53, 42))))),
    "a billion voxels": ("E-SCAN-SIZE", header(lambda h: (scale(h, 1 / 50), h.set_data_shape((4000, 4000, 100))))),
    "no affine": ("E-NO-AFFINE", with_scans(lambda image: nifti(np.asarray(image.dataobj), None))),
    "a flat affine": ("E-AFFINE", header(flat)),
    "a sheared affine": ("E-AFFINE-SHEAR", header(shear)),
    "a slightly sheared affine": ("E-AFFINE-SHEAR", with_scans(lambda image: leaning(0.9e-3))),
    "two affines that differ": ("E-AFFINE-CONFLICT", header(conflict)),
    "two affines that differ by half a voxel": ("E-AFFINE-CONFLICT", header(lambda h: conflict(h, 0.6, 1 / 12))),
    "an sform of other voxels than pixdim": ("E-AFFINE-CONFLICT", header(lambda h: set_pixdim(h, 11.9))),
    "labels shifted by half a millimeter": ("E-GEOMETRY", drawn(lambda v: v, SHIFTED)),
    "labels of another size": ("E-GEOMETRY", drawn(lambda v: v[:-1])),
    # gray values
    "NaN": ("E-NOT-FINITE", hu(lambda v: np.where(np.indices(SHAPE)[0] == 3, np.nan, v).astype(np.float32))),
    "infinite": ("E-NOT-FINITE", hu(lambda v: np.where(v > 480, np.inf, v).astype(np.float32))),
    "1024 added": ("E-NOT-HU", hu(lambda v: (v + 1024).astype(np.uint16))),
    "1024 subtracted": ("E-NOT-HU", hu(lambda v: (v - 1024).astype(np.int16))),
    "8 bit": ("E-NOT-HU", hu(lambda v: np.clip((v + 160) / 400 * 255, 0, 255).astype(np.uint8))),
    "between 0 and 1": ("E-NOT-HU", hu(lambda v: ((v + 1024) / 2048).astype(np.float32))),
    "mean 0, sd 1": ("E-NOT-HU", hu(lambda v: ((v - v.mean()) / v.std()).astype(np.float32))),
    "1024 added, padded with -2000": ("E-NOT-HU", hu(lambda v: np.where(RIM, -2000, v + 1024).astype(np.int16))),
    "1024 added, padded with -3024": ("E-NOT-HU", hu(lambda v: np.where(RIM, -3024, v + 1024).astype(np.int16))),
    "padded with -2000, 1024 added": ("E-NOT-HU", hu(lambda v: (np.where(RIM, -2000, v) + 1024).astype(np.int16))),
    "1000 added": ("E-NOT-HU", hu(lambda v: (v + 1000).astype(np.int16))),
    "padded with -2000, 1000 added": ("E-NOT-HU", hu(lambda v: (np.where(RIM, -2000, v) + 1000).astype(np.int16))),
    "signs inverted": ("E-NOT-HU", hu(lambda v: -v)),
    "black and white inverted": ("E-NOT-HU", hu(lambda v: 3071 - v)),
    "ten times too high": ("E-NOT-HU", hu(lambda v: 10 * v)),
    "nothing but padding": ("E-NOT-HU", hu(lambda v: v * 0 - 2000)),
    "constant": ("E-NOT-HU", hu(lambda v: v * 0)),
    "cut off at 0": ("E-NOT-HU", hu(lambda v: np.maximum(v, 0))),
    "cut to a window": ("E-NOT-HU", hu(lambda v: np.clip(v, -160, 240))),
    # labels
    "a number without a name": ("E-LABEL-VALUES", drawn(lambda v: np.where(v == 1, 77, v).astype(np.uint8))),
    "interpolated labels": ("E-LABEL-VALUES", drawn(lambda v: v * np.float32(0.7))),
    "NaN in the labels": ("E-LABEL-VALUES", drawn(lambda v: np.where(v == 1, np.nan, v).astype(np.float32))),
    "negative labels": ("E-LABEL-VALUES", drawn(lambda v: v.astype(np.int16) - 1)),
    "nothing drawn": ("E-LABEL-EMPTY", drawn(lambda v: v * 0)),
    "sides swapped": ("E-LEFT-RIGHT", drawn(lambda v: v[::-1].copy())),
    "an organ that nobody drew": ("E-NOT-ANNOTATED", drawn(lambda v: np.where(v == 1, 8, v).astype(np.uint8))),
    "an organ missing against the table": ("E-ABSENT", drawn(lambda v: np.where(v == 1, 0, v).astype(np.uint8))),
    "another image than the table's": ("E-CHANGED", hu(lambda v: v + np.int16(1))),
    "one scan under two names": ("E-SAME-SCAN", files(("imagesTr/c0_0000.nii.gz", IMAGE), named=IMAGE)),
    # files that belong together
    "no label map": ("E-LABEL-MISSING", files((LABEL, ""), named=IMAGE)),
    "no image": ("E-IMAGE-MISSING", files((IMAGE, ""), named=LABEL)),
    "a case in train and test": (
        "E-CASE-TWICE",
        files((IMAGE, IMAGE.replace("Tr", "Ts")), (LABEL, LABEL.replace("Tr", "Ts")), named="imagesTs/c1_0000.nii.gz"),
    ),
    "a second channel": ("E-CASE-NAME", files((IMAGE, "imagesTr/c1_0001.nii.gz"), named="imagesTr/c1_0001.nii.gz")),
    "a case that the table lacks": ("E-CASE-UNLISTED", unlisted),
    "a row without a case": ("E-IMAGE-MISSING", table(lambda rows: rows.append(["c9", *rows[1][1:]]))),
    "no case at all": ("E-NO-CASE", lambda folder: emptied(folder)),
    "one case": ("E-TOO-FEW", lambda folder: one_case(folder)),
    # tables
    "no JSON": ("E-DATASET-JSON", content(lambda data: data[:-5], "dataset.json")),
    "another ending": ("E-DATASET-JSON", about(file_ending=".nrrd")),
    "labels of nnU-Net v1": ("E-DATASET-JSON", about(labels={"0": "background", "1": "liver"})),
    "a name with two numbers": (
        "E-DATASET-JSON",
        content(lambda data: data.replace(b'"Liver": 1,', b'"Liver": 1, "Liver": 2,'), "dataset.json"),
    ),
    "nested without end": ("E-DATASET-JSON", content(lambda data: b"[" * 100_000, "dataset.json")),
    "a name translated twice": (
        "E-ORGAN-NAMES",
        names({"Liver": 1, "a": 2}, "a\tSpleen\na\tHeart\n", "organ_names.tsv"),
    ),
    "regions": ("E-DATASET-JSON", names({"whole": [1, 2], "Spleen": 2})),
    "a number with two names": ("E-DATASET-JSON", names({"Liver": 1, "Spleen": 1})),
    "no organ": ("E-DATASET-JSON", names({})),
    "a number below zero": ("E-DATASET-JSON", names({"Liver": 1, "Heart": -1})),
    "no list of mirrored cases": ("E-DATASET-JSON", about(pedseg={"schema": 1, "situs_inversus": None})),
    "two channels": ("E-CHANNELS", about(channel_names={"0": "CT", "1": "PET"})),
    "PET": ("E-MODALITY", about(channel_names={"0": "PET"})),
    "CT or MR, and nobody says which": (
        "E-MODALITY",
        lambda folder: about(channel_names={"0": "CT+MR"})(folder) and "cases.tsv",
    ),
    "MR without a picture": (
        "E-FLAT",
        lambda folder: (
            about(channel_names={"0": "MR"})(folder)
            and with_scans(lambda image: nifti(np.full(SHAPE, 7, np.int16)))(folder)
        ),
    ),
    "an unknown organ": ("E-ORGAN-UNKNOWN", names({"Liver": 1, "Spleen": 2, "Kidny_L": 4, "Kidney_R": 5})),
    "two names of one organ": ("E-ORGAN-TWICE", names({"Liver": 1, "Spleen": 2, "Leber": 4, "Kidney_R": 5})),
    "a translation into nothing": ("E-ORGAN-NAMES", names({"Liver": 1}, "Magen\tStomach\n", "organ_names.tsv")),
    "an unknown column": ("E-CASES-TABLE", cell(0, "patient", "pateint")),
    "no column case": ("E-CASES-TABLE", table(lambda rows: [row.pop(0) for row in rows])),
    "a column twice": ("E-CASES-TABLE", cell(0, "phase", "posture")),
    "a table without rows": ("E-CASE-UNLISTED", unlisted_all),
    "an empty table": ("E-CASES-TABLE", content(lambda data: b"", "cases.tsv")),
    "an organ that people and a program drew": ("E-CASES-TABLE", cell(1, "silver", "Liver")),
    "a row too short": ("E-CASES-TABLE", table(lambda rows: rows[2].pop())),
    "an odd age": ("E-CASES-TABLE", cell(1, "age_months", "2.5 y")),
    "an odd sex": ("E-CASES-TABLE", cell(1, "sex", "girl")),
    "not UTF-8": ("E-CASES-TABLE", content(lambda data: data.replace(b"p0", b"M\xfcller"), "cases.tsv")),
    "an odd split": ("E-SPLIT", cell(1, "split", "exam")),
    "a test image for training": ("E-SPLIT", cell(3, "split", "train")),
    "an unknown organ in the table": ("E-ORGAN-UNKNOWN", cell(1, "manual", "Liver;Milz")),
    "a patient in train and test": ("E-PATIENT-SPLIT", lambda folder: cell(3, "patient", "p0")(folder) and ""),
    "two centers in one table": ("E-CENTER", cell(2, "center", "Neckar")),
    "a case in two rows": ("E-CASE-TWICE", table(lambda rows: rows.append(rows[1]))),
    # folders
    "no data set": ("E-NO-DATASET", files(("dataset.json", ""))),
    "an interrupted making": ("E-UNFINISHED", files(("dataset.json", ".rows/c3.json"))),
}


def folder_instead(folder: Path) -> str:
    (folder / IMAGE).unlink()
    (folder / IMAGE).mkdir()
    return IMAGE


def emptied(folder: Path) -> str:
    for tail in ("Tr", "Ts"):
        shutil.rmtree(folder / f"images{tail}")
        shutil.rmtree(folder / f"labels{tail}")
    return ""


def one_case(folder: Path) -> str:
    (folder / "cases.tsv").unlink()
    for number, tail in ((1, "Tr"), (2, "Ts")):
        (folder / f"images{tail}" / f"c{number}_0000.nii.gz").unlink()
        (folder / f"labels{tail}" / f"c{number}.nii.gz").unlink()
    return ""


def speaks(problem: InputProblem) -> bool:
    """Finding and remedy are sentences."""
    return all(len(text) > 10 and text.rstrip('}"')[-1] in ".?`" for text in (problem.problem, problem.remedy))


def test_a_byte_order_mark_is_no_fault(polder):
    content(lambda data: b"\xef\xbb\xbf" + data, "dataset.json")(polder)
    content(lambda data: b"\xef\xbb\xbf" + data, "cases.tsv")(polder)
    assert reading.check_dataset(polder) == []


def test_mirrored_organs_stay_known_behind_a_byte_order_mark(polder):
    about = json.loads((polder / "dataset.json").read_text())
    about["pedseg"]["situs_inversus"] = ["c1"]
    (polder / "dataset.json").write_text(json.dumps(about), encoding="utf-8-sig")
    writing.write_index(polder, center="Polder")
    assert json.loads((polder / "dataset.json").read_text())["pedseg"]["situs_inversus"] == ["c1"]


def test_a_case_in_two_rows_is_not_lost_by_the_next_import(polder):
    table(lambda rows: rows.append(rows[1]))(polder)
    with pytest.raises(PedsegInputError, match="E-CASE-TWICE"):
        writing.write_index(polder, center="Polder")


def test_an_organ_that_people_and_a_program_drew_is_not_written(polder):
    image, labels = child(9)
    with pytest.raises(PedsegInputError, match="E-CASES-TABLE"):
        writing.write_case(
            polder, "c9", Scan(image, AFFINE), Scan(labels, AFFINE), patient="p9", center="Polder", split="train",
            manual=ORGANS, silver=("Liver",),
        )  # fmt: skip
    assert not (polder / "imagesTr" / "c9_0000.nii.gz").exists()


def test_the_sound_centers_have_no_finding(sound):
    assert [dataset.center for dataset in reading.read_centers(sound)] == ["Polder", "Neckar"]


@pytest.mark.parametrize(("code", "damage"), BAD.values(), ids=BAD)
def test_a_bad_input_is_refused(polder, code, damage):
    named = damage(polder)
    problems = reading.check_dataset(polder)
    hits = [problem for problem in problems if problem.code == code]
    assert hits, [str(problem) for problem in problems]
    assert Path(hits[0].file) == polder / named, hits[0]
    assert all(speaks(problem) for problem in problems), problems
    with pytest.raises(PedsegInputError, match=code):
        reading.read_centers(polder.parent)


def test_one_error_holds_the_findings_of_all_centers(centers):
    polder, neckar = centers / "Dataset901_Polder", centers / "Dataset902_Neckar"
    content(lambda data: data[:-9])(polder)
    drawn(lambda v: v[:-1])(polder)
    cell(1, "split", "exam")(polder)
    content(lambda data: b"<html>", "labelsTs/c2.nii.gz")(neckar)
    (centers / "letters").mkdir()
    with pytest.raises(PedsegInputError) as caught:
        reading.read_centers(centers)
    problems = {(problem.code, Path(problem.file).relative_to(centers).as_posix()) for problem in caught.value.problems}
    assert problems == {
        ("E-SPLIT", "Dataset901_Polder/cases.tsv"),
        ("E-NIFTI-DAMAGED", "Dataset901_Polder/imagesTr/c1_0000.nii.gz"),
        ("E-NOT-NIFTI", "Dataset902_Neckar/labelsTs/c2.nii.gz"),
        ("E-NO-DATASET", "letters"),
    }


def test_image_and_label_map_of_one_case_are_both_reported(polder):
    hu(lambda v: v * 0)(polder)
    drawn(lambda v: v[:-1])(polder)
    assert {"E-NOT-HU", "E-GEOMETRY"} <= {problem.code for problem in reading.check_dataset(polder)}


def test_an_unknown_organ_comes_with_the_nearest_name(polder):
    names({"Liver": 1, "Spleen": 2, "Kidny_L": 4, "Kidney_R": 5})(polder)
    (problem,) = [problem for problem in reading.check_dataset(polder) if problem.code == "E-ORGAN-UNKNOWN"]
    assert "'Kidny_L'" in problem.problem
    assert "Did you mean Kidney_L?" in problem.remedy
    assert "organ_names.tsv" in problem.remedy


def test_labels_without_a_name_are_listed_with_their_counts(polder):
    drawn(lambda v: np.where(v == 1, 77, v).astype(np.uint8))(polder)
    (problem,) = [problem for problem in reading.check_dataset(polder) if problem.code == "E-LABEL-VALUES"]
    assert "77 (12 voxels)" in problem.problem


def test_strict_reading_stops_before_voxels_and_loading_stops_at_a_wrong_grid(polder):
    drawn(lambda v: v, SHIFTED)(polder)
    dataset = reading.read_dataset(polder)
    with pytest.raises(PedsegInputError, match="E-GEOMETRY"):
        loading.load_labels(dataset, dataset.cases[1])
    content(lambda data: data[:50])(polder)
    with pytest.raises(PedsegInputError, match="E-NIFTI-DAMAGED"):
        loading.load_labels(dataset, dataset.cases[1])
    cell(1, "split", "exam")(polder)
    with pytest.raises(PedsegInputError, match="E-SPLIT"):
        reading.read_dataset(polder)


def test_two_folders_that_claim_one_center(centers):
    shutil.rmtree(centers / "Dataset902_Neckar")
    write_center(centers / "Dataset902_Neckar", "polder", 70)
    with pytest.raises(PedsegInputError) as caught:
        reading.read_centers(centers)
    assert [problem.code for problem in caught.value.problems] == ["E-CENTER"]


def test_one_scan_in_two_centers(centers):
    shutil.rmtree(centers / "Dataset902_Neckar")
    write_center(centers / "Dataset902_Neckar", "Neckar", 2)
    with pytest.raises(PedsegInputError) as caught:
        reading.read_centers(centers)
    (problem,) = caught.value.problems
    assert (problem.code, Path(problem.file).name) == ("E-SAME-SCAN", "c0_0000.nii.gz")


def test_a_folder_that_is_no_collection_of_centers(polder, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (polder, tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(PedsegInputError, match="E-NO-CENTERS"):
            reading.read_centers(folder)
    with pytest.raises(PedsegInputError, match="E-NO-DATASET"):
        reading.read_dataset(tmp_path / "none")
    with pytest.raises(PedsegInputError, match="E-FILE-MISSING"):
        read_nifti(tmp_path / "none.nii.gz")


# --- TotalSegmentator -------------------------------------------------------------------------------


@pytest.fixture
def totalsegmentator(tmp_path) -> Path:
    folder = tmp_path / "TotalSegmentator"
    for number in range(3):
        image, labels = child(number)
        write_nifti(folder / f"s000{number}" / "ct.nii.gz", Scan(image, AFFINE))
        for name, mask in {"liver": "Liver", "spleen": "Spleen"}.items():
            file = folder / f"s000{number}" / "segmentations" / f"{name}.nii.gz"
            write_nifti(file, Scan((labels == organ(mask).id).astype(np.uint8), AFFINE))
    return folder


def mask(voxels: np.ndarray, affine: np.ndarray = AFFINE, name: str = "spleen") -> Callable[[Path], str]:
    def damage(folder: Path) -> str:
        file = f"s0001/segmentations/{name}.nii.gz"
        write_nifti(folder / file, Scan(voxels, affine))
        return file

    return damage


def without_masks(folder: Path) -> str:
    shutil.rmtree(folder / "s0001" / "segmentations")
    return "s0001"


BAD_MASKS: dict[str, tuple[str, Callable[[Path], str]]] = {
    "two organs share voxels": ("E-OVERLAP", mask(np.ones(SHAPE, np.uint8))),
    "a mask on another grid": ("E-GEOMETRY", mask(np.zeros(SHAPE, np.uint8), SHIFTED)),
    "a mask with a 2": ("E-LABEL-VALUES", mask(np.full(SHAPE, 2, np.uint8))),
    "a mask of reals": ("E-LABEL-VALUES", mask(np.full(SHAPE, 0.5, np.float32))),
    "no scan": ("E-IMAGE-MISSING", lambda folder: files(("s0001/ct.nii.gz", ""))(folder) or "s0001"),
    "a CT and an MR scan with one set of masks": (
        "E-CASE-TWICE",
        lambda folder: files(("s0001/ct.nii.gz", "s0001/mri.nii.gz"))(folder) or "s0001",
    ),
    "no masks": ("E-LABEL-MISSING", without_masks),
    "a mask cut off": ("E-NIFTI-DAMAGED", content(lambda data: data[:-9], "s0001/segmentations/liver.nii.gz")),
}


@pytest.mark.parametrize(("code", "damage"), BAD_MASKS.values(), ids=BAD_MASKS)
def test_a_bad_mask_is_refused(totalsegmentator, code, damage):
    assert reading.check_dataset(totalsegmentator) == []
    named = damage(totalsegmentator)
    (problem, *_) = reading.check_dataset(totalsegmentator)
    assert problem.code == code, problem
    assert Path(problem.file) == totalsegmentator / named
    assert speaks(problem)


@pytest.mark.parametrize(
    "text",
    [
        b"subject,age\ns0000,4\n",
        b"image_id;age\ns0000;4\ns0000;9\n",
        b"image_id;age;age\ns0000;4;9\n",
        b"image_id;gender\ns0000;f\xfc\n",
        b"image_id;age\ns0000\n",
    ],
    ids=["foreign", "an image twice", "a column twice", "not UTF-8", "a row too short"],
)
def test_a_meta_table_that_is_not_clear_is_refused(totalsegmentator, text):
    (totalsegmentator / "meta.csv").write_bytes(text)
    assert [problem.code for problem in reading.check_dataset(totalsegmentator)] == ["E-CASES-TABLE"]


def test_a_misspelt_split_in_a_meta_table_is_refused(totalsegmentator):
    (totalsegmentator / "meta.csv").write_text("image_id;split\ns0000;tets\ns0001;val\ns0002;\n")
    assert [problem.code for problem in reading.check_dataset(totalsegmentator)] == ["E-SPLIT"]


def test_what_forms_and_pixdim_differ_by_less_than_half_a_voxel_passes_and_the_sform_counts(tmp_path):
    voxels, h = child(1)[0], nifti(child(1)[0]).header.copy()
    conflict(h, 0.4, 1 / 12)
    nibabel.save(nibabel.Nifti1Image(voxels, None, h), tmp_path / "a.nii.gz")
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii.gz").affine, h.get_sform())
    nibabel.save(leaning(0.5e-3), tmp_path / "b.nii.gz")
    assert read_nifti(tmp_path / "b.nii.gz").affine[1, 0] == pytest.approx(0.6 * 0.5e-3)


def test_a_header_that_promises_more_than_its_file_asks_for_no_memory(tmp_path):
    """Two kilobytes that say they are 2 GB, and 32 MB of zeros behind a scan: neither is held."""
    image = nifti(child(1)[0])
    image.header["vox_offset"] = 352
    scale(image.header, 1 / 50)
    image.header.set_data_shape((3000, 3000, 100))
    promising = image.header.binaryblock + bytes(4) + image.dataobj.tobytes(order="F")
    for name, content in (("plain.nii", promising), ("packed.nii.gz", gzip.compress(promising))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PedsegInputError, match=r"E-NIFTI-TRUNCATED .*promises 1800000352 bytes, the file holds"):
            read_nifti(tmp_path / name)
    sound = nifti(child(1)[0]).to_bytes()
    (tmp_path / "long.nii.gz").write_bytes(gzip.compress(sound + bytes(2**25)))
    tracemalloc.start()
    np.testing.assert_array_equal(read_nifti(tmp_path / "long.nii.gz").voxels, child(1)[0])
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


# --- gray values that are right ---------------------------------------------------------------------

IN_HU = {
    "as scanned": lambda v: v,
    "a crop without air": lambda v: v[6:12, 1:12],
    "padded with -2000": lambda v: np.where(v < -900, -2000, v),
    "padded with -3024 in the corners": lambda v: np.where(np.indices(SHAPE)[0] < 3, -3024, v),
    "cut out of its air, which reads -1000": lambda v: np.where(v < -900, -1000, v),
    "dense bone and no air": lambda v: np.where(v > 500, 1000, v)[6:12, 1:12],
    "metal": lambda v: np.where(v > 480, 30000, v),
    "real numbers": lambda v: v.astype(np.float32) + 0.25,
}


@pytest.mark.parametrize("change", IN_HU.values(), ids=IN_HU)
def test_hounsfield_units_pass(change):
    assert why_not_hu(change(child(0)[0])) == ""


def test_a_forgotten_intercept_is_recognized():
    assert "1024 had been added" in why_not_hu((child(0)[0] + 1024).astype(np.uint16))


# --- nothing is forgotten ---------------------------------------------------------------------------


def test_every_code_of_the_readers_has_a_bad_input_here():
    """Each code that reading can give is provoked by some test of this file."""
    room = Path(pedseg.__file__).parent
    readers = [room / "scan.py", *(room / "datasets" / f"{name}.py" for name in READERS)]
    codes = {code for file in readers for code in re.findall(r'"(E-[A-Z0-9-]+)"', file.read_text(encoding="utf-8"))}
    assert codes <= {code for code, _ in [*BAD.values(), *BAD_MASKS.values()]} | {"E-NO-CENTERS", "E-FILE-MISSING"}


READERS = ("checks", "reading", "loading", "nnunet", "cases", "cases_table", "totalsegmentator")
