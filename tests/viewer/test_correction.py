"""A corrected contour: its numbers by hand, and a file that never takes the place of its source."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.organs import organ
from pedseg.scan import Scan, read_nifti, write_nifti
from pedseg.viewer.case_view import Reading
from pedseg.viewer.correction import Correction

LIVER = organ("Liver")
SHAPE = (10, 10, 10)


@pytest.fixture
def reading():
    truth, drawn = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    truth[2:8, 2:8, 2:8] = LIVER.id  # 216 voxels of 8 mm³
    drawn[2:5, 2:8, 2:8] = LIVER.id  # half of it
    drawn[0, 0, 0] = organ("Spleen").id
    return Reading(Scan(np.zeros(SHAPE, np.int16), np.diag([2.0, 2.0, 2.0, 1.0])), truth, {"model": drawn})


def test_the_pen_starts_from_what_was_drawn_with_x_running_fastest(reading):
    pen = np.frombuffer(Correction(reading, LIVER, "model").for_the_pen(), np.uint8)
    assert pen.sum() == 108 and pen[2 + 10 * 2 + 100 * 2] == 1 and pen[8 + 10 * 2 + 100 * 2] == 0


def test_the_numbers_follow_the_pen(reading):
    correction = Correction(reading, LIVER, "model")
    before = correction.grade()
    assert before.dsc == pytest.approx(2 * 108 / (108 + 216)) and before.hd95_mm == 6.0
    assert (before.volume_ml, before.added_ml, before.removed_ml) == pytest.approx((0.864, 0, 0))
    now = correction.now.copy()
    now[5:8, 2:8, 2:8], now[2, 2, 2] = True, False
    correction.take(now.astype(np.uint8).tobytes(order="F"))
    after = correction.grade()
    assert after.dsc == pytest.approx(2 * 215 / 431) and after.hd95_mm < 2.1
    assert (after.added_ml, after.removed_ml) == pytest.approx((0.864, 0.008))
    correction.take(b"\1" * 7)  # of another scan
    assert correction.grade() == after


def test_without_truth_there_is_a_volume_and_no_score(reading):
    alone = Correction(Reading(reading.scan, None, reading.predictions), LIVER, "nothing")
    assert alone.grade().dsc is None and alone.grade().volume_ml == 0


def test_it_is_saved_on_the_scans_own_grid_and_nothing_is_overwritten(reading, tmp_path):
    source = tmp_path / "scan.nii.gz"
    lps = Scan(np.ascontiguousarray(reading.scan.voxels[::-1, ::-1]), np.diag([-2.0, -2.0, 2.0, 1.0]))
    lps.affine[:2, 3] = 18
    write_nifti(source, lps)
    bytes_before = source.read_bytes()
    correction = Correction(reading, LIVER, "model")
    files = [correction.save(tmp_path / "out", "case-1", read_nifti(source)) for _ in range(2)]
    assert [file.name for file in files] == ["case-1_Liver_corrected.nii.gz", "case-1_Liver_corrected-2.nii.gz"]
    saved = read_nifti(files[0])
    np.testing.assert_array_equal(saved.affine, lps.affine)
    np.testing.assert_array_equal(saved.voxels[::-1, ::-1], reading.predictions["model"])
    assert source.read_bytes() == bytes_before


def test_another_organ_is_only_changed_where_the_pen_went(reading):
    correction = Correction(reading, LIVER, "model")
    assert correction.labels()[0, 0, 0] == organ("Spleen").id
    correction.now = np.zeros(SHAPE, bool)
    correction.now[0, 0, 0] = True
    assert correction.labels()[0, 0, 0] == LIVER.id and (correction.labels() > 0).sum() == 1
