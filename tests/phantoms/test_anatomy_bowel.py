"""Stomach and bowel of the children, measured as a radiologist would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from pedseg import organs
from pedseg.phantoms.anatomy import Tissue, sample_size
from pedseg.phantoms.child import Child
from pedseg.phantoms.phantom import Phantom, make_phantom

pytestmark = pytest.mark.slow

AGES = (1.0, 3.0, 5.0, 8.0, 11.0, 15.0)
COARSE = (3.0, 3.0, 3.0)
FAT = (Tissue.FAT, Tissue.MESENTERY)
LUMEN = (Tissue.BOWEL_FLUID, Tissue.GAS, Tissue.STOOL)


@pytest.fixture(scope="module")
def cohort() -> list[Phantom]:
    """Four children at every age, girls and boys."""
    return [make_phantom(Child(age, "FM"[i % 2], seed=40 * int(age) + i), COARSE) for age in AGES for i in range(4)]


def label(phantom: Phantom, name: str = "Bowel^Stomach") -> np.ndarray:
    return phantom.labels == organs.organ(name).id


def scale(phantom: Phantom) -> np.ndarray:
    child = phantom.child
    return sample_size(child.age_years, child.sex, np.random.default_rng((child.seed, 19)), child.adiposity).scale


def window(phantom: Phantom, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> np.ndarray:
    """The bowel in a box of the standard 5-year-old (mm): its tissues, and 0 (air) outside of the label."""
    inside = []
    for axis, limits in enumerate((x, y, z)):
        mm = phantom.affine[axis, 3] + phantom.affine[axis, axis] * np.arange(phantom.labels.shape[axis])
        inside.append(np.flatnonzero((mm > limits[0] * scale(phantom)[axis]) & (mm < limits[1] * scale(phantom)[axis])))
    return np.where(label(phantom), phantom.tissues, 0)[np.ix_(*inside)]


def loops_of(phantom: Phantom) -> np.ndarray:
    """The middle of the small bowel."""
    return window(phantom, (-45, 45), (-15, 70), (-90, -40))


def fat_between_loops(phantom: Phantom) -> float:
    loops = loops_of(phantom)
    return float(np.isin(loops, FAT).sum() / (loops > 0).sum())


def vessels_between_loops(phantom: Phantom) -> float:
    """In mL per liter of bowel."""
    loops = loops_of(phantom)
    return float(1000 * np.isin(loops, (Tissue.ARTERY, Tissue.PORTAL)).sum() / (loops > 0).sum())


def widest_loops_mm(phantom: Phantom) -> float:
    """Width of the widest tenth of the loops, brought to the size of a 5-year-old."""
    loops = np.isin(loops_of(phantom), (Tissue.BOWEL_WALL, *LUMEN))
    depth = ndimage.distance_transform_edt(loops, sampling=phantom.spacing_mm)
    ridge = (ndimage.maximum_filter(depth, 3) == depth) & (depth > 2.0)
    return float(2 * np.percentile(depth[ridge], 90) / scale(phantom).mean())


def folds(phantom: Phantom, x: tuple[float, float], z: tuple[float, float]) -> float:
    """Share of the inside of the loops that is wall: valvulae conniventes, and collapsed pieces."""
    tissues = window(phantom, x, (-15, 70), z)
    inside = ndimage.binary_erosion(np.isin(tissues, (Tissue.BOWEL_WALL, *LUMEN)))
    return float((tissues[inside] == Tissue.BOWEL_WALL).mean())


def jejunal_folds(phantom: Phantom) -> float:
    return folds(phantom, (-55, -15), (-60, -25))


def bare_lumen_on_liver(phantom: Phantom) -> float:
    """Share of the bowel's contact with the liver where no wall lies between."""
    contact = ndimage.binary_dilation(label(phantom, "Liver")) & label(phantom)
    return float(np.isin(phantom.tissues[contact], LUMEN).mean())


# What is measured, and between which limits its median over the children must lie. Sources: what CT of children shows
# (loops 12 to 20 mm wide in a 5-year-old, fat and vessels between them, feathery jejunum, a wall everywhere).
MEASURES: dict[str, tuple[Callable[[Phantom], float], float, float]] = {
    "fat": (fat_between_loops, 0.2, 0.55),
    "vessels": (vessels_between_loops, 4.0, 40.0),
    "width": (widest_loops_mm, 12.0, 21.5),
    "folds": (jejunal_folds, 0.15, 0.7),
    "wall": (bare_lumen_on_liver, 0.0, 0.25),
}


