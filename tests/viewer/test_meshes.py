"""Surfaces: a ball has the area and volume of a ball, and a shifted one lies as far away as it was shifted."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.viewer.meshes import MaskBoundary, distance_to_truth_mm, organ_surfaces

SPACING = np.array([2.0, 2.0, 3.0])
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = (-40, 10, 5)
RADIUS_MM = 24.0


def ball(shift_mm=(0.0, 0.0, 0.0), organ_id: int = 1) -> np.ndarray:
    places = np.indices((40, 40, 30)).reshape(3, -1).T * SPACING - np.array((40, 40, 45)) - shift_mm
    return (organ_id * (np.linalg.norm(places, axis=1) <= RADIUS_MM)).reshape(40, 40, 30).astype(np.uint8)


def volume_ml(surface) -> float:
    """The volume inside a closed mesh, positive where its normals point outward (divergence theorem)."""
    a, b, c = (surface.vertices_mm[surface.triangles[:, k]].astype(float) for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6000)


def test_a_ball_is_a_ball_where_it_lies_in_the_patient():
    surface = organ_surfaces(ball(), AFFINE)[1]
    center = AFFINE[:3, 3] + (40, 40, 45)
    away = np.linalg.norm(surface.vertices_mm - center, axis=1)
    assert np.abs(away - RADIUS_MM).max() < 2.5
    assert volume_ml(surface) == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3 / 1000, rel=0.04)
    assert 0 < surface.error_mm < 1.5


def test_fewer_triangles_cost_little_and_the_cost_is_stated():
    whole, few = organ_surfaces(ball(), AFFINE, share=1.0)[1], organ_surfaces(ball(), AFFINE, share=0.2)[1]
    assert len(few.triangles) < 0.3 * len(whole.triangles)
    assert volume_ml(few) == pytest.approx(volume_ml(whole), rel=0.02)
    assert few.error_mm < whole.error_mm + 0.5


def test_a_thin_organ_and_a_single_voxel_keep_a_surface():
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[4, 4, 1:9], labels[8, 8, 8] = 1, 2
    surfaces = organ_surfaces(labels, np.eye(4))
    assert set(surfaces) == {1, 2} and all(len(surface.triangles) for surface in surfaces.values())


def test_the_distance_from_a_border_of_voxels_is_exact_and_has_a_sign():
    mask = np.zeros((11, 5, 5), bool)
    mask[3:8, 1:4, 1:4] = True
    boundary = MaskBoundary.of(mask, np.array([2.0, 1.0, 1.0]))
    places = np.array([[0, 2, 2], [2.5, 2, 2], [3, 2, 2], [5, 2, 2], [10, 2, 2], [10, 5.5, 2]])
    # the box reaches from 2.5 to 7.5 voxels of 2 mm along x, from 0.5 to 3.5 mm along y and z
    expected = [5.0, 0.0, -1.0, -1.5, 5.0, np.hypot(5.0, 2.0)]
    np.testing.assert_allclose(boundary.signed_distance_mm(places), expected, atol=1e-5)


def test_it_is_that_of_a_distance_transform_far_away():
    from scipy.ndimage import distance_transform_edt

    mask = ball() > 0
    places = np.array([[0, 0, 0], [39, 20, 15], [20, 20, 15]])
    edt = distance_transform_edt(~mask, sampling=SPACING) - distance_transform_edt(mask, sampling=SPACING)
    distances_mm = MaskBoundary.of(mask, SPACING).signed_distance_mm(places)
    half = np.linalg.norm(SPACING) / 2  # that one runs from center to center
    assert np.abs(distances_mm - edt[tuple(places.T)]).max() <= half


def test_a_shifted_ball_is_beyond_on_one_side_and_short_on_the_other():
    truth, shifted = ball(), ball((8.0, 0.0, 0.0))
    surface = organ_surfaces(shifted, AFFINE)[1]
    away = distance_to_truth_mm(surface, truth, 1, AFFINE)
    assert away.max() == pytest.approx(8, abs=1.6) and away.min() == pytest.approx(-8, abs=1.6)
    assert surface.vertices_mm[np.argmax(away), 0] > surface.vertices_mm[np.argmin(away), 0]
    assert np.abs(distance_to_truth_mm(organ_surfaces(truth, AFFINE)[1], truth, 1, AFFINE)).max() < 2.0


def test_an_organ_that_is_not_there_has_no_distance():
    assert distance_to_truth_mm(organ_surfaces(ball(), AFFINE)[1], np.zeros((40, 40, 30), np.uint8), 1, AFFINE) is None
