"""Walls and bones of the children, each feature measured over 24."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.phantoms import phantom
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.body import Body
from pedseg.phantoms.canvas import Canvas
from pedseg.phantoms.child import Child
from pedseg.phantoms.pelvis import HEAD_MM, HIP, wing
from pedseg.phantoms.skeleton import SPINE_Y

AGES = (0.0, 1.0, 3.0, 5.0, 7.0, 10.0)
SEEDS = range(4)
THROUGH = (1.0, 1.0, 18.0)  # thin planes are seen in the slices
BONES = (2.5, 2.5, 2.0)
BONE = (Tissue.CORTEX, Tissue.SPONGIOSA)

Drawn = tuple[Canvas, Body, Child]


def draw(child: Child, spacing_mm: tuple[float, float, float]) -> Drawn:
    """Walls and bones of one child, without its organs."""
    caught: list[tuple[Canvas, Body]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom, "place_organs", lambda b: caught.append((b.canvas, b.body)))
        phantom.make_phantom(child, spacing_mm)
    return (*caught[0], child)


def children(spacing_mm) -> list[Drawn]:
    return [draw(Child(age, "FM"[seed % 2], seed=seed), spacing_mm) for age in AGES for seed in SEEDS]


@pytest.fixture(scope="module")
def slices() -> list[Drawn]:
    return children(THROUGH)


@pytest.fixture(scope="module")
def bones() -> list[Drawn]:
    return children(BONES)


def bone(c: Canvas) -> NDArray:
    return np.isin(c.tissues, BONE)


def median(drawn: list[Drawn], measure: Callable[[Canvas], float], age: float | None = None) -> float:
    return float(np.median([measure(c) for c, _, child in drawn if age is None or child.age_years == age]))


# --- skin and muscles -------------------------------------------------------------------------------


def share_of_skin(c: Canvas) -> float:
    """Share of the trunk's surface that is skin."""
    inside = c.tissues != Tissue.AIR
    cross = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])  # within the slice
    surface = inside & ~ndimage.binary_erosion(inside, cross)
    return float(np.mean(c.tissues[surface] == Tissue.SKIN))


def muscles_of_the_flank(c: Canvas) -> float:
    """Layers of muscle from the skin to the cavity, at the side of the belly."""
    flank = (np.abs(c.y - 10) < 12) & (c.x > 60) & (np.abs(c.z + 12) < 16)
    muscle = ((c.tissues == Tissue.MUSCLE) & flank).astype(int)
    rows = flank.sum(axis=0) > 10
    return float(np.median((np.diff(muscle, axis=0) == 1).sum(axis=0)[rows]))


def midline_fascia(c: Canvas) -> float:
    """Share of slices of the belly in which fascia (the linea alba) lies in the midline in front."""
    alba = (c.tissues == Tissue.FASCIA) & (np.abs(c.x) < 2.5) & (c.y > 20)
    belly = (np.abs(c.z) < 50).any(axis=(0, 1))
    return float(alba.any(axis=(0, 1))[belly].mean())


def muscles_of_the_hip(c: Canvas) -> float:
    """Separate muscles in a slice through the head of the femur, on one side."""
    k = int(np.argmin(np.abs(c.undeformed[1] + 134)))
    pieces, _ = ndimage.label((c.tissues[:, :, k] == Tissue.MUSCLE) & (c.x[:, :, k] > 20))
    area = np.bincount(pieces.ravel())[1:] * c.spacing[0] * c.spacing[1] / c.scale[:2].prod()
    return int(np.count_nonzero(area > 40))


@pytest.mark.slow
def test_the_trunk_wears_skin(slices):
    # Skin of 1 to 2 mm everywhere.
    assert median(slices, share_of_skin) > 0.9


@pytest.mark.slow
def test_three_flat_muscles_make_the_flank(slices):
    # External and internal oblique and transversus (any atlas); hairlines of fat in newborns may be closed.
    older = [drawn for drawn in slices if drawn[2].age_years >= 3]
    assert median(older, muscles_of_the_flank) == 3


def fat_within_muscle(c: Canvas) -> float:
    """Fat that lies between muscle voxels of the wall in its slice, as a share of that muscle, beside the belly."""
    beside = (np.abs(c.z + 10) < 25) & (np.abs(c.x) > 55)
    muscle = (c.tissues == Tissue.MUSCLE) & beside
    closed = ndimage.binary_closing(muscle, np.ones((3, 3, 1)))
    return float((closed & (c.tissues == Tissue.FAT)).sum() / muscle.sum())


