"""The MR scanner: the signal equation, which organ is brighter than which, noise, drift, and Fjord's data set."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from pedseg import organs
from pedseg.datasets.loading import load_image
from pedseg.datasets.reading import check_dataset, read_dataset
from pedseg.errors import PedsegInputError
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.centers import CENTERS, FJORD, POLDER_PORTAL, make_dataset, planned_scans, with_protocol
from pedseg.phantoms.child import Child
from pedseg.phantoms.mr_scanner import (
    RELAXATION,
    T1W_1_5T,
    T1W_3T,
    T2W_1_5T,
    T2W_3T,
    MrProtocol,
    scan_mr,
    signal,
    tissue_signals,
)
from pedseg.phantoms.phantom import Phantom, make_phantom
from pedseg.scan import Scan

PROTOCOLS = (T1W_1_5T, T1W_3T, T2W_1_5T, T2W_3T)
# Which tissue is brighter than which, by weighting (T1 and T2 of children and adults, see `mr`).
ORDER = {
    "T1w": (Tissue.FAT, Tissue.PANCREAS, Tissue.MUSCLE, Tissue.SPLEEN, Tissue.URINE, Tissue.GAS),
    "T2w": (
        Tissue.URINE,
        Tissue.KIDNEY_CORTEX,
        Tissue.SPLEEN,
        Tissue.PANCREAS,
        Tissue.LIVER,
        Tissue.MUSCLE,
        Tissue.GAS,
    ),
}
COARSE = replace(FJORD, build_mm=(5.0, 5.0, 5.0), repeat_share=0.0)


@pytest.fixture(scope="module")
def child() -> Phantom:
    return make_phantom(Child(5.0, "F", seed=2), (3.0, 3.0, 2.0))


def inner(image: Scan, labels: Scan, name: str) -> float:
    mask = ndimage.binary_erosion(labels.voxels == organs.organ(name).id)
    return float(np.median(image.voxels[mask]))


def test_the_signal_of_a_spin_echo_by_hand():
    protocol = MrProtocol("p", "T2w", tr_ms=1000.0, te_ms=100.0, flip_deg=90.0)
    assert signal(1000.0, 50.0, 0.8, protocol) == pytest.approx(0.8 * 0.632121 * 0.135335, rel=1e-5)


def test_the_signal_of_a_gradient_echo_is_largest_at_the_ernst_angle():
    angles = np.arange(1.0, 90.0)
    seen = [float(signal(800.0, 1e9, 1.0, MrProtocol("p", "T1w", tr_ms=5.0, te_ms=0.0, flip_deg=a))) for a in angles]
    ernst = np.rad2deg(np.arccos(np.exp(-5.0 / 800.0)))
    assert angles[int(np.argmax(seen))] == pytest.approx(ernst, abs=0.6)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_tissues_stand_in_the_order_of_their_weighting(protocol):
    bright = tissue_signals(protocol)[list(ORDER[protocol.sequence])]
    assert np.all(np.diff(bright) < 0)


def test_every_tissue_has_a_signal_and_a_field_changes_t1():
    assert set(RELAXATION) == set(Tissue)
    assert all(row[1] >= row[0] for tissue, row in RELAXATION.items() if tissue not in (Tissue.AIR, Tissue.GAS))


def test_liver_and_spleen_change_places_between_t1_and_t2(child):
    ratios = {}
    for protocol in PROTOCOLS:
        image, labels = scan_mr(child, protocol, 3)
        ratios[protocol.name] = inner(image, labels, "Liver") / inner(image, labels, "Spleen")
    assert all((ratio > 1.1) if name.startswith("T1w") else (ratio < 0.75) for name, ratio in ratios.items())


def test_flowing_blood_is_dark_in_a_spin_echo_only():
    aorta, muscle = Tissue.ARTERY, Tissue.MUSCLE
    spin, gradient = tissue_signals(T2W_1_5T), tissue_signals(T1W_3T)
    table = signal(*RELAXATION[aorta][0:3:2], RELAXATION[aorta][4], T2W_1_5T)
    assert spin[aorta] == pytest.approx(0.2 * table, rel=1e-5)
    assert gradient[aorta] == pytest.approx(float(signal(1932, 275, 0.85, T1W_3T)), rel=1e-5) and gradient[muscle] > 0


def test_image_and_labels_lie_on_the_grid_of_the_protocol_and_the_seed_decides(child):
    (image, labels), (again, _), (other, _) = (scan_mr(child, T2W_1_5T, seed) for seed in (5, 5, 6))
    assert image.spacing_mm == (3.0, 3.0, 6.0) and image.shape == labels.shape
    assert image.voxels.dtype == np.int16 and image.voxels.min() >= 0
    np.testing.assert_array_equal(image.voxels, again.voxels)
    assert not np.array_equal(image.voxels, other.voxels)


def test_the_noise_of_air_is_that_of_rice(child):
    quiet = replace(T2W_1_5T, bias=0.0)
    image, _ = scan_mr(child, quiet, 5)
    air = image.voxels[:3].astype(float)  # far beside the child
    # Of a vector of two normal numbers only the length is seen: Rayleigh, mean over standard deviation 1.913.
    assert air.mean() / air.std() == pytest.approx(1.913, rel=0.05)


def test_brightness_drifts_where_it_is_told(child):
    flat, drifting = (scan_mr(child, replace(T2W_1_5T, bias=b, snr=1000.0), 5)[0].voxels for b in (0.0, 0.3))
    inside = flat > 0.2 * flat.max()
    ratio = np.log(drifting[inside] / flat[inside])
    assert 0.1 < ratio.std() < 0.5
    field = np.where(inside, np.log(np.maximum(drifting, 1) / np.maximum(flat, 1)), np.nan)
    assert np.nanstd(np.diff(field, axis=0)) < 0.3 * ratio.std()  # neighbors differ little


def test_metal_leaves_a_hole_in_a_gradient_echo(child):
    tissues = np.full((40, 40, 20), Tissue.MUSCLE, np.uint8)
    tissues[20, 20, 10] = Tissue.CLIP
    block = Phantom(np.zeros_like(tissues), tissues, np.diag([3.0, 3.0, 3.0, 1.0]), Child(5.0))
    image, _ = scan_mr(block, replace(T1W_3T, slice_mm=3.0, bias=0.0, snr=1000.0), 1)
    assert image.voxels[20, 20, 10] < 0.2 * np.median(image.voxels)


def test_fjord_writes_mr_cases_that_pass_every_check(tmp_path):
    list(make_dataset(COARSE, tmp_path, train=2, validation=1, test=1))
    assert check_dataset(tmp_path) == []
    dataset = read_dataset(tmp_path)
    assert {(case.modality, case.sequence, case.phase) for case in dataset.cases} == {("MR", "T2w", "none")}
    assert json.loads((tmp_path / "dataset.json").read_text())["channel_names"] == {"0": "MR"}
    assert load_image(dataset.cases[0]).voxels.min() >= 0
    assert "Fjord" not in CENTERS  # the study's hospitals stay two


@pytest.mark.slow
def test_a_center_with_both_machines_says_of_each_case_which(tmp_path):
    both = with_protocol(COARSE, T1W_3T, POLDER_PORTAL)
    scans = planned_scans(both, train=4, validation=0, test=2)
    list(make_dataset(both, tmp_path, train=4, validation=0, test=2))
    assert check_dataset(tmp_path) == []
    expected = {scan.name: "MR" if isinstance(scan.protocol, MrProtocol) else "CT" for scan in scans}
    assert {case.name: case.modality for case in read_dataset(tmp_path).cases} == expected
    assert set(expected.values()) == {"CT", "MR"}
    assert json.loads((tmp_path / "dataset.json").read_text())["channel_names"] == {"0": "CT+MR"}
    table = tmp_path / "cases.tsv"
    lines = [line.split("\t") for line in table.read_text().splitlines()]
    place = lines[0].index("modality")
    lines[1][place] = ""
    table.write_text("\n".join("\t".join(line) for line in lines) + "\n")
    with pytest.raises(PedsegInputError, match="CT or MR"):
        read_dataset(tmp_path)
