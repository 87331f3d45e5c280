"""What surgery leaves behind: the other kidney grows, adrenals are gone, scars and clips stay in the bed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pedseg import organs
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.child import Child
from pedseg.phantoms.phantom import Phantom, make_phantom
from pedseg.phantoms.surgery import ADRENALECTOMY_SHARE, ATROPHY_SHARE, compensatory_growth, sample_effects

COARSE = (4.0, 4.0, 4.0)
RENAL = Child(5.0, "M", "left", seed=3, tumor="renal", months_since_surgery=30.0)
NEUROBLASTOMA = Child(4.0, "F", seed=4, tumor="neuroblastoma", side="left", months_since_surgery=6.0, clips=4)


def mask_of(phantom: Phantom, name: str) -> np.ndarray:
    return phantom.labels == organs.organ(name).id


def middle_mm(phantom: Phantom, mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0) * phantom.spacing_mm + phantom.affine[:3, 3]


def length_mm(phantom: Phantom, name: str) -> float:
    """The longest axis of an organ, from the spread of its voxels: that of an ellipsoid is sqrt(20) deviations."""
    points = np.argwhere(mask_of(phantom, name)) * phantom.spacing_mm
    return float(np.sqrt(20 * np.linalg.eigvalsh(np.cov(points.T))[-1]))


@pytest.fixture(scope="module")
def neuroblastoma() -> Phantom:
    return make_phantom(NEUROBLASTOMA, (3.0, 3.0, 2.0))


def test_the_other_kidney_grows_fast_at_first():
    assert compensatory_growth(0.0) == 1.0
    assert compensatory_growth(24.0) == compensatory_growth(60.0) == pytest.approx(1.28)
    assert compensatory_growth(12.0) == pytest.approx(1 + 0.28 * 0.82)
    steps = np.diff([compensatory_growth(months) for months in (0.0, 6.0, 12.0, 18.0, 24.0)])
    assert np.all(np.diff(steps) < 0) and np.all(steps > 0)


def test_growth_is_seen_in_the_kidney_that_is_left():
    whole, early, late = (
        make_phantom(child, (3.0, 3.0, 2.0))
        for child in (replace(RENAL, removed_kidney="", tumor=""), replace(RENAL, months_since_surgery=0.5), RENAL)
    )
    before, soon, after = (length_mm(phantom, "Kidney_R") for phantom in (whole, early, late))
    assert soon / before == pytest.approx(1.02, abs=0.03)
    assert 1.15 < after / before < 1.32
    volumes = [mask_of(phantom, "Kidney_R").sum() for phantom in (whole, late)]
    assert 1.5 < volumes[1] / volumes[0] < 1.28**3


def test_after_a_neuroblastoma_both_kidneys_are_there(neuroblastoma):
    assert mask_of(neuroblastoma, "Kidney_L").any() and mask_of(neuroblastoma, "Kidney_R").any()
    after = sample_effects(NEUROBLASTOMA)
    assert mask_of(neuroblastoma, "Glnd_Adrenal_L").any() == (not after.adrenal_gone)
    assert mask_of(neuroblastoma, "Glnd_Adrenal_R").any()


def test_the_kidney_beside_the_bed_is_pushed_aside(neuroblastoma):
    before = make_phantom(replace(NEUROBLASTOMA, tumor="", side="", clips=0), (3.0, 3.0, 2.0))
    shift, other = (
        middle_mm(neuroblastoma, mask_of(neuroblastoma, name)) - middle_mm(before, mask_of(before, name))
        for name in ("Kidney_L", "Kidney_R")
    )
    assert 2.0 < np.linalg.norm(shift) < 20.0 and shift[2] < 0
    assert np.abs(other).max() < 1.0


def test_shares_of_the_effects_of_surgery():
    sampled = [sample_effects(replace(NEUROBLASTOMA, seed=seed)) for seed in range(400)]
    assert np.mean([effects.adrenal_gone for effects in sampled]) == pytest.approx(ADRENALECTOMY_SHARE, abs=0.06)
    assert np.mean([effects.kidney_volume_share < 1 for effects in sampled]) == pytest.approx(ATROPHY_SHARE, abs=0.06)
    shifts = np.array([effects.kidney_shift_mm for effects in sampled])
    assert np.all(shifts[:, 0] < 0) and np.linalg.norm(shifts, axis=1).max() < 20.0
    assert sample_effects(Child(5.0)).growth == 1.0


def test_the_scar_lies_beside_the_aorta_and_shrinks(neuroblastoma):
    scar = neuroblastoma.tissues == Tissue.SCAR
    assert not np.any(neuroblastoma.labels[scar])
    away = middle_mm(neuroblastoma, scar)[:2] - middle_mm(neuroblastoma, mask_of(neuroblastoma, "A_Aorta"))[:2]
    assert -25.0 < away[0] < -3.0 and abs(away[1]) < 20.0
    old = make_phantom(replace(NEUROBLASTOMA, months_since_surgery=48.0), (3.0, 3.0, 2.0))
    assert 0 < (old.tissues == Tissue.SCAR).sum() < 0.7 * scar.sum()


@pytest.mark.slow
@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0, 2.0), (1.5, 1.5, 2.0)])
def test_clips_are_a_few_voxels_in_the_bed_and_in_no_organ(spacing_mm):
    child = make_phantom(NEUROBLASTOMA, spacing_mm)
    clips = child.tissues == Tissue.CLIP
    assert 4 <= clips.sum() <= 8 * NEUROBLASTOMA.clips
    assert not np.any(child.labels[clips])
    away = np.argwhere(clips) * child.spacing_mm + child.affine[:3, 3] - middle_mm(child, mask_of(child, "A_Aorta"))
    assert np.all(np.hypot(away[:, 0], away[:, 1]) < 45.0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_scar_is_left_where_the_kidney_was(side):
    early = replace(RENAL, removed_kidney=side, months_since_surgery=1.0)
    child, whole = (
        make_phantom(early, (3.0, 3.0, 2.0)),
        make_phantom(replace(early, removed_kidney="", tumor=""), (3.0, 3.0, 2.0)),
    )
    scar = child.tissues == Tissue.SCAR
    assert 0.5 < scar.sum() * 0.018 < 8.0  # mL
    bed = mask_of(whole, f"Kidney_{side[0].upper()}")
    assert np.linalg.norm(middle_mm(child, scar) - middle_mm(whole, bed)) < 25.0
    assert np.mean(child.tissues[bed] == Tissue.FAT) > 0.2


def test_a_child_without_surgery_has_neither_scar_nor_clip():
    tissues = make_phantom(Child(5.0, seed=3), COARSE).tissues
    assert not np.any(np.isin(tissues, (Tissue.SCAR, Tissue.CLIP)))
