"""How one hospital trains a network on its cases.

What the optimizer, schedule, loss and patches are says the plan's recipe (`recipe`). The learning rate depends on the
step's number in the whole run, so a federation that trains in rounds follows one schedule; the optimizer's moments
start anew with each call, and after `Recipe.restart_steps`.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pedseg import memory
from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.errors import input_error
from pedseg.learning.augmentation import augment, random_axial_rotation
from pedseg.learning.compact_unet import space_to_depth
from pedseg.learning.devices import device_of, fastest_device, flushed_denormals, has_bfloat16, use_threads
from pedseg.learning.loss import dice_cross_entropy
from pedseg.learning.muon import MuonAdamW
from pedseg.learning.network import build
from pedseg.learning.plans import Plan
from pedseg.learning.preprocessing import Prepared, prepare
from pedseg.learning.recipe import Recipe

Optimizer = MuonAdamW | torch.optim.Optimizer


@dataclass(frozen=True)
class Step:
    """One finished training step: its number in the whole run (from 1) and its loss."""

    number: int
    loss: float


def load_cases(dataset: DataSet, cases: Sequence[Case], plan: Plan) -> list[Prepared]:
    """Read and preprocess cases with their labels; what was preprocessed once in this process is reused."""
    return [_load_case(dataset, case, plan) for case in cases]


MAX_CACHED_CASES = 256
_CACHE: dict[tuple, Prepared] = {}


def _load_case(dataset: DataSet, case: Case, plan: Plan) -> Prepared:
    key = (*dataset.state_of(case), replace(plan, gin_probability=0.0).to_json())
    if key not in _CACHE:
        labels = load_labels(dataset, case)
        _CACHE[key] = prepare(load_image(case), plan, labels, annotated=case.annotated, name=case.name)
        if len(_CACHE) > MAX_CACHED_CASES:
            _CACHE.pop(next(iter(list(_CACHE))), None)
    return _CACHE[key]


def train(
    network: nn.Module, prepared: Sequence[Prepared], plan: Plan, *, steps: int, total_steps: int, first_step: int = 0,
    seed: int = 0, proximal_mu: float = 0.0, shift: Mapping[str, NDArray] = MappingProxyType({}),
) -> Iterator[Step]:  # fmt: skip
    """Train `network` in place on preprocessed cases by the plan's recipe, one `Step` at a time.

    Steps `first_step + 1` to `first_step + steps` of a run of `total_steps`. The order of the
    cases and the augmentation follow from (seed, step), so the same call gives the same weights. `proximal_mu` holds
    the weights at those that the network comes with (FedProx; Li et al. 2020); the losses told are without that term.
    `shift` is added to the weights by name over all these steps, to each in proportion to its learning rate.
    Raises `PedsegInputError` if there is no case, or if the loss stops being a number.
    """
    if not prepared:
        remedy = "Give the center at least one labeled case."
        raise input_error("E-NO-CASES", plan.profile, "there is no training case.", remedy)
    recipe, device = plan.recipe, device_of(network)
    use_threads(recipe.threads)
    network.train()
    whole = sum_of_rates(plan, first_step, steps, total_steps)
    start = [parameter.detach().clone() for parameter in network.parameters()] if proximal_mu else []
    for number in range(first_step + 1, first_step + steps + 1):
        if (number - first_step - 1) % recipe.restart_steps == 0:
            optimizer = _optimizer(network, recipe)
        rate = learning_rate(plan, number, total_steps)
        _set_learning_rate(optimizer, rate)
        with flushed_denormals():
            loss = _loss(network, *_batch(prepared, plan, number, seed, device), recipe.dice_weight)
            _update(network, _held(loss, network, start, proximal_mu), optimizer, recipe.max_gradient_norm)
            _add(network, shift, rate / whole)
            value = float(loss.detach())
        if not math.isfinite(value):
            problem = f"the loss is {value} at step {number}."
            raise input_error("E-DIVERGED", plan.profile, problem, "Check the images, or lower the learning rate.")
        yield Step(number, value)


def seconds_a_step(plan: Plan, prepared: Sequence[Prepared]) -> float:
    """What a training step takes on this machine: the shortest of three on these cases, with a network of its own."""
    times = [time.perf_counter()]
    for _ in train(build(plan).to(fastest_device()), prepared, plan, steps=3, total_steps=3):
        times.append(time.perf_counter())
    memory.release_memory()
    return min(after - before for before, after in itertools.pairwise(times))


def _update(network: nn.Module, loss: Tensor, optimizer: Optimizer, max_gradient_norm: float) -> None:
    """Change the weights by the gradient of the loss."""
    network.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), max_gradient_norm)
    optimizer.step()


def _held(loss: Tensor, network: nn.Module, start: Sequence[Tensor], proximal_mu: float) -> Tensor:
    """The loss plus FedProx's term: half of `proximal_mu` times the squared distance of all weights from the start."""
    for now, then in zip(network.parameters(), start, strict=bool(proximal_mu)):
        loss = loss + proximal_mu / 2 * ((now - then) ** 2).sum()
    return loss


@torch.no_grad()
def _add(network: nn.Module, shift: Mapping[str, NDArray], share: float) -> None:
    """Add a share of a displacement to the weights."""
    for name, parameter in network.named_parameters() if shift else ():
        parameter.add_(torch.from_numpy(shift[name]).to(parameter.device), alpha=share)


