"""One small label map for each way to lie in the wrong place, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pedseg.datasets.cases import Case
from pedseg.evaluation.misplacement import error_locations, from_contours, misplaced_kinds
from pedseg.evaluation.results import ModelKey
from pedseg.organs import NAMES, organ

MODEL = ModelKey("federated", "Aa+Bb")
SPACING = (5.0, 5.0, 5.0)  # eight voxels are 1 mL
SHAPE = (40, 24, 24)


def label_map(**boxes: tuple[slice, slice, slice]) -> np.ndarray:
    """A map with boxes for organs; a later one covers an earlier one."""
    voxels = np.zeros(SHAPE, np.uint8)
    for name, box in boxes.items():
        voxels[box] = organ(name.rstrip("2")).id
    return voxels


def box(x: int, y: int, z: int, size: int = 6) -> tuple[slice, slice, slice]:
    return slice(x, x + size), slice(y, y + size), slice(z, z + size)


def misplaced(truth: np.ndarray, predicted: np.ndarray, annotated: tuple[str, ...] = NAMES, **known) -> list:
    case = Case("c1", "p1", "Aa", "test", Path("image"), Path("labels"), annotated, **known)
    return from_contours(truth, predicted, SPACING, case, MODEL)


def test_a_good_contour_does_not_fail():
    truth = label_map(Liver=box(20, 8, 8), Kidney_L=box(6, 8, 8), Kidney_R=box(30, 8, 8))
    assert misplaced(truth, truth) == []
    rim = label_map(Liver=(slice(19, 27), slice(8, 14), slice(8, 14)), Kidney_L=box(6, 8, 8), Kidney_R=box(30, 8, 8))
    assert misplaced(truth, rim) == []  # 5 mm more on each side lies within a rim of 5 mm and a voxel


def test_left_and_right_swapped():
    truth = label_map(Kidney_L=box(6, 8, 8), Kidney_R=box(28, 8, 8))
    predicted = label_map(Kidney_R=box(6, 8, 8), Kidney_L=box(28, 8, 8))
    left, right = misplaced(truth, predicted)
    assert (left.kind, left.organ, left.amount, left.unit, left.wrong_ml) == ("swapped", "Kidney_L", 100.0, "%", 54.0)
    assert "puts 100 % of the left kidney it draws into the true right kidney" in left.sentence
    assert 28 <= left.voxel[0] < 34 and 6 <= right.voxel[0] < 12
    assert (left.case, left.tested_on, left.model, left.trained_on) == ("c1", "Aa", "federated", "Aa+Bb")


@pytest.mark.parametrize(("voxels", "fails"), [(24, False), (25, True)])
def test_a_tenth_on_the_other_side_is_a_swap(voxels, fails):
    """216 voxels of lung in place and 24 on the other side: 24 of 240 are a tenth, 25 are more."""
    truth = label_map(Lung_L=box(6, 8, 8), Lung_R=box(28, 8, 8))
    predicted = truth.copy()
    there = np.argwhere(truth == organ("Lung_R").id)[:voxels]
    predicted[tuple(there.T)] = organ("Lung_L").id
    swapped = [failure for failure in misplaced(truth, predicted) if failure.kind == "swapped"]
    assert bool(swapped) is fails
    assert not fails or swapped[0].amount == pytest.approx(100 * 25 / 241)


def test_a_removed_kidney_drawn_in_the_other_one_is_a_swap_a_stray_voxel_is_none():
    truth = label_map(Kidney_R=box(28, 8, 8))
    predicted = label_map(Kidney_L=box(6, 8, 8), Kidney_R=box(28, 8, 8))
    predicted[28, 8, 8] = organ("Kidney_L").id
    assert misplaced(truth, predicted, absent=("Kidney_L",)) == []
    predicted[28, 8:14, 8:14] = organ("Kidney_L").id  # 36 of 252
    (swapped,) = misplaced(truth, predicted, absent=("Kidney_L",))
    assert swapped.organ == "Kidney_L" and swapped.amount == pytest.approx(100 * 36 / 252)


def test_a_part_elsewhere():
    truth = label_map(Spleen=box(4, 8, 8, 8), Liver=box(24, 8, 8, 8))
    predicted = label_map(Spleen=box(4, 8, 8, 8), Liver=box(24, 8, 8, 8), Spleen2=box(28, 10, 10, 4))
    (part,) = [failure for failure in misplaced(truth, predicted) if failure.organ == "Spleen"]
    assert (part.kind, part.unit, part.amount) == ("part", "mL", 8.0)  # 64 voxels of 0.125 mL
    assert part.wrong_ml == pytest.approx(8.0)
    assert "draws the spleen in 2 pieces; one of 8.0 mL lies apart, in the liver" in part.sentence
    assert all(28 <= k < 32 for k in part.voxel[:1]) and truth[part.voxel] == organ("Liver").id


def test_an_organ_torn_in_two_is_told_and_an_organ_of_two_parts_is_not():
    whole = label_map(Spleen=(slice(4, 20), slice(8, 14), slice(8, 14)))
    torn = label_map(Spleen=box(4, 8, 8), Spleen2=(slice(11, 20), slice(8, 14), slice(8, 14)))
    (gap,) = misplaced(whole, torn)
    assert gap.kind == "gap" and 4 <= gap.voxel[0] < 10 and gap.wrong_ml == pytest.approx(36 * 0.125)
    assert "in 2 pieces; one of 27.0 mL is cut off, inside the true organ" in gap.sentence
    assert misplaced(torn, torn) == []


def test_small_crumbs_are_no_parts():
    truth = label_map(Spleen=box(4, 8, 8, 8))
    crumb = label_map(Spleen=box(4, 8, 8, 8), Spleen2=box(30, 8, 8, 2))  # of 8 voxels, that is 1 mL and not more
    assert misplaced(truth, crumb) == []


def test_leaking_into_a_neighbor():
    truth = label_map(Heart=box(4, 8, 8, 8), Liver=box(12, 8, 8, 8))
    predicted = label_map(Liver=box(12, 8, 8, 8), Heart=(slice(4, 17), slice(8, 16), slice(8, 16)))
    (leak,) = [failure for failure in misplaced(truth, predicted) if failure.organ == "Heart"]
    assert (leak.kind, leak.unit) == ("leaking", "mL")
    assert leak.amount == pytest.approx(3 * 64 * 0.125)  # five layers, two of them within 5 mm and a voxel
    assert leak.wrong_ml == pytest.approx(5 * 64 * 0.125)
    assert "draws 24.0 mL of heart more than 10 mm beyond its border, most of it in the liver" in leak.sentence
    assert 14 <= leak.voxel[0] < 17


def test_what_leaks_equals_scipys_distance_map():
    """An irregular liver that has grown over a wall of irregular shape: how much lies farther than 5 mm and a voxel."""
    fields = ndimage.gaussian_filter(np.random.default_rng(6).normal(size=(2, *SHAPE)), (0, 3, 3, 3))
    true = (fields[0] > 0.01) & (np.indices(SHAPE)[0] < 24)
    grown = true | ((fields[1] > 0) & (np.indices(SHAPE)[0] < 34) & (np.indices(SHAPE)[0] > 20))
    liver = organ("Liver").id
    leaks = [
        failure for failure in misplaced(true * np.uint8(liver), grown * np.uint8(liver)) if failure.kind == "leaking"
    ]
    far = grown & (ndimage.distance_transform_edt(~true, sampling=SPACING) > 10.0)
    assert [leak.amount for leak in leaks] == [pytest.approx(far.sum() * 0.125)]


def test_displaced():
    truth = label_map(Pancreas=box(4, 8, 8))
    predicted = label_map(Pancreas=box(8, 8, 8))
    (moved,) = misplaced(truth, predicted)
    assert (moved.kind, moved.unit, moved.amount) == ("displaced", "mm", pytest.approx(20.0))
    assert moved.wrong_ml == pytest.approx(2 * 4 * 36 * 0.125)
    assert "draws the pancreas 20 mm from its place, most of the false part in no contoured organ" in moved.sentence


def test_what_nobody_annotated_is_not_judged():
    truth, predicted = label_map(Liver=box(4, 8, 8)), label_map(Liver=box(4, 8, 8), Pancreas=box(20, 8, 8))
    predicted[12:24] = organ("Spleen").id
    assert misplaced(truth, predicted, ("Liver",)) == []
    assert misplaced(truth * 0, predicted, ("Liver",)) == []


def test_the_kinds_of_one_organ_are_those_of_its_failures():
    truth, predicted = label_map(Pancreas=box(4, 8, 8), Liver=box(20, 8, 8)), label_map(Pancreas=box(8, 8, 8))
    assert misplaced_kinds(truth, predicted, SPACING, "Pancreas") == {"displaced"}
    assert misplaced_kinds(truth, predicted, SPACING, "Liver") == set()  # missed: the rows tell it


def test_where_to_look_is_the_slice_with_most_errors():
    truth = label_map(Liver=box(20, 8, 8))
    predicted = truth.copy()
    predicted[20:26, 8:14, 10] = 0
    predicted[20, 8, 8] = 0
    locations = error_locations(truth, predicted, ("Liver", "Spleen"))
    assert set(locations) == {"Liver"}
    assert locations["Liver"].voxel[2] == 10 and not locations["Liver"].cut
    assert error_locations(truth, truth, ("Liver",))["Liver"].voxel == (22, 10, 10)  # of the middle voxels the first


def test_storage_of_the_maps_does_not_matter():
    truth, predicted = label_map(Spleen=box(4, 8, 8, 8)), label_map(Spleen=box(4, 8, 8, 8), Spleen2=box(30, 8, 8, 4))
    assert misplaced(np.asfortranarray(truth), np.asfortranarray(predicted)) == misplaced(truth, predicted) != []
