"""The lesson's network: a small 3-D U-Net for two CPU cores.

A space-to-depth stem folds 2×2×2 voxels into channels (Shi et al. 2016), so that all convolutions run on an eighth of
the voxels, and three coordinate channels (CoordConv) tell each place where it lies in the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pedseg.learning.plans import Plan

SOFT_TISSUE_HU = (50.0, 60.0)  # center and scale of the soft-tissue window, a second input channel
BODY_GAIN = 2.0  # of that window where scans are normalized by the body
WINDOW_EDGE = 2.5  # where that window is clipped, in units of the scale
FOLD = 2  # voxels along each axis that the stem folds into channels


def compact_unet(plan: Plan, widths: Sequence[int]) -> CompactUNet:
    """The network for a plan, `widths` channels in its levels."""
    window = ((SOFT_TISSUE_HU[0] - plan.mean_hu) / plan.sd_hu, plan.sd_hu / SOFT_TISSUE_HU[1])
    if plan.intensity == "body":  # around the median of the body's own gray values
        window = (0.0, BODY_GAIN)
    return CompactUNet(len(plan.organs) + 1, tuple(widths), window)


def space_to_depth(volume: Tensor) -> Tensor:
    """Space to depth: (batch, c, x, y, z) → (batch, c, 8, x/2, y/2, z/2), nothing lost."""
    batch, channels, *space = volume.shape
    x, y, z = (n // FOLD for n in space)
    volume = volume.reshape(batch, channels, x, FOLD, y, FOLD, z, FOLD)
    return volume.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, channels, FOLD**3, x, y, z)


def depth_to_space(volume: Tensor) -> Tensor:
    """Depth to space, the inverse of `space_to_depth`."""
    batch, channels, _, x, y, z = volume.shape
    volume = volume.reshape(batch, channels, FOLD, FOLD, FOLD, x, y, z)
    return volume.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, channels, x * FOLD, y * FOLD, z * FOLD)


class CompactUNet(nn.Module):
    """A small 3-D U-Net with a space-to-depth stem and body-centered coordinates.

    `soft_tissue` is (center, gain) of the soft-tissue window in normalized intensities.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], soft_tissue: tuple[float, float]) -> None:
        super().__init__()
        self.channels, self.soft_tissue = channels, soft_tissue
        inputs = 2 * FOLD**3 + 3
        self.down = nn.ModuleList(
            _ConvBlock(inputs if level == 0 else widths[level - 1], width, stride=1 if level == 0 else 2)
            for level, width in enumerate(widths)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(widths[level + 1], widths[level], 2, 2) for level in reversed(range(len(widths) - 1))
        )
        self.merge = nn.ModuleList(
            _ConvBlock(2 * widths[level], widths[level]) for level in reversed(range(len(widths) - 1))
        )
        self.head = nn.Linear(widths[0], channels * FOLD**3)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (batch, channels, 8, x/2, y/2, z/2) of an image (batch, 1, x, y, z); sizes are multiples of 8."""
        center, gain = self.soft_tissue
        window = ((image - center) * gain).clamp(-WINDOW_EDGE, WINDOW_EDGE)
        features = torch.cat([space_to_depth(image)[:, 0], space_to_depth(window)[:, 0], _coordinates(image)], dim=1)
        skips = []
        for block in self.down:
            features = block(features)
            skips.append(features)
        for upsample, merge, skip in zip(self.up, self.merge, reversed(skips[:-1]), strict=True):
            features = merge(torch.cat([upsample(features), skip], dim=1))
        batch, _, *space = features.shape
        weight = self.head.weight.expand(batch, -1, -1)
        logits = torch.baddbmm(self.head.bias[:, None], weight, features.flatten(2))  # faster than a 1×1×1 convolution
        return logits.reshape(batch, self.channels, FOLD**3, *space)


class _Conv3d(nn.Conv3d):
    """`nn.Conv3d` that oneDNN computes on a CPU also for a single float32 sample.

    PyTorch's own rule (batch or channels × rows × columns above a limit) gives small ones to `slow_conv3d`, which takes
    up to five times as long; a tensor in oneDNN's layout is not asked. Values and gradients are the same.
    """

    def forward(self, image: Tensor) -> Tensor:
        """As `nn.Conv3d`: (batch, in, x, y, z) → (batch, out, x, y, z)."""
        single = image.device.type == "cpu" and image.dtype == torch.float32 and len(image) == 1
        if (
            not single
            or self.bias is not None
            or torch.is_autocast_enabled("cpu")
            or not torch.backends.mkldnn.is_available()
        ):
            return super().forward(image)
        return _OneDnnConvolution.apply(image, self.weight, self.stride, self.padding)


class _OneDnnConvolution(torch.autograd.Function):
    """A convolution without bias of a float32 tensor in oneDNN's layout, which is not kept for the backward pass.

    For the lesson's network that takes 75 MiB off the peak of a step.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        return nn.functional.conv3d(image.to_mkldnn(), weight, None, stride, padding).to_dense()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        image, weight = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], True, False]
        slopes = torch.ops.aten.convolution_backward(
            gradients[0].to_mkldnn(), image.to_mkldnn(), weight, None,
            ctx.stride, ctx.padding, (1, 1, 1), False, (0, 0, 0), 1, wanted,
        )  # fmt: skip
        return slopes[0].to_dense() if wanted[0] else None, slopes[1].to_dense(), None, None


class _ConvBlock(nn.Sequential):
    """Two convolutions with instance norm (each scan for itself) and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            _Conv3d(inputs, outputs, 3, stride, 1, bias=False),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
            _Conv3d(outputs, outputs, 3, 1, 1, bias=False),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
        )


def _coordinates(image: Tensor) -> Tensor:
    """Coordinate channels: -1 to 1 along x, y, z over the body box; (batch, 3, x/2, y/2, z/2)."""
    sizes = [n // FOLD for n in image.shape[2:]]
    axes = [torch.linspace(-1, 1, n, dtype=image.dtype, device=image.device) for n in sizes]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return grid.expand(image.shape[0], -1, -1, -1, -1)
