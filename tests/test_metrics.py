"""Contour measures: equal to MONAI's, to values counted by hand, and right at the edges."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import ndimage

from pedseg import organs
from pedseg.metrics import score_case

LIVER = organs.organ("Liver").id


def blobs(shape: tuple[int, int, int], seed: int, count: int = 19) -> tuple[np.ndarray, np.ndarray]:
    """Two label maps of `count` touching organs that fill the image to its border, the second deformed."""
    rng = np.random.default_rng(seed)
    fields = np.stack([ndimage.gaussian_filter(rng.normal(size=shape), 4, mode="wrap") for _ in range(count + 1)])
    noise = np.stack([ndimage.gaussian_filter(rng.normal(size=shape), 2, mode="wrap") for _ in range(count + 1)])
    fields, noise = fields / fields.std(), noise / noise.std()
    return fields.argmax(axis=0).astype(np.uint8), (fields + 0.3 * noise).argmax(axis=0).astype(np.uint8)


def monai_scores(truth: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """MONAI's DSC, HD95, ASD and NSD of all organs, (4, organs)."""
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    ids = [organ.id for organ in organs.ORGANS]
    y, drawn = (torch.from_numpy(np.stack([m == i for i in ids])[None]).float() for m in (truth, prediction))
    same = {"include_background": True, "spacing": spacing_mm}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measures = (
            compute_dice(drawn, y, include_background=True),
            compute_hausdorff_distance(drawn, y, percentile=95, **same),
            compute_average_surface_distance(drawn, y, symmetric=True, **same),
            compute_surface_dice(drawn, y, [organ.tolerance_mm for organ in organs.ORGANS], **same),
        )
    return np.stack([m[0].numpy() for m in measures])


def our_scores(truth: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    scores = score_case(truth, prediction, spacing_mm, organs.NAMES)
    return np.array([[s.dsc, s.hd95_mm, s.msd_mm, s.nsd] for s in scores], dtype=float).T


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [((40, 36, 32), (1.0, 1.0, 1.0)), ((40, 36, 20), (0.8, 0.9, 5.0)), ((24, 32, 40), (3.0, 1.5, 1.0))],
)
def test_equals_monai_for_nineteen_organs_that_touch_the_border(shape, spacing_mm):
    truth, prediction = blobs(shape, seed=len(shape) + shape[2])
    assert np.setdiff1d(np.arange(1, 20), truth).size == 0
    theirs = monai_scores(truth, prediction, spacing_mm)
    np.testing.assert_allclose(our_scores(truth, prediction, spacing_mm), theirs, atol=1e-4, rtol=0)


