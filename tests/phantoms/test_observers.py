"""Invented observers: without habits they draw the truth; each habit moves what it says, by as much as it says."""

from __future__ import annotations

from dataclasses import fields
from itertools import combinations
from math import erf, exp, pi, sqrt

import numpy as np
import pytest

from pedseg.metrics import score_case
from pedseg.organs import NAMES, organ
from pedseg.phantoms.child import Child
from pedseg.phantoms.observers import BORDER_DISTANCE_MM, OBSERVERS, TRUTH, Observer, draw, smooth_noise
from pedseg.phantoms.phantom import Phantom, make_phantom

LIVER, SPLEEN, KIDNEY_L, KIDNEY_R, PORTAL = (
    organ(name).id for name in ("Liver", "Spleen", "Kidney_L", "Kidney_R", "V_Portal")
)
LESSON_MM = (3.0, 3.0, 4.0)


@pytest.fixture(scope="module")
def child() -> Phantom:
    return make_phantom(
        Child(5.0, "F", seed=6, removed_kidney="left", tumor="renal", months_since_surgery=6.0), LESSON_MM
    )


def ball(radius_mm: float, spacing_mm: tuple[float, float, float], organ_id: int = LIVER) -> np.ndarray:
    """A ball of one organ in the middle of a map."""
    shape = [int(2 * (radius_mm + 14) / voxel_mm) for voxel_mm in spacing_mm]
    distance = np.linalg.norm((np.indices(shape).T - np.divide(shape, 2) + 0.2) * spacing_mm, axis=-1).T
    return np.where(distance < radius_mm, organ_id, 0).astype(np.uint8)


def radius_mm(labels: np.ndarray, spacing_mm: tuple[float, float, float]) -> float:
    return float(np.cbrt(np.count_nonzero(labels) * np.prod(spacing_mm) * 3 / (4 * pi)))


def test_without_habits_the_truth_is_drawn(child):
    contours = draw(child.labels, LESSON_MM, Observer("nobody"), 3)
    assert np.array_equal(contours, child.labels) and contours is not child.labels
    assert TRUTH == Observer(TRUTH.name)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), LESSON_MM])
@pytest.mark.parametrize("radius", [12.0, 20.0, 30.0])
@pytest.mark.parametrize("border_mm", [-1.5, -0.7, 0.7, 1.5])
def test_a_border_moves_by_the_stated_millimeters(radius, border_mm, spacing_mm):
    labels = ball(radius, spacing_mm)
    contours = draw(labels, spacing_mm, Observer("generous", border_mm=border_mm), 0)
    moved_mm = radius_mm(contours, spacing_mm) - radius_mm(labels, spacing_mm)
    assert moved_mm == pytest.approx(border_mm, abs=0.35 if spacing_mm == LESSON_MM else 0.2)


def test_a_border_that_is_hard_to_see_moves_further():
    spacing_mm = (1.0, 1.0, 1.0)
    moved_mm = {}
    for name in ("Liver", "Heart"):
        labels = ball(20.0, spacing_mm, organ(name).id)
        contours = draw(labels, spacing_mm, Observer("generous", border_mm=1.0), 0)
        moved_mm[name] = radius_mm(contours, spacing_mm) - 20.0
    assert moved_mm["Heart"] / moved_mm["Liver"] == pytest.approx(BORDER_DISTANCE_MM["Heart"], rel=0.15)


def test_the_hand_wanders_smoothly_and_less_across_slices():
    field = smooth_noise((120, 120, 60), LESSON_MM, np.random.default_rng(0))
    assert abs(field.mean()) < 0.1 and field.std() == pytest.approx(1.0, abs=0.05)

    def correlation(axis: int, voxels: int) -> float:
        return float(np.mean(field * np.roll(field, voxels, axis)) / np.mean(field**2))

    assert correlation(0, 1) > 0.95  # 3 mm in a slice: exp(-9 / 400)
    assert correlation(0, 7) == pytest.approx(exp(-(21**2) / 400), abs=0.1)
    assert correlation(2, 1) == pytest.approx(exp(-(4**2) / 36), abs=0.1)


def test_two_observers_differ_by_one_millimeter_in_the_mean():
    """The habits are shared out so that `BORDER_DISTANCE_MM` is what two people differ by: mean of |normal|."""
    distances = []
    for first, second in combinations(OBSERVERS, 2):
        mean, sd = first.border_mm - second.border_mm, sqrt(first.wander_mm**2 + second.wander_mm**2)
        distances.append(sd * sqrt(2 / pi) * exp(-(mean**2) / (2 * sd**2)) + mean * erf(mean / sqrt(2) / sd))
    assert np.mean(distances) == pytest.approx(1.0, abs=0.1)


