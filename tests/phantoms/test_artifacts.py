"""What a scan shows beside the child: table, cushion, streaks of metal, a round field."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.artifacts import STREAK_HU, outside_field_of_view
from pedseg.phantoms.child import Child
from pedseg.phantoms.ct_scanner import CtProtocol, scan_ct
from pedseg.phantoms.phantom import Phantom, make_phantom

PLAIN = CtProtocol("p", couch="")


@pytest.fixture(scope="module")
def lateral() -> Phantom:
    """A child on its right side."""
    return make_phantom(Child(5.0, "F", roll_deg=-80.0, seed=11), (3.0, 3.0, 4.0))


def water(clip: bool) -> Phantom:
    """A block of bladder water of 40 x 40 x 9 voxels with, or without, a clip in its middle slice."""
    tissues = np.full((40, 40, 9), Tissue.URINE, np.uint8)
    if clip:
        tissues[20:22, 20, 4] = Tissue.CLIP
    child = Child(5.0, removed_kidney="left", clips=1) if clip else Child(5.0)
    return Phantom(np.zeros_like(tissues), tissues, np.diag([3.0, 3.0, 4.0, 1.0]), child)


def test_streaks_stay_in_the_slice_and_fade():
    protocol = replace(PLAIN, noise_hu=0.0)
    metal, plain = (scan_ct(water(clip), protocol, 1)[0].voxels.astype(float) for clip in (True, False))
    changed = metal - plain
    assert metal[20:22, 20, 4].max() > 1500  # bright, and never above what 12 bits hold
    assert metal.max() <= 3071
    assert np.abs(changed[:, :, [0, 1, 2, 6, 7, 8]]).max() == 0
    x, y = np.indices((40, 40)) * 3.0
    distance = np.hypot(x - 61.5, y - 60.0)
    near, far = (np.abs(changed[:, :, 4])[(distance > low) & (distance < low + 8)].mean() for low in (9, 45))
    assert STREAK_HU / 6 < near < STREAK_HU and far < near / 3
    ring = changed[:, :, 4][(distance > 12) & (distance < 20)]
    assert ring.min() < -15 < 15 < ring.max()


def test_the_couch_lies_under_a_turned_child_and_does_not_cut_it(lateral):
    for couch in ("flat", "curved"):
        table, without = (scan_ct(lateral, replace(PLAIN, couch=kind), 1)[0].voxels for kind in (couch, ""))
        changed = np.abs(table.astype(int) - without) > 30
        air = lateral.tissues == Tissue.AIR  # the protocol has the child's own grid
        assert changed.any() and not np.any(changed & ~air)
        rows = np.flatnonzero(changed.any(axis=(0, 2)))
        lowest = np.flatnonzero((~air).any(axis=(0, 2)))[0]
        assert lowest - 2 <= rows[rows < lowest].max() < lowest  # no gap wider than two voxels under the deepest point


def test_the_cushion_touches_the_child_and_cuts_nothing(lateral):
    image, labels = scan_ct(lateral, replace(PLAIN, couch="flat", cushion=True), 1)
    without, same = scan_ct(lateral, replace(PLAIN, couch="flat"), 1)
    changed = np.abs(image.voxels.astype(int) - without.voxels) > 20
    air = lateral.tissues == Tissue.AIR
    assert changed.sum() > 500 and not np.any(changed & ~air)
    assert np.any(changed & ndimage.binary_dilation(~air))
    front = np.flatnonzero((~air).any(axis=(0, 2)))
    assert np.flatnonzero(changed.any(axis=(0, 2))).max() < front.mean() + 2  # raised to half of the height
    assert np.array_equal(labels.voxels, same.voxels)


def test_outside_of_the_round_field_nothing_is_known(lateral):
    image, labels = scan_ct(lateral, replace(PLAIN, field_mm=150.0, padding_hu=-2000), 1)
    whole, all_labels = scan_ct(lateral, PLAIN, 1)
    outside = outside_field_of_view(image.shape, 3.0, 150.0)
    assert np.all(image.voxels[outside] == -2000) and not labels.voxels[outside].any()
    assert np.array_equal(image.voxels[~outside], whole.voxels[~outside])
    assert np.array_equal(labels.voxels[~outside], all_labels.voxels[~outside])


def test_the_round_field_by_hand():
    # five voxels of 2 mm: centers at -4 ... 4; a field of 8 mm holds a disk of radius 4
    assert (~outside_field_of_view((5, 5, 1), 2.0, 8.0))[:, :, 0].sum(axis=1).tolist() == [1, 3, 5, 3, 1]
