"""The teaching dose in a water box, by hand; the DVH beside plastimatch's."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pedseg.evaluation.dose import (
    ARC,
    MARGIN_MM,
    PENUMBRA_MM,
    PRESCRIBED_GY,
    depth_dose,
    dvh,
    electron_density,
    field_dose,
    organ_dose_gy,
    plan_dose_gy,
    teaching_dose,
    tumor_bed,
)
from pedseg.organs import organ
from pedseg.scan import Scan

SPACING = (4.0, 4.0, 4.0)
WATER = Scan(np.zeros((51, 51, 25), np.int16), np.diag([*SPACING, 1.0]))  # 204 x 204 x 100 mm
TARGET = np.zeros(WATER.shape, bool)
TARGET[23:28, 23:28, 10:15] = True  # 20 mm around the middle: voxel 25, 25, 12


def test_gray_values_become_electron_densities():
    hu = np.array([-1024, -1000, -500, 0, 100, 390, 1950])
    assert electron_density(hu) == pytest.approx([0, 0, 0.5, 1, 1.1, 1.2, 2.0])


def test_the_depth_dose_is_about_that_of_6_mv():
    """86, 67 and 40 % of the maximum at 5, 10 and 20 cm, at a source-surface distance of 1 m."""
    depth_mm = np.arange(0.0, 300.0, 0.5)
    curve = depth_dose(depth_mm) * (1000 / (1000 + depth_mm)) ** 2
    curve /= curve.max()
    assert depth_mm[curve.argmax()] == pytest.approx(15, abs=3)
    assert np.interp([50, 100, 200], depth_mm, curve) == pytest.approx([0.86, 0.67, 0.40], abs=0.02)


def test_one_field_in_water_by_hand():
    """From the front (y falls) the middle lies 25.5 voxels deep, that is 102 mm, 60 mm farther there are 162 mm."""
    dose = field_dose(electron_density(WATER.voxels), SPACING, TARGET, 0.0)

    def by_hand(depth_mm: float, beyond_mm: float) -> float:
        value = np.exp(-0.003 * depth_mm) - np.exp(-0.325 * depth_mm)
        return value * (1000 / (1000 + beyond_mm)) ** 2

    assert dose[25, 25, 12] == pytest.approx(by_hand(102.0, 0.0), rel=1e-3)
    assert dose[25, 10, 12] == pytest.approx(by_hand(162.0, 60.0), rel=1e-3)
    assert dose[25, 49, 12] == pytest.approx(by_hand(6.0, -96.0), rel=1e-3)
    edge_mm = 10.0 + MARGIN_MM  # from the middle; there the dose is half
    across = np.interp(edge_mm, np.arange(26) * 4.0, dose[25:, 25, 12])
    assert across == pytest.approx(dose[25, 25, 12] / 2, rel=0.02)
    assert dose[25 + round((edge_mm + 4 * PENUMBRA_MM) / 4), 25, 12] < 1e-3 * dose[25, 25, 12]


def test_lungs_take_less_from_the_ray_than_water():
    lung = WATER.voxels.copy()
    lung[:, 30:40] = -700
    dose = field_dose(electron_density(lung), SPACING, TARGET, 0.0)
    depth_mm = 102.0 - 0.7 * 10 * 4.0
    assert dose[25, 25, 12] == pytest.approx(depth_dose(np.array(depth_mm)), rel=1e-3)


@pytest.mark.parametrize(("angle", "axis", "end"), [(180.0, 1, 0), (90.0, 0, 0), (270.0, 0, -1)])
def test_a_turned_field_is_the_same_from_another_side(angle, axis, end):
    """90 degrees is from the patient's left, where x is least; rays enter there at full strength."""
    density = electron_density(WATER.voxels)
    front, turned = (field_dose(density, SPACING, TARGET, a) for a in (0.0, angle))
    ray = np.moveaxis(turned, axis, 0)[:, 25, 12]
    ray = ray if end == -1 else ray[::-1]
    assert ray[3:-3] == pytest.approx(front[25, 3:-3, 12], rel=0.02)
    assert turned[25, 25, 12] == pytest.approx(front[25, 25, 12], rel=0.01)


@pytest.mark.parametrize("angles", [(0.0, 180.0), ARC])
def test_the_target_gets_what_is_prescribed(angles):
    dose = plan_dose_gy(WATER, TARGET, angles)
    assert dose[TARGET].mean() == pytest.approx(PRESCRIBED_GY, rel=1e-5)
    assert dose[TARGET].min() > 0.95 * PRESCRIBED_GY
    beside = dose[25, 5, 12], dose[5, 25, 12]  # 80 mm behind and beside
    assert beside[0] > 10 and beside[1] < 0.1 if len(angles) == 2 else max(beside) < 5


def labels(**boxes) -> np.ndarray:
    voxels = np.zeros((40, 30, 20), np.uint8)
    voxels[19:22, 5:9] = organ("VBs").id  # the mirror plane is x = 20
    for name, box in boxes.items():
        voxels[box] = organ(name).id
    return voxels