def test_ends_are_early_or_late_by_whole_slices():
    labels = np.zeros((12, 12, 20), np.uint8)
    labels[3:9, 3:9, 6:16] = SPLEEN
    contours = draw(labels, LESSON_MM, Observer("o", slices_below=-2, slices_above=1), 0)
    assert np.flatnonzero(contours.any(axis=(0, 1))).tolist() == [*range(8, 17)]
    assert np.array_equal(contours[:, :, 16], labels[:, :, 15])
    contours = draw(labels, LESSON_MM, Observer("o", slices_above=4), 0)
    assert np.flatnonzero(contours.any(axis=(0, 1))).tolist() == [*range(6, 20)]
    labels[:, :, 16] = LIVER  # what another organ fills is not free
    contours = draw(labels, LESSON_MM, Observer("o", slices_above=1), 0)
    assert np.array_equal(contours == SPLEEN, labels == SPLEEN)


def test_an_organ_of_few_slices_or_cut_by_the_scan_does_not_end_early():
    labels = np.zeros((12, 12, 20), np.uint8)
    labels[1:4, 1:4, 8:11] = SPLEEN
    labels[6:11, 6:11, :12] = LIVER
    assert np.array_equal(draw(labels, LESSON_MM, Observer("o", slices_below=-1), 0), labels)


def test_the_renal_pelvis_is_left_out_on_the_side_of_the_spine(child):
    contours = draw(child.labels, LESSON_MM, Observer("o", renal_pelvis=False), 0)
    gone = np.argwhere(contours != child.labels)
    assert set(child.labels[tuple(gone.T)]) == {KIDNEY_R} and np.all(contours[tuple(gone.T)] == 0)
    kidney = np.argwhere(child.labels == KIDNEY_R)
    assert 0.03 < len(gone) / len(kidney) < 0.3
    spine = np.argwhere(child.labels == organ("VBs").id)[:, 0].mean()
    assert abs(gone[:, 0].mean() - spine) < abs(kidney[:, 0].mean() - spine) - 3


def test_vessels_at_the_hilum_come_to_the_liver_and_the_trunk_stays(child):
    contours = draw(child.labels, LESSON_MM, Observer("o", liver_vessels=True), 0)
    changed = contours != child.labels
    assert changed.any() and np.all(child.labels[changed] == PORTAL) and np.all(contours[changed] == LIVER)
    assert (contours == PORTAL).any()


@pytest.mark.parametrize("observer", OBSERVERS, ids=lambda person: person.name)
def test_the_same_seed_draws_the_same_and_no_organ_appears_or_vanishes(child, observer):
    contours = draw(child.labels, LESSON_MM, observer, 1)
    assert np.array_equal(contours, draw(child.labels, LESSON_MM, observer, 1))
    assert not np.array_equal(contours, draw(child.labels, LESSON_MM, observer, 2))
    assert set(np.unique(contours)) == set(np.unique(child.labels))
    assert KIDNEY_L not in contours and contours.dtype == np.uint8


@pytest.mark.parametrize("observer", OBSERVERS, ids=lambda person: person.name)
def test_an_empty_map_stays_empty_and_one_voxel_stays(observer):
    empty = np.zeros((6, 7, 8), np.uint8)
    assert not draw(empty, LESSON_MM, observer, 0).any()
    empty[2, 3, 4] = SPLEEN
    empty[3, 3, 4] = LIVER
    contours = draw(empty, LESSON_MM, observer, 0)
    assert contours[2, 3, 4] == SPLEEN and contours[3, 3, 4] == LIVER


def test_a_map_that_one_organ_fills_stays_full():
    full = np.full((4, 4, 4), LIVER, np.uint8)
    assert np.array_equal(draw(full, LESSON_MM, Observer("o", border_mm=1.0), 0), full)


def test_people_agree_as_in_published_comparisons(child):
    """Ranges are wider at the lower end than those of adults, whose organs are larger."""
    contours = [draw(child.labels, LESSON_MM, person, 5) for person in OBSERVERS]
    published = {
        "Liver": (0.92, 0.98), "Spleen": (0.85, 0.97), "Kidney_R": (0.86, 0.97), "Pancreas": (0.7, 0.9),
        "Lung_L": (0.88, 0.97), "Lung_R": (0.88, 0.97), "Heart": (0.84, 0.95), "Esophagus": (0.6, 0.9),
        "Bowel^Stomach": (0.85, 0.96),
    }  # fmt: skip
    scores = [score_case(a, b, LESSON_MM, NAMES) for a, b in combinations(contours, 2)]
    for name, (low, high) in published.items():
        dsc = np.mean([s.dsc for pair in scores for s in pair if s.organ == name])
        assert low < dsc < high, (name, dsc)


def test_observers_have_names_and_habits_of_their_own():
    assert len({person.name for person in (TRUTH, *OBSERVERS)}) == len(OBSERVERS) + 1
    for field in fields(Observer):
        assert any(getattr(person, field.name) != getattr(TRUTH, field.name) for person in OBSERVERS), field.name