@pytest.mark.slow
def test_sheets_thinner_than_a_voxel_are_left_out():
    """Voxels of 3 mm would hit the fat between the flat muscles here and miss it there, and the wall would be beads."""
    lesson = [draw(Child(age, seed=3), (3.0, 3.0, 4.0)) for age in (3.0, 7.0)]
    fine = draw(Child(7.0, seed=3), THROUGH)
    assert max(fat_within_muscle(c) for c, _, _ in lesson) < 0.08 < 0.12 < fat_within_muscle(fine[0])
    assert max(share_of_skin(c) for c, _, _ in lesson) < 0.01 < share_of_skin(fine[0])


@pytest.mark.slow
def test_the_linea_alba_parts_the_recti(slices):
    assert median(slices, midline_fascia) > 0.8


@pytest.mark.slow
def test_fat_parts_the_muscles_of_the_hip(slices):
    # Three glutei, tensor, sartorius, rectus, iliopsoas, obturator internus ... in any atlas of sections: about ten.
    assert median(slices, muscles_of_the_hip) >= 7


# --- bones ------------------------------------------------------------------------------------------


def ribs_at_the_spine(c: Canvas) -> int:
    """Ribs of both sides that reach to within a few mm of a vertebral body."""
    near = bone(c) & (c.labels == 0) & (np.abs(c.x) > 11) & (np.abs(c.x) < 20) & (c.z > 35) & (c.z < 138)
    near &= np.abs(c.y - SPINE_Y + 15) < 7
    pieces, count = ndimage.label(near)
    return int(np.count_nonzero(np.bincount(pieces.ravel())[1:] * c.voxel_ml > 0.01 * c.scale.prod())) if count else 0


def head_share(c: Canvas) -> float:
    """Share of bone in the heads of both femurs."""
    x, y, z = np.abs(c.x) - HIP[0], c.y - HIP[1], c.z - HIP[2]
    head = (np.sqrt(x * x + y * y + z * z) < HEAD_MM * 0.9) & (0.9 * x - 0.18 * y - 0.4 * z < 4)
    return float(bone(c)[head].mean())


def triradiate(c: Canvas) -> float:
    """Share of cartilage in the inner wall of the acetabulum."""
    x, y, z = np.abs(c.x) - HIP[0], c.y - HIP[1], c.z - HIP[2]
    distance = np.sqrt(x * x + y * y + z * z)
    wall = (distance > HEAD_MM + 2.2) & (distance < HEAD_MM + 5) & (x < -9) & (np.abs(y) < 9) & (np.abs(z) < 9)
    return float((c.tissues[wall] == Tissue.CARTILAGE).mean())


def sacral_gap_mm(c: Canvas) -> float:
    """Width of the sacroiliac joints: from voxels of the sacrum to the nearest bone of the iliac wing."""
    box = c.box((-60, -75, -105), (60, -20, -76))
    off, edge = wing(c.x[box], c.y[box], c.z[box])
    solid = bone(c)[box]
    iliac = solid & (np.abs(off) < 5.5) & (edge > 0)
    sacrum = solid & (np.abs(c.x[box]) < 22) & (c.y[box] < -20)
    far = ndimage.distance_transform_edt(~iliac, c.spacing)
    pieces, _ = ndimage.label(solid & ~iliac)
    joined = np.isin(pieces, np.unique(pieces[sacrum & (pieces > 0)])) & (pieces > 0)
    return float(np.percentile(far[joined], 1)) if joined.any() else np.inf


def lordosis_mm(c: Canvas) -> float:
    """How far the third lumbar body lies in front of a line from the tenth thoracic to the sacrum."""
    level = {}
    for name, height in (("T10", 82.0), ("L3", -20.0), ("S4", -122.0)):
        near = bone(c) & (np.abs(c.z - height) < 6) & (np.abs(c.x) < 9) & (c.y < -5) & (c.y > -70)
        front = np.sort(c.y[near])[-max(1, int(0.15 * near.sum())) :]
        level[name] = float(front.mean())
    return level["L3"] - (level["T10"] + level["S4"]) / 2


def loose_sacrum(c: Canvas) -> float:
    """Share of cartilage in the column of the sacral bodies."""
    column = (np.abs(c.x) < 4) & (c.z < -80) & (c.z > -130) & (c.y < -25)
    column &= np.isin(c.tissues, (*BONE, Tissue.CARTILAGE))
    return float((c.tissues[column] == Tissue.CARTILAGE).mean())


@pytest.mark.slow
def test_ribs_start_at_the_vertebrae(bones):
    # Ribs 8 to 12 of both sides start in the field of these heights.
    assert median(bones, ribs_at_the_spine) >= 8


