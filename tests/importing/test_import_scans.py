"""Scans into a data set: whole or not at all, with the organs that were drawn, and with nobody's name."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from archive import body, roi_rings, write_series, write_structures

from pedseg.__main__ import main
from pedseg.datasets.cases_table import read_table
from pedseg.datasets.loading import load_image, load_labels
from pedseg.datasets.reading import check_dataset, read_dataset
from pedseg.dicom.ct_series import LPS_TO_RAS, read_ct
from pedseg.dicom.deidentification import read_key
from pedseg.errors import InputProblem, PedsegInputError
from pedseg.importing.import_scans import ImportResult, import_scans
from pedseg.importing.scan_sources import ImportOptions
from pedseg.organs import NAMES, ORGANS
from pedseg.scan import Scan, read_nifti, to_ras

SHAPE = (64, 56, 30)
SAME_SERIES = ("1.2.3.1", "1.2.3.2", "1.2.3.3")  # of a series that is met twice
# The 29 ROIs of Pediatric-CT-SEG. Its RTSTRUCTs mix separators, and sides are spelled as the collection spells them.
PEDIATRIC = (
    "bladder", "rectum", "gonads", "prostate", "uterocervix", "femoral-head-lef", "femoral-head-rig", "small-intestine",
    "large-intestine", "spinal-canal", "gall-bladder", "kidney-left", "kidney-right", "spleen", "liver", "stomach",
    "pancreas", "duodenum", "adrenal-left", "adrenal-right", "heart", "esophagus", "lung_l", "lung_r", "breast-left",
    "breast-right", "thymus", "skin", "bones",
)  # fmt: skip
MAPPED = {
    "Bladder": ("bladder",), "SpinalCanal": ("spinal-canal",), "Gallbladder": ("gall-bladder",), "Liver": ("liver",),
    "Kidney_L": ("kidney-left",), "Kidney_R": ("kidney-right",), "Spleen": ("spleen",), "Pancreas": ("pancreas",),
    "Bowel^Stomach": ("stomach", "duodenum", "small-intestine", "large-intestine"), "Heart": ("heart",),
    "Glnd_Adrenal_L": ("adrenal-left",), "Glnd_Adrenal_R": ("adrenal-right",), "Esophagus": ("esophagus",),
    "Lung_L": ("lung_l",), "Lung_R": ("lung_r",),
}  # fmt: skip


def blocks(names) -> dict[str, np.ndarray]:
    """A block for each name (column, row, slice), right organs on the right side, which has low columns."""
    masks = {}
    for number, name in enumerate(names):
        column = 10 + 9 * (number % 4)
        if name in ("liver", "kidney-right"):
            column = 8
        if name in ("spleen", "kidney-left"):
            column = 50
        mask = np.zeros(SHAPE, bool)
        row, place = 12 + 5 * (number // 4 % 6), 2 + 4 * (number % 7)
        mask[column : column + 3, row : row + 3, place : place + 3] = True
        masks[name] = mask & ~np.any([*masks.values(), np.zeros(SHAPE, bool)], axis=0)
    return masks


def patient(folder: Path, number: str = "4711", rois=PEDIATRIC, seed: int = 0, **more) -> dict[str, np.ndarray]:
    """A child as the collection lays it out: PatientID/CT and PatientID/RTSTRUCT."""
    files = write_series(folder / number / "CT", body(SHAPE, seed), spacing_mm=(4, 4, 5), PatientID=number, **more)
    affine = LPS_TO_RAS @ read_ct(folder / number / "CT").scan.affine
    masks = blocks(rois)
    rings = {name: roi_rings(mask, affine) for name, mask in masks.items()}
    if rois:
        write_structures(folder / number / "RTSTRUCT" / "rs.dcm", rings, files[0])
    return masks


def bring(source: Path, dataset: Path, **options) -> list:
    key = dataset.parent / "keys" / "Here.case-key"
    return list(import_scans(source, dataset, center="Here", key=key, **options))


def test_a_child_as_pediatric_ct_seg_lays_it_out(tmp_path, capsys):
    masks = patient(tmp_path / "raw", "Pediatric-CT-SEG-355")
    arguments = ["import", str(tmp_path / "raw"), "--to", str(tmp_path / "ds"), "--center", "Tcia"]
    assert main([*arguments, "--key", str(tmp_path / "key")]) == 0
    output = capsys.readouterr().out
    (case,) = read_dataset_of_one(tmp_path / "ds").cases
    assert {*case.annotated} == {*MAPPED}
    assert case.absent == ()
    labels = load_labels(read_dataset_of_one(tmp_path / "ds"), case)
    for name, parts in MAPPED.items():
        meant = np.any([masks[part] for part in parts], axis=0)
        ras = to_ras(Scan(meant.astype(np.uint8), read_ct(tmp_path / "raw").scan.affine)).voxels
        np.testing.assert_array_equal(labels.voxels == ORGANS[NAMES.index(name)].id, ras > 0, err_msg=name)
    unmapped = {*PEDIATRIC} - {part for parts in MAPPED.values() for part in parts}
    assert {
        line.split("not imported: ")[1].split(" (")[0] for line in output.splitlines() if "not imported" in line
    } == unmapped
    np.testing.assert_array_equal(load_image(case).voxels, to_ras(read_ct(tmp_path / "raw").scan).voxels)


def read_dataset_of_one(folder: Path):
    """A data set of fewer than three patients, which `read_dataset` refuses for training."""
    from pedseg.datasets.reading import list_cases

    listing = list_cases(folder)
    assert {problem.code for problem in listing.problems} <= {"E-TOO-FEW"}
    return listing.dataset


def test_many_children_at_once_and_more_later(tmp_path):
    for number in range(3):
        patient(tmp_path / "raw", f"child{number}", PEDIATRIC[8:20], seed=number)
    first = bring(tmp_path / "raw", tmp_path / "ds", license="CC BY 4.0", origin="made")
    assert len([result for result in first if isinstance(result, ImportResult)]) == 3
    assert check_dataset(tmp_path / "ds") == []
    before = {file: file.read_bytes() for file in (tmp_path / "ds").rglob("*") if file.is_file()}
    patient(tmp_path / "raw", "child3", PEDIATRIC[8:20], seed=3)
    second = [result for result in bring(tmp_path / "raw", tmp_path / "ds") if isinstance(result, ImportResult)]
    assert [result.already_imported for result in second].count(True) == 3
    assert len(read_dataset(tmp_path / "ds").cases) == 4
    assert check_dataset(tmp_path / "ds") == []
    for file, content in before.items():
        if file.suffix == ".gz":
            assert file.read_bytes() == content
    assert not (tmp_path / "ds" / ".importing").exists()


def test_a_scan_without_contours_waits_unlabeled(tmp_path):
    patient(tmp_path / "raw", "a", ())
    for number in range(3):
        patient(tmp_path / "raw", f"child{number}", PEDIATRIC[8:20], seed=1 + number)
    bring(tmp_path / "raw", tmp_path / "ds")
    dataset = read_dataset(tmp_path / "ds")
    assert check_dataset(tmp_path / "ds") == []
    (waiting,) = [case for case in dataset.cases if case.split == "unlabeled"]
    assert waiting.label_file is None
    assert waiting.image_file.parent.name == "imagesTs"


# --- nobody's name -----------------------------------------------------------------------------------------------

PLANTED = {
    "PatientName": "Müller^Annegret", "PatientID": "MRN-8812345", "OtherPatientIDs": "PASS-C01X0006H",
    "PatientBirthDate": "20190317", "PatientAddress": "Kirchgasse 17",
    "PatientComments": "Mutter ruft an 06221-4711",
    "InstitutionName": "Klinikum Musterstadt", "InstitutionAddress": "Hauptstrasse 99",
    "StationName": "CTROOM-ZEBRA",
    "ReferringPhysicianName": "Quacksalber^Otto", "OperatorsName": "Wanda",
    "StudyDescription": "Nephroblastom Annegret M",
    "SeriesDescription": "Abdomen Annegret", "ImageComments": "Bild von Annegret", "AccessionNumber": "ACC-778899",
    "DeviceSerialNumber": "SN-424242", "StudyID": "ST-5566", "ProtocolName": "Wilms Annegret", "StudyDate": "20240305",
    "RequestingPhysician": "Zweitmeinung^Ida",
}  # fmt: skip


def plant(k: int, header: pydicom.Dataset) -> None:
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in PLANTED.items():
        setattr(header, keyword, value)
    block = header.private_block(0x0011, "SECRET VENDOR", create=True)
    block.add_new(0x01, "LO", "Privatgeheimnis-73")
    item = pydicom.Dataset()
    item.PatientID, item.IssuerOfPatientID = "OLD-990011", "Altklinik"
    header.OtherPatientIDsSequence = [item]


SECRETS = [
    *{word for value in PLANTED.values() for word in (value, *value.replace("^", " ").split(" ")) if len(word) > 3},
    "Privatgeheimnis-73", "OLD-990011", "Altklinik", "Mueller_Anna", "IM_Annegret", "8812345", "Liver Anna M",
    "Leber Annegret", "2019-03-17", "2019/03/17", "17.03.2019", "2024-03-05", "05.03.2024",
]  # fmt: skip
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")


def hidden(content: bytes) -> bytes:
    return content + gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def test_no_byte_of_the_data_set_names_anybody(tmp_path, monkeypatch):
    place = tmp_path / "raw" / "Mueller_Anna" / "Annegret 20190317"
    files = write_series(place, body(SHAPE), spacing_mm=(4, 4, 5), change=plant)
    for file in files:
        file.rename(file.with_name(f"IM_Annegret{file.name}"))
    affine = LPS_TO_RAS @ read_ct(place).scan.affine
    rois = {name: roi_rings(mask, affine) for name, mask in blocks(["Leber Annegret", "spleen", "kidney-left"]).items()}
    rois["Liver Anna M"] = rois["spleen"][:0]
    write_structures(place / "RS_Annegret.dcm", rois, next(place.glob("*0000.dcm")))
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in place.glob("*.dcm")]
    uids = {str(header[keyword].value) for header in headers for keyword in UIDS if keyword in header}
    assert len(uids) == SHAPE[2] + 5  # a slice and the contours each, their series, study and frame of reference
    monkeypatch.chdir(tmp_path)
    assert main(["import", "raw", "--to", "ds", "--center", "Here"]) == 0
    written = [*(tmp_path / "ds").rglob("*")]
    assert len([file for file in written if file.is_file()]) >= 6
    for file in written:
        content = hidden(file.read_bytes()).lower() if file.is_file() else b""
        for word in (*SECRETS, *uids):
            for coded in {word.encode(), word.encode("latin-1"), word.encode("utf-16-le")}:
                assert coded.lower() not in content, (file, word)
                assert coded.decode("latin-1").lower() not in str(file.relative_to(tmp_path)).lower()
    names = {case.name for case in read_dataset_of_one(tmp_path / "ds").cases}
    assert all(len(name) == 15 and {*name} <= {*"0123456789abcdef-"} for name in names)
    header = read_bytes_of_header(next((tmp_path / "ds" / "imagesTr").iterdir()))
    assert header["descrip"].tobytes() == bytes(80)


def read_bytes_of_header(file: Path):
    import nibabel

    return nibabel.nifti1.load(file).header.structarr


def test_names_follow_from_the_centers_key_alone(tmp_path):
    patient(tmp_path / "raw", "a", PEDIATRIC[8:20])
    (result,) = bring(tmp_path / "raw", tmp_path / "one" / "ds")
    (other,) = bring(tmp_path / "raw", tmp_path / "other" / "ds")
    key = tmp_path / "one" / "keys" / "Here.case-key"
    (again,) = import_scans(tmp_path / "raw", tmp_path / "again", center="Here", key=key)
    assert result.case != other.case
    assert result.case == again.case
    assert oct(key.stat().st_mode)[-3:] == "600"


def test_the_key_stays_out_of_the_data_set_and_a_spoiled_one_is_refused(tmp_path):
    patient(tmp_path / "raw", "a", ())
    with pytest.raises(PedsegInputError, match="E-KEY"):
        list(import_scans(tmp_path / "raw", tmp_path / "ds", center="Here", key=tmp_path / "ds" / "key"))
    (tmp_path / "key").write_text("hello\n")
    with pytest.raises(PedsegInputError, match="E-KEY"):
        list(import_scans(tmp_path / "raw", tmp_path / "ds", center="Here", key=tmp_path / "key"))
    assert not (tmp_path / "ds").exists()


def test_a_key_is_whole_or_not_there(tmp_path):
    """The disk is full while the key is made: half a key would be refused for ever."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        with pytest.raises(OSError, match="File too large"):
            read_key(tmp_path / "keys" / "Here.case-key", tmp_path / "ds")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [*(tmp_path / "keys").iterdir()] == []


