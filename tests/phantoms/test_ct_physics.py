"""Texture, breathing, beam hardening and quantum noise of a phantom's CT."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.phantoms import ct_physics
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.child import Child
from pedseg.phantoms.ct_scanner import CtProtocol, scan_ct
from pedseg.phantoms.phantom import Phantom, make_phantom

VALUES = np.zeros(max(Tissue) + 1, np.float32)


def block(tissue: Tissue, shape=(48, 40, 32), spacing_mm=(1.0, 1.0, 2.0)) -> Phantom:
    """A test object of one tissue."""
    return Phantom(np.zeros(shape, np.uint8), np.full(shape, tissue, np.uint8), np.diag([*spacing_mm, 1.0]), Child(5.0))


def width_mm(values: np.ndarray, spacing_mm: float) -> float:
    """Standard deviation (mm) of the Gaussian that made white noise so alike one voxel apart: r = exp(-d² / 4 s²)."""
    r = np.corrcoef(values[1:].ravel(), values[:-1].ravel())[0, 1]
    return spacing_mm / np.sqrt(-4 * np.log(r))


@pytest.mark.parametrize("tissue", [Tissue.LIVER, Tissue.SPONGIOSA, Tissue.STOOL, Tissue.GAS, Tissue.SPLEEN])
def test_each_tissue_has_the_texture_of_its_table(tissue):
    image = ct_physics.tissue_image(block(tissue), VALUES, "none", np.random.default_rng(1))
    fine, coarse = (0, 0) if tissue in ct_physics.SMOOTH else ct_physics.TEXTURE_HU[tissue]
    assert image.std() == pytest.approx(np.hypot(fine, coarse), rel=0.12, abs=1e-6)


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0])
def test_grain_has_one_size_in_mm_whatever_the_voxels(spacing_mm):
    shape = tuple(round(n / spacing_mm) for n in (160, 140, 120))
    phantom = block(Tissue.LIVER, shape, (spacing_mm,) * 3)
    coarse = ct_physics._texture(phantom, ct_physics.COARSE_MM, np.random.default_rng(2))
    assert width_mm(coarse[:: round(4 / spacing_mm)], 4.0) == pytest.approx(ct_physics.COARSE_MM, rel=0.25)


def test_the_spleen_is_mottled_while_contrast_medium_arrives_and_only_then():
    deviations = [
        ct_physics.tissue_image(block(Tissue.SPLEEN), VALUES, phase, np.random.default_rng(3)).std()
        for phase in ("none", "portal venous", "arterial")
    ]
    assert deviations[0] == deviations[1] < 0.5 * deviations[2]


def test_the_lung_is_denser_where_it_lies_low(monkeypatch):
    phantom = block(Tissue.LUNG, (40, 100, 20))
    image = ct_physics.tissue_image(phantom, VALUES, "none", np.random.default_rng(4))
    monkeypatch.setattr(ct_physics, "GRAVITY_HU_PER_MM", 0.0)
    weightless = ct_physics.tissue_image(phantom, VALUES, "none", np.random.default_rng(4))
    fall = (image - weightless).mean(axis=(0, 2))
    assert fall[0] - fall[-1] == pytest.approx(99 * 0.45, abs=0.1)
    assert fall.mean() == pytest.approx(0, abs=0.1)


def test_breathing_blurs_the_dome_and_leaves_the_pelvis(monkeypatch):
    phantom = block(Tissue.LIVER, (4, 4, 160))
    phantom.tissues[:, :, 110:] = Tissue.LUNG
    image = np.zeros(phantom.tissues.shape, np.float32)
    image[:, :, ::8] = 100.0  # lines across z

    monkeypatch.setattr(ct_physics, "BREATH_MM", (3.5, 3.5))
    moved = ct_physics.breathe(image, phantom, np.random.default_rng(6))
    assert moved[0, 0, 128] < 60 and moved[0, 0, 0] == pytest.approx(100, abs=1)
    assert moved.sum() == pytest.approx(image.sum(), rel=0.03)


def test_a_band_between_two_bones_is_darker_and_nothing_else():
    image = np.zeros((60, 40, 3), np.float32)
    image[10:16, 15:25], image[44:50, 15:25] = 700.0, 700.0
    before = image.copy()
    ct_physics.harden_beam(image, 3.0)
    change = image - before
    assert change[30, 20, 1] < -5 and abs(change[30, 3, 1]) < 0.1 and abs(change[3, 20, 1]) < 1.0
    assert change.max() <= 0


def test_quantum_noise_is_as_strong_as_stated_and_stronger_where_the_beam_crosses_more():
    image = np.full((100, 100, 24), -1000.0, np.float32)
    image[10:90, 40:60] = 0.0  # 240 mm wide, 60 mm deep: a trunk
    noise = ct_physics.quantum_noise(image, 12.0, 3.0, 3.0, 4.0, np.random.default_rng(5))
    assert noise.std() == pytest.approx(12.0, abs=0.01)
    assert noise[20:80, 45:55].std() > 1.25 * noise[20:80, 5:15].std()  # rays from side to side there, none here
    along_x, along_y = (width_mm(np.moveaxis(noise[20:80, 45:55], axis, 0), 3.0) for axis in (0, 1))
    assert along_x > 1.1 * along_y


@pytest.mark.parametrize("phase", ["none", "portal venous"])
def test_a_child_scans_twice_alike_and_its_noise_alone_can_be_another(phase):
    phantom = make_phantom(Child(4.0, seed=2), (3.0, 3.0, 2.0))
    protocol = CtProtocol("p", phase)
    first, again, other = (scan_ct(phantom, protocol, 1, noise)[0].voxels.astype(float) for noise in (None, None, 7))
    assert np.array_equal(first, again)
    inside = (phantom.tissues[:, :, ::2] == Tissue.LIVER)[:, :, : first.shape[2]]
    difference = (first - other)[inside]
    assert abs(difference.mean()) < 1.0 and difference.std() == pytest.approx(np.sqrt(2) * 12.0, rel=0.35)
