"""GIN: worked out by hand, the published invariants, its weakness and the remedy, and the MONAI transform beside it."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from pedseg.learning.augmentation import augment, body_of
from pedseg.learning.gin import GinParameters, apply_gin, gin, sample_parameters

SHAPE = (6, 5, 4)


def scans(samples=2, channels=1, seed=0):
    return np.random.default_rng(seed).standard_normal((samples, channels, *SHAPE)).astype(np.float32)


def by_hand():
    """Kernels of one voxel, so that each layer is a small sum: 1 -> 2 -> 2 -> 2 -> 1 channels."""
    weights = [
        [[2.0], [-1.0]],  # first channel doubles, the second turns the sign
        [[1.0, 0.0], [1.0, 1.0]],
        [[1.0, 0.0], [0.0, -1.0]],
        [[1.0, 10.0]],
    ]
    biases = [[0.0, 1.0], [0.0, 0.0], [-1.0, 0.0], [0.5]]
    kernels = tuple(np.array(w, np.float32)[None, :, :, None, None, None] for w in weights)
    return GinParameters(kernels, tuple(np.array(b, np.float32)[None] for b in biases), np.array([0.25], np.float32))


def test_one_voxel_by_hand():
    # x = 3: layer 1 (6, -3 + 1 = -2) -> leaky (6, -0.02); layer 2 (6, 5.98); layer 3 (5, -5.98) -> (5, -0.0598);
    # layer 4: 5 - 0.598 + 0.5 = 4.902, no leaky ReLU. Mixed: 0.25 * 4.902 + 0.75 * 3 = 3.4755.
    # x = -1: (-2, 2) -> (-0.02, 2); (-0.02 -> -0.0002, 1.98); (-1.0002 -> -0.010002, -1.98 -> -0.0198);
    # -0.010002 - 0.198 + 0.5 = 0.291998. Mixed: 0.0729995 - 0.75 = -0.6770005.
    image = np.zeros((1, 1, 2, 1, 1), np.float32)
    image[0, 0, :, 0, 0] = 3.0, -1.0
    mixed = np.array([3.4755, -0.6770005])
    expected = mixed * np.sqrt(10.0) / (np.sqrt((mixed**2).sum()) + 1e-5)
    np.testing.assert_allclose(apply_gin(image, by_hand())[0, 0, :, 0, 0], expected, rtol=1e-5)


def test_the_layers_are_those_of_torch_sample_by_sample():
    parameters = sample_parameters(3, 1, np.random.default_rng(4))
    x = scans(3)
    got = apply_gin(x, parameters)
    for place in range(3):
        y = torch.from_numpy(x[place : place + 1])
        for layer, (kernels, bias) in enumerate(zip(parameters.kernels, parameters.biases, strict=True)):
            k = torch.from_numpy(kernels[place])
            y = functional.conv3d(y, k, torch.from_numpy(bias[place]), padding=k.shape[-1] // 2)
            y = functional.leaky_relu(y) if layer < 3 else y
        alpha = float(parameters.alphas[place])
        mixed = alpha * y.numpy() + (1 - alpha) * x[place : place + 1]
        mixed *= np.linalg.norm(x[place]) / (np.linalg.norm(mixed) + 1e-5)
        np.testing.assert_allclose(got[place], mixed[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_norm_stay(seed, channels):
    x = scans(2, channels)
    y = gin(x, seed=seed)
    assert y.shape == x.shape and y.dtype == np.float32
    np.testing.assert_allclose(
        np.linalg.norm(y.reshape(2, -1), axis=1), np.linalg.norm(x.reshape(2, -1), axis=1), rtol=1e-3
    )


def test_without_mixing_nothing_changes_and_the_seed_decides():
    x = scans()
    parameters = sample_parameters(2, 1, np.random.default_rng(0))
    still = GinParameters(parameters.kernels, parameters.biases, np.zeros(2, np.float32))
    np.testing.assert_allclose(apply_gin(x, still), x, rtol=1e-4)
    first, again, other = (gin(x, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_kernels_are_drawn_as_published():
    all_parameters = [sample_parameters(4, 1, np.random.default_rng(seed)) for seed in range(40)]
    sizes = {tuple(k.shape[-1] for k in parameters.kernels) for parameters in all_parameters}
    assert set(itertools.chain(*sizes)) == {1, 3} and len(sizes) > 8  # one size a layer and call
    assert [k.shape[1:3] for k in all_parameters[0].kernels] == [(2, 1), (2, 2), (2, 2), (1, 2)]
    numbers = np.concatenate([k.ravel() for parameters in all_parameters for k in parameters.kernels])
    assert abs(numbers.mean()) < 0.05 and numbers.std() == pytest.approx(1.0, abs=0.05)
    alphas = np.concatenate([parameters.alphas for parameters in all_parameters])
    assert 0 <= alphas.min() < 0.1 and 0.9 < alphas.max() < 1
    assert all(len(np.unique(parameters.kernels[0].reshape(4, -1), axis=0)) == 4 for parameters in all_parameters)


def test_shared_kernels_are_the_same_for_all_and_alphas_are_not():
    parameters = sample_parameters(4, 1, np.random.default_rng(3), shared=True)
    assert all(len(np.unique(k.reshape(4, -1), axis=0)) == 1 for k in (*parameters.kernels, *parameters.biases))
    assert len(set(parameters.alphas.tolist())) == 4


def test_borders_stay_where_they_are_with_kernels_of_one_voxel():
    x = np.zeros((1, 1, *SHAPE), np.float32)
    x[0, 0, 2:5] = 2.0
    parameters = sample_parameters(1, 1, np.random.default_rng(0))
    small = tuple(k[..., :1, :1, :1] for k in parameters.kernels)
    y = apply_gin(x, GinParameters(small, parameters.biases, parameters.alphas))[0, 0]
    assert len(np.unique(y[2:5])) == 1 and len(np.unique(np.concatenate([y[:2], y[5:]]))) == 1


def test_air_decides_the_brightness_of_the_body_unless_it_is_kept_out():
    # A body of standard deviation 1 in air at -4, half of all voxels.
    rng = np.random.default_rng(0)
    x = np.full((1, 1, 16, 16, 16), -4.0, np.float32)
    inside = np.zeros((1, 16, 16, 16), bool)
    inside[:, :8] = True
    x[0, 0][inside[0]] = rng.standard_normal(inside.sum())
    norm = np.linalg.norm(x[:, 0][inside])
    published, cured = (
        [np.linalg.norm(gin(x, seed=s, inside=mask)[:, 0][inside]) / norm for s in range(20)] for mask in (None, inside)
    )
    np.testing.assert_allclose(cured, 1.0, rtol=1e-3)
    assert max(published) / min(published) > 3
    assert np.all(gin(x, seed=1, inside=inside)[:, 0][~inside] == -4.0)


def test_no_gradient_is_asked_for():
    assert isinstance(gin(scans(), seed=0), np.ndarray)


def test_a_plan_with_gin_changes_its_share_of_the_samples_inside_the_body(patient, make_plan):
    plan = make_plan(gin_probability=0.5)
    image = np.clip(patient[0].voxels, -1000, 500).astype(np.float32) / 300 + 50 / 300
    inside = body_of(image, plan)
    outcomes = [augment(image, patient[1].voxels, plan, seed=seed)[0] for seed in range(40)]
    changes = [outcome for outcome in outcomes if outcome is not image]
    assert 12 <= len(changes) <= 28
    assert 0.3 < inside.mean() < 0.9
    assert all(np.array_equal(outcome[~inside], image[~inside]) for outcome in changes)
    assert all(not np.allclose(outcome[inside], image[inside]) for outcome in changes)