LEFT, RIGHT = (slice(5, 11), slice(8, 12), slice(4, 12)), (slice(30, 36), slice(8, 12), slice(4, 12))


def test_the_bed_of_a_removed_kidney_is_the_mirror_image_of_the_other():
    bed = tumor_bed(labels(Kidney_R=RIGHT), SPACING)
    expected = np.zeros_like(bed)
    expected[5:11, 8:12, 4:12] = True
    assert (bed == expected).all()


def test_the_bed_of_a_removed_gland_has_a_margin():
    gland = (slice(30, 32), slice(9, 11), slice(13, 15))
    bed = tumor_bed(labels(Kidney_L=LEFT, Kidney_R=RIGHT, Glnd_Adrenal_R=gland), SPACING)
    inside = np.argwhere(bed)
    assert inside.min(axis=0).tolist() == [9 - 3, 9 - 3, 13 - 3] and inside.max(axis=0).tolist() == [13, 13, 17]


def test_without_a_missing_organ_there_is_no_bed_and_no_dose():
    whole = labels(Kidney_L=LEFT, Kidney_R=RIGHT)
    assert tumor_bed(whole, SPACING) is None and tumor_bed(whole * 0, SPACING) is None
    assert teaching_dose(Scan(np.zeros(whole.shape, np.int16), np.diag([*SPACING, 1.0])), whole) is None
    image = Scan(np.zeros(whole.shape, np.int16), np.diag([*SPACING, 1.0]))
    dose = teaching_dose(image, labels(Kidney_R=RIGHT))
    assert dose is not None and dose[8, 10, 8] == pytest.approx(PRESCRIBED_GY, rel=0.02) and dose[33, 10, 8] < 0.01


def test_a_serial_organ_reports_its_near_maximum():
    dose = np.arange(100, dtype=np.float32).reshape(10, 10, 1)
    mask = np.ones_like(dose, bool)
    assert organ_dose_gy(dose, mask, "Liver") == 49.5
    assert organ_dose_gy(dose, mask, "SpinalCanal") == pytest.approx(0.98 * 99)
    assert organ_dose_gy(dose, ~mask, "Liver") is None


def test_the_dvh_by_hand():
    dose, mask = np.array([[[0.0, 1.0, 2.0, 2.0, 9.0]]], np.float32), np.array([[[1, 1, 1, 1, 0]]], bool)
    assert dvh(dose, mask, np.array([0.0, 0.5, 1.0, 2.0, 2.1])).tolist() == [1.0, 0.75, 0.75, 0.5, 0.0]
    assert dvh(dose, mask & False, np.array([0.0, 1.0])).tolist() == [0.0, 0.0]


@pytest.mark.skipif(sys.platform != "linux", reason="plastimatch's package is for Linux")
def test_the_dvh_is_that_of_plastimatch(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    program = Path(sys.executable).with_name("plastimatch")
    dose = plan_dose_gy(WATER, TARGET)
    mask = np.zeros(WATER.shape, bool)
    mask[20:45, 5:45, 8:14] = True
    for name, voxels in (("dose", dose), ("ss", mask.astype(np.uint32))):
        image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
        image.SetSpacing(SPACING)
        sitk.WriteImage(image, str(tmp_path / f"{name}.mha"))
    (tmp_path / "ss.txt").write_text("0|0 255 0|box\n")
    options = ["--input-ss-img", "ss.mha", "--input-ss-list", "ss.txt", "--input-dose", "dose.mha"]
    options += ["--dose-units", "Gy"]
    options += ["--cumulative", "--num-bins", "100", "--bin-width", "0.2", "--output-csv", "dvh.csv"]
    subprocess.run([program, "dvh", *options], cwd=tmp_path, check=True, capture_output=True)
    with (tmp_path / "dvh.csv").open() as stream:
        rows = list(csv.reader(stream))[1:]
    at_gy, volumes = np.array([[float(value) for value in row[:2]] for row in rows]).T
    ours = dvh(dose, mask, at_gy - 0.1)  # its bins are rounded to, not cut off
    assert ours == pytest.approx(volumes / volumes[0], abs=1e-4) and 0.2 < ours[40] < 0.8


def test_half_a_turn_by_whole_voxels_is_the_interpolated_one():
    """The target lies off the middle, and its center between two voxels."""
    x, y, _ = np.indices((30, 24, 8), np.float32)
    density = 1 + 0.2 * np.sin(x / 9) * np.cos(y / 7)
    target = np.zeros(density.shape, bool)
    target[6:12, 9:14, 2:6] = True
    exact, turned = (field_dose(density, SPACING, target, angle) for angle in (180.0, 180.0 + 1e-4))
    inside = np.s_[7:11, 8:-3, 3:5]  # beyond the edges and the build-up, which interpolation blurs
    assert exact[inside] == pytest.approx(turned[inside], rel=0.02)  # which also loses half a voxel of depth
