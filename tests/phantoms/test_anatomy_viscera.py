"""Abdominal organs, vessels and chest: how they lie, how large they are, and what they touch, measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import convex_hull_image

from pedseg import organs
from pedseg.phantoms.anatomy import HEIGHT_CM, Tissue, at_age, usual_volumes_ml
from pedseg.phantoms.child import Child, Variant
from pedseg.phantoms.phantom import Phantom, make_phantom

pytestmark = pytest.mark.slow  # 24 children at 3 mm

AGES = (1.0, 3.0, 5.0, 8.0, 11.0, 15.0)
MM = (3.0, 3.0, 3.0)
NEIGHBORS = ("Liver", "Bowel^Stomach", "Spleen")


@pytest.fixture(scope="module")
def cohort() -> list[Phantom]:
    """Four children of every age, without surgery."""
    return [make_phantom(Child(age, "FM"[i % 2], seed=50 * int(age) + i), MM) for age in AGES for i in range(4)]


def organ(phantom: Phantom, name: str) -> np.ndarray:
    return phantom.labels == organs.organ(name).id


def points_mm(phantom: Phantom, mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask) * phantom.spacing_mm + phantom.affine[:3, 3]


def surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)


def long_axis(phantom: Phantom, name: str) -> tuple[np.ndarray, np.ndarray]:
    """An organ's voxels in mm, and the direction in which it is longest."""
    points = points_mm(phantom, organ(phantom, name))
    return points, np.linalg.eigh(np.cov(points.T))[1][:, -1]


def kidney_length(phantom: Phantom) -> float:
    """Mean length of both kidneys, as a multiple of what a child of average height is expected to have."""
    child = phantom.child
    height_cm = at_age(HEIGHT_CM[child.sex], child.age_years)
    expected = {"R": 0.051 * height_cm + 2.102, "L": 0.051 * height_cm + 2.280}
    lengths = []
    for letter, cm in expected.items():
        points, axis = long_axis(phantom, f"Kidney_{letter}")
        lengths.append(np.ptp(points @ axis) / 10 / cm)
    return float(np.mean(lengths))


def convexity(phantom: Phantom, name: str) -> float:
    """Mean area of an organ in its axial slices, as a share of the convex hull's."""
    mask = organ(phantom, name)
    slices = [mask[:, :, k] for k in range(mask.shape[2]) if mask[:, :, k].sum() > 12]
    return float(np.mean([s.sum() / convex_hull_image(s).sum() for s in slices]))


def kidney_slope(phantom: Phantom, letter: str) -> np.ndarray:
    """How far outward and forward the upper pole lies, in mm per 100 mm of height."""
    _, axis = long_axis(phantom, f"Kidney_{letter}")
    return 100 * axis[:2] / axis[2] * [1 if letter == "R" else -1, 1]


def heart_on_diaphragm(phantom: Phantom) -> float:
    """Share of the heart's surface within 8 mm (of a 5-year-old) of an organ beneath the diaphragm."""
    near_mm = max(7.0, 8.0 * at_age(HEIGHT_CM["M"], phantom.child.age_years) / HEIGHT_CM["M"][2])  # two voxels
    below = np.isin(phantom.labels, [organs.organ(name).id for name in NEIGHBORS])
    away = ndimage.distance_transform_edt(~below, sampling=phantom.spacing_mm)
    return float((away[surface(organ(phantom, "Heart"))] < near_mm).mean())


def chambers(phantom: Phantom) -> list[np.ndarray]:
    """Cavities of the heart that hold more than 4 % of it, from large to small."""
    heart = organ(phantom, "Heart")
    lumps, count = ndimage.label(heart & (phantom.tissues == Tissue.HEART_BLOOD))
    sizes = ndimage.sum_labels(heart, lumps, range(1, count + 1))
    return [lumps == i + 1 for i in np.argsort(sizes)[::-1] if sizes[i] > 0.04 * heart.sum()]


