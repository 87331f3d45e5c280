"""Exercises of the chapter "CT meets MR"."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def _spin_echo(t1_ms, t2_ms, density, tr_ms, te_ms):
    return density * (1 - np.exp(-tr_ms / t1_ms)) * np.exp(-te_ms / t2_ms)


def _share_of_air(image, inside):
    return np.sum(np.square(image[~inside])) / np.sum(np.square(image))


def gin_layer(image, kernel, bias):
    """One layer of GIN: a convolution that keeps the size of the image, and a leaky ReLU of slope 0.01."""
    return _layer(image, kernel, bias)


def _layer(image, kernel, bias, *, slope=0.01, flip=False, pad=True, biased=True, mode="constant"):
    """The layer, and with its options the usual slips."""
    from torch.nn import functional

    reach = kernel.shape[-1] // 2 if pad else 0
    kernel = kernel.flip(2, 3, 4) if flip else kernel
    padded = functional.pad(image[None], [reach] * 6, mode=mode if reach else "constant")
    return functional.leaky_relu(functional.conv3d(padded, kernel, bias if biased else None)[0], slope)


def _bias_last(image, kernel, bias):
    return _layer(image, kernel, bias, biased=False) + bias[:, None, None, None]


def _first_channel(image, kernel, bias):
    return _layer(image[:1], kernel[:, :1], bias)


def _tensors(*values):
    import torch

    return tuple(torch.tensor(value, dtype=torch.float32) for value in values)


def _voxelwise(weights, bias):
    """An image of two voxels, 3 and -1, in each channel, and a kernel of a single voxel with these weights."""
    weights = np.array(weights, float)[:, :, None, None, None]  # (outputs, inputs, 1, 1, 1)
    return _tensors(np.tile(np.array([3.0, -1.0])[:, None, None], (weights.shape[1], 1, 1, 1)), weights, bias)


def _neighbor():
    """A single bright voxel, and a kernel that looks at the neighbor with the next higher x."""
    image, kernel = np.zeros((1, 3, 3, 3)), np.zeros((1, 1, 3, 3, 3))
    image[0, 1, 1, 1], kernel[0, 0, 2, 1, 1] = 5.0, 1.0
    return _tensors(image, kernel, [0.0])


def _ones():
    return _tensors(np.ones((1, 3, 3, 3)), np.ones((1, 1, 3, 3, 3)), [0.0])


def _at_random():
    rng = np.random.default_rng(6)
    return _tensors(rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 2, 3, 3, 3)), rng.normal(size=3))


def _by_scipy(image, kernel, bias):
    from scipy.ndimage import correlate

    pairs = list(zip(kernel.numpy(), bias.numpy(), strict=True))
    sums = [sum(map(lambda i, k: correlate(i, k, mode="constant"), image.numpy(), kernels)) + b for kernels, b in pairs]
    return np.where(np.array(sums) > 0, sums, 0.01 * np.array(sums))


EXERCISES = {
    "gin_layer": FunctionExercise(
        reference=gin_layer,
        checks=[
            Check(
                "the voxels 3 and -1 under a kernel of one voxel that doubles",
                lambda: _voxelwise([[2.0]], [0.0]),
                np.array([6, -0.02]).reshape(1, 2, 1, 1),
                "6 and -0.02: the leaky ReLU leaves a hundredth of what is negative",
            ),
            Check(
                "the same with a bias of 1",
                lambda: _voxelwise([[2.0]], [1.0]),
                np.array([7, -0.01]).reshape(1, 2, 1, 1),
                "7 and -0.01: the bias comes before the ReLU",
            ),
            Check(
                "two input channels with the weights 1 and 10",
                lambda: _voxelwise([[1.0, 10.0]], [0.0]),
                np.array([33, -0.11]).reshape(1, 2, 1, 1),
                "33 and -0.11: the channels add up",
            ),
            Check(
                "an image of ones under 27 ones: center and corner",
                _ones,
                [27, 8],
                "27 and 8: beyond the border lie zeros, and the size stays",
                lambda layer, *given: [float(np.asarray(layer(*given))[0, i, i, i]) for i in (1, 0)],
            ),
            Check(
                "a bright voxel at x = 1 under a kernel that looks at the next higher x: where it is afterwards",
                _neighbor,
                [0, 0, 1, 1],
                "at x = 0: it is seen from there",
                lambda layer, *given: list(np.argwhere(np.asarray(layer(*given)) > 0).ravel()),
            ),
            Check(
                "a random image with 2 channels in and 3 out", _at_random, _by_scipy, "what SciPy's `correlate` gives"
            ),
        ],
        hints=[
            "`functional.conv3d` expects a batch: `image[None]` adds an axis, and `[0]` removes it.",
            "A kernel of k voxels needs k // 2 voxels of padding for the size to stay.",
            "`functional.leaky_relu(y, 0.01)` comes last.",
        ],
        slips={
            "The leaky ReLU is missing.": lambda *given: _layer(*given, slope=1.0),
            "A leaky ReLU leaves a hundredth of what is negative; a plain ReLU leaves nothing.": lambda *given: _layer(
                *given, slope=0.0
            ),
            "The image has shrunk: pad it by k // 2.": lambda *given: _layer(*given, pad=False),
            "The bias is missing.": lambda *given: _layer(*given, biased=False),
            "First the bias, then the ReLU.": _bias_last,
            "The kernel is flipped: networks use cross-correlation.": lambda *given: _layer(*given, flip=True),
            "All input channels count.": _first_channel,
            "Beyond the border lie zeros, not copies of the border.": lambda *given: _layer(*given, mode="replicate"),
        },
    ),
    "spin echo": Exercise(
        answer=_spin_echo,
        hint="Three factors: the density, what has recovered by then, and what is left at the echo. Use `np.exp`.",
        mistakes={
            "This is what is left at the echo. How much had recovered before?": lambda density, t2_ms, te_ms, **rest: (
                density * np.exp(-te_ms / t2_ms)
            ),
            "This is what had recovered; less of it is left at the echo.": lambda density, t1_ms, tr_ms, **rest: (
                density * (1 - np.exp(-tr_ms / t1_ms))
            ),
            "T1 and T2 are swapped: T1 goes with TR, T2 with TE.": lambda t1_ms, t2_ms, density, tr_ms, te_ms: (
                _spin_echo(t2_ms, t1_ms, density, tr_ms, te_ms)
            ),
            "One factor is missing: multiply by the density.": lambda density, **rest: _spin_echo(density=1.0, **rest),
        },
    ),
    "share of air": Exercise(
        answer=_share_of_air,
        hint="The sum of squares outside the body over the sum of all squares; `~inside` is what lies outside.",
        mistakes={
            "This is the body's fraction; air is the rest.": lambda image, inside: 1 - _share_of_air(image, inside),
            "This counts voxels. The norm adds their squares.": lambda image, inside: np.mean(~inside),
            "This is the fraction of the norm, the root of the sum; use the sum itself.": lambda image, inside: np.sqrt(
                _share_of_air(image, inside)
            ),
        },
    ),
    "who gains most": Exercise(
        answer=lambda gains: max(gains, key=gains.get),
        hint="The name of an organ, in quotation marks; or let `max` find it.",
        mistakes={"This one gains the least.": lambda gains: min(gains, key=gains.get)},
    ),
}
