"""One case under review: scores, descriptions, disagreements, and what does not fit together is a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.errors import PedsegInputError
from pedseg.metrics import score_case
from pedseg.organs import NAMES, organ
from pedseg.scan import Scan
from pedseg.viewer.case_view import TRUTH, CaseView

LIVER, SPLEEN = organ("Liver").id, organ("Spleen").id
SHAPE = (24, 22, 20)


@pytest.fixture
def case_view(scan, truth):
    wrong = truth.copy()
    wrong[2:6, 4:14, 3:13] = 0  # liver gone: 4 x 10 x 10 voxels
    wrong[14:16, 4:10, 4:10] = LIVER  # spleen called liver: 2 x 6 x 6
    return CaseView(scan, truth, {"good": truth.copy(), "wrong": wrong})


def test_scores_are_those_of_the_metrics(case_view, truth):
    for score in score_case(truth, case_view.segmentation("wrong").labels, (3.0, 3.0, 4.0), NAMES):
        assert case_view.scores("wrong")[score.organ] == score
    assert case_view.scores("good")["Liver"].dsc == 1.0


def test_any_two_sets_are_compared_and_none_is_called_true(scan, truth):
    case_view = CaseView(
        scan, None, {"hospital": truth, "reader A": np.where(truth == SPLEEN, 0, truth), "net": truth}, ["net"]
    )
    assert case_view.sets == ["hospital", "reader A", "net"] and case_view.reference == "hospital"
    assert case_view.scores("reader A")["Spleen"].dsc == 0.0 and case_view.scores("reader A")["Liver"].dsc == 1.0
    case_view.reference = "reader A"
    assert not case_view.scores("hospital")["Spleen"].present
    assert "mm inside the border of reader A" in case_view.describe_voxel((5, 8, 8), ["hospital"])
    case_view.reference = None
    assert case_view.scores("hospital") == {} and case_view.start_voxel() == (12, 11, 10)


def test_a_set_that_is_exchanged_is_measured_again(scan, truth):
    case_view = CaseView(scan, truth)
    case_view.add("mine", lambda: truth)
    assert case_view.scores("mine")["Liver"].dsc == 1.0
    case_view.add("mine", lambda: np.zeros_like(truth))
    assert case_view.scores("mine")["Liver"].dsc == 0.0 and case_view.segmentation("mine").volume_ml == {}


def test_disagreements_are_volumes_by_kind_the_largest_first(case_view):
    first, second = case_view.disagreements("good", "wrong", (LIVER, SPLEEN))
    assert (first.first, first.second, second.first, second.second) == (LIVER, 0, SPLEEN, LIVER)
    assert first.volume_ml == pytest.approx(400 * 0.036) and second.volume_ml == pytest.approx(72 * 0.036)
    assert (
        case_view.segmentation("good").labels[first.voxel] == LIVER
        and case_view.segmentation("wrong").labels[first.voxel] == 0
    )
    assert second.as_label_map(SHAPE).sum() == 72
    assert case_view.disagreements("good", "good", (LIVER, SPLEEN)) == []
    assert len(case_view.disagreements("good", "wrong", (SPLEEN,))) == 1


def test_words_name_place_gray_value_and_organs(case_view):
    text = case_view.describe_voxel((15, 5, 5), ("good", "wrong"))
    assert text.startswith("x 45 · y 15 · z 20 mm · 40 HU · truth: spleen · good: spleen · wrong: liver")
    assert "inside the true border" in text and "no organ" in case_view.describe_voxel((0, 0, 0), ("good",))
    assert case_view.organs_at((15, 5, 5), ("wrong",)) == [LIVER, SPLEEN]


def test_places_and_voxels_go_both_ways(scan, truth):
    turned = Scan(scan.voxels, scan.affine + np.array([[0, 0, 0, -7], [0, 0, 0, 5], [0, 0, 0, 9], [0] * 4]))
    case_view = CaseView(turned, truth)
    assert case_view.to_voxel(case_view.to_mm((3, 4, 5))) == (3, 4, 5)
    assert case_view.to_voxel((1e6, -1e6, 0)) == (23, 0, 0)
    assert truth[case_view.segmentation(TRUTH).organ_center(SPLEEN)] == SPLEEN
    assert case_view.segmentation(TRUTH).organ_center(9) is None


def test_a_map_on_another_grid_is_a_sentence(scan, truth):
    with pytest.raises(PedsegInputError, match="23 × 22 × 20 voxels, the scan 24 × 22 × 20: it lies on another grid"):
        CaseView(scan, truth[1:])
    with pytest.raises(PedsegInputError, match="E-GEOMETRY other"):
        CaseView(scan, truth, {"other": truth[:, 1:]}).segmentation("other")
    with pytest.raises(PedsegInputError, match="no organ ids"):
        CaseView(scan, truth + 200)


@pytest.mark.parametrize("shape", [(24, 22), (24, 22, 1)])
def test_a_flat_image_is_a_sentence(shape):
    with pytest.raises(PedsegInputError, match="it is flat, not a volume"):
        CaseView(Scan(np.zeros(shape, np.int16), np.eye(4)))


def test_without_truth_or_with_an_empty_prediction_it_still_reads(scan, truth):
    alone = CaseView(scan, None, {"empty": np.zeros(SHAPE, np.uint8)})
    assert alone.segmentation("empty").surfaces == {} and alone.truth is None
    empty = CaseView(scan, truth, {"empty": np.zeros(SHAPE, np.uint8)})
    assert empty.scores("empty")["Liver"].dsc == 0.0 and empty.segmentation("empty").volume_ml == {}