def gallbladder_free(phantom: Phantom) -> float:
    """Share of the gallbladder's surroundings that is not liver."""
    gallbladder = organ(phantom, "Gallbladder")
    around = ndimage.binary_dilation(gallbladder) & ~gallbladder
    return 1.0 - float(organ(phantom, "Liver")[around].mean())


def unlabeled(phantom: Phantom, tissue: Tissue) -> np.ndarray:
    return (phantom.tissues == tissue) & (phantom.labels == 0)


def beside(phantom: Phantom, tissue: Tissue, name: str, forward: int) -> int:
    """Voxels of unlabeled vessels in front of (1) or behind (-1) a vessel, in its columns and at most 12 mm away."""
    vessel, branch = organ(phantom, name), unlabeled(phantom, tissue)
    near = np.zeros_like(vessel)
    for step in range(1, 5):
        near |= np.roll(vessel, forward * step, axis=1)
    height = points_mm(phantom, organ(phantom, "Kidney_L"))[:, 2]
    z = phantom.affine[2, 3] + phantom.spacing_mm[2] * np.arange(vessel.shape[2])
    return int((near & branch & ~vessel)[:, :, (z > height.min()) & (z < height.max())].sum())


def mesenteric_order(phantom: Phantom) -> float:
    """How far right of the upper mesenteric artery its vein lies below the kidneys' middle, in mm."""
    middle = points_mm(phantom, organ(phantom, "Kidney_L") | organ(phantom, "Kidney_R"))[:, 2].mean()
    aorta = points_mm(phantom, organ(phantom, "A_Aorta"))
    low, front = np.abs(aorta[:, 2] - middle + 15) < 12, aorta[:, 1].max()
    at = aorta[low].mean(axis=0)
    places = [points_mm(phantom, unlabeled(phantom, tissue)) for tissue in (Tissue.PORTAL, Tissue.ARTERY)]
    vein, artery = (
        p[
            (np.abs(p[:, 2] - at[2]) < 12)
            & (p[:, 1] > at[1] + 4)
            & (p[:, 1] < front + 40)
            & (p[:, 0] > at[0] - 7)
            & (p[:, 0] < at[0] + 30)
        ]
        for p in places
    )
    return float(vein[:, 0].mean() - artery[:, 0].mean()) if len(vein) and len(artery) else np.nan


def share_of_lungs(phantom: Phantom, *tissues: Tissue) -> float:
    lungs = organ(phantom, "Lung_L") | organ(phantom, "Lung_R")
    return float(np.isin(phantom.tissues[lungs], tissues).mean())


