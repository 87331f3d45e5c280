"""The CT scanner: gray values by phase, grids, partial volume, noise and table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from pedseg import organs
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.child import Child
from pedseg.phantoms.ct_scanner import CtProtocol, scan_ct, tissue_hu
from pedseg.phantoms.phantom import Phantom, make_phantom
from pedseg.phantoms.voxelization import partial_volume_weights
from pedseg.scan import Scan

# Median HU of organs as published for children, with room for one patient's chance.
EXPECTED_HU = {
    "none": {"Liver": (45, 85), "Spleen": (40, 72), "Kidney_L": (25, 60), "Kidney_R": (25, 60), "A_Aorta": (28, 58)},
    "portal venous": {
        "Liver": (90, 140),
        "Spleen": (95, 155),
        "Kidney_L": (150, 235),
        "Kidney_R": (150, 235),
        "A_Aorta": (115, 185),
        "V_Portal": (110, 190),
    },
    "arterial": {"A_Aorta": (220, 360)},
}
ANY_PHASE = {"Lung_L": (-850, -600), "Lung_R": (-850, -600), "Bladder": (-15, 25), "SpinalCanal": (10, 60)}


@pytest.fixture(scope="module")
def children() -> list[Phantom]:
    """Three children, built finer than any slice."""
    return [make_phantom(Child(age, "F", seed=seed), (3.0, 3.0, 2.0)) for age, seed in ((2.0, 1), (5.0, 2), (9.0, 3))]


def block(tissues: np.ndarray, spacing_mm: tuple[float, float, float]) -> Phantom:
    """A test object of known tissues."""
    return Phantom(np.zeros_like(tissues), tissues, np.diag([*spacing_mm, 1.0]), Child(5.0))


def inner_hu(image: Scan, labels: Scan, name: str) -> float:
    """Median HU of an organ without its edge, or with it where the organ is thin."""
    mask = labels.voxels == organs.organ(name).id
    inner = ndimage.binary_erosion(mask)
    return float(np.median(image.voxels[inner if inner.sum() > 20 else mask]))


@pytest.mark.slow
@pytest.mark.parametrize("phase", EXPECTED_HU)
def test_gray_values_by_phase(children, phase):
    scans = [scan_ct(child, CtProtocol("p", phase), seed) for seed, child in enumerate(children)]
    for name, (low, high) in (EXPECTED_HU[phase] | ANY_PHASE).items():
        median = np.median([inner_hu(image, labels, name) for image, labels in scans])
        assert low <= median <= high, name


def test_image_and_labels_share_the_grid_of_the_protocol(children):
    for pixel_mm, slice_mm in ((3.0, 4.0), (3.0, 5.0), (2.5, 3.0)):
        image, labels = scan_ct(children[0], CtProtocol("p", pixel_mm=pixel_mm, slice_mm=slice_mm), 1)
        assert image.voxels.dtype == np.int16 and labels.voxels.dtype == np.uint8
        assert image.shape == labels.shape and np.array_equal(image.affine, labels.affine)
        assert image.spacing_mm == pytest.approx((pixel_mm, pixel_mm, slice_mm))
        assert image.orientation == "RAS"
        assert image.voxels.min() >= -1024 and image.voxels.max() <= 3071
        fine = children[0]
        for name in ("Liver", "Heart"):
            organ = organs.organ(name).id
            there = np.argwhere(labels.voxels == organ).mean(axis=0) * image.spacing_mm + image.affine[:3, 3]
            here = np.argwhere(fine.labels == organ).mean(axis=0) * fine.spacing_mm + fine.affine[:3, 3]
            np.testing.assert_allclose(there, here, atol=1.0)


def test_air_is_air(children):
    image, _ = scan_ct(children[1], CtProtocol("p", couch=""), 1)
    above = image.voxels[:, -2:, :].astype(float)
    assert abs(above.mean() + 1000) < 3.0
    assert 8.0 < above.std() < 13.0  # 12 HU of noise, cut at -1024


def test_the_table_lies_under_the_back(children):
    for couch in ("flat", "curved"):
        with_table, labels = scan_ct(children[1], CtProtocol("p", couch=couch), 1)
        without, _ = scan_ct(children[1], CtProtocol("p", couch=""), 1)
        rows = np.nonzero(np.abs(with_table.voxels - without.voxels).max(axis=(0, 2)) > 200)[0]
        organ_rows = np.nonzero((labels.voxels > 0).any(axis=(0, 2)))[0]
        assert 2 <= len(rows) and rows.max() < organ_rows.min()


def test_a_scan_is_made_twice_alike_and_another_seed_differs(children):
    protocol = CtProtocol("p")
    first, again, other = (scan_ct(children[0], protocol, seed)[0].voxels for seed in (5, 5, 6))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_weights_of_five_millimeters_from_two():
    np.testing.assert_allclose(
        partial_volume_weights(2.0, 5.0, 0.0, 5, 2), [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]], atol=1e-7
    )


def test_thick_slices_mix_tissues_at_an_edge():
    tissues = np.full((8, 8, 10), Tissue.AIR, np.uint8)
    tissues[:, :, 3:] = Tissue.GAS  # -1000 below 6 mm, -930 above; both without grain
    protocol = CtProtocol("p", slice_mm=5.0, noise_hu=0.0, couch="")
    image, _ = scan_ct(block(tissues, (3.0, 3.0, 2.0)), protocol, 0)
    column = image.voxels[4, 4].tolist()
    assert column == [-1000, -1000 + round(0.8 * 70), -930, -930]


def test_noise_has_the_stated_strength_and_the_kernel_its_grain():
    tissues = np.full((40, 40, 20), Tissue.GAS, np.uint8)
    phantom = block(tissues, (3.0, 3.0, 4.0))
    fine = scan_ct(phantom, CtProtocol("p", noise_hu=12.0, noise_grain_mm=0.0, couch=""), 0)[0].voxels.astype(float)
    soft = scan_ct(phantom, CtProtocol("p", noise_hu=12.0, noise_grain_mm=6.0, couch=""), 0)[0].voxels.astype(float)
    assert fine.mean() == pytest.approx(-930, abs=1.0) and soft.mean() == pytest.approx(-930, abs=1.0)
    assert fine.std() == pytest.approx(12.0, abs=0.5) and soft.std() == pytest.approx(12.0, abs=0.5)
    neighbors = [np.corrcoef(v[1:].ravel(), v[:-1].ravel())[0, 1] for v in (fine, soft)]
    assert abs(neighbors[0]) < 0.05 and neighbors[1] > 0.4


def test_contrast_medium_raises_vessels_only_where_there_is_blood():
    plain = tissue_hu(CtProtocol("p", "none"), np.random.default_rng(3))
    portal = tissue_hu(CtProtocol("p", "portal venous"), np.random.default_rng(3))
    for tissue in (Tissue.ARTERY, Tissue.LIVER, Tissue.KIDNEY_CORTEX):
        assert portal[tissue] > plain[tissue] + 20
    for tissue in (Tissue.FAT, Tissue.STOOL, Tissue.URINE, Tissue.BILE):
        assert abs(portal[tissue] - plain[tissue]) < 6
    strong = tissue_hu(replace(CtProtocol("p", "portal venous"), kvp=80), np.random.default_rng(3))
    assert strong[Tissue.ARTERY] > portal[Tissue.ARTERY] + 20


def test_oral_contrast_fills_the_bowel_only(children):
    protocol = CtProtocol("p", "none", oral_contrast=True)
    drunk, sober = (
        tissue_hu(replace(protocol, oral_contrast=oral), np.random.default_rng(3)) for oral in (True, False)
    )
    assert drunk[Tissue.BOWEL_FLUID] >= 150 > sober[Tissue.BOWEL_FLUID]
    changed = np.flatnonzero(np.abs(drunk - sober) > 1e-3)
    assert changed.tolist() == [Tissue.BOWEL_FLUID]


def test_the_cord_is_as_gray_as_the_fluid_around_it_and_metal_brighter_than_all():
    values = tissue_hu(CtProtocol("p"), np.random.default_rng(3))
    assert values[Tissue.CSF] == values[Tissue.CORD]
    assert values[Tissue.CLIP] > 3071 and 25 < values[Tissue.SCAR] < 60