def sum_of_rates(plan: Plan, first_step: int, steps: int, total_steps: int) -> float:
    """The learning rates of some steps of a run, added up: how far they can go."""
    return sum(learning_rate(plan, number, total_steps) for number in range(first_step + 1, first_step + steps + 1))


def _optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    lr, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "muon":
        return MuonAdamW(network, lr=lr, weight_decay=decay)
    return torch.optim.SGD(network.parameters(), lr=lr, momentum=0.99, nesterov=True, weight_decay=decay)


def _set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def learning_rate(plan: Plan, number: int, total_steps: int) -> float:
    """The scheduled learning rate of a step (from 1): one cycle (linear rise, cosine fall) or nnU-Net's power 0.9."""
    recipe, progress = plan.recipe, min(1.0, (number - 1) / max(1, total_steps))
    if recipe.schedule == "polynomial":
        return recipe.learning_rate * (1 - progress) ** 0.9
    if progress < recipe.warm_up:
        return recipe.learning_rate * (0.04 + 0.96 * progress / recipe.warm_up)
    phase = math.pi * (progress - recipe.warm_up) / (1 - recipe.warm_up)
    return recipe.learning_rate * (0.001 + 0.999 * 0.5 * (1 + math.cos(phase)))


def _batch(
    prepared: Sequence[Prepared], plan: Plan, number: int, seed: int, device: torch.device
) -> tuple[Tensor, Tensor, list[tuple[int, ...]]]:
    """The cases of one step: images (batch, 1, x, y, z), labels (batch, x, y, z), unknown channels per case."""
    recipe, size = plan.recipe, plan.batch
    pairs, seeds, unknown = [], [], []
    for place in range((number - 1) * size, number * size):
        epoch, index = divmod(place, len(prepared))
        case = prepared[np.random.default_rng((seed, epoch)).permutation(len(prepared))[index]]
        rng = np.random.default_rng((seed, number, place))
        if recipe.augmentation == "rotation" and plan.orientation == "augment":
            case = random_axial_rotation(case, plan, rng)
        pairs.append(_crop(case, plan, rng))
        seeds.append(int(rng.integers(2**31)))
        unknown.append(case.unknown)
    largest = tuple(np.max([image.shape for image, _ in pairs], axis=0))
    shape = largest if recipe.whole_volume_patches else plan.patch
    pairs = [augment(*_pad(*pair, shape, plan), plan, seed=own) for pair, own in zip(pairs, seeds, strict=True)]
    images = torch.from_numpy(np.stack([image for image, _ in pairs]))[:, None].to(device)
    return images, torch.from_numpy(np.stack([labels for _, labels in pairs])).to(device).long(), unknown


def _crop(case: Prepared, plan: Plan, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """A case's image and labels: the whole volume where the plan says so, else a random patch of them."""
    assert case.labels is not None
    image, labels = case.image, case.labels
    if plan.uses_whole_volume(image.shape):
        return image, labels
    center = _foreground_voxel(labels, plan.recipe.foreground_oversampling, rng)
    for axis, size in enumerate(plan.patch):
        spare = image.shape[axis] - size
        if spare > 0:
            low = int(rng.integers(spare + 1)) if center is None else int(np.clip(center[axis] - size // 2, 0, spare))
            part = tuple(slice(low, low + size) if a == axis else slice(None) for a in range(3))
            image, labels = image[part], labels[part]
    return image, labels


def _foreground_voxel(labels: NDArray, share: float, rng: np.random.Generator) -> NDArray | None:
    """A voxel of a random organ to center this share of the patches on: nnU-Net's foreground oversampling."""
    if not share:
        return None  # without a random draw
    present = np.unique(labels)
    present = present[present > 0]
    if rng.random() > share or len(present) == 0:
        return None
    voxels = np.argwhere(labels == rng.choice(present))
    return voxels[rng.integers(len(voxels))]


def _pad(image: NDArray, labels: NDArray, shape: tuple[int, ...], plan: Plan) -> tuple[NDArray, NDArray]:
    """Image and labels with air on all sides up to a shape (x, y, z)."""
    spare = [size - have for size, have in zip(shape, image.shape, strict=True)]
    if not any(spare):
        return image, labels
    padding = [(extra // 2, extra - extra // 2) for extra in spare]
    air = 0.0 if plan.intensity == "body" else image.min()
    return np.pad(image, padding, constant_values=air), np.pad(labels, padding)


def _loss(
    network: nn.Module, image: Tensor, labels: Tensor, unknown: Sequence[tuple[int, ...]], dice_weight: float
) -> Tensor:
    """Dice and cross entropy of a batch, on the network's own output grid; with deep supervision the weighted mean."""
    with torch.autocast(image.device.type, torch.bfloat16, enabled=has_bfloat16(image.device)):
        logits = network(image)
    if logits.ndim == 6 and hasattr(network, "deep_supervision"):  # (batch, heads, classes, x, y, z)
        heads = logits.unbind(dim=1)
        weights = [0.5**head for head in range(len(heads))]
        losses = [dice_cross_entropy(head, labels, unknown, dice_weight=dice_weight) for head in heads]
        return sum((w * loss for w, loss in zip(weights, losses, strict=True)), torch.zeros(())) / sum(weights)
    inplace = logits.ndim == 6  # space to depth: (batch, classes, 8, x/2, y/2, z/2)
    if inplace:
        labels = space_to_depth(labels[:, None])[:, 0]
    return dice_cross_entropy(logits, labels, unknown, dice_weight=dice_weight, inplace=inplace)