@pytest.mark.parametrize("name", MEASURES)
def test_the_bowel_looks_like_bowel(cohort, name):
    measure, low, high = MEASURES[name]
    assert low <= np.median([measure(child) for child in cohort]) <= high


def test_the_jejunum_has_more_folds_than_the_ileum(cohort):
    ileum = [folds(child, (5, 45), (-105, -70)) for child in cohort]
    assert np.mean(np.array([jejunal_folds(child) for child in cohort]) > ileum) > 0.8


# Where stool or gas of the colon must be, in mm of the standard child: x right, y anterior, z superior.
FRAME = {
    "ascending": ((45, 80), (-40, 25), (-80, -25)),
    "transverse": ((-25, 25), (25, 75), (-75, -5)),
    "splenic flexure": ((-85, -45), (-40, 25), (5, 40)),
    "descending": ((-85, -50), (-50, -5), (-60, 0)),
    "rectum": ((-15, 15), (-50, -10), (-150, -125)),
}


@pytest.mark.parametrize("piece", FRAME)
def test_the_colon_frames_the_small_bowel(cohort, piece):
    found = [np.isin(window(child, *FRAME[piece]), (Tissue.STOOL, Tissue.GAS)).sum() for child in cohort]
    assert np.mean(np.array(found) >= 5) > 0.9


def test_the_descending_colon_lies_behind_and_the_transverse_in_front(cohort):
    for child in cohort:
        left, middle = (
            np.isin(window(child, x, (-60, 75), z), (Tissue.STOOL, Tissue.GAS))
            for x, z in (((-85, -60), (-60, -20)), ((-25, 25), (-60, -20)))
        )
        assert not left.any() or np.nonzero(left)[1].mean() < np.nonzero(middle)[1].mean()


def test_small_bowel_lies_low_in_the_pelvis(cohort):
    low = [np.isin(window(c, (-45, 45), (-30, 60), (-150, -108)), (Tissue.BOWEL_FLUID,)).any() for c in cohort]
    assert np.mean(low) > 0.8


def test_fat_between_the_loops_grows_with_the_childs_fat():
    shares = [fat_between_loops(make_phantom(Child(12.0, seed=4, adiposity=sd), COARSE)) for sd in (-1.5, 0.0, 2.0)]
    assert shares[0] < shares[1] < shares[2] and shares[2] > shares[0] + 0.1


def overlap(first: Phantom, second: Phantom) -> float:
    """Dice of the loops, stomach and colon without the fat between them, on the voxels of the first child."""
    masks = [label(phantom) & ~np.isin(phantom.tissues, FAT) for phantom in (first, second)]
    index = []
    for axis in range(3):
        mm = first.affine[axis, 3] + first.affine[axis, axis] * np.arange(first.labels.shape[axis])
        place = np.round((mm - second.affine[axis, 3]) / second.affine[axis, axis]).astype(int)
        index.append(np.clip(place, 0, second.labels.shape[axis] - 1))
    other = masks[1][np.ix_(*index)]
    return float(2 * (masks[0] & other).sum() / (masks[0].sum() + other.sum()))


def test_loops_keep_their_course_at_another_spacing_and_visit():
    child = Child(5.0, seed=12)
    first = make_phantom(child, COARSE)
    finer, later, other = (
        make_phantom(child, (2.0, 2.0, 2.0)),
        make_phantom(replace(child, visit=1), COARSE),
        make_phantom(replace(child, seed=13), COARSE),
    )
    assert overlap(first, finer) > 0.85
    assert overlap(first, later) > overlap(first, other) + 0.03
    assert not np.array_equal(first.tissues == Tissue.GAS, later.tissues == Tissue.GAS)


@pytest.mark.parametrize("age", [0.0, 2.0, 30.0, 80.0])
@pytest.mark.parametrize("roll_deg", [0.0, -90.0, 180.0])
def test_no_age_and_posture_is_without_its_bowel(age, roll_deg):
    child = make_phantom(Child(age, roll_deg=roll_deg, seed=7), (5.0, 5.0, 6.0))
    assert ndimage.label(label(child))[1] == 1
    present = set(np.unique(child.tissues[label(child)]))
    assert {Tissue.BOWEL_WALL, *LUMEN} <= present
    gas, wet = (np.argwhere(np.isin(child.tissues, kinds))[:, 1].mean() for kinds in ((Tissue.GAS,), LUMEN[::2]))
    assert gas > wet
