"""A corrected contour: its numbers by hand, and a file that never takes the place of its source."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.organs import organ
from pedseg.scan import Scan, read_nifti, write_nifti
from pedseg.viewer.case_view import CaseView
from pedseg.viewer.contour_editing import Correction

LIVER = organ("Liver")
SHAPE = (10, 10, 10)


@pytest.fixture
def case_view():
    truth, predicted = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    truth[2:8, 2:8, 2:8] = LIVER.id  # 216 voxels of 8 mm³
    predicted[2:5, 2:8, 2:8] = LIVER.id  # half of it
    predicted[0, 0, 0] = organ("Spleen").id
    return CaseView(Scan(np.zeros(SHAPE, np.int16), np.diag([2.0, 2.0, 2.0, 1.0])), truth, {"model": predicted})


def test_the_pen_starts_from_what_was_drawn_with_x_running_fastest(case_view):
    pen = np.frombuffer(Correction(case_view, LIVER, "model").as_bytes(), np.uint8)
    assert pen.sum() == 108 and pen[2 + 10 * 2 + 100 * 2] == 1 and pen[8 + 10 * 2 + 100 * 2] == 0


def test_the_numbers_follow_the_pen(case_view):
    correction = Correction(case_view, LIVER, "model")
    before = correction.score()
    assert before.dsc == pytest.approx(2 * 108 / (108 + 216)) and before.hd95_mm == 6.0
    assert (before.volume_ml, before.added_ml, before.removed_ml) == pytest.approx((0.864, 0, 0))
    mask = correction.mask.copy()
    mask[5:8, 2:8, 2:8], mask[2, 2, 2] = True, False
    correction.update(mask.astype(np.uint8).tobytes(order="F"))
    after = correction.score()
    assert after.dsc == pytest.approx(2 * 215 / 431) and after.hd95_mm < 2.1
    assert (after.added_ml, after.removed_ml) == pytest.approx((0.864, 0.008))
    correction.update(b"\1" * 7)  # of another scan
    assert correction.score() == after


def test_without_truth_there_is_a_volume_and_no_score(case_view):
    alone = Correction(CaseView(case_view.scan, None, case_view.predictions), LIVER, "nothing")
    assert alone.score().dsc is None and alone.score().volume_ml == 0


def test_it_is_saved_on_the_scans_own_grid_and_nothing_is_overwritten(case_view, tmp_path):
    source = tmp_path / "scan.nii.gz"
    lps = Scan(np.ascontiguousarray(case_view.scan.voxels[::-1, ::-1]), np.diag([-2.0, -2.0, 2.0, 1.0]))
    lps.affine[:2, 3] = 18
    write_nifti(source, lps)
    bytes_before = source.read_bytes()
    correction = Correction(case_view, LIVER, "model")
    files = [correction.save(tmp_path / "out", "case-1", read_nifti(source)) for _ in range(2)]
    assert [file.name for file in files] == ["case-1_Liver_corrected.nii.gz", "case-1_Liver_corrected-2.nii.gz"]
    saved = read_nifti(files[0])
    np.testing.assert_array_equal(saved.affine, lps.affine)
    np.testing.assert_array_equal(saved.voxels[::-1, ::-1], case_view.predictions["model"])
    assert source.read_bytes() == bytes_before


def test_another_organ_is_only_changed_where_the_pen_went(case_view):
    correction = Correction(case_view, LIVER, "model")
    assert correction.labels()[0, 0, 0] == organ("Spleen").id
    correction.mask = np.zeros(SHAPE, bool)
    correction.mask[0, 0, 0] = True
    assert correction.labels()[0, 0, 0] == LIVER.id and (correction.labels() > 0).sum() == 1
