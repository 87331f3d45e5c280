"""How a patient lies, and turning the scan: angles that were drawn come back, and voxels return to their places."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.learning import body_mask, orientation
from pedseg.phantoms.child import Child
from pedseg.phantoms.ct_scanner import CtProtocol, scan_ct
from pedseg.phantoms.mr_scanner import T1W_1_5T, T1W_3T, T2W_1_5T, T2W_3T, scan_mr
from pedseg.phantoms.phantom import make_phantom
from pedseg.phantoms.voxelization import ScanGrid
from pedseg.scan import Scan

PROTOCOL = CtProtocol("plain", "none")


def scanned(roll: float, **protocol) -> tuple[Scan, Scan]:
    child = Child(5.0, "F", roll_deg=roll, seed=3)
    return scan_ct(make_phantom(child, (4.0, 4.0, 4.0)), CtProtocol("test", pixel_mm=4.0, **protocol), 5)


@pytest.mark.parametrize("roll", [0.0, -60.0, -90.0, -120.0, 75.0, 150.0])
@pytest.mark.parametrize("phase", ["none", "arterial"])
def test_the_angle_is_that_of_the_child(roll, phase):
    roll_deg = orientation.roll_deg(scanned(roll, phase=phase)[0])
    assert abs((roll_deg - roll + 180) % 360 - 180) < 6


def test_prone_is_half_a_turn():
    assert abs(abs(orientation.roll_deg(scanned(180.0, phase="none")[0])) - 180) < 6


def test_nobody_is_not_turned():
    air = Scan(np.full((20, 20, 10), -1000, np.int16), np.diag([3.0, 3.0, 4.0, 1.0]))
    assert orientation.roll_deg(air) == 0.0
    assert orientation.to_supine(air)[0] is air


def test_a_supine_patient_stays_untouched():
    image, labels = scanned(0.0, phase="none")
    same, same_labels = orientation.to_supine(image, labels)
    assert same is image
    assert same_labels is labels


@pytest.mark.parametrize("shape", [(7, 5, 3), (6, 9, 2)])
def test_a_quarter_turn_moves_whole_voxels(shape):
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    scan = Scan(voxels, np.array([[2.0, 0, 0, 10], [0, 2, 0, -4], [0, 0, 5, 7], [0, 0, 0, 1]]))
    turned = orientation.rotate_axial(scan, 90.0)
    # New first axis points along the old second one, new second axis against the old first one.
    np.testing.assert_allclose(turned.voxels, np.flip(voxels.transpose(1, 0, 2), axis=1), atol=1e-3)


def test_every_voxel_keeps_its_place_in_the_room():
    image, labels = scanned(-80.0, phase="none")
    turned = orientation.rotate_axial(labels, -80.0, order=0)
    for organ in (1, 4, 5):
        here, there = (s.affine @ np.append(np.argwhere(s.voxels == organ).mean(axis=0), 1) for s in (labels, turned))
        np.testing.assert_allclose(here, there, atol=1.0)
    assert np.isclose((turned.voxels > 0).sum(), (labels.voxels > 0).sum(), rtol=0.01)
    assert orientation.rotate_axial(image, 30.0).voxels.min() >= image.voxels.min()


def test_there_and_back_is_where_it_was():
    labels = scanned(0.0, phase="none")[1]
    back = orientation.rotate_axial(orientation.rotate_axial(labels, 40.0, order=0), -40.0, order=0)
    np.testing.assert_allclose(back.affine[:3, :3], labels.affine[:3, :3], atol=1e-9)
    middle = [s.affine @ np.append(np.argwhere(s.voxels == 1).mean(axis=0), 1) for s in (labels, back)]
    np.testing.assert_allclose(*middle, atol=1.0)


def test_couch_goes_and_body_stays():
    image, labels = scanned(-90.0, phase="none", couch="flat")
    alone = orientation.remove_couch(image)
    air = scanned(-90.0, phase="none", couch="")[0]
    organs = labels.voxels > 0
    assert np.array_equal(alone.voxels[organs], image.voxels[organs])
    couch, left = ((some.voxels > -300).sum() - (air.voxels > -300).sum() for some in (image, alone))
    assert couch > 0
    assert left < 0.2 * couch


def test_a_scan_of_nobody_keeps_all():
    air = Scan(np.full((20, 20, 10), -1000, np.int16), np.diag([3.0, 3.0, 4.0, 1.0]))
    assert orientation.remove_couch(air) is air


@pytest.mark.parametrize("protocol", [T1W_1_5T, T1W_3T, T2W_1_5T, T2W_3T], ids=lambda p: p.name)
def test_the_body_is_found_without_hu(protocol):
    phantom = make_phantom(Child(5.0, "F", seed=3), (4.0, 4.0, 4.0))
    image, labels = scan_mr(phantom, protocol, 5)
    skin = ScanGrid(phantom, image.affine, image.shape).nearest(phantom.tissues) > 0
    true = [np.flatnonzero(skin.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    inside = body_mask.body_mask(image)
    box = body_mask.bounding_box(inside, image.spacing_mm, margin_mm=0.0)
    for edge, outline, mm in zip(box, true, image.spacing_mm, strict=True):
        assert abs(edge.start - outline[0]) * mm <= 9 and abs(edge.stop - 1 - outline[-1]) * mm <= 9
    assert inside[labels.voxels > 0].mean() > 0.97
    assert inside[~skin].mean() < 0.06


def test_skin_that_dark_muscle_parts_from_the_organs_is_body():
    x, y, _ = np.ogrid[-20:21, -20:21, :8]
    radius = np.broadcast_to(np.hypot(x, y), (41, 41, 8))
    image = np.random.default_rng(1).rayleigh(5.0, radius.shape)  # air, and muscle as dark as air
    image[(radius < 17) & (radius >= 15)] = 300.0  # fat under the skin, fewer voxels than the organs
    image[radius < 12] = 200.0
    image[radius < 6] = 900.0
    scan = Scan(image.astype(np.float32), np.diag([4.0, 4.0, 6.0, 1.0]))
    inside = body_mask.body_mask(scan)
    np.testing.assert_array_equal(inside, radius < 17)


def test_the_edge_of_a_ct_lies_between_lung_and_fat():
    assert -740 < body_mask.air_threshold(*body_mask.otsu_groups(scanned(0.0)[0].voxels)) < -150


def test_what_lies_between_two_voxels_is_spanned():
    ring = np.zeros((7, 7, 1), bool)
    ring[1, 2:5] = ring[5, 2:5] = ring[2:5, 1] = True  # one side is open
    expected = np.zeros((7, 7, 1), bool)
    expected[1:6, 2:5] = expected[2:5, 1] = True
    np.testing.assert_array_equal(body_mask.spanned(ring), expected)
