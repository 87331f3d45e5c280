"""Augmentation: the lesson leaves cases alone, the clinic changes image and labels together, never mirrored."""

from dataclasses import replace

import numpy as np
import pytest

from pedseg.learning.augmentation import augment, random_axial_rotation
from pedseg.learning.preprocessing import MULTIPLE, Prepared, prepare


def case(patient):
    return patient[0].voxels.astype(np.float32), patient[1].voxels


def test_the_lesson_trains_on_the_cases_as_they_are(patient, plan):
    image, labels = case(patient)
    same = augment(image, labels, plan, seed=5)
    assert same[0] is image
    assert same[1] is labels


def test_the_seed_decides(patient, make_plan):
    image, labels = case(patient)
    plan = make_plan("clinic")
    first, again, other = (augment(image, labels, plan, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(("orientation", "largest"), [("augment", 120), ("none", 30)])
def test_only_a_plan_that_augments_turns_patients_on_their_side(make_plan, orientation, largest):
    labels = np.zeros((48, 48, 24), np.uint8)
    labels[14:34, 20:28, 8:16] = 1  # a bar along x
    plan = replace(make_plan("clinic", patch=(48, 48, 24)), orientation=orientation)
    angles = []
    for seed in range(60):
        _, turned = augment(labels.astype(np.float32), labels, plan, seed=seed)
        places = np.argwhere(turned == 1)[:, :2]
        x, y = np.linalg.eigh(np.cov(places.T))[1][:, -1]  # the longer axis; the other tilts are up to 30 degrees, too
        angles.append(abs(np.rad2deg(np.arctan2(y, x)) + 90) % 180 - 90)
    assert (np.abs(angles) > 45).any() == (largest > 90)


def test_image_and_labels_turn_together_and_are_never_mirrored(make_plan):
    labels = np.zeros((40, 40, 40), np.uint8)
    for channel, (x, y, z) in enumerate([(15, 15, 15), (24, 16, 16), (16, 24, 16), (16, 16, 24)], start=1):
        labels[x - 3 : x + 3, y - 3 : y + 3, z - 3 : z + 3] = channel
    image = labels.astype(np.float32) * 10
    moved = 0
    for seed in range(16):
        new_image, new_labels = augment(image, labels, make_plan("clinic", patch=(40, 40, 40)), seed=seed)
        assert new_image.shape == image.shape
        assert set(np.unique(new_labels)) == {0, 1, 2, 3, 4}
        centers = [np.argwhere(new_labels == channel).mean(axis=0) for channel in (1, 2, 3, 4)]
        assert np.linalg.det(np.stack([c - centers[0] for c in centers[1:]])) > 0, "mirrored"
        means = [new_image[new_labels == channel].mean() for channel in (1, 2, 3, 4)]
        assert means == sorted(means), "the image did not follow its labels"
        moved += not np.array_equal(new_labels, labels)
    assert moved > 3


def test_a_rotated_body_keeps_its_organs_and_fits_the_network(patient, plan):
    whole = prepare(patient[0], plan, patient[1])
    turned = [random_axial_rotation(whole, plan, np.random.default_rng(seed)) for seed in range(12)]
    moved = [case for case in turned if case is not whole]
    assert 3 <= len(moved) < 12  # about half
    for case in moved:
        assert case.image.shape == case.labels.shape
        assert all(n % MULTIPLE == 0 for n in case.image.shape)
        for channel in np.unique(whole.labels)[1:]:
            before, after = (np.count_nonzero(labels == channel) for labels in (whole.labels, case.labels))
            assert 0.8 < after / before < 1.2


def test_a_flat_body_on_its_side_is_taller_than_wide(plan):
    x, y, _ = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 16), np.arange(8), indexing="ij")
    inside = x**2 + y**2 < 0.9
    image, labels = np.where(inside, 0.3, -3.0).astype(np.float32), inside.astype(np.uint8)
    flat = Prepared("flat", image, labels, (), np.eye(4))
    shapes = [random_axial_rotation(flat, plan, np.random.default_rng(seed)).image.shape for seed in range(20)]
    assert sum(height > width for width, height, _ in shapes) >= 2  # about a quarter are turned by 60 degrees or more
    assert sum(height == 16 for _, height, _ in shapes) >= 4  # about half stay