# Measure: at least, at most in a child; source of the numbers in the second column of the comment.
BOUNDS: dict[str, tuple[Callable[[Phantom], float], float, float]] = {
    # Ultrasound of 437 children (PMC4901001), and as much more or less as volumes vary from child to child.
    "length of the kidneys": (kidney_length, 0.82, 1.18),
    # A bean with a hilum; muscles do not cut notches into its back (seen on the first sheets).
    "right kidney, convex": (lambda p: convexity(p, "Kidney_R"), 0.86, 1.0),
    "left kidney, convex": (lambda p: convexity(p, "Kidney_L"), 0.86, 1.0),
    # Upper poles medial and posterior, about 20 mm per 100 mm (clinician's measurement of the first children, facts).
    "right kidney, outward": (lambda p: kidney_slope(p, "R")[0], -45.0, -5.0),
    "left kidney, outward": (lambda p: kidney_slope(p, "L")[0], -45.0, -5.0),
    "right kidney, forward": (lambda p: kidney_slope(p, "R")[1], -45.0, -3.0),
    "left kidney, forward": (lambda p: kidney_slope(p, "L")[1], -45.0, -3.0),
    # The diaphragmatic face of the heart: a quarter to a third (estimate of the oncologist who reviewed the children).
    "heart on the diaphragm": (heart_on_diaphragm, 0.18, 0.40),
    # Two atria, two ventricles.
    "chambers of the heart": (lambda p: len(chambers(p)), 4, 4),
    # The gallbladder lies in a fossa on the lower face of the liver, covered by peritoneum below (textbooks).
    "free part of the gallbladder": (gallbladder_free, 0.3, 0.85),
    # The left renal vein passes in front of the aorta, the right renal artery behind the cava (textbooks).
    "left renal vein": (lambda p: beside(p, Tissue.VEIN, "A_Aorta", 1), 2, 400),
    "right renal artery": (lambda p: beside(p, Tissue.ARTERY, "V_Venacava_I", -1), 2, 400),
    # The superior mesenteric vein lies on the right of the artery (the other way round means malrotation).
    "mesenteric vein on the right": (mesenteric_order, 3.0, 40.0),
    # Blood in vessels that CT resolves is a small part of the lung; planes of a voxel of 3 mm.
    "vessels in the lungs": (lambda p: share_of_lungs(p, Tissue.LUNG_VESSEL), 0.015, 0.10),
    "fissures of the lungs": (lambda p: share_of_lungs(p, Tissue.FISSURE), 0.01, 0.08),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_children_lie_within_bounds(cohort, name):
    measure, low, high = BOUNDS[name]
    values = np.array([measure(phantom) for phantom in cohort])
    assert np.all((low <= values) & (values <= high)), np.round(values, 2)


# --- adults, and organs that vary more --------------------------------------------------------------


@pytest.fixture(scope="module")
def adults() -> list[Phantom]:
    """Adults with all the variety of their organs."""
    children = [Child(20.0 + 1.5 * i, "FM"[i % 2], seed=i, variety=1.0) for i in range(24)]
    return [make_phantom(child, (4.0, 4.0, 4.0)) for child in children]


def volume_ml(phantom: Phantom, name: str) -> float:
    return float(organ(phantom, name).sum() * np.prod(phantom.spacing_mm) / 1000)


def roundness(phantom: Phantom) -> float:
    """Depth of the vena cava as a share of its width, the median of its slices."""
    cava = organ(phantom, "V_Venacava_I")
    slices = [cava[:, :, k] for k in range(cava.shape[2]) if cava[:, :, k].any()]
    return float(np.median([s.any(0).sum() / s.any(1).sum() for s in slices]))


def tail_mm(phantom: Phantom) -> float:
    """How much higher the left quarter of the pancreas lies than the right one."""
    points = points_mm(phantom, organ(phantom, "Pancreas"))
    left, right = np.quantile(points[:, 0], (0.25, 0.75))
    return float(points[points[:, 0] < left, 2].mean() - points[points[:, 0] > right, 2].mean())


def test_the_pancreas_of_adults_is_as_large_as_on_ct(adults):
    # Saisho et al. 2007: 72 mL, SD 26, at 20 to 60 years; 24 of them have a mean within 16.
    volumes = [volume_ml(phantom, "Pancreas") for phantom in adults]
    assert np.mean(volumes) == pytest.approx(72, abs=16) and 12 < np.std(volumes) < 40
    assert [round(usual_volumes_ml(age)["Pancreas"], 1) for age in (12.0, 60.0, 75.0, 90.0)] == [72.4, 72.4, 61.5, 50.7]


def test_with_variety_the_pancreas_takes_many_courses(adults):
    tails = [tail_mm(phantom) for phantom in adults]
    assert np.std(tails) > 5, np.round(tails)  # 3 without


def test_with_variety_the_vena_cava_is_round_or_flat_and_stays_in_one_piece(adults):
    ratios = np.array([roundness(phantom) for phantom in adults])
    assert ratios.min() < 0.7 and ratios.max() > 0.9, np.round(ratios, 2)
    assert all(ndimage.label(organ(phantom, "V_Venacava_I"), np.ones((3, 3, 3)))[1] == 1 for phantom in adults)


# --- variants ---------------------------------------------------------------------------------------


def variant(name: Variant, seed: int, **kind: object) -> Phantom:
    return make_phantom(Child(4.0 + 3 * seed, "F", seed=seed, variant=name, **kind), MM)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_a_left_cava_lies_left_of_the_aorta_below_the_kidneys_and_right_above(seed):
    phantom = variant("left cava", seed)
    cava, aorta = (points_mm(phantom, organ(phantom, name)) for name in ("V_Venacava_I", "A_Aorta"))
    kidney = points_mm(phantom, organ(phantom, "Kidney_L"))[:, 2]
    low, high = cava[:, 2] < kidney.mean() - 20, cava[:, 2] > kidney.max()
    assert cava[low, 0].mean() < aorta[:, 0].mean() - 3 < aorta[:, 0].mean() + 5 < cava[high, 0].mean()
    assert ndimage.label(organ(phantom, "V_Venacava_I"), np.ones((3, 3, 3)))[1] == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_horseshoe_kidney_is_joined_in_front_of_the_aorta(seed):
    whole, usual = variant("horseshoe kidney", seed), variant("", seed)
    both, apart = (organ(phantom, "Kidney_L") | organ(phantom, "Kidney_R") for phantom in (whole, usual))
    assert ndimage.label(both)[1] == 1 and ndimage.label(apart)[1] == 2
    points, aorta = points_mm(whole, both), points_mm(whole, organ(whole, "A_Aorta"))
    isthmus = points[np.abs(points[:, 0] - aorta[:, 0].mean()) < 6]
    beside = aorta[np.abs(aorta[:, 2] - isthmus[:, 2].mean()) < 12]
    assert isthmus[:, 1].mean() > beside[:, 1].mean() + 5
    assert isthmus[:, 2].mean() < points[:, 2].mean()  # lower poles


def test_situs_inversus_is_a_mirror_image_and_keeps_the_patients_sides():
    usual, other = variant("", 1), variant("situs inversus", 1)
    for name in ("Liver", "Heart", "Spleen", "V_Venacava_I"):
        assert np.array_equal(organ(other, name), organ(usual, name)[::-1]), name
    assert np.array_equal(organ(other, "Kidney_L"), organ(usual, "Kidney_R")[::-1])
    kidney, liver = (points_mm(other, organ(other, name))[:, 0].mean() for name in ("Kidney_L", "Liver"))
    assert kidney < 0 and liver < 0
    operated = variant("situs inversus", 1, removed_kidney="left", tumor="renal", roll_deg=-60.0)
    assert not organ(operated, "Kidney_L").any() and organ(operated, "Kidney_R").any()


# --- what comes with age and sex --------------------------------------------------------------------


def test_the_thymus_is_large_in_infants_and_gone_in_adults():
    shares = []
    for age in (0.5, 8.0, 45.0):
        phantom = make_phantom(Child(age, "M", seed=2), (4.0, 4.0, 4.0))
        shares.append(float((phantom.tissues == Tissue.THYMUS).sum() / organ(phantom, "Heart").sum()))
    assert shares[0] > 2 * shares[1] > 0 and shares[2] == 0


def test_a_woman_has_a_uterus_and_a_girl_a_small_one():
    volumes = []
    for age, sex in ((5.0, "F"), (25.0, "F")):
        phantom = make_phantom(Child(age, sex, seed=3), MM)
        points = points_mm(phantom, unlabeled(phantom, Tissue.SOFT))
        bladder = points_mm(phantom, organ(phantom, "Bladder"))
        near = (
            (np.abs(points[:, 0]) < 25)
            & (points[:, 1] < bladder[:, 1].max())
            & (points[:, 2] < bladder[:, 2].max() + 40)
        )
        volumes.append(near.sum() * 0.027)
    # 1 to 3 mL before puberty, 40 to 100 mL in women (ultrasound tables; ureters and ovaries add to it here).
    assert 0.3 < volumes[0] < 8.0 and 25.0 < volumes[1] < 140.0
