"""The network that a plan asks for, by its name: those of pedseg, and those of installed packages.

`compact` is the lesson's own (`compact_unet`), `dynunet` MONAI's DynUNet as nnU-Net plans it (Isensee et al. 2021).
In their place can be MONAI's `segresnet` (Myronenko 2018) and `swinunetr` (Hatamizadeh et al. 2022), or a network of
one's own: a package that names a function `(plan, **arguments) -> nn.Module` as an entry point of the group
`pedseg.networks`. Its input is (batch, 1, x, y, z), its output (batch, organs + 1, x, y, z). Name and arguments stand
in the plan, which travels; each center takes the function from what is installed there.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pedseg.errors import PedsegInputError, import_errors, input_error
from pedseg.learning.compact_unet import compact_unet
from pedseg.learning.plans import Plan

Network = nn.Module  # any network that `build` gives, for annotations in rooms without torch
GROUP = "pedseg.networks"  # of entry points
MULTIPLES = (8, 16, 32, 64)  # of voxels that a network may ask for along each side
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)  # batch, instance, group and layer norm
HEADS = ("head", "output_block", "deep_supervision_heads", "conv_final", "out")  # what gives the logits, by network
_generator_lock = threading.Lock()  # torch draws initial weights from one generator for all threads


def build(plan: Plan, seed: int = 0) -> nn.Module:
    """The plan's network with initial weights that depend on the seed alone.

    Input (batch, 1, x, y, z) normalized intensities. Output logits: `compact` gives
    (batch, organs + 1, 8, x/2, y/2, z/2), see `space_to_depth`; all others (batch, organs + 1, x, y, z), and `dynunet`
    in training mode (batch, heads, organs + 1, x, y, z). Raises `PedsegInputError` if no installed package has it.
    """
    make, arguments = builder(plan.network["kind"]), arguments_of(plan)
    with _generator_lock, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make(plan, **arguments)
    return Padded(network, plan) if "multiple" in plan.network else network


def arguments_of(plan: Plan) -> dict[str, Any]:
    """The arguments by name that the function of the plan's network gets."""
    return {name: value for name, value in plan.network.items() if name not in ("kind", "multiple")}


def builder(name: str) -> Callable[..., nn.Module]:
    """The function that makes the networks of this name; refused if there is none here, or if there are two."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    entries = entry_points(group=GROUP, name=name)
    if len(entries) == 1:
        (entry,) = entries
        with import_errors():
            return entry.load()
    if entries:
        problem = f"{len(entries)} installed packages bring a network of this name."
        raise input_error("E-NETWORK", name, problem, "Uninstall all but one.")
    known = sorted({*BUILT_IN, *entry_points(group=GROUP).names})
    remedy = f"Install the package that has it, the same at every center. Here are: {', '.join(known)}."
    raise input_error("E-NETWORK", name, "no installed package brings this network.", remedy)


def with_network(plan: Plan, name: str, arguments: str = "") -> Plan:
    """The plan with a network by its name, and a JSON object of `arguments`, in place of the profile's own.

    No name: as it is. How many voxels each side must be a multiple of is found by trying, without memory for them.
    """
    if not name:
        return plan
    if name in PROFILES_OWN or (name in BUILT_IN and entry_points(group=GROUP, name=name)):
        remedy = "Choose the profile, or give the network of your package another name."
        raise input_error("E-NETWORK", name, "this name is that of a network of pedseg.", remedy)
    problem = ""
    for multiple in MULTIPLES:
        chosen = replace(plan, network={"kind": name, **_read_arguments(arguments), "multiple": multiple})
        problem = _misfit(chosen, 3 * multiple)  # 3: a bottleneck of one voxel could not be normalized
        if not problem:
            return chosen
    remedy = "Correct the arguments (--network-arguments), or the package of the network."
    raise input_error("E-NETWORK", name, f"it cannot be used: {problem}.", remedy)


def _read_arguments(text: str) -> dict[str, Any]:
    """The arguments of a network: numbers, and lists of them, so that each center can bound them."""
    try:
        arguments = json.loads(text or "{}")
        if not isinstance(arguments, dict) or {"kind", "multiple"} & set(arguments):
            raise ValueError("no table of arguments")
        largest_of(arguments)
    except ValueError as error:
        remedy = """Give names and numbers, such as '{"init_filters": 8}'."""
        raise input_error("E-NETWORK", "network-arguments", f"this is not understood ({error}).", remedy) from error
    return arguments


def largest_of(arguments: Mapping[str, Any]) -> tuple[int, float]:
    """The longest list and the largest number among the arguments of a network; `ValueError` if they hold others."""
    lengths, numbers, values = [1], [1.0], list(arguments.values())
    for value in values:
        if isinstance(value, list):
            lengths.append(len(value))
            values += value
        elif isinstance(value, int | float) and math.isfinite(value):
            numbers.append(value)
        else:
            raise ValueError(f"{value!r} is no number")
    return max(lengths), max(numbers)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Networks that are built and run in this block compute shapes and no values, and take no memory (`meta`)."""
    with torch.device("meta"), _ReadableLinspace():
        yield


