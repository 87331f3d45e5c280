"""Exercises of the chapter "One hospital learns alone"."""

from __future__ import annotations

import math
from itertools import pairwise

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise

# torch is imported where it is needed: the exercises of all chapters are read at once.


def fit(network, batches, epochs, learning_rate):
    """Train a network in place by stochastic gradient descent; the mean cross-entropy of each epoch."""
    return _fit(network, batches, epochs, learning_rate)


def _fit(network, batches, epochs, learning_rate, *, zero=True, mode=True, total=False, graph=False, reverse=False):
    """The training loop, and with its options the usual slips."""
    import torch

    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    network.train(mode)
    losses = []
    for _ in range(epochs):
        seen = []
        for images, labels in reversed(batches) if reverse else batches:
            if zero:
                optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()
            seen.append(loss if graph else loss.item())
        losses.append(sum(seen) / (1 if total else len(seen)))
    return losses


def _fit_without_steps(network, batches, epochs, learning_rate):
    return _fit(network, batches, epochs, 0.0)


def _fit_one_epoch(network, batches, epochs, learning_rate):
    return _fit(network, batches, 1, learning_rate) * epochs


def _last_loss(network, batches, epochs, learning_rate):
    losses = []
    for _ in range(epochs):
        losses += [_fit(network, [batch], 1, learning_rate)[0] for batch in batches][-1:]
    return losses


def _network(seed=None):
    """A linear network of two inputs and two classes; without a seed all weights are zero."""
    import torch

    network = torch.nn.Linear(2, 2, bias=False)
    chance = torch.zeros(2, 2) if seed is None else torch.randn(2, 2, generator=torch.Generator().manual_seed(seed))
    network.load_state_dict({"weight": chance})
    return network


def _batches(count, seed=0):
    """Batches of five points; class 1 lies at the right."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    points = [torch.randn(5, 2, generator=generator) for _ in range(count)]
    return [(p, (p[:, 0] > 0).long()) for p in points]


def _one_point():
    import torch

    return [(torch.tensor([[1.0, 2.0]]), torch.tensor([0]))]


def _weights_after(fit, network, *given):
    fit(network, *given)
    return network.weight


def _with_dropout():
    import torch

    network = torch.nn.Sequential(_network(1), torch.nn.Dropout(0.5))
    return network.eval(), _batches(1), 1, 0.1


def _mode_after(fit, network, *given):
    fit(network, *given)
    return network.training


EXERCISES = {
    "fit": FunctionExercise(
        reference=fit,
        in_place=True,
        checks=[
            Check(
                "the weights after one step at the point (1, 2) of class 0, from zero weights, at a rate of 0.1",
                lambda: (_network(), _one_point(), 1, 0.1),
                [[0.05, 0.1], [-0.05, -0.1]],
                measure=_weights_after,
            ),
            Check(
                "the loss of that step",
                lambda: (_network(), _one_point(), 1, 0.1),
                [math.log(2)],
                "[0.6931], the logarithm of 2: the network knew nothing",
            ),
            Check(
                "the weights after three batches",
                lambda: (_network(1), _batches(3), 1, 0.5),
                lambda *given: _weights_after(fit, *given),
                "those of one step per batch, each with the gradient of its own batch",
                _weights_after,
            ),
            Check(
                "the losses of four epochs of three batches",
                lambda: (_network(1), _batches(3), 4, 0.5),
                lambda *given: fit(*given),
                "the mean over the batches, epoch by epoch",
            ),
            Check(
                "ten epochs: how often the loss falls from one to the next",
                lambda: (_network(2), _batches(2), 10, 0.1),
                9,
                "9, each time",
                lambda fit, *given: sum(later < sooner for sooner, later in pairwise(fit(*given))),
            ),
            Check(
                "the kind of the losses",
                lambda: (_network(1), _batches(2), 2, 0.1),
                [True, True],
                "plain numbers: a tensor keeps the whole graph of its step in memory",
                lambda fit, *given: [isinstance(loss, float) for loss in fit(*given)],
            ),
            Check(
                "a network in evaluation mode: whether dropout is on afterward",
                _with_dropout,
                True,
                "True: training switches it on with `network.train()`",
                _mode_after,
            ),
        ],
        hints=[
            "`torch.optim.SGD(network.parameters(), lr=learning_rate)` makes the steps; "
            "`torch.nn.functional.cross_entropy(network(images), labels)` is the loss.",
            "For each batch: `optimizer.zero_grad()`, the loss, `loss.backward()`, `optimizer.step()`.",
            "`loss.item()` is a plain number; collect one for each batch and return their mean for each epoch.",
        ],
        slips={
            "The gradients of earlier batches add up: call `optimizer.zero_grad()`.": lambda *given: _fit(
                *given, zero=False
            ),
            "No weight has changed: `optimizer.step()` is missing.": _fit_without_steps,
            "These are sums over the batches; the mean was asked for.": lambda *given: _fit(*given, total=True),
            "Use `loss.item()`: a tensor keeps its graph.": lambda *given: _fit(*given, graph=True),
            "Call `network.train()` before the first step.": lambda *given: _fit(*given, mode=False),
            "Take the batches in the order in which they come.": lambda *given: _fit(*given, reverse=True),
            "Every epoch must go through all batches again.": _fit_one_epoch,
            "This is the loss of the last batch of each epoch, not the mean.": _last_loss,
        },
    ),
    "drop": Exercise(
        answer=lambda home, away: home - away,
        hint="Home minus away, so that a loss is a positive number.",
        mistakes={"Swap the sign: home minus away.": lambda home, away: away - home},
    ),
}
