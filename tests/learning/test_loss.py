"""The loss: MONAI is its twin where all is annotated, autograd where something is not."""

import pytest
import torch
from monai.losses import DiceCELoss

from pedseg.learning.loss import dice_cross_entropy


def cube(seed=0, classes=6):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 5, 4, 3, generator=generator, requires_grad=True)
    labels = torch.randint(0, classes, (2, 5, 4, 3), generator=generator)
    labels[labels == 3] = 0
    return logits, labels


def by_autograd(logits, labels, hidden):
    losses = []
    for case, truth in zip(logits, labels, strict=True):
        p, truth = torch.softmax(case.flatten(1), 0), truth.flatten()
        behind = p[[0, *hidden]].sum(0)
        p_true = torch.where(truth == 0, behind, p.gather(0, truth[None])[0])
        dice = [
            (2 * (p[c] * (truth == c)).sum() + 1e-5) / (p[c].sum() + (truth == c).sum() + 1e-5)
            for c in range(1, len(p))
            if c not in hidden
        ]
        losses.append(-p_true.log().mean() + (1 - torch.stack(dice)).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_equals_monai_in_value_and_gradient(weight):
    logits, labels = cube()
    smooth = {"smooth_nr": 1e-5, "smooth_dr": 1e-5}
    twin = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, lambda_dice=weight, **smooth)
    theirs = twin(logits, labels[:, None])
    ours = dice_cross_entropy(logits, labels, [(), ()], dice_weight=weight)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits))


@pytest.mark.parametrize("hidden", [(), (3,), (1, 3, 5)])
def test_gradient_equals_autograd_with_organs_nobody_drew(hidden):
    logits, labels = cube(1)
    for channel in hidden:
        labels[labels == channel] = 0
    theirs, ours = by_autograd(logits, labels, hidden), dice_cross_entropy(logits, labels, [hidden, hidden])
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits))


def test_bfloat16_changes_the_gradient_by_its_rounding_only():
    logits, labels = cube(2)
    coarse = logits.detach().bfloat16().requires_grad_()
    fine = coarse.detach().float().requires_grad_()
    theirs, ours = (dice_cross_entropy(scores, labels, [(), ()]) for scores in (fine, coarse))
    torch.testing.assert_close(ours, theirs)
    exact, rounded = torch.autograd.grad(theirs, fine)[0], torch.autograd.grad(ours, coarse)[0].float()
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=2e-4)


def test_an_organ_nobody_drew_may_be_predicted_in_the_background_at_no_cost():
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    logits = torch.zeros(1, 3, 2, 2, 2)
    logits[:, 2] = 20.0  # sure of channel 2 everywhere
    unknown = dice_cross_entropy(logits, labels, [(1, 2)])
    annotated = dice_cross_entropy(logits, labels, [()])
    assert unknown < 1e-5
    assert annotated > 10


def test_hand_computed():
    logits = torch.log(torch.tensor([[[[0.5, 0.25]], [[0.5, 0.75]]]]))  # p(organ) = 0.5 in voxel 1, 0.75 in voxel 2
    labels = torch.tensor([[[0, 1]]])
    cross_entropy = -(torch.log(torch.tensor(0.5)) + torch.log(torch.tensor(0.75))) / 2
    dice = 2 * 0.75 / (0.5 + 0.75 + 1)
    torch.testing.assert_close(dice_cross_entropy(logits, labels, [()]), cross_entropy + 1 - dice, rtol=1e-4, atol=1e-5)


def test_the_gradient_can_take_the_place_of_the_logits():
    """The value and the gradient are those of logits that stay, to the last bit."""
    logits, labels = cube()
    kept = dice_cross_entropy(logits, labels, [(), (2,)])
    (expected,) = torch.autograd.grad(kept, logits)
    passed_on = logits * 1.0  # as the output of a layer that does not look at it again
    value = dice_cross_entropy(passed_on, labels, [(), (2,)], inplace=True)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.equal(value, kept) and torch.equal(gradient, expected)
    assert not torch.equal(passed_on, logits)
