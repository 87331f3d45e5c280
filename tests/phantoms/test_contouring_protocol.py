"""Contouring habits: each changes its own contour, none changes the child."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pedseg.organs import organ
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.child import Child
from pedseg.phantoms.contouring_protocol import WHOLE_ORGANS, ContouringProtocol, contour
from pedseg.phantoms.phantom import Phantom, make_phantom

HEART, BOWEL, CANAL, BONES = (organ(name).id for name in ("Heart", "Bowel^Stomach", "SpinalCanal", "VBs"))


@pytest.fixture(scope="module")
def child() -> Phantom:
    return make_phantom(Child(5.0, "F", seed=6), (3.0, 3.0, 3.0))


def heights(phantom: Phantom, organ_id: int) -> np.ndarray:
    """Slices that hold an organ."""
    return np.flatnonzero((phantom.labels == organ_id).any(axis=(0, 1)))


def changed(child: Phantom, contouring_protocol: ContouringProtocol) -> tuple[Phantom, set[int]]:
    """The child as contoured by habit, and the organs that gained or lost a voxel."""
    contoured = contour(child, contouring_protocol)
    assert contoured.tissues is child.tissues
    other = contoured.labels != child.labels
    return contoured, {int(i) for i in np.unique([child.labels[other], contoured.labels[other]]) if i}


def test_no_habit_changes_nothing(child):
    assert contour(child, WHOLE_ORGANS) is child


def test_the_heart_ends_lower(child):
    contoured, organs = changed(child, ContouringProtocol(heart_top_mm=-12.0))
    assert organs == {HEART}
    assert heights(child, HEART)[-1] - heights(contoured, HEART)[-1] == 4  # slices of 3 mm


def test_the_heart_takes_in_the_great_vessels(child):
    contoured, organs = changed(child, ContouringProtocol(heart_top_mm=6.0))
    assert organs == {HEART}
    new = (contoured.labels == HEART) & (child.labels != HEART)
    assert new.any() and np.all(child.tissues[new] == Tissue.HEART_BLOOD)
    assert heights(contoured, HEART)[-1] <= heights(child, HEART)[-1] + 2


def test_the_bowel_ends_at_the_inlet_of_the_pelvis(child):
    contoured, organs = changed(child, ContouringProtocol(bowel_bottom="inlet"))
    assert organs == {BOWEL}
    assert heights(contoured, BOWEL)[0] == heights(child, BONES)[0] > heights(child, BOWEL)[0]


def test_the_cord_is_thinner_and_ends_above_the_canal(child):
    contoured, organs = changed(child, ContouringProtocol(canal="cord"))
    assert organs == {CANAL}
    assert np.array_equal(contoured.labels == CANAL, child.tissues == Tissue.CORD)
    assert 0.1 < np.mean(contoured.labels[child.labels == CANAL] == CANAL) < 0.4
    assert heights(contoured, CANAL)[0] > heights(child, CANAL)[0] + 20


def test_contours_stop_before_the_ends_of_the_scan(child):
    contoured, _ = changed(child, ContouringProtocol(field_margin_mm=10.0))
    slices = np.flatnonzero(contoured.labels.any(axis=(0, 1)))
    assert slices[0] >= 4 and slices[-1] == child.labels.shape[2] - 5  # 4 slices of 3 mm lie nearer than 10 mm
    assert np.array_equal(contoured.labels[:, :, 4:-4], child.labels[:, :, 4:-4])


def test_a_habit_about_an_absent_organ_is_no_error(child):
    empty = replace(child, labels=np.zeros_like(child.labels))
    contoured = contour(empty, ContouringProtocol(-5.0, "inlet", "cord", 5.0))
    assert not contoured.labels.any()
