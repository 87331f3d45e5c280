"""What `pedseg predict` writes has the name that was asked for, or nothing is written."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from pedseg.__main__ import main
from pedseg.datasets.loading import load_labels
from pedseg.datasets.reading import read_dataset
from pedseg.importing.predict_scans import count_drawn
from pedseg.learning.weights import load_weights
from pedseg.organs import organ
from pedseg.scan import Scan, read_nifti

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


@pytest.mark.parametrize("out", ["in", "in/scan.nii.gz"])
def test_a_scan_is_not_overwritten_by_its_contours(out, hospitals, root, tmp_path, capsys):
    source = next((sorted(hospitals.iterdir())[0] / "imagesTs").iterdir())
    (tmp_path / "in").mkdir()
    scan = shutil.copy(source, tmp_path / "in" / "scan.nii.gz")
    for given in (scan, tmp_path / "in") if out == "in" else (scan,):
        assert main(["predict", str(given), "--model", str(root / WEIGHTS), "--out", str(tmp_path / out)]) == 1
        assert "E-OUT-NAME" in capsys.readouterr().err
    assert scan.read_bytes() == source.read_bytes()


def test_two_scans_do_not_become_one_label_map(hospitals, root, tmp_path, capsys):
    source = next((sorted(hospitals.iterdir())[0] / "imagesTs").iterdir())
    (tmp_path / "in").mkdir()
    for name in ("a.nii", "a.nii.gz"):
        shutil.copy(source, tmp_path / "in" / name)
    assert main(["predict", str(tmp_path / "in"), "--model", str(root / WEIGHTS), "--out", str(tmp_path / "out")]) == 1
    assert "E-CASE-TWICE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_it_counts_what_was_drawn_and_names_what_was_not(root):
    _, plan, _ = load_weights(root / WEIGHTS)
    voxels = np.zeros((4, 4, 4), np.uint8)
    assert count_drawn(Scan(voxels, np.eye(4)), plan).startswith("contours of 0 of 19 organs; none of Liver, Spleen,")
    voxels.flat[: len(plan.organs)] = range(1, 20)
    assert count_drawn(Scan(voxels, np.eye(4)), plan) == "contours of 19 of 19 organs"
    voxels[voxels == 2] = 1
    assert count_drawn(Scan(voxels, np.eye(4)), plan) == "contours of 18 of 19 organs; none of Spleen"


@pytest.mark.slow
def test_without_a_model_the_robust_network_draws(root, tmp_path, capsys):
    """On a sample child, whom it has never seen."""
    dataset = read_dataset(root / "data_samples" / "Dataset901_Polder")
    case = dataset.split("test")[0]
    assert main(["predict", str(case.image_file), "--out", str(tmp_path / "x.nii.gz")]) == 0
    drawn, truth = read_nifti(tmp_path / "x.nii.gz").voxels, load_labels(dataset, case).voxels
    for name in ("Liver", "Spleen", "Lung_L"):
        a, b = drawn == organ(name).id, truth == organ(name).id
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.8, name
