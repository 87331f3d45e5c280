"""The command line: exit codes, tables of findings, results where they are promised."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from pedseg.__main__ import main
from pedseg.learning import network, training
from pedseg.learning.weights import get_weights, load_weights, save_weights, sha256_of
from pedseg.scan import Scan, read_nifti, to_ras, write_nifti

PLAN = {
    "profile": "lesson", "organs": ["Liver", "Spleen"], "spacing_mm": [6, 6, 6], "patch": [24, 24, 24], "batch": 1,
    "clip_hu": [-1000, 400], "mean_hu": -100, "sd_hu": 300, "network": {"kind": "compact", "widths": [4, 4]},
}  # fmt: skip

ANYWAY = "--even-if-implausible"  # the tiny bodies of these tests have neither lungs nor spine


@pytest.fixture
def model(tmp_path):
    plan = training.Plan.from_json(json.dumps(PLAN))
    file = tmp_path / "model.safetensors"
    save_weights(file, get_weights(network.build(plan)), plan)
    return file


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["study", "--rounds", "0"], ["study", "--seeds", "many"]])
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.slow
def test_pytest_gets_its_own_arguments():
    options = ["-q", "--co", "-k", "test_wrong_usage_is_2", "tests/test_main.py"]
    ended = subprocess.run(
        [sys.executable, "-m", "pedseg", "test", *options], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4/15 tests collected" in ended.stdout


def test_a_clean_data_set_is_0_and_a_broken_one_1_with_a_table(hospitals, tmp_path, capsys):
    clean = sorted(hospitals.iterdir())[0]
    assert main(["check", str(clean)]) == 0
    broken = tmp_path / "broken"
    shutil.copytree(clean, broken)
    image = next((broken / "imagesTr").iterdir())
    image.write_bytes(image.read_bytes()[:400])
    capsys.readouterr()
    assert main(["check", str(broken)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert image.name in told.err
    assert "remedy" in told.err


def test_a_study_on_broken_data_stops_before_training_and_leaves_nothing(hospitals, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(hospitals, data)
    first, second = sorted(data.iterdir())
    image = next((first / "imagesTr").iterdir())
    image.write_bytes(image.read_bytes()[:-20])
    labels = next((second / "labelsTr").iterdir())
    scan = read_nifti(labels)
    write_nifti(labels, Scan(scan.voxels[:-1], scan.affine))
    assert (
        main(["study", "--data", str(data), "--out", str(tmp_path / "out"), "--rounds", "1", "--local-steps", "1"]) == 1
    )
    told = capsys.readouterr().err
    assert image.name in told
    assert "E-GEOMETRY" in told
    assert not (tmp_path / "out").exists()


def test_contours_lie_on_the_scans_own_grid_whatever_its_orientation(hospitals, model, tmp_path):
    source = next((sorted(hospitals.iterdir())[0] / "imagesTs").iterdir())
    ras = read_nifti(source)
    turned = Scan(np.ascontiguousarray(ras.voxels[::-1, ::-1].transpose(2, 0, 1)), _turned_affine(ras))
    write_nifti(tmp_path / "turned.nii.gz", turned)
    for scan, out in ((source, "plain.nii.gz"), (tmp_path / "turned.nii.gz", "other.nii.gz")):
        assert main(["predict", str(scan), "--model", str(model), "--out", str(tmp_path / out), ANYWAY]) == 0
    plain, other = (read_nifti(tmp_path / name) for name in ("plain.nii.gz", "other.nii.gz"))
    assert other.shape == turned.shape
    np.testing.assert_allclose(other.affine, turned.affine, atol=1e-4)
    np.testing.assert_array_equal(to_ras(other).voxels, plain.voxels)


def _turned_affine(ras):
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    flip[:2, 3] = np.array(ras.shape[:2]) - 1
    order = np.eye(4)[:, [2, 0, 1, 3]]
    return ras.affine @ flip @ order


def test_a_folder_of_scans_becomes_a_folder_of_label_maps(hospitals, model, tmp_path):
    scans = sorted(hospitals.iterdir())[0] / "imagesTr"
    assert main(["predict", str(scans), "--model", str(model), "--out", str(tmp_path / "out"), ANYWAY]) == 0
    assert {f.name for f in (tmp_path / "out").iterdir()} == {f.name for f in scans.iterdir()}


def test_predict_names_a_missing_scan(model, tmp_path, capsys):
    assert main(["predict", str(tmp_path / "no.nii.gz"), "--model", str(model), "--out", str(tmp_path / "o")]) == 1
    assert "no.nii.gz" in capsys.readouterr().err


def test_the_federations_last_line_is_its_fingerprint(hospitals, tmp_path, capsys):
    arguments = ["federate", "--data", str(hospitals), "--out", str(tmp_path), "--rounds", "2", "--local-steps", "1"]
    assert main(arguments) == 0
    last = capsys.readouterr().out.strip().split("\n")[-1]
    weights, _, _ = load_weights(tmp_path / "federated.safetensors")
    assert last == f"sha256 {sha256_of(weights)}"


@pytest.mark.slow
def test_users_own_centers_of_two_layouts_grids_and_organ_lists(hospitals, tiny_case, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(sorted(hospitals.iterdir())[0], data / "Aa")
    for place in range(5):  # TotalSegmentator v2: other spacing, LPS axes, no spleen drawn
        image, labels = tiny_case(50 + place, 90.0)
        affine = np.diag([-5.0, -5.0, 7.0, 1.0])
        folder = data / "Cc" / f"s{place:04d}"
        write_nifti(folder / "ct.nii.gz", Scan(image.voxels[::-1, ::-1].copy(), affine))
        for name, organ_id in (("liver", 1), ("kidney_left", 4)):
            mask = (labels.voxels == organ_id).astype(np.uint8)[::-1, ::-1].copy()
            write_nifti(folder / "segmentations" / f"{name}.nii.gz", Scan(mask, affine))
    out = tmp_path / "out"
    assert main(["study", "--data", str(data), "--out", str(out), "--rounds", "1", "--local-steps", "2"]) == 0
    printed = capsys.readouterr().out
    assert "nobody annotated" in printed
    assert "Pancreas" in printed
    with (out / "cases.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["organ"] for row in rows if row["tested_on"] == "Aa"} == {"Liver", "Spleen", "Kidney_L"}
    assert {row["organ"] for row in rows if row["tested_on"] == "Cc"} == {"Liver", "Kidney_L"}
    assert (out / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_an_interrupt_is_130_and_the_next_call_goes_on(hospitals, tmp_path):
    script = """
