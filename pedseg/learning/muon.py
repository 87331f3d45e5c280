"""Muon for the convolutions of a network, beside AdamW for its other parameters.

Muon (Jordan et al. 2024) replaces the averaged gradient of a weight, read as a matrix, by the nearest matrix with
orthonormal rows, so that all directions learn at the same pace. A convolution's weight is the matrix (out, in · x · y ·
z). The update is scaled to AdamW's usual size (Liu et al. 2025, arXiv:2502.16982), so one learning rate fits both.

`torch.optim.Muon` takes matrices only and orthonormalizes in bfloat16. Without bfloat16 instructions that takes 47 ms a
step for the lesson's network, in float32 4 ms (one thread, an AMD EPYC limited to AVX2). And the first
`torch.optim.Optimizer` of a process loads PyTorch's compiler: 70 MiB that no training here needs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the quintic iteration, Jordan et al.
NEWTON_SCHULZ_STEPS = 5
ADAMW_SIZE = 0.2  # root mean square of AdamW's usual update, Liu et al.
ADAMW_DEFAULTS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False, "maximize": False, "foreach": True}


class MuonAdamW:
    """An optimizer: Muon for the weights of a network's 3-D convolutions, AdamW for its other parameters.

    Muon has Nesterov momentum and decoupled weight decay, as `torch.optim.Muon` with `match_rms_adamw`. AdamW has
    PyTorch's defaults. A parameter without a gradient stays as it is.
    """

    def __init__(self, network: nn.Module, lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        parameters = list(network.parameters())
        self.convolutions = [weight for weight in parameters if weight.ndim == 5]
        self.others = [weight for weight in parameters if weight.ndim != 5]
        self.averages = [torch.zeros_like(weight) for weight in self.convolutions]
        self.moments = [tuple(torch.zeros_like(weight) for _ in range(2)) for weight in self.others]
        self.ages = [torch.tensor(0.0) for _ in self.others]  # AdamW's steps so far
        self.param_groups = [{"lr": lr, "weight_decay": weight_decay, "momentum": momentum}]

    @torch.no_grad()
    def step(self) -> None:
        """One update of the weights from their gradients."""
        (settings,) = self.param_groups
        for weight, average in zip(self.convolutions, self.averages, strict=True):
            if weight.grad is not None:
                _muon(weight, weight.grad, average, **settings)
        self._adamw(settings["lr"], settings["weight_decay"])

    def _adamw(self, lr: float, weight_decay: float) -> None:
        state = zip(self.others, self.moments, self.ages, strict=True)
        known = [(weight, weight.grad, *moments, age) for weight, moments, age in state if weight.grad is not None]
        if known:
            weights, gradients, first, second, ages = map(list, zip(*known, strict=True))
            options: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay} | ADAMW_DEFAULTS
            adamw(weights, gradients, first, second, [], ages, **options)


def _muon(weight: Tensor, gradient: Tensor, average: Tensor, lr: float, weight_decay: float, momentum: float) -> None:
    """Update a weight in place, and the moving average of its gradients."""
    average.lerp_(gradient, 1 - momentum)
    update = orthonormalized(gradient.lerp(average, momentum).flatten(1))
    weight.mul_(1 - lr * weight_decay)
    weight.add_(update.view_as(weight), alpha=-lr * ADAMW_SIZE * max(update.shape) ** 0.5)


def orthonormalized(matrix: Tensor) -> Tensor:
    """Nearly the closest matrix with orthonormal rows (columns if there are fewer): singular values of 0.7 to 1.2."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