@pytest.mark.slow
def test_the_heads_of_the_femurs_ossify(bones):
    # No center at birth, at 1 year a small one, nearly all bone at 10 (textbooks: it appears at 2 to 8 months).
    shares = [median(bones, head_share, age) for age in AGES]
    assert shares[0] == 0.0 and 0.02 < shares[1] < 0.3 and shares[-1] > 0.75
    assert all(np.diff(shares) > 0)


@pytest.mark.slow
def test_the_triradiate_cartilage_closes(bones):
    # Closes at 12 to 14 years.
    assert median(bones, triradiate, 1.0) > 0.15 and median(bones, triradiate, 10.0) > 0.03
    grown = draw(Child(17.0, seed=1), BONES)
    assert triradiate(grown[0]) < 0.02


@pytest.mark.slow
def test_the_sacroiliac_joint_is_narrow_and_open(bones):
    # 2 to 4 mm (general knowledge; wider in the young), on a grid of 2.5 mm.
    for age in (3.0, 5.0, 10.0):
        assert 1.5 < median(bones, sacral_gap_mm, age) < 4.6


@pytest.mark.slow
def test_lordosis_grows(bones):
    young, old = median(bones, lordosis_mm, 1.0), median(bones, lordosis_mm, 10.0)
    assert 3 < young < old - 3


@pytest.mark.slow
def test_sacral_segments_are_apart_in_children(bones):
    assert median(bones, loose_sacrum, 3.0) > 0.15
    assert loose_sacrum(draw(Child(30.0, seed=1), (3.0, 3.0, 2.0))[0]) < 0.05


# --- fat, diaphragm, arms ---------------------------------------------------------------------------


def flank_fat_mm(drawn: Drawn) -> float:
    c, body, _ = drawn
    near = (np.abs(c.y) < 10) & (np.abs(c.z) < 30) & (np.abs(c.x) > 50)
    return float(body.fat_depth[near].mean() * c.scale[0])


@pytest.mark.parametrize("age", [4.0, 40.0])
def test_fat_under_the_skin_follows_adiposity_and_leaves_room_within(age):
    lean, usual, obese = (draw(Child(age, seed=3, adiposity=a), (5.0, 5.0, 6.0)) for a in (-1.5, 0.0, 2.0))
    fat = [flank_fat_mm(drawn) for drawn in (lean, usual, obese)]
    assert fat[0] < 0.8 * fat[1] and fat[2] > 1.8 * fat[1]
    cavity = [int(drawn[1].cavity.sum()) for drawn in (lean, usual, obese)]
    assert cavity[0] < cavity[1] and cavity[2] > 1.15 * cavity[1]


@pytest.mark.slow
def test_the_heart_has_a_broad_saddle_to_lie_on(bones):
    for c, body, _ in bones[::4]:
        right = np.percentile(body.dome[(np.abs(c.x - 45) < 8) & (np.abs(c.y) < 15)], 50)
        saddle = body.dome[(np.abs(c.x + 13) < 22) & (np.abs(c.y - 16) < 20)]
        assert 4 < right - np.median(saddle) < 12 and saddle.std() < 2.5


def arm_bones(age: float, z_mm: float) -> list[int]:
    """How many bones an arm beside the trunk has at one height, right and left."""
    c, body, _ = draw(Child(age, seed=2, arms_down=True), (2.0, 2.0, 10.0))
    k = int(np.argmin(np.abs(c.undeformed[1] - z_mm)))
    outside = bone(c)[:, :, k] & (body.radius[:, :, k] > 1.02)
    middle = c.x[:, :, k]
    return [ndimage.label(outside & (middle * side > 0))[1] for side in (1, -1)]


@pytest.mark.parametrize("age", [2.0, 8.0])
def test_arms_beside_the_trunk_have_one_bone_above_the_elbow_and_two_below(age):
    assert arm_bones(age, 100.0) == [1, 1]
    assert arm_bones(age, -20.0) == [2, 2]


@pytest.mark.parametrize("roll_deg", [0.0, -90.0, 180.0])
@pytest.mark.parametrize(("age", "adiposity"), [(0.0, 0.0), (6.0, 3.0), (40.0, 1.0)])
def test_arms_breasts_and_fat_stay_in_the_field(roll_deg, age, adiposity):
    child = Child(age, seed=4, roll_deg=roll_deg, adiposity=adiposity, arms_down=True)
    c, _, _ = draw(child, (6.0, 6.0, 9.0))
    for face in (c.tissues[0], c.tissues[-1], c.tissues[:, 0], c.tissues[:, -1]):
        assert not face.any()