class _ReadableLinspace(TorchFunctionMode):
    """`torch.linspace` stays on the CPU: transformers read their rates of stochastic depth from it, value by value."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **({"device": "cpu"} if func is torch.linspace else {}) | (kwargs or {}))


def _misfit(plan: Plan, edge: int) -> str:
    """Why a network does not do for a plan, from images of that edge that hold no values; "" if it does."""
    shape = (plan.batch, len(plan.organs) + 1, edge, edge, edge)
    try:
        with shapes_only():
            logits = build(plan).train()(torch.empty((plan.batch, 1, edge, edge, edge)))
    except PedsegInputError:
        raise
    except Exception as error:  # whatever another's code raises
        return f"{type(error).__name__}: {error}".strip().splitlines()[0]
    if not isinstance(logits, Tensor) or logits.shape != shape:
        return f"its output is {tuple(getattr(logits, 'shape', ())) or type(logits).__name__} and not {shape}"
    return ""


class Padded(nn.Module):
    """A network whose input is filled with air to a multiple of voxels along each side; its output is cropped again."""

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.network, self.multiple = network, int(plan.network["multiple"])
        self.air = 0.0 if plan.intensity == "body" else (plan.clip_hu[0] - plan.mean_hu) / plan.sd_hu

    def forward(self, image: Tensor) -> Tensor:
        """Logits (batch, classes, x, y, z) of an image (batch, 1, x, y, z) of any size."""
        x, y, z = image.shape[2:]
        spare = [-size % self.multiple for size in (z, y, x)]
        if max(x, y, z) <= self.multiple:  # one voxel in the bottleneck, which has no variance to normalize by
            spare[-1] += self.multiple
        padded = nn.functional.pad(image, [side for extra in spare for side in (0, extra)], value=self.air)
        return self.network(padded)[..., :x, :y, :z]


def _dynunet(plan: Plan, filters: list[int], kernels: list[list[int]], strides: list[list[int]]) -> nn.Module:
    from monai.networks.nets import DynUNet  # 190 MiB that the lesson profile does not need

    steps = [tuple(stride) for stride in strides]
    return DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=len(plan.organs) + 1,
        kernel_size=[tuple(kernel) for kernel in kernels],
        strides=steps,
        upsample_kernel_size=steps[1:],
        filters=filters,
        norm_name=("INSTANCE", {"affine": True}),
        deep_supervision=True,
        deep_supr_num=max(1, len(steps) - 3),
    )


def _segresnet(plan: Plan, **arguments: Any) -> nn.Module:
    from monai.networks.nets import SegResNet

    return SegResNet(in_channels=1, out_channels=len(plan.organs) + 1, **{"init_filters": 16, **arguments})


def _swinunetr(plan: Plan, **arguments: Any) -> nn.Module:
    with import_errors():
        import einops  # noqa: F401 - MONAI says that it is missing in the middle of the forward pass
    from monai.networks.nets import SwinUNETR

    return SwinUNETR(in_channels=1, out_channels=len(plan.organs) + 1, **arguments)


def personal_names(network: nn.Module, kind: str) -> set[str]:
    """Names of the weights of a network's `norms`, or of its `head`: the layers that give the logits."""
    inner = network.network if isinstance(network, Padded) else network
    if kind == "norms":
        chosen: set[nn.Module] = {module for module in network.modules() if isinstance(module, NORMS)}
    else:
        chosen = {module for head in HEADS for module in getattr(inner, head, nn.Identity()).modules()}
    modules = network.named_modules(remove_duplicate=False)  # deep supervision has its heads by two names
    names = {f"{path}.{name}" for path, module in modules if module in chosen for name in module.state_dict()}
    if not names:
        remedy = "Give another network, or share all weights."
        raise input_error("E-PERSONAL-WEIGHTS", type(inner).__name__, f"it has no {kind} that we know.", remedy)
    return names


PROFILES_OWN: dict[str, Callable[..., nn.Module]] = {"compact": compact_unet, "dynunet": _dynunet}
BUILT_IN = {**PROFILES_OWN, "segresnet": _segresnet, "swinunetr": _swinunetr}
