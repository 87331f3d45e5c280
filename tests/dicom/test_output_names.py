"""A file that `pedseg export` writes is what its name says, or is not written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from archive import body, write_series

from pedseg.__main__ import main
from pedseg.dicom.ct_series import read_ct
from pedseg.scan import Scan, to_ras, write_nifti


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """A CT in `ct`, and a label map with a liver on its grid."""
    folder = tmp_path_factory.mktemp("scans")
    write_series(folder / "ct", body((24, 20, 8)), spacing_mm=(8, 8, 8))
    scan = read_ct(folder / "ct").scan
    labels = np.zeros(scan.shape, np.uint8)
    labels[4:9, 5:9, 2:6] = 1
    write_nifti(folder / "labels.nii.gz", to_ras(Scan(labels, scan.affine)))
    return folder


@pytest.mark.parametrize("name", ["z.dcm", "z.DCM"])
def test_a_name_of_dicom_asks_for_the_ct(name, scans, tmp_path, capsys):
    assert main(["export", str(scans / "labels.nii.gz"), "--out", str(tmp_path / name)]) == 1
    assert "E-NO-CT" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("nnunet", "z.dcm"),
        ("nnunet", "z.nii"),
        ("nnunet", "z"),
        ("rtstruct", "z.nii.gz"),
        ("seg", "z.nii"),
        ("totalsegmentator", "z.nii.gz"),
    ],
)
def test_a_name_that_promises_another_format(kind, name, scans, tmp_path, capsys):
    command = ["export", str(scans / "labels.nii.gz"), "--ct", str(scans / "ct"), "--format", kind]
    assert main([*command, "--out", str(tmp_path / name)]) == 1
    assert "E-OUT-NAME" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_a_table_that_lies_there_is_not_overwritten(scans, tmp_path, capsys):
    (tmp_path / "cases.tsv").write_text("case\n")
    assert main(["export", str(scans / "labels.nii.gz"), "--out", str(tmp_path / "cases.nii.gz")]) == 1
    assert "E-OUT-NAME" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["cases.tsv"]
    for _ in range(2):  # one's own may be written again
        assert main(["export", str(scans / "labels.nii.gz"), "--out", str(tmp_path / "z.nii.gz")]) == 0


def test_a_slice_of_the_ct_is_not_overwritten(scans, capsys):
    out = sorted((scans / "ct").glob("*.dcm"))[0]
    before = out.read_bytes()
    assert main(["export", str(scans / "labels.nii.gz"), "--ct", str(scans / "ct"), "--out", str(out)]) == 1
    assert "E-OUT-NAME" in capsys.readouterr().err and out.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "name"), [("rtstruct", "z.DCM"), ("seg", "z"), ("nnunet", "z.nii.gz"), ("totalsegmentator", "z")]
)
def test_other_names_are_written(kind, name, scans, tmp_path):
    command = ["export", str(scans / "labels.nii.gz"), "--ct", str(scans / "ct"), "--format", kind]
    assert main([*command, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / name).exists()
