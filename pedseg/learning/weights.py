"""Weights of a network (state dict) as NumPy arrays, their digest, and the safetensors files that keep them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pedseg.errors import input_error
from pedseg.files import write_atomically
from pedseg.learning.devices import fastest_device
from pedseg.learning.network import build
from pedseg.learning.plans import Plan

Weights = dict[str, NDArray]


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a state dict that are learned or measured; whole numbers in it are counters and indices."""
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def get_weights(network: nn.Module) -> Weights:
    """The network's weights by name, as float32 arrays of their own."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in weights_of(network).items()}


def set_weights(network: nn.Module, weights: Mapping[str, NDArray]) -> None:
    """Load weights by name; every name and shape must fit."""
    counters = {name: tensor for name, tensor in network.state_dict().items() if not tensor.is_floating_point()}
    network.load_state_dict(counters | {name: torch.from_numpy(np.array(array)) for name, array in weights.items()})


def sha256_of(weights: Mapping[str, NDArray]) -> str:
    """The SHA-256 digest of weights, over names, shapes and bytes in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def save_weights(file: Path, weights: Mapping[str, NDArray], plan: Plan, **metadata: str | int | float) -> None:
    """Write weights with their plan as one safetensors file, whole or not at all.

    `metadata` says which model it is: `model` (local, federated, …), `trained_on` (centers, joined by `+`) and `seed`.
    """
    text = {"plan": plan.to_json(), **{key: str(value) for key, value in metadata.items()}}
    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    write_atomically(Path(file), safetensors.numpy.save(arrays, metadata=text))


def load_network(file: Path) -> tuple[nn.Module, Plan]:
    """The network of a file of weights, on the fastest device, and its plan."""
    weights, plan, _ = load_weights(file)
    network = build(plan).to(fastest_device())
    set_weights(network, weights)
    return network, plan


def load_weights(file: Path) -> tuple[Weights, Plan, dict[str, str]]:
    """Read what `save_weights` wrote: weights, plan and metadata (`model`, `trained_on`, `seed`, …). Never a pickle."""
    try:
        with safetensors.safe_open(file, framework="numpy") as stream:
            metadata = dict(stream.metadata() or {})
            weights = {name: stream.get_tensor(name) for name in stream.keys()}
        return weights, Plan.from_json(metadata.pop("plan")), metadata
    except FileNotFoundError as error:
        problem, remedy = "there is no such file of weights.", "Check the name and the folder."
        raise input_error("E-FILE-MISSING", file, problem, remedy) from error
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        problem = f"this is no file of pedseg weights ({error})."
        raise input_error("E-WEIGHTS", file, problem, "Give a .safetensors file that pedseg wrote.") from error