import _thread, signal, sys, threading, time
from pathlib import Path
from pedseg.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it

def interrupt_when_a_round_is_on_disk():
    while not any(Path(sys.argv[1]).rglob("*.safetensors")):
        time.sleep(0.1)
    _thread.interrupt_main()

threading.Thread(target=interrupt_when_a_round_is_on_disk, daemon=True).start()
sys.exit(main(sys.argv[2:]))
"""
    out = str(tmp_path / "out")
    arguments = ["study", "--data", str(hospitals), "--out", out, "--rounds", "400", "--local-steps", "3"]
    ended = subprocess.run(
        [sys.executable, "-c", script, out, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "goes on from there" in ended.stderr


def test_the_reference_of_commands_is_that_of_the_parser(root):
    from pedseg.cli.parser import parser
    from pedseg.cli.reference import markdown

    assert (root / "docs" / "commands.md").read_text(encoding="utf-8") == markdown(parser())


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
def test_bench_gpu_without_a_card_is_refused_before_a_child_is_made(tmp_path):
    command = [sys.executable, "-m", "pedseg", "bench", "--gpu", "--out", str(tmp_path / "gpu")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "E-NO-GPU" in ended.stderr and "sees no CUDA device" in ended.stderr
    assert not (tmp_path / "gpu").exists()