def test_words_of_the_user_that_identify_are_refused(tmp_path):
    patient(tmp_path / "raw", "a", (), change=plant)
    with pytest.raises(PedsegInputError, match="E-PHI"):
        bring(tmp_path / "raw", tmp_path / "ds", origin="scan of Annegret")


def test_painted_names_are_refused(tmp_path):
    patient(tmp_path / "raw", "a", (), BurnedInAnnotation="YES")
    with pytest.raises(PedsegInputError, match="E-PHI"):
        bring(tmp_path / "raw", tmp_path / "ds")


@pytest.mark.parametrize("place", [0, 17, 29])
def test_a_name_painted_into_any_slice_is_refused(place, tmp_path):
    patient(tmp_path / "raw", "a", (), BurnedInAnnotation="NO")
    file = tmp_path / "raw" / "a" / "CT" / f"IM{place:04d}.dcm"
    painted = pydicom.dcmread(file)
    painted.BurnedInAnnotation = "YES"
    painted.save_as(file)
    with pytest.raises(PedsegInputError, match=rf"E-PHI .*{file.name}: 1 file"):
        bring(tmp_path / "raw", tmp_path / "ds")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


SAID = {
    "the number behind a line": ("Zentrum_MRN-8812345", "", "ds"),
    "a part of the number": ("Zentrum8812345", "", "ds"),
    "the date of birth": ("K20190317", "", "ds"),
    "the name behind a line": ("Zentrum_Annegret", "", "ds"),
    "the name in one word with another": ("ZentrumAnnegret", "", "ds"),
    "the name as machines spell it": ("Klinik", "Mueller", "ds"),
    "the name in capitals": ("Klinik", "MÜLLER2", "ds"),
    "the name of the data set": ("Klinik", "", "Dataset901_Annegret"),
}


