"""GIN, global intensity non-linear augmentation: random convolutions change the gray values of a scan.

A scan goes through four convolutions of random weights and is mixed with itself (Ouyang et al., IEEE TMI 2022;
`imagefilter3d.py` of the public code): shapes stay, so that a network has to learn shape. As published:

- four layers with 2 channels between them; the kernel size of each layer, 1 or 3, is drawn once a call;
- kernels and biases are drawn from a normal distribution, **for each sample of a batch its own** (FedGIN's code shares
  one set in a batch: `shared`), and no layer learns;
- leaky ReLU (slope 0.01) behind each layer but the last;
- the outcome y is mixed with the scan x, alpha y + (1 - alpha) x, alpha uniform between 0 and 1 for each sample;
- the mixture is scaled to the Frobenius norm of x.

That last step has a known weakness. The norm adds the squares of all voxels, and around a body most of them are air:
where that lies at -3 standard deviations, say, air is nearly the whole norm. What the random layers make of air then
decides how bright the body comes out, from next to nothing to far too much. With `inside`, the air is 0 before the
layers, the norm is that of the body, and the air is put back afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

LAYERS, CHANNELS, KERNELS = 4, 2, (1, 3)
EPSILON = 1e-5  # in the divisor


@dataclass(frozen=True)
class GinParameters:
    """The random weights of a batch: by layer kernels (samples, out, in, k, k, k) and biases (samples, out); alphas."""

    kernels: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    alphas: NDArray[np.float32]  # (samples,)


def sample_parameters(samples: int, channels: int, rng: np.random.Generator, *, shared: bool = False) -> GinParameters:
    """Draw kernels, biases and alphas for a batch; `shared` gives all samples the same kernels and biases."""
    widths = (channels, *[CHANNELS] * (LAYERS - 1), channels)
    kernels, biases, sets = [], [], 1 if shared else samples
    for inputs, outputs in pairwise(widths):
        k = int(rng.choice(KERNELS))
        weights = rng.standard_normal((sets, outputs, inputs, k, k, k), dtype=np.float32)
        bias = rng.standard_normal((sets, outputs), dtype=np.float32)
        kernels.append(np.repeat(weights, samples // sets, axis=0))
        biases.append(np.repeat(bias, samples // sets, axis=0))
    return GinParameters(tuple(kernels), tuple(biases), rng.random(samples, dtype=np.float32))


def gin(
    scans: NDArray[np.float32],
    *,
    seed: int | Sequence[int],
    inside: NDArray[np.bool_] | None = None,
    shared: bool = False,
) -> NDArray[np.float32]:
    """Change the gray values of normalized scans (samples, channels, x, y, z) at random; the seed decides how.

    `inside` (samples, x, y, z) marks the bodies; without it, this is GIN exactly as published.
    """
    samples, channels = scans.shape[:2]
    return apply_gin(scans, sample_parameters(samples, channels, np.random.default_rng(seed), shared=shared), inside)


@torch.no_grad()
def apply_gin(
    scans: NDArray[np.float32], parameters: GinParameters, inside: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Scans (samples, channels, x, y, z) after the convolutions, the mixing and the scaling with these parameters."""
    x = torch.from_numpy(np.ascontiguousarray(scans, dtype=np.float32))
    body = None if inside is None else torch.from_numpy(inside)[:, None]
    before = x if body is None else x * body
    y = before
    for layer, (kernels, bias) in enumerate(zip(parameters.kernels, parameters.biases, strict=True)):
        y = _convolve(y, torch.from_numpy(kernels), torch.from_numpy(bias))
        if layer < LAYERS - 1:
            y = functional.leaky_relu_(y)
    alphas = torch.from_numpy(parameters.alphas)[:, None, None, None, None]
    y = torch.lerp(before, y, alphas)
    if body is not None:
        y *= body
    y *= _frobenius_norm(before) / (_frobenius_norm(y) + EPSILON)
    return (y if body is None else torch.where(body, y, x)).numpy()


def _convolve(x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """One convolution with kernels of each sample's own, as groups of one convolution."""
    samples, outputs, inputs, k = kernels.shape[:4]
    space = x.shape[2:]
    x, weight = x.reshape(1, samples * inputs, *space), kernels.reshape(samples * outputs, inputs, k, k, k)
    y = functional.conv3d(x, weight, bias.reshape(-1), padding=k // 2, groups=samples)
    return y.reshape(samples, outputs, *space)


def _frobenius_norm(x: Tensor) -> Tensor:
    """The Frobenius norm of each sample, over channels and voxels: (samples, 1, 1, 1, 1)."""
    return x.flatten(1).norm(dim=1)[:, None, None, None, None]
