"""Augmentation: the lesson leaves cases alone, the clinic changes image and labels together, never mirrored."""

import numpy as np

from pedseg.learning.augment import augment


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
