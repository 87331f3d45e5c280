"""Contours out: in every format, on the grid of their own scan, whole or not at all; and what cannot go out."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from archive import body, roi_rings, write_series, write_structures
from pydicom.uid import generate_uid

from pedseg.__main__ import main
from pedseg.dicom.ct_series import LPS_TO_RAS, read_ct
from pedseg.dicom.rtstruct import read_rtstruct
from pedseg.dicom.rtstruct_writing import write_rtstruct
from pedseg.dicom.seg import read_seg, write_seg
from pedseg.errors import PedsegInputError, import_errors
from pedseg.importing.import_scans import import_scans
from pedseg.organs import organ
from pedseg.scan import Scan, read_nifti, to_ras, write_nifti


@pytest.fixture
def drawn(tmp_path) -> Path:
    """A CT in `ct`, and a label map of two organs on its grid, in RAS as pedseg keeps them."""
    write_series(tmp_path / "ct", body((24, 20, 8)), spacing_mm=(8, 8, 8))
    scan = read_ct(tmp_path / "ct").scan
    labels = np.zeros(scan.shape, np.uint8)
    labels[4:9, 5:9, 2:6] = organ("Liver").id
    labels[15:18, 5:9, 2:6] = organ("Bowel^Stomach").id
    write_nifti(tmp_path / "labels.nii.gz", to_ras(Scan(labels, scan.affine)))
    return tmp_path


def export(folder: Path, *options: str) -> int:
    return main(["export", str(folder / "labels.nii.gz"), *options])


def test_rtstruct_and_seg_by_command(drawn, capsys):
    ct = str(drawn / "ct")
    assert export(drawn, "--ct", ct, "--out", str(drawn / "rs.dcm")) == 0
    assert export(drawn, "--ct", ct, "--out", str(drawn / "seg.dcm"), "--format", "seg") == 0
    assert capsys.readouterr().out.count("read back and compared") == 2
    assert pydicom.dcmread(drawn / "seg.dcm").Modality == "SEG"
    assert [*read_rtstruct(drawn / "rs.dcm", read_ct(drawn / "ct")).masks] == ["Liver", "Bowel^Stomach"]


def test_nifti_as_nnunet_and_as_totalsegmentator(drawn):
    assert export(drawn, "--out", str(drawn / "out.nii.gz")) == 0
    np.testing.assert_array_equal(read_nifti(drawn / "out.nii.gz").voxels, read_nifti(drawn / "labels.nii.gz").voxels)
    assert "Liver\t1\n" in (drawn / "out.tsv").read_text()
    assert export(drawn, "--out", str(drawn / "masks"), "--format", "totalsegmentator") == 0
    assert sorted(file.name for file in (drawn / "masks").iterdir()) == ["liver.nii.gz", "stomach_and_bowel.nii.gz"]
    assert int(nibabel.nifti1.load(drawn / "masks" / "liver.nii.gz").get_fdata().sum()) == 5 * 4 * 4


def test_a_label_map_of_nifti_2_is_read_as_well(drawn):
    labels, file = nibabel.load(drawn / "labels.nii.gz"), drawn / "second.nii.gz"
    nibabel.save(nibabel.Nifti2Image(np.asarray(labels.dataobj), labels.affine, labels.header), file)
    assert main(["export", str(file), "--out", str(drawn / "out.nii.gz")]) == 0
    np.testing.assert_array_equal(read_nifti(drawn / "out.nii.gz").voxels, read_nifti(drawn / "labels.nii.gz").voxels)


def test_contours_of_another_scan_are_refused(drawn, capsys):
    write_series(drawn / "other", body((24, 20, 8)), spacing_mm=(8, 8, 8), origin=(0.0, 0.0, 0.0))
    assert export(drawn, "--ct", str(drawn / "other"), "--out", str(drawn / "rs.dcm")) == 1
    assert "E-GEOMETRY" in capsys.readouterr().err
    assert not (drawn / "rs.dcm").exists()


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_a_full_disk_is_called_one_and_nothing_is_left(kind, drawn, capsys):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    (drawn / "out").mkdir()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        assert export(drawn, "--ct", str(drawn / "ct"), "--out", str(drawn / "out" / "it.dcm"), "--format", kind) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert re.search(r"E-DISK +\S+it\.dcm", capsys.readouterr().err)
    assert [*(drawn / "out").iterdir()] == []


@pytest.mark.parametrize("writer", [write_rtstruct, write_seg])
def test_a_ct_that_cannot_be_referred_to_is_named(writer, drawn):
    ct = read_ct(drawn / "ct")
    odd = replace(ct, uids=tuple(f"{uid}ä" for uid in ct.uids))
    with pytest.raises(PedsegInputError) as caught:
        writer(drawn / "out.dcm", {"Liver": ct.scan.voxels > 300}, odd)
    assert [problem.file for problem in caught.value.problems] == [str(ct.series.first.path)]


OPTIONAL = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber", "SliceThickness", "Modality",
    "ImageType", "PatientPosition", "SeriesDescription", "ConvolutionKernel",
)  # fmt: skip


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "missing"])
@pytest.mark.parametrize("keywords", [OPTIONAL[:9], OPTIONAL[9:], OPTIONAL], ids=["patient", "series", "all"])
@pytest.mark.parametrize(("writer", "reader"), [(write_rtstruct, read_rtstruct), (write_seg, read_seg)])
def test_a_ct_without_what_is_optional_is_not_damaged(writer, reader, keywords, empty, drawn):
    for file in (drawn / "ct").iterdir():
        header = pydicom.dcmread(file)
        for keyword in keywords:
            if empty and keyword != "Modality":
                header[keyword].value = None
            else:
                del header[keyword]
        header.save_as(file)
    ct = read_ct(drawn / "ct")
    mask = np.zeros(ct.scan.shape, bool)
    mask[4:9, 5:9, 2:6] = True
    writer(drawn / "out.dcm", {"Liver": mask}, ct)
    np.testing.assert_array_equal(reader(drawn / "out.dcm", ct).masks["Liver"], mask)


@pytest.mark.parametrize("writer", [write_rtstruct, write_seg])
@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"])
def test_a_ct_without_what_contours_refer_to_is_named(writer, keyword, drawn):
    for file in (drawn / "ct").iterdir():
        header = pydicom.dcmread(file)
        del header[keyword]
        header.save_as(file)
    ct = read_ct(drawn / "ct")
    with pytest.raises(PedsegInputError, match=f"E-NO-REFERENCE .* no unique {keyword}"):
        writer(drawn / "out.dcm", {"Liver": ct.scan.voxels > 300}, ct)


def test_what_cannot_go_out_is_said(drawn, capsys):
    assert export(drawn, "--out", str(drawn / "rs.dcm"), "--format", "rtstruct") == 1
    assert "E-NO-CT" in capsys.readouterr().err
    (drawn / "masks").mkdir()
    assert export(drawn, "--out", str(drawn / "masks"), "--format", "totalsegmentator") == 1
    assert "E-FILE" in capsys.readouterr().err
    labels = read_nifti(drawn / "labels.nii.gz")
    for change, code in ((labels.voxels * 0, "E-LABEL-EMPTY"), (labels.voxels * 0 + 77, "E-LABEL-VALUES")):
        write_nifti(drawn / "labels.nii.gz", Scan(change, labels.affine))
        assert export(drawn, "--ct", str(drawn / "ct"), "--out", str(drawn / "rs.dcm")) == 1
        assert code in capsys.readouterr().err


def test_an_rtstruct_that_is_none(drawn):
    with pytest.raises(PedsegInputError, match="E-NOT-RTSTRUCT"):
        read_rtstruct(next((drawn / "ct").iterdir()), read_ct(drawn / "ct"))


def test_without_the_packages_for_dicom(drawn, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert (
        main(["import", str(drawn / "ct"), "--to", str(drawn / "ds"), "--center", "X", "--key", str(drawn / "k")]) == 1
    )
    output = capsys.readouterr().err
    assert "E-NOT-INSTALLED" in output
    assert "pip install 'pedseg[dicom]'" in output


@pytest.mark.parametrize(
    ("package", "kind", "remedy"),
    [
        ("contourpy", "rtstruct", "pip install 'pedseg'"),
        ("highdicom", "seg", "pip install 'pedseg[dicom]'"),
        ("nibabel", "rtstruct", "pip install 'pedseg'"),
    ],
)
def test_a_missing_package_is_no_damaged_scan(package, kind, remedy, drawn, monkeypatch, capsys):
    before = sorted(drawn.rglob("*"))
    monkeypatch.setitem(sys.modules, package, None)
    assert export(drawn, "--ct", str(drawn / "ct"), "--out", str(drawn / "out.dcm"), "--format", kind) == 1
    output = capsys.readouterr().err
    assert "E-NOT-INSTALLED" in output
    assert package in output
    assert remedy in output
    assert "E-DICOM-DAMAGED" not in output
    assert sorted(drawn.rglob("*")) == before


def test_an_import_without_the_package_that_writes_leaves_nothing(drawn, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    assert main(["import", str(drawn / "ct"), "--to", str(drawn / "ds"), "--center", "X", "--key", "k"]) == 1
    assert "E-NOT-INSTALLED" in capsys.readouterr().err
    assert not (drawn / "ds").exists()


def test_an_import_error_of_pedseg_itself_is_a_fault_of_the_program():
    with pytest.raises(ImportError, match="nothing_of_this_name"), import_errors():
        from pedseg.organs import nothing_of_this_name  # noqa: F401


# --- contours and scans that do not find each other ----------------------------------------------------------------


def pair(folder: Path, name: str = "rs.dcm", ct: str = "ct") -> Path:
    files = sorted((folder / ct).iterdir())
    scan = read_ct(folder / ct)
    mask = np.zeros(scan.scan.shape, bool)
    mask[4:9, 5:9, 2:6] = True
    return write_structures(folder / name, {"liver": roi_rings(mask, LPS_TO_RAS @ scan.scan.affine)}, files[0])


def refused(source: Path, place: Path) -> set[str]:
    with pytest.raises(PedsegInputError) as caught:
        list(import_scans(source, place / "ds", center="Here", key=place / "key"))
    assert not (place / "ds").exists()
    return {problem.code for problem in caught.value.problems}


def test_two_sets_of_contours_for_one_scan(tmp_path):
    write_series(tmp_path / "in" / "ct", body((24, 20, 8)), spacing_mm=(8, 8, 8))
    pair(tmp_path / "in")
    pair(tmp_path / "in", "again.dcm")
    assert refused(tmp_path / "in", tmp_path) == {"E-STRUCTURES-TWICE"}


def test_contours_without_their_scan(tmp_path):
    write_series(tmp_path / "other" / "ct", body((24, 20, 8)), spacing_mm=(8, 8, 8), PatientID="another")
    write_series(tmp_path / "in" / "ct", body((24, 20, 8)), spacing_mm=(8, 8, 8))
    shutil.copy(pair(tmp_path / "other"), tmp_path / "in" / "rs.dcm")
    assert refused(tmp_path / "in", tmp_path) == {"E-STRUCTURES-ALONE"}


def test_contours_choose_among_the_series_of_their_patient(tmp_path):
    uids = (generate_uid(), generate_uid(), generate_uid())
    write_series(tmp_path / "in" / "thin", body((24, 20, 8)), spacing_mm=(8, 8, 8), uids=uids)
    thick = (uids[0], generate_uid(), uids[2])
    write_series(tmp_path / "in" / "thick", body((24, 20, 4)), spacing_mm=(8, 8, 16), uids=thick)
    pair(tmp_path / "in", ct="thin")
    (result,) = import_scans(tmp_path / "in", tmp_path / "ds", center="Here", key=tmp_path / "key")
    assert result.organs == ("Liver",)


def test_one_scan_listed_twice_and_a_data_set_into_itself(tmp_path, root):
    import json

    folder = tmp_path / "in"
    write_nifti(folder / "a.nii.gz", Scan(body((24, 20, 8)), np.diag([8.0, 8.0, 8.0, 1.0])))
    (folder / "list.json").write_text(json.dumps({"labels": {"1": "liver"}, "training": ["a.nii.gz", "a.nii.gz"]}))
    assert refused(folder / "list.json", tmp_path) == {"E-CASE-TWICE"}
    with pytest.raises(PedsegInputError, match="E-SAME-FOLDER"):
        list(import_scans(folder, folder, center="Here", key=tmp_path / "key"))


def test_contours_of_a_repaired_scan_lie_on_its_real_slices(tmp_path):
    write_series(tmp_path / "ct", body((24, 20, 10)), spacing_mm=(8, 8, 8), change=lambda k, header: k not in (4, 5))
    ct = read_ct(tmp_path / "ct", repairs=["gaps"])
    labels = np.zeros(ct.scan.shape, np.uint8)
    labels[4:9, 5:9, 2:8] = organ("Liver").id
    write_nifti(tmp_path / "labels.nii.gz", to_ras(Scan(labels, ct.scan.affine)))
    out = str(tmp_path / "rs.dcm")
    assert export(tmp_path, "--ct", str(tmp_path / "ct"), "--out", out) == 1  # a gap is a gap, here too
    assert export(tmp_path, "--ct", str(tmp_path / "ct"), "--out", out, "--repair", "gaps") == 0
    back = read_rtstruct(tmp_path / "rs.dcm", ct)
    assert np.flatnonzero(back.masks["Liver"].any(axis=(0, 1))).tolist() == [2, 3, 6, 7]
    assert len({item for item in ct.uids}) == 9
