"""Muon against PyTorch's own, and on matrices whose answer is known."""

import copy

import pytest
import torch

from pedseg.learning import network
from pedseg.learning.muon import Muon, muon_adamw, orthonormalized


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (1, 5)])
def test_singular_values_become_nearly_one_and_directions_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthonormalized(matrix) @ v.T  # the singular values, in the matrix's own directions
    assert torch.allclose(inner, torch.diag(inner.diagonal()), atol=1e-9)
    assert inner.diagonal().min() > 0.6
    assert inner.diagonal().max() < 1.25


def test_nothing_to_learn_moves_nothing():
    assert torch.equal(orthonormalized(torch.zeros(3, 4)), torch.zeros(3, 4))
    weight = torch.nn.Parameter(torch.ones(2, 3))
    Muon([weight]).step()  # no gradient
    assert torch.equal(weight, torch.ones(2, 3))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has Muon since 2.9")
@pytest.mark.parametrize("shape", [(16, 19, 3, 3, 3), (64, 32, 2, 2, 2), (32, 8)])
def test_updates_equal_those_of_pytorch(shape):
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(shape))
    matrix = torch.nn.Parameter(weight.detach().flatten(1).clone())
    ours = Muon([weight], lr=0.02, weight_decay=0.1, momentum=0.9)
    theirs = torch.optim.Muon([matrix], lr=0.02, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        before = matrix.detach().clone()
        weight.grad = torch.randn(shape)
        matrix.grad = weight.grad.flatten(1).clone()
        ours.step()
        theirs.step()
        error = (weight.detach().flatten(1) - matrix.detach()).norm() / (matrix.detach() - before).norm()
        assert error < 0.05  # theirs computes in bfloat16: three significant digits, five iterations


def test_convolutions_get_muon_and_the_others_adamw(plan):
    net = network.build(plan, 0)
    muon, adamw = muon_adamw(net, lr=1e-2, weight_decay=1e-2)
    shapes = [[weight.ndim for group in each.param_groups for weight in group["params"]] for each in (muon, adamw)]
    assert set(shapes[0]) == {5}
    assert set(shapes[1]) == {1, 2}
    assert sum(map(len, shapes)) == len(list(net.parameters()))


def test_a_small_regression_is_learned():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(4, 1, 3, padding=1))
    x = torch.randn(4, 1, 6, 6, 6)
    target = copy.deepcopy(net)(x).detach().roll(1, 2)
    losses = []
    optimizers = muon_adamw(net, lr=1e-2, weight_decay=0.0)
    for _ in range(60):
        loss = (net(x) - target).square().mean()
        net.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
