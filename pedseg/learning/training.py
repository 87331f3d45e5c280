"""How one hospital trains a network and keeps its weights.

The `lesson` profile trains a whole body crop a step with AdamW and a one-cycle learning rate;
`clinic` follows nnU-Net: patches, SGD with Nesterov momentum 0.99, polynomial learning rate,
deep supervision. The learning rate depends on the step's number in the whole run, so a
federation that trains in rounds follows one schedule; momentum starts anew with each call.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.errors import input_error
from pedseg.files import write_atomically
from pedseg.learning.augmentation import augment, rotated
from pedseg.learning.devices import device_of, fastest_device, has_bfloat16, use_threads
from pedseg.learning.loss import dice_cross_entropy
from pedseg.learning.network import Weights, build, set_weights, space_to_depth
from pedseg.learning.plans import Plan
from pedseg.learning.preprocessing import Prepared, prepare

LESSON_RATE = 1e-2
CLINIC_RATE = 1e-2
WARM_UP = 0.1  # share of the steps in which the lesson's learning rate rises
GENTLE_STEPS = 10  # of each call: a new optimizer knows no gradient yet, and its first steps would be wild
GRADIENT_NORM = 5.0
DICE_WEIGHT = 2.0  # of the lesson's loss beside cross entropy: better than 1 on the validation patients


@dataclass(frozen=True)
class Step:
    """One finished training step: its number in the whole run (from 1) and its loss."""

    number: int
    loss: float


def load_cases(dataset: DataSet, cases: Sequence[Case], plan: Plan) -> list[Prepared]:
    """Read and prepare cases with their labels; what was prepared once in this process is reused."""
    return [_load_case(dataset, case, plan) for case in cases]


def _load_case(dataset: DataSet, case: Case, plan: Plan) -> Prepared:
    key = (str(case.image_file.resolve()), case.image_file.stat().st_mtime_ns, replace(plan, gin=0.0).to_json())
    if key not in _PREPARED:
        labels = load_labels(dataset, case)
        _PREPARED[key] = prepare(load_image(case), plan, labels, annotated=case.annotated, name=case.name)
        if len(_PREPARED) > CACHED_CASES:
            _PREPARED.pop(next(iter(list(_PREPARED))), None)
    return _PREPARED[key]


CACHED_CASES = 256
_PREPARED: dict[tuple, Prepared] = {}


def train(
    network: nn.Module,
    prepared: Sequence[Prepared],
    plan: Plan,
    *,
    steps: int,
    total_steps: int,
    first_step: int = 0,
    seed: int = 0,
) -> Iterator[Step]:
    """Train `network` in place on prepared cases, one `Step` at a time.

    Steps `first_step + 1` to `first_step + steps` of a run of `total_steps`. The order of the
    cases and the augmentation follow from (seed, step), so the same call gives the same weights.
    Raises `PedsegInputError` if there is no case, or if the loss stops being a number.
    """
    if not prepared:
        raise input_error(
            "E-NO-CASES", plan.profile, "there is no training case.", "Give the center at least one labeled case."
        )
    use_threads(plan)
    device = device_of(network)
    optimizer = _optimizer(network, plan)
    network.train()
    for number in range(first_step + 1, first_step + steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(plan, number, total_steps) * _gentle(plan, number - first_step)
        image, labels, unknown = _batch(prepared, plan, number, seed, device)
        loss = _loss(network, image, labels, unknown, DICE_WEIGHT if plan.profile == "lesson" else 1.0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM if plan.profile == "lesson" else 12.0)
        optimizer.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise input_error(
                "E-DIVERGED",
                plan.profile,
                f"the loss is {value} at step {number}.",
                "Check the images, or lower the learning rate.",
            )
        yield Step(number, value)


def _gentle(plan: Plan, step: int) -> float:
    """How much of the learning rate the lesson takes at a step of a call, from 1: AdamW starts anew in each round."""
    return min(1.0, step / GENTLE_STEPS) if plan.profile == "lesson" else 1.0


def _optimizer(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    if plan.profile == "lesson":
        return torch.optim.AdamW(network.parameters(), lr=LESSON_RATE, weight_decay=1e-2, foreach=True)
    return torch.optim.SGD(network.parameters(), lr=CLINIC_RATE, momentum=0.99, nesterov=True, weight_decay=3e-5)


def learning_rate(plan: Plan, number: int, total_steps: int) -> float:
    """The learning rate of a step: one cycle (rise, then cosine) for the lesson, nnU-Net's power 0.9 for the clinic."""
    progress = min(1.0, (number - 1) / max(1, total_steps))
    if plan.profile != "lesson":
        return CLINIC_RATE * (1 - progress) ** 0.9
    if progress < WARM_UP:
        return LESSON_RATE * (0.04 + 0.96 * progress / WARM_UP)
    return LESSON_RATE * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))))