@pytest.mark.parametrize(("center", "origin", "folder"), SAID.values(), ids=SAID)
def test_a_patient_named_in_any_spelling_leaves_no_file(center, origin, folder, tmp_path, monkeypatch):
    """Not even the key, which would be called keys/Zentrum_MRN-8812345.case-key."""
    patient(tmp_path / "raw", "a", (), change=plant)
    monkeypatch.chdir(tmp_path)
    assert main(["import", "raw", "--to", folder, "--center", center, "--origin", origin]) == 1
    assert main(["import", "raw", "--to", folder, "--center", center, "--origin", origin, "--skip-refused"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_words_that_only_contain_a_name_are_no_name(tmp_path):
    """Anna is in Annaberg and in Susanna, 355 in 1355: neither names the patient."""
    patient(tmp_path / "raw", "355", (), PatientName="Anna")
    options = {"origin": "Annaberg 1355, after Susanna", "license": "CC BY 4.0, doi 10.7937/TCIA.X0H0-1706"}
    assert len(bring(tmp_path / "raw", tmp_path / "ds", **options)) == 1


# --- age, sex, posture: all that passes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "months"),
    [
        ({"PatientBirthDate": "20200102", "StudyDate": "20240305"}, 50),
        ({"PatientBirthDate": "20200310", "StudyDate": "20240305"}, 47),
        ({"PatientBirthDate": "", "PatientAge": "004Y"}, 48),
        ({"PatientBirthDate": "", "PatientAge": "010M"}, 10),
        ({"PatientBirthDate": "", "PatientAge": "008W"}, 1),
        ({"PatientBirthDate": "", "PatientAge": ""}, None),
    ],
)
def test_the_age_in_months_by_hand(header, months, tmp_path):
    patient(tmp_path / "raw", "a", (), PatientPosition="HFDR", **header)
    bring(tmp_path / "raw", tmp_path / "ds")
    (case,) = read_dataset_of_one(tmp_path / "ds").cases
    assert (case.age_months, case.sex, case.posture) == (months, "F", "right side")


# --- manual, silver, absent, not annotated ------------------------------------------------------------------------


def test_who_drew_it_and_what_is_gone_are_four_things(tmp_path):
    rois = ("liver", "spleen", "kidney-left", "heart")
    patient(tmp_path / "raw", "a", rois)
    file = tmp_path / "raw" / "a" / "RTSTRUCT" / "rs.dcm"
    structures = pydicom.dcmread(file)
    structures.StructureSetROISequence[1].ROIGenerationAlgorithm = "AUTOMATIC"
    del structures.ROIContourSequence[2]
    structures.save_as(file)
    (result,) = bring(tmp_path / "raw", tmp_path / "ds")
    (case,) = read_dataset_of_one(tmp_path / "ds").cases
    assert (case.annotated, case.silver, case.absent) == (("Liver", "Spleen", "Heart"), ("Spleen",), ())
    assert case.trusted == ("Liver", "Heart")  # what a program drew teaches, and is no truth to be scored on
    assert "empty, taken as not annotated: kidney-left" in result.messages
    bring(tmp_path / "raw", tmp_path / "other", options=ImportOptions(empty_means_absent=True))
    (case,) = read_dataset_of_one(tmp_path / "other").cases
    assert (case.annotated, case.absent) == (("Liver", "Spleen", "Kidney_L", "Heart"), ("Kidney_L",))


def test_background_in_an_interpolated_slice_is_unknown(tmp_path):
    """Slice 6 is lost: what is drawn beside it may be in it; what lies elsewhere, or is drawn in it, is known."""
    masks = {name: np.zeros(SHAPE, bool) for name in ("liver", "spleen", "kidney-left", "heart")}
    masks["liver"][8:12, 20:24, [4, 5, 7, 8]] = True
    masks["spleen"][50:54, 20:24, 7:9] = True
    masks["kidney-left"][50:54, 40:44, 5:8] = True
    masks["heart"][30:34, 20:24, 12:15] = True
    files = write_series(tmp_path / "raw" / "CT", body(SHAPE), spacing_mm=(4, 4, 5))
    affine = LPS_TO_RAS @ read_ct(tmp_path / "raw").scan.affine
    rings = {name: roi_rings(mask, affine) for name, mask in masks.items()}
    structures = write_structures(tmp_path / "raw" / "rs.dcm", rings, files[0])
    files[6].unlink()
    (result,) = bring(tmp_path / "raw", tmp_path / "ds", options=ImportOptions(repairs=("gaps",)))
    dataset = read_dataset_of_one(tmp_path / "ds")
    (case,) = dataset.cases
    assert case.annotated == ("Kidney_L", "Heart")
    drawn = load_labels(dataset, case).voxels
    assert [int((drawn == ORGANS[NAMES.index(name)].id).sum()) for name in case.annotated] == [48, 48]
    unknown = [
        f"{name} reaches interpolated slices, where nobody drew: taken as not annotated" for name in ("Liver", "Spleen")
    ]
    assert {*unknown} <= {*result.messages}
    (row,) = read_table(tmp_path / "ds" / "cases.tsv")
    assert row["repairs"] == "1 slices interpolated"
    assert {*unknown} <= {*row["notes"].split(";")}
    write_structures(structures, {"liver": rings["liver"]}, files[0])
    with pytest.raises(PedsegInputError, match=r"E-SERIES-GAP .*every organ reaches interpolated slices"):
        bring(tmp_path / "raw", tmp_path / "other", options=ImportOptions(repairs=("gaps",)))


def test_the_first_of_two_structure_sets_does_not_win(tmp_path):
    """Its patient waits and keeps nobody else out; once one of the two is gone, the other comes in."""
    patient(tmp_path / "raw", "a", ("liver", "spleen"))
    patient(tmp_path / "raw", "b", ("liver",), seed=1)
    second = tmp_path / "raw" / "a" / "RTSTRUCT" / "second.dcm"
    ct_file = tmp_path / "raw" / "a" / "CT" / "IM0000.dcm"
    affine = LPS_TO_RAS @ read_ct(ct_file.parent).scan.affine
    write_structures(second, {"heart": roi_rings(blocks(["heart"])["heart"], affine)}, ct_file)
    became = bring(tmp_path / "raw", tmp_path / "ds", skip_refused=True)
    assert [result.code for result in became if isinstance(result, InputProblem)] == ["E-STRUCTURES-TWICE"]
    assert [case.annotated for case in read_dataset_of_one(tmp_path / "ds").cases] == [("Liver",)]
    (tmp_path / "raw" / "a" / "RTSTRUCT" / "rs.dcm").unlink()
    bring(tmp_path / "raw", tmp_path / "ds", skip_refused=True)
    assert {case.annotated for case in read_dataset_of_one(tmp_path / "ds").cases} == {("Liver",), ("Heart",)}


# --- killed at any moment -----------------------------------------------------------------------------------------

KILLER = """
import os, sys
from pathlib import Path
from pedseg.importing.import_scans import import_scans
import pedseg.datasets.writing, pedseg.importing.public_layouts, nibabel, pydicom, scipy.ndimage
raw, folder, key, last = sys.argv[1:]
for moment in range(int(last)):
    child = os.fork()
    if child == 0:
        left, real = [moment], {name: getattr(os, name) for name in ("replace", "fsync", "unlink")}
        def deadly(name):
            def call(*arguments, **options):
                if left[0] == 0:
                    os._exit(9)
                left[0] -= 1
                return real[name](*arguments, **options)
            return call
        for name in real:
            setattr(os, name, deadly(name))
        list(import_scans(Path(raw), Path(folder) / str(moment), center="Here", key=Path(key)))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code)
    if code == 0:
        break
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="only systems with fork can be killed this way")
def test_a_kill_at_any_moment_leaves_the_data_set_as_it_was(tmp_path):
    import shutil

    for number in range(3):
        patient(tmp_path / "raw", f"child{number}", PEDIATRIC[8:20], seed=number)
    patient(tmp_path / "raw", "waiting", (), seed=5, uids=SAME_SERIES)
    bring(tmp_path / "raw", tmp_path / "ds")
    key = tmp_path / "keys" / "Here.case-key"
    before = {case.name: case.annotated for case in read_dataset(tmp_path / "ds").cases}
    assert [*before.values()].count(()) == 1  # one waits for its contours
    patient(tmp_path / "more", "child3", PEDIATRIC[8:20], seed=3)
    patient(tmp_path / "more", "child4", (), seed=4)
    patient(tmp_path / "more", "waiting", PEDIATRIC[8:20], seed=5, uids=SAME_SERIES)  # contoured since it was imported
    moments = 120
    for moment in range(moments):
        shutil.copytree(tmp_path / "ds", tmp_path / "trials" / str(moment))
    command = [sys.executable, "-c", KILLER, str(tmp_path / "more"), str(tmp_path / "trials"), str(key), str(moments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    codes = [int(line) for line in ended.stdout.split()]
    assert codes[0] == 9
    assert codes[-1] == 0, "the import has more moments than were tried"
    killed = [moment for moment, code in enumerate(codes) if code == 9]
    for moment in killed:
        folder = tmp_path / "trials" / str(moment)
        assert moment % 6 or check_dataset(folder) == [], moment
        cases = {case.name: case.annotated for case in read_dataset(folder).cases}
        assert cases == before or (len(cases) == 6 and all(cases[name] for name in before)), moment
    for moment in killed[:: len(killed) // 4]:  # and the same command goes on
        folder = tmp_path / "trials" / str(moment)
        list(import_scans(tmp_path / "more", folder, center="Here", key=key))
        assert check_dataset(folder) == []
        assert len(read_dataset(folder).cases) == 6
        assert not [*folder.rglob(".*")]


@pytest.mark.parametrize("split", ["train", "test"])
def test_contours_that_come_later_reach_the_scan_that_waits_for_them(tmp_path, split):
    patient(tmp_path / "raw", "a", (), uids=SAME_SERIES)
    patient(tmp_path / "raw", "b", PEDIATRIC[8:20], seed=1)
    bring(tmp_path / "raw", tmp_path / "ds", split=split)
    waiting, old = sorted(read_dataset_of_one(tmp_path / "ds").cases, key=lambda case: len(case.annotated))
    assert (waiting.split, waiting.label_file) == ("unlabeled", None)
    before = old.label_file.stat().st_mtime_ns, load_image(waiting).voxels
    (tmp_path / "raw" / "a").rename(tmp_path / "elsewhere")  # the same series, contoured in the meantime
    masks = patient(tmp_path / "raw", "a", PEDIATRIC[12:15], uids=SAME_SERIES)
    became = {result.case: result for result in bring(tmp_path / "raw", tmp_path / "ds", split=split)}
    assert not became[waiting.name].already_imported
    assert became[old.name].already_imported
    assert {problem.code for problem in check_dataset(tmp_path / "ds")} == {"E-TOO-FEW"}
    cases = {case.name: case for case in read_dataset_of_one(tmp_path / "ds").cases}
    assert {*cases} == {waiting.name, old.name}
    contoured = cases[waiting.name]
    assert contoured.label_file.parent.name == {"train": "labelsTr", "test": "labelsTs"}[split]
    assert len(contoured.annotated) == len(masks)
    np.testing.assert_array_equal(load_image(contoured).voxels, before[1])
    assert old.label_file.stat().st_mtime_ns == before[0]
    assert len([*(tmp_path / "ds").rglob("*_0000.nii.gz")]) == 2  # none is left where it waited
    assert all(result.already_imported for result in bring(tmp_path / "raw", tmp_path / "ds", split=split))


def test_one_bad_child_keeps_all_out_unless_it_may_be_left_out(tmp_path):
    patient(tmp_path / "raw", "a", PEDIATRIC[8:20])
    patient(tmp_path / "raw", "b", PEDIATRIC[8:20], seed=1)
    patient(tmp_path / "raw", "c", PEDIATRIC[8:20], seed=2)
    (tmp_path / "raw" / "a" / "CT" / "IM0007.dcm").unlink()
    (tmp_path / "raw" / "c" / "CT" / "IM0029.dcm").write_bytes(b"")  # at the end: what is left has no gap
    with pytest.raises(PedsegInputError) as caught:
        bring(tmp_path / "raw", tmp_path / "ds")
    assert {problem.code for problem in caught.value.problems} == {"E-SERIES-GAP", "E-NOT-DICOM"}
    assert not (tmp_path / "ds").exists()
    became = bring(tmp_path / "raw", tmp_path / "ds", skip_refused=True)
    assert {result.code for result in became if isinstance(result, InputProblem)} == {"E-SERIES-GAP", "E-NOT-DICOM"}
    assert len(read_dataset_of_one(tmp_path / "ds").cases) == 1


@pytest.mark.slow
def test_the_whole_way_from_the_archive_to_the_planning_system(root, tmp_path, monkeypatch, capsys):
    """One command each: import, predict, export; what the planning system gets is what the network drew."""
    from pedseg.dicom.rtstruct import read_rtstruct

    scan = read_nifti(root / "data_samples/Dataset901_Polder/imagesTs/polder-001_0000.nii.gz")
    hu = np.ascontiguousarray(scan.voxels[::-1, ::-1])
    write_series(tmp_path / "raw" / "Mueller_Anna", hu, spacing_mm=scan.spacing_mm, change=plant)
    model = str(root / "data_samples/results/study/seed0_federated.safetensors")
    monkeypatch.chdir(tmp_path)
    assert main(["import", "raw", "--to", "ds", "--center", "Here"]) == 0
    (image,) = (tmp_path / "ds" / "imagesTs").iterdir()
    assert main(["predict", str(image), "--model", model, "--out", "drawn.nii.gz"]) == 0
    assert main(["export", "drawn.nii.gz", "--ct", "raw", "--out", "contours.dcm"]) == 0
    assert main(["predict", "raw", "--model", model, "--out", "direct.dcm"]) == 0
    assert "read back and compared" in capsys.readouterr().out
    ct = read_ct(tmp_path / "raw")
    drawn = to_ras(read_nifti(tmp_path / "drawn.nii.gz"))
    back = read_rtstruct(tmp_path / "contours.dcm", ct).masks
    direct = read_rtstruct(tmp_path / "direct.dcm", ct).masks
    assert len(back) > 10
    assert back.keys() == direct.keys()
    for name, mask in back.items():
        np.testing.assert_array_equal(mask, direct[name])
        ras = to_ras(Scan(mask.astype(np.uint8), ct.scan.affine)).voxels
        np.testing.assert_array_equal(ras > 0, drawn.voxels == ORGANS[NAMES.index(name)].id)
    content = (tmp_path / "contours.dcm").read_bytes()
    for word in ("Privatgeheimnis", "Mutter ruft", "Kirchgasse", "Musterstadt", "SN-424242", "CTROOM", "Bild von"):
        assert word.encode() not in content  # the patient's name and number are all that it carries
    assert "Müller".encode() in content
    for file in (tmp_path / "ds").rglob("*.*"):
        assert b"annegret" not in hidden(file.read_bytes()).lower() if file.is_file() else True


def test_two_patients_in_one_flat_folder_stay_two(tmp_path):
    """Exports often put all files of all patients side by side: none may get the voxels or the contours of another."""
    for number in range(2):
        patient(tmp_path / "sorted", f"child{number}", PEDIATRIC[8:20], seed=number)
    for file in [*(tmp_path / "sorted").rglob("*.dcm")]:
        target = tmp_path / "flat" / f"{file.parts[-3]}{file.parts[-2]}{file.name}"
        target.parent.mkdir(exist_ok=True)
        file.rename(target)
    became = bring(tmp_path / "flat", tmp_path / "ds")
    assert len({result.case for result in became}) == 2
    cases = read_dataset_of_one(tmp_path / "ds").cases
    images = [load_image(case).voxels for case in cases]
    meant = [to_ras(Scan(body(SHAPE, seed), np.diag([-1.0, -1.0, 1.0, 1.0]))).voxels for seed in range(2)]
    assert sorted(int(voxels[20, 20, 20]) for voxels in images) == sorted(int(v[20, 20, 20]) for v in meant)
    assert not np.array_equal(*images)


def test_a_series_beside_the_contoured_one_is_named(tmp_path):
    patient(tmp_path / "raw", "a", PEDIATRIC[8:20])
    write_series(tmp_path / "raw" / "a" / "later", body(SHAPE), spacing_mm=(4, 4, 5), PatientID="a")
    (result,) = bring(tmp_path / "raw", tmp_path / "ds")
    assert any("left out, another series of this patient" in line and "30 slices" in line for line in result.messages)


def test_a_center_may_have_the_name_of_its_hospital(tmp_path):
    patient(tmp_path / "raw", "a", (), InstitutionName="Klinikum Here", StudyDescription="may be cut")
    assert len(bring(tmp_path / "raw", tmp_path / "ds")) == 1


def test_words_in_a_nifti_header_and_its_extensions_stay_behind(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(body(SHAPE), np.diag([4.0, 4.0, 5.0, 1.0]))
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"Mueller Anna 20190317"
    image.header["aux_file"] = b"Anna.par"
    image.header["db_name"] = b"MRN-8812345"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Privatgeheimnis-73"))
    (tmp_path / "Mueller_Anna").mkdir()
    nibabel.save(image, tmp_path / "Mueller_Anna" / "ct.nii.gz")
    bring(tmp_path / "Mueller_Anna", tmp_path / "ds")
    for file in (tmp_path / "ds").rglob("*"):
        content = hidden(file.read_bytes()) if file.is_file() else b""
        assert not any(word in content for word in (b"Mueller", b"Anna", b"8812345", b"Privatgeheimnis")), file