def test_equals_monai_where_contours_lie_far_apart():
    truth, other = np.zeros((2, 50, 40, 30), dtype=np.uint8)
    for i in range(1, 20):
        truth[2 * i : 2 * i + 2, 3:9, 2:5] = i
        other[2 * i - 2 : 2 * i, 25:33, 20:29] = i
    spacing_mm = (1.2, 0.7, 3.0)
    theirs = monai_scores(truth, other, spacing_mm)
    np.testing.assert_allclose(our_scores(truth, other, spacing_mm), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", range(25))
def test_equals_brute_force_for_scattered_voxels(seed):
    rng = np.random.default_rng(seed)
    spacing_mm = tuple(rng.uniform(0.3, 9.0, 3))
    truth, prediction = (rng.random((2, 9, 7, 8)) < 0.02).astype(np.uint8) * LIVER
    truth[0, 0, 0] = prediction[8, 6, 7] = LIVER
    a, b = (np.argwhere(m & ~ndimage.binary_erosion(m)) * np.asarray(spacing_mm) for m in (truth > 0, prediction > 0))
    table = np.linalg.norm(a[:, None] - b[None], axis=2)  # (true voxels, drawn voxels)
    there, back = table.min(axis=1), table.min(axis=0)
    (score,) = score_case(truth, prediction, spacing_mm, ["Liver"])
    assert score.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert score.msd_mm == pytest.approx(np.concatenate([there, back]).mean())


def test_two_cubes_counted_by_hand():
    """Cubes of 2×2×2 voxels of 1×1×2 mm, one voxel (1 mm) apart along x: half of each is shared."""
    truth, prediction = np.zeros((2, 6, 6, 6), dtype=np.uint8)
    truth[1:3, 2:4, 2:4] = LIVER
    prediction[2:4, 2:4, 2:4] = LIVER
    (score,) = score_case(truth, prediction, (1.0, 1.0, 2.0), ["Liver"])
    assert score.dsc == pytest.approx(2 * 4 / 16)
    assert (score.volume_ml, score.predicted_ml) == pytest.approx((0.016, 0.016))
    assert score.hd95_mm == pytest.approx(1.0)  # four voxels at 0 mm, four at 1 mm, both ways
    assert score.msd_mm == pytest.approx(0.5)
    assert score.nsd == 1.0  # 1 mm lies within the liver's 5 mm


def test_mean_surface_distance_pools_both_directions():
    """One voxel against a row of three: directed distances {0} and {0, 1, 2} mm, pooled mean 3/4."""
    truth, prediction = np.zeros((2, 5, 1, 1), dtype=np.uint8)
    truth[0] = LIVER
    prediction[:3] = LIVER
    (score,) = score_case(truth, prediction, (1.0, 1.0, 1.0), ["Liver"])
    assert score.msd_mm == pytest.approx(3 / 4)
    assert score.hd95_mm == pytest.approx(1.9)  # 95th percentile of {0, 1, 2}


def test_nsd_counts_the_tolerance_itself():
    truth, prediction = np.zeros((2, 12, 1, 1), dtype=np.uint8)
    truth[0] = prediction[5] = LIVER
    assert score_case(truth, prediction, (1.0, 1.0, 1.0), ["Liver"])[0].nsd == 1.0  # 5 mm apart, tolerance 5 mm
    assert score_case(truth, prediction, (1.01, 1.0, 1.0), ["Liver"])[0].nsd == 0.0


def test_nsd_counts_both_surfaces():
    """One voxel against a row of five, tolerance 2 mm: {0} and {0, 1, 2, 3, 4} mm, four of six within."""
    truth, prediction = np.zeros((2, 6, 1, 1), dtype=np.uint8)
    truth[0] = organs.organ("Gallbladder").id
    prediction[:5] = organs.organ("Gallbladder").id
    (score,) = score_case(truth, prediction, (1.0, 1.0, 1.0), ["Gallbladder"])
    assert score.nsd == pytest.approx(4 / 6)


def test_absent_missed_false_and_single_voxel_organs():
    truth, prediction = np.zeros((2, 4, 3, 12), dtype=np.uint8)
    ids = {name: organs.organ(name).id for name in organs.NAMES}
    truth[0, 0, 0] = prediction[0, 0, 0] = ids["Pancreas"]  # one voxel, hit
    truth[1, 1, 1] = ids["Spleen"]  # missed
    prediction[2, 2, 2:4] = ids["Kidney_L"]  # removed kidney, drawn all the same
    names = ["Pancreas", "Spleen", "Kidney_L", "Heart"]
    hit, missed, false, nothing = score_case(truth, prediction, (1, 1, 1), names)
    assert (hit.present, hit.dsc, hit.hd95_mm, hit.msd_mm, hit.nsd) == (True, 1.0, 0.0, 0.0, 1.0)
    assert (missed.present, missed.dsc, missed.nsd, missed.predicted_ml) == (True, 0.0, 0.0, 0.0)
    assert missed.hd95_mm == missed.msd_mm == pytest.approx(13.0)  # the diagonal of 4 × 3 × 12 mm
    assert (false.present, false.dsc, false.hd95_mm, false.msd_mm, false.nsd) == (False, None, None, None, None)
    assert (false.volume_ml, false.predicted_ml) == (0.0, pytest.approx(0.002))
    assert (nothing.present, nothing.dsc, nothing.predicted_ml) == (False, None, 0.0)


def test_two_empty_maps_give_no_quality():
    empty = np.zeros((3, 3, 3), dtype=np.uint8)
    assert all(s.dsc is None and not s.present for s in score_case(empty, empty, (1, 1, 1), organs.NAMES))


def test_order_and_storage_of_the_maps_do_not_matter():
    truth, prediction = blobs((20, 18, 16), seed=3)
    want = score_case(truth, prediction, (1, 1, 2), organs.NAMES)
    stored = np.asfortranarray(truth), prediction.astype(np.int64)[::-1][::-1]
    assert score_case(*stored, (1, 1, 2), organs.NAMES) == want
    assert score_case(truth, prediction, (1, 1, 2), organs.NAMES[::-1]) == want[::-1]


@pytest.mark.parametrize(("shape", "value"), [((3, 3, 4), 1), ((3, 3, 3), 0.5), ((3, 3, 3), np.nan), ((3, 3, 3), -1)])
def test_refuses_what_is_no_pair_of_label_maps(shape, value):
    wrong = np.full(shape, value)
    with pytest.raises(ValueError, match="label map"):
        score_case(np.zeros((3, 3, 3), np.uint8), wrong, (1, 1, 1), ["Liver"])


def test_refuses_an_unknown_organ():
    with pytest.raises(KeyError, match="Liwer"):
        score_case(np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3, 3), np.uint8), (1, 1, 1), ["Liwer"])


def test_import_brings_no_heavy_library():
    code = "import sys, pedseg.metrics; print(*sorted({'scipy', 'torch', 'monai', 'nibabel'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
