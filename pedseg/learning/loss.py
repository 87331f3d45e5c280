"""The loss function: soft Dice plus cross entropy, with a marginal loss for organs that nobody annotated.

The value equals MONAI's `DiceCELoss` (softmax, background left out of Dice, smoothing 1e-5) where
every organ is annotated. The gradient is written out by hand: with 20 classes on a whole body
crop, one-hot labels and the softmax's own backward pass cost more than the convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

SMOOTH = 1e-5
PART = 16384  # voxels


def dice_cross_entropy(
    logits: Tensor, labels: Tensor, unknown: Sequence[tuple[int, ...]], *, dice_weight: float = 1.0
) -> Tensor:
    """Mean over the batch of `dice_weight` times soft Dice loss (mean over the known organs) plus cross entropy.

    `logits` (batch, classes, …), `labels` (batch, …) class numbers, `unknown` the channels that
    nobody annotated in each case. Such an organ may hide in the background: there its
    probability counts as background (marginal loss, Shi et al. 2021), and it has no Dice term.
    """
    losses = [
        _DiceCrossEntropy.apply(case.flatten(1), truth.flatten(), channels, dice_weight)
        for case, truth, channels in zip(logits, labels, unknown, strict=True)
    ]
    return torch.stack(losses).mean()


class _DiceCrossEntropy(torch.autograd.Function):
    """The loss of one case: logits (classes, voxels), truth (voxels), numbers of the unknown channels."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, truth: Tensor, unknown: tuple[int, ...], dice_weight: float) -> Tensor:
        classes, background = len(logits), [0, *unknown]
        p, p_true, p_background = torch.empty_like(logits), *logits.new_empty((2, len(truth)), dtype=torch.float32)
        overlap, size = p_true.new_zeros((2, classes))
        for part in _parts(truth):  # softmax, a cache full at a time
            q = logits[:, part].to(torch.float32, copy=True)
            q.sub_(q.amax(dim=0)).exp_()
            q.mul_(q.sum(dim=0).reciprocal_())
            p[:, part] = q
            p_background[part] = q[background].sum(dim=0) if unknown else q[0]
            p_true[part] = torch.where(truth[part] == 0, p_background[part], q.gather(0, truth[None, part])[0])
            size += q.sum(dim=1)
        overlap.index_add_(0, truth, p_true)
        size += torch.bincount(truth, minlength=classes) + SMOOTH
        dice = (2 * overlap + SMOOTH) / size
        weight = dice.new_full((classes,), dice_weight / max(1, classes - len(background)))
        weight[background] = 0.0  # neither background nor unknown organs have a Dice term
        ctx.save_for_backward(p, truth, p_true, p_background, weight * dice / size, 2 * weight / size)
        ctx.background = background
        cross_entropy = -p_true.clamp_min(1e-30).log().mean()
        return cross_entropy + (weight * (1 - dice)).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        p, truth, p_true, p_background, per_volume, per_overlap = ctx.saved_tensors
        gradient, share = gradients[0], gradients[0] / truth.numel()
        per_volume, per_overlap = per_volume * gradient, per_overlap * gradient
        # d loss / d p = per_volume[c] everywhere, less per_overlap[true class] at the true class
        at_truth = per_overlap[truth] * p_true
        organ = truth > 0
        at_background = torch.where(organ, 0.0, share / p_background.clamp_min(1e-30))
        for part in _parts(truth):
            q = p[:, part].to(torch.float32, copy=True)
            lift = share - (per_volume @ q - at_truth[part])  # less the sum over classes of p · d loss / d p
            slope = lift + per_volume[:, None]
            slope[ctx.background] -= at_background[part]
            slope.mul_(q)
            at_organ = slope.gather(0, truth[None, part]) - (at_truth[part] + share)
            slope.scatter_(0, truth[None, part], torch.where(organ[part], at_organ, slope[:1]))
            p[:, part] = slope
        return p, None, None, None


def _parts(truth: Tensor) -> list[slice]:
    """The voxels in parts whose classes fit a processor's cache."""
    return [slice(start, start + PART) for start in range(0, truth.numel(), PART)]