def _batch(
    prepared: Sequence[Prepared], plan: Plan, number: int, seed: int, device: torch.device
) -> tuple[Tensor, Tensor, list[tuple[int, ...]]]:
    """The cases of one step: images (batch, 1, x, y, z), labels (batch, x, y, z), unknown channels per case."""
    size = max(plan.batch, 1 if has_bfloat16(device) else 2)  # float32 with batch 1 leaves oneDNN's fast path
    pairs, seeds, unknown = [], [], []
    for place in range((number - 1) * size, number * size):
        epoch, index = divmod(place, len(prepared))
        case = prepared[np.random.default_rng((seed, epoch)).permutation(len(prepared))[index]]
        rng = np.random.default_rng((seed, number, place))
        if plan.profile == "lesson" and plan.orientation == "augment":
            case = rotated(case, plan, rng)
        pairs.append(_cut(case, plan, rng))
        seeds.append(int(rng.integers(2**31)))
        unknown.append(case.unknown)
    common = plan.patch if plan.profile != "lesson" else tuple(np.max([image.shape for image, _ in pairs], axis=0))
    pairs = [
        augment(*_pad(*pair, common, plan.intensity), plan, seed=own) for pair, own in zip(pairs, seeds, strict=True)
    ]
    images = torch.from_numpy(np.stack([image for image, _ in pairs]))[:, None].to(device)
    return images, torch.from_numpy(np.stack([labels for _, labels in pairs])).to(device).long(), unknown


def _cut(case: Prepared, plan: Plan, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """A case's image and labels; a random patch of them where the plan does not take the case as a whole."""
    assert case.labels is not None
    image, labels = case.image, case.labels
    if plan.takes_whole(image.shape):
        return image, labels
    focus = _focus(labels, rng) if plan.profile != "lesson" else None
    for axis, size in enumerate(plan.patch):
        spare = image.shape[axis] - size
        if spare > 0:
            low = int(rng.integers(spare + 1)) if focus is None else int(np.clip(focus[axis] - size // 2, 0, spare))
            part = tuple(slice(low, low + size) if a == axis else slice(None) for a in range(3))
            image, labels = image[part], labels[part]
    return image, labels


def _pad(image: NDArray, labels: NDArray, shape: tuple[int, ...], intensity: str = "hu") -> tuple[NDArray, NDArray]:
    """Image and labels with air on all sides up to a shape (x, y, z)."""
    spare = [size - have for size, have in zip(shape, image.shape, strict=True)]
    if not any(spare):
        return image, labels
    padding = [(extra // 2, extra - extra // 2) for extra in spare]
    air = 0.0 if intensity == "body" else image.min()
    return np.pad(image, padding, constant_values=air), np.pad(labels, padding)


def _focus(labels: NDArray, rng: np.random.Generator) -> NDArray | None:
    """For one patch in three, a voxel of a random organ to center it on (nnU-Net's foreground oversampling)."""
    present = np.unique(labels)
    present = present[present > 0]
    if rng.random() > 1 / 3 or len(present) == 0:
        return None
    places = np.argwhere(labels == rng.choice(present))
    return places[rng.integers(len(places))]


def _loss(
    network: nn.Module, image: Tensor, labels: Tensor, unknown: Sequence[tuple[int, ...]], dice_weight: float
) -> Tensor:
    with torch.autocast(image.device.type, torch.bfloat16, enabled=has_bfloat16(image.device)):
        logits = network(image)
    if logits.ndim == 6 and hasattr(network, "deep_supervision"):  # (batch, heads, classes, x, y, z)
        weights = [0.5**head for head in range(logits.shape[1])]
        losses = [
            dice_cross_entropy(logits[:, h], labels, unknown, dice_weight=dice_weight) for h in range(logits.shape[1])
        ]
        return sum((w * loss for w, loss in zip(weights, losses, strict=True)), torch.zeros(())) / sum(weights)
    if logits.ndim == 6:  # folded: (batch, classes, 8, x/2, y/2, z/2)
        labels = space_to_depth(labels[:, None])[:, 0]
    return dice_cross_entropy(logits, labels, unknown, dice_weight=dice_weight)


def save_weights(file: Path, weights: Mapping[str, NDArray], plan: Plan, **metadata: str | int | float) -> None:
    """Write weights and their plan as one safetensors file, whole or not at all."""
    text = {"plan": plan.to_json(), **{key: str(value) for key, value in metadata.items()}}
    write_atomically(
        Path(file), safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in weights.items()}, metadata=text)
    )


def load_network(file: Path) -> tuple[nn.Module, Plan]:
    """The network of a file of weights, where it computes fastest, and its plan."""
    weights, plan, _ = load_weights(file)
    network = build(plan).to(fastest_device())
    set_weights(network, weights)
    return network, plan


def load_weights(file: Path) -> tuple[Weights, Plan, dict[str, str]]:
    """Read what `save_weights` wrote: weights, plan and the other metadata. No pickle is ever loaded."""
    try:
        with safetensors.safe_open(file, framework="numpy") as stream:
            metadata = dict(stream.metadata() or {})
            weights = {name: stream.get_tensor(name) for name in stream.keys()}
        return weights, Plan.from_json(metadata.pop("plan")), metadata
    except FileNotFoundError as error:
        raise input_error(
            "E-FILE-MISSING", file, "there is no such file of weights.", "Check the name and the folder."
        ) from error
    except (safetensors.SafetensorError, KeyError, json.JSONDecodeError, TypeError) as error:
        raise input_error(
            "E-WEIGHTS",
            file,
            f"this is no file of pedseg weights ({error}).",
            "Give a .safetensors file that pedseg wrote.",
        ) from error
