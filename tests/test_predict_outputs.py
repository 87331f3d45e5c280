"""What `pedseg predict` writes has the name that was asked for, or nothing is written."""

from __future__ import annotations

import shutil

import pytest

from pedseg.__main__ import main

WEIGHTS = "data_samples/results/study/seed0_federated.safetensors"


@pytest.mark.parametrize("name", ["x.dcm", "x.DCM", "x.nii", "x.NII", "x.nrrd", "x.mha", "x.hdr"])
def test_a_file_that_cannot_be_written_is_no_folder(name, hospitals, root, tmp_path, capsys):
    source = next((sorted(hospitals.iterdir())[0] / "imagesTs").iterdir())
    for scan in (source, source.parent):
        assert main(["predict", str(scan), "--model", str(root / WEIGHTS), "--out", str(tmp_path / name)]) == 1
        assert "E-OUT-NAME" in capsys.readouterr().err
        assert not (tmp_path / name).exists()


def test_a_folder_of_scans_is_not_written_into_one_file(hospitals, root, tmp_path, capsys):
    scans = sorted(hospitals.iterdir())[0] / "imagesTs"
    assert main(["predict", str(scans), "--model", str(root / WEIGHTS), "--out", str(tmp_path / "x.nii.gz")]) == 1
    assert "a folder" in capsys.readouterr().err
    assert not (tmp_path / "x.nii.gz").exists()


def test_two_scans_do_not_become_one_label_map(hospitals, root, tmp_path, capsys):
    source = next((sorted(hospitals.iterdir())[0] / "imagesTs").iterdir())
    (tmp_path / "in").mkdir()
    for name in ("a.nii", "a.nii.gz"):
        shutil.copy(source, tmp_path / "in" / name)
    assert main(["predict", str(tmp_path / "in"), "--model", str(root / WEIGHTS), "--out", str(tmp_path / "out")]) == 1
    assert "E-CASE-TWICE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
