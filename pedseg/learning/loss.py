"""The loss function: soft Dice plus cross entropy, with a marginal loss for organs that nobody annotated.

The value equals MONAI's `DiceCELoss` (softmax, background left out of Dice, smoothing 1e-5) where
every organ is annotated. The gradient is written out by hand: with 20 classes on a whole body
crop, one-hot labels and the softmax's own backward pass cost more than the convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

SMOOTH = 1e-5
PART = 16384  # voxels
Channels: TypeAlias = Sequence[tuple[int, ...]]  # of each case


def dice_cross_entropy(
    logits: Tensor, labels: Tensor, unknown: Channels, *, dice_weight: float = 1.0, inplace: bool = False
) -> Tensor:
    """Mean over the batch of `dice_weight` times soft Dice loss (mean over the known organs) plus cross entropy.

    `logits` (batch, classes, …), `labels` (batch, …) class numbers, `unknown` the channels that
    nobody annotated in each case. Such an organ may hide in the background: there its
    probability counts as background (marginal loss, Shi et al. 2021), and it has no Dice term.
    `inplace` writes the gradient where the logits were: for a layer before it that does not read its output again.
    """
    return _DiceCrossEntropy.apply(logits.flatten(2), labels.flatten(1), unknown, dice_weight, inplace).mean()


class _DiceCrossEntropy(torch.autograd.Function):
    """The loss of each case of a batch: logits (batch, classes, voxels), truth (batch, voxels)."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, truth: Tensor, unknown: Channels, dice_weight: float, inplace: bool
    ) -> Tensor:
        p = logits.detach() if inplace else torch.empty_like(logits)  # probabilities, later the gradient
        ctx.background = [[0, *channels] for channels in unknown]
        cases = zip(p, logits, truth, ctx.background, strict=True)
        losses, *kept = zip(*(_forward(*case, dice_weight) for case in cases), strict=True)
        ctx.save_for_backward(p, truth, *map(torch.stack, kept))
        return torch.stack(losses)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        p, *kept = ctx.saved_tensors
        for case in zip(p, *kept, ctx.background, gradients[0], strict=True):
            _backward(*case)
        return p, None, None, None, None


def _forward(
    p: Tensor, logits: Tensor, truth: Tensor, background: list[int], dice_weight: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The loss of one case and what its gradient needs; the probabilities (classes, voxels) are written into `p`."""
    classes = len(logits)
    p_true, p_background = logits.new_empty((2, len(truth)), dtype=torch.float32)
    overlap, size = p_true.new_zeros((2, classes))
    for part in _parts(truth):  # softmax, a cache full at a time
        q = logits[:, part].to(torch.float32, copy=True)
        q.sub_(q.amax(dim=0)).exp_()
        q.mul_(q.sum(dim=0).reciprocal_())
        p[:, part] = q
        p_background[part] = q[background].sum(dim=0) if len(background) > 1 else q[0]
        p_true[part] = torch.where(truth[part] == 0, p_background[part], q.gather(0, truth[None, part])[0])
        size += q.sum(dim=1)
    overlap.index_add_(0, truth, p_true)
    size += torch.bincount(truth, minlength=classes) + SMOOTH
    dice = (2 * overlap + SMOOTH) / size
    weight = dice.new_full((classes,), dice_weight / max(1, classes - len(background)))
    weight[background] = 0.0  # neither background nor unknown organs have a Dice term
    cross_entropy = -p_true.clamp_min(1e-30).log().mean()
    loss = cross_entropy + (weight * (1 - dice)).sum()
    return loss, p_true, p_background, weight * dice / size, 2 * weight / size


def _backward(
    p: Tensor, truth: Tensor, p_true: Tensor, p_background: Tensor, per_volume: Tensor, per_overlap: Tensor,
    background: list[int], gradient: Tensor,
) -> None:  # fmt: skip
    """Replace the probabilities (classes, voxels) of one case by the gradient of its logits."""
    share = gradient / truth.numel()
    per_volume, per_overlap = per_volume * gradient, per_overlap * gradient
    # d loss / d p = per_volume[c] everywhere, less per_overlap[true class] at the true class
    at_truth = per_overlap[truth] * p_true
    organ = truth > 0
    at_background = torch.where(organ, 0.0, share / p_background.clamp_min(1e-30))
    for part in _parts(truth):
        q = p[:, part].to(torch.float32, copy=True)
        lift = share - (per_volume @ q - at_truth[part])  # less the sum over classes of p · d loss / d p
        slope = lift + per_volume[:, None]
        slope[background] -= at_background[part]
        slope.mul_(q)
        at_organ = slope.gather(0, truth[None, part]) - (at_truth[part] + share)
        slope.scatter_(0, truth[None, part], torch.where(organ[part], at_organ, slope[:1]))
        p[:, part] = slope


def _parts(truth: Tensor) -> list[slice]:
    """The voxels in parts whose classes fit a processor's cache."""
    return [slice(start, start + PART) for start in range(0, truth.numel(), PART)]
