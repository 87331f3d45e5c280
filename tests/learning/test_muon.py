"""Muon against PyTorch's own, and on matrices whose answer is known."""

import copy
import subprocess
import sys

import pytest
import torch

from pedseg.learning import network
from pedseg.learning.muon import MuonAdamW, orthonormalized


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (1, 5)])
def test_singular_values_become_nearly_one_and_directions_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthonormalized(matrix) @ v.T  # the singular values, in the matrix's own directions
    assert torch.allclose(inner, torch.diag(inner.diagonal()), atol=1e-9)
    assert inner.diagonal().min() > 0.6
    assert inner.diagonal().max() < 1.25


class Weights(torch.nn.Module):
    """A network of one parameter for each shape."""

    def __init__(self, *shapes):
        super().__init__()
        self.weights = torch.nn.ParameterList([torch.randn(shape) for shape in shapes])


def test_nothing_to_learn_moves_nothing():
    assert torch.equal(orthonormalized(torch.zeros(3, 4)), torch.zeros(3, 4))
    net = Weights((2, 3, 1, 1, 1), (4,))
    before = [weight.detach().clone() for weight in net.parameters()]
    MuonAdamW(net, lr=1.0, weight_decay=0.5).step()  # no gradient
    assert all(torch.equal(*pair) for pair in zip(before, net.parameters(), strict=True))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has Muon since 2.9")
@pytest.mark.parametrize("shape", [(16, 19, 3, 3, 3), (64, 32, 2, 2, 2), (32, 8, 1, 1, 1)])
def test_updates_of_convolutions_equal_those_of_pytorchs_muon(shape):
    torch.manual_seed(0)
    net = Weights(shape)
    (weight,) = net.parameters()
    matrix = torch.nn.Parameter(weight.detach().flatten(1).clone())
    ours = MuonAdamW(net, lr=0.02, weight_decay=0.1, momentum=0.9)
    theirs = torch.optim.Muon([matrix], lr=0.02, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        before = matrix.detach().clone()
        weight.grad = torch.randn(shape)
        matrix.grad = weight.grad.flatten(1).clone()
        ours.step()
        theirs.step()
        error = (weight.detach().flatten(1) - matrix.detach()).norm() / (matrix.detach() - before).norm()
        assert error < 0.05  # theirs computes in bfloat16: three significant digits, five iterations


def test_updates_of_other_parameters_are_pytorchs_adamw_to_the_last_bit():
    torch.manual_seed(0)
    net = Weights((5,), (7, 3), (2,))
    twin = copy.deepcopy(net)
    ours = MuonAdamW(net, lr=0.02, weight_decay=0.1)
    theirs = torch.optim.AdamW(twin.parameters(), lr=0.02, weight_decay=0.1)
    for number in range(5):
        for place, (mine, other) in enumerate(zip(net.parameters(), twin.parameters(), strict=True)):
            mine.grad = torch.randn(mine.shape) if place < 2 or number % 2 else None
            other.grad = mine.grad
        for optimizer in (ours, theirs):
            optimizer.param_groups[0]["lr"] = 0.02 / (number + 1)
            optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(net.parameters(), twin.parameters(), strict=True))


def test_a_convolutional_network_has_both(plan):
    optimizer = MuonAdamW(network.build(plan, 0), lr=1e-2, weight_decay=1e-2)
    assert {weight.ndim for weight in optimizer.convolutions} == {5}
    assert {weight.ndim for weight in optimizer.others} == {1, 2}


def test_training_does_not_load_pytorchs_compiler():
    code = """
import sys, torch
from pedseg.learning.muon import MuonAdamW
net = torch.nn.Conv3d(1, 1, 3)
net(torch.ones(1, 1, 3, 3, 3)).sum().backward()
MuonAdamW(net, lr=1.0, weight_decay=0.0).step()
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_small_regression_is_learned():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(4, 1, 3, padding=1))
    x = torch.randn(4, 1, 6, 6, 6)
    target = copy.deepcopy(net)(x).detach().roll(1, 2)
    losses = []
    optimizer = MuonAdamW(net, lr=1e-2, weight_decay=0.0)
    for _ in range(60):
        loss = (net(x) - target).square().mean()
        net.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
