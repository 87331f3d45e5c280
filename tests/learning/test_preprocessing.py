"""From a scan to the network's grid and back: values, places and organs stay right."""

import numpy as np
import pytest

from pedseg import organs
from pedseg.learning.preprocessing import Prepared, _interpolate, prepare, restore
from pedseg.scan import Scan


def one_hot(labels, classes):
    return np.stack([labels == c for c in range(classes)]).astype(np.float32)


def test_values_are_clipped_and_normalized_and_sides_are_multiples_of_eight(patient, plan):
    image, labels = patient
    prepared = prepare(image, plan, labels)
    assert all(n % 8 == 0 for n in prepared.image.shape)
    kidney = prepared.image[prepared.labels == 1 + plan.organs.index("Kidney_L")]
    assert abs(np.median(kidney) - (250 + 50) / 300) < 0.05
    assert prepared.image.min() == np.float32((-1000 + 50) / 300)


def test_labels_come_back_exactly_on_the_same_grid(patient, plan):
    image, labels = patient
    prepared = prepare(image, plan, labels)
    back = restore(one_hot(prepared.labels, 4), prepared, image, plan)
    np.testing.assert_array_equal(back, labels.voxels)


def test_labels_come_back_in_place_from_another_spacing(patient, make_plan):
    image, labels = patient
    plan = make_plan(spacing_mm=(3.1, 3.3, 4.7))
    prepared = prepare(image, plan, labels)
    back = restore(one_hot(prepared.labels, 4), prepared, image, plan)
    for name in plan.organs:
        truth, restored = (np.argwhere(a == organs.organ(name).id) for a in (labels.voxels, back))
        assert np.abs(truth.mean(0) - restored.mean(0)).max() < 0.5, name
        assert 0.6 < len(restored) / len(truth) < 1.5, name


def test_organs_outside_the_plan_are_background_and_unannotated_ones_unknown(patient, make_plan):
    image, labels = patient
    plan = make_plan(organs=("Liver", "Pancreas"))
    prepared = prepare(image, plan, labels, annotated=("Liver",))
    assert set(np.unique(prepared.labels)) == {0, 1}
    assert prepared.unknown == (2,)


def test_a_couch_and_the_air_around_are_cut_away(patient, plan):
    image, _ = patient
    wide = np.pad(image.voxels, ((10, 10), (10, 10), (0, 0)), constant_values=-1000)
    wide[4:-4, 4, :] = 200  # a thin plate below the back
    assert prepare(Scan(wide, image.affine), plan).image.shape[0] <= 32


# --- without HU --------------------------------------------------------------------------------------

BODY = {"intensity": "body", "clip_hu": (-3.0, 3.0), "mean_hu": 0.0, "sd_hu": 1.0}


def test_where_mr_is_among_the_scans_gain_and_offset_do_not_matter(patient, make_plan):
    image, labels = patient
    plan = make_plan(**BODY)
    first = prepare(image, plan, labels)
    other = prepare(Scan(2.5 * image.voxels.astype(np.float32) + 4000, image.affine), plan, labels)
    np.testing.assert_allclose(first.image, other.image, atol=1e-4)
    np.testing.assert_array_equal(first.labels, other.labels)


def test_outside_the_body_is_exactly_zero_and_inside_is_counted_from_the_median(patient, make_plan):
    image, labels = patient
    prepared = prepare(image, make_plan(**BODY), labels)
    inside = prepared.image != 0
    assert not inside[0, 0].any() and not inside[-1, -1].any()
    assert inside[prepared.labels > 0].all()
    assert abs(np.median(prepared.image[inside])) < 0.05
    assert prepared.image.min() >= -3 and prepared.image.max() <= 3


def test_nobody_in_the_scan_is_all_zero(make_plan):
    nothing = Scan(np.zeros((16, 16, 16), np.int16), np.diag([4.0, 4.0, 4.0, 1.0]))
    assert not prepare(nothing, make_plan(**BODY)).image.any()


@pytest.mark.parametrize("slices", [1, 31, 64, 65, 200])
def test_slabs_give_the_label_map_of_the_whole_to_the_bit(slices, make_plan):
    """Twin: all probabilities interpolated over the whole grid at once, then the argmax."""
    plan, rng = make_plan(spacing_mm=(3.1, 3.3, 4.7)), np.random.default_rng(slices)
    scan = Scan(np.zeros((9, 8, slices), np.int16), np.diag([2.0, 2.5, 0.7, 1.0]))
    affine = np.diag([*plan.spacing_mm, 1.0])
    affine[:3, 3] = -1.3, 0.4, -0.9  # begins before the scan, and ends before or behind it
    probabilities = rng.random((4, 8, 8, 24)).astype(np.float32)
    prepared = Prepared("", probabilities[0], None, (), affine)
    places = [
        (np.arange(n) * s - o) / mm
        for n, s, o, mm in zip(scan.shape, scan.spacing_mm, affine[:3, 3], plan.spacing_mm, strict=True)
    ]
    seen = [np.flatnonzero((i > -0.5) & (i < n - 0.5)) for i, n in zip(places, (8, 8, 24), strict=True)]
    whole = np.argmax(
        [_interpolate(p, [i[s] for i, s in zip(places, seen, strict=True)]) for p in probabilities], axis=0
    )
    expected = np.zeros(scan.shape, np.uint8)
    expected[np.ix_(*seen)] = np.array([0, *(organs.organ(name).id for name in plan.organs)])[whole]
    np.testing.assert_array_equal(restore(probabilities, prepared, scan, plan), expected)
