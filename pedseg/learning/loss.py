"""How wrong a prediction is while a network learns: soft Dice and cross entropy, organs nobody drew left out.

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


def dice_cross_entropy(logits: Tensor, labels: Tensor, unknown: Sequence[tuple[int, ...]]) -> Tensor:
    """Mean over the batch of soft Dice loss (mean over the known organs) plus cross entropy.

    `logits` (batch, classes, …), `labels` (batch, …) class numbers, `unknown` the channels that
    nobody annotated in each case. Such an organ may hide in the background: there its
    probability counts as background (marginal loss, Shi et al. 2021), and it has no Dice term.
    """
    losses = [
        _DiceCrossEntropy.apply(case.flatten(1), truth.flatten(), hidden)
        for case, truth, hidden in zip(logits, labels, unknown, strict=True)
    ]
    return torch.stack(losses).mean()


class _DiceCrossEntropy(torch.autograd.Function):
    """The loss of one case: logits (classes, voxels), truth (voxels), numbers of the hidden channels."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, truth: Tensor, hidden: tuple[int, ...]) -> Tensor:
        p = torch.empty_like(logits, dtype=torch.float32)
        for part in _parts(truth):  # softmax, a cache full at a time
            raised = logits[:, part].to(torch.float32, copy=True)
            raised.sub_(raised.amax(dim=0)).exp_()
            p[:, part] = raised.mul_(raised.sum(dim=0).reciprocal_())
        classes, behind = len(p), [0, *hidden]
        p_background = p[0] if not hidden else p[behind].sum(dim=0)
        p_true = torch.where(truth == 0, p_background, p.gather(0, truth[None])[0])
        overlap = p_true.new_zeros(classes).index_add_(0, truth, p_true)
        size = p.sum(dim=1) + torch.bincount(truth, minlength=classes) + SMOOTH
        dice = (2 * overlap + SMOOTH) / size
        weight = dice.new_full((classes,), 1 / max(1, classes - len(behind)))
        weight[behind] = 0.0  # neither background nor unknown organs have a Dice term
        ctx.save_for_backward(p, truth, p_true, p_background, weight * dice / size, 2 * weight / size)
        ctx.behind, ctx.dtype = behind, logits.dtype
        cross_entropy = -p_true.clamp_min(1e-30).log().mean()
        return cross_entropy + (weight * (1 - dice)).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        p, truth, p_true, p_background, per_volume, per_overlap = ctx.saved_tensors
        gradient, share = gradients[0], gradients[0] / truth.numel()
        per_volume, per_overlap = per_volume * gradient, per_overlap * gradient
        # d loss / d p = per_volume[c] everywhere, less per_overlap[true class] at the true class
        at_truth = per_overlap[truth] * p_true
        lift = share - (per_volume @ p - at_truth)  # less the sum over classes of p · d loss / d p, one value a voxel
        organ = truth > 0
        behind = torch.where(organ, 0.0, share / p_background.clamp_min(1e-30))
        out = torch.empty_like(p, dtype=ctx.dtype)
        for channel, (p_channel, constant) in enumerate(zip(p, per_volume, strict=True)):
            slope = lift + constant
            if channel in ctx.behind:
                slope -= behind
            out[channel] = slope.mul_(p_channel)
        at_organ = p_true * (lift + per_volume[truth]) - at_truth - share
        places = truth * truth.numel() + torch.arange(truth.numel(), device=truth.device)
        out.view(-1).index_copy_(0, places, torch.where(organ, at_organ.to(ctx.dtype), out[0]))
        return out, None, None


def _parts(truth: Tensor, size: int = 16384) -> list[slice]:
    """The voxels in parts whose classes fit a processor's cache."""
    return [slice(start, start + size) for start in range(0, truth.numel(), size)]
