"""What a center lets a coordinator ask for: the bounds of `CenterConfig`, applied before any memory is taken.

A coordinator chooses the plan that everybody trains: without bounds it could fill a center's memory with one wide
network, keep its machine busy for weeks, or ask again and again until the answers tell of single children.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from flwr.app import Context, Message, MetricRecord
from numpy.typing import NDArray

from pedseg import __version__, memory
from pedseg.datasets.cases import DataSet
from pedseg.errors import input_error
from pedseg.federation import _flower
from pedseg.federation.config import CenterConfig
from pedseg.federation.training_task import TrainingTask
from pedseg.files import write_atomically
from pedseg.learning.fingerprint import Fingerprint
from pedseg.learning.memory_need import memory_need_mib
from pedseg.learning.network import MULTIPLES, arguments_of, build, builder, largest_of, shapes_only
from pedseg.learning.plans import Plan
from pedseg.learning.weights import weights_of
from pedseg.organs import NAMES
from pedseg.tables import read_json

MAX_STAGES, MAX_CHANNELS = 12, 4096  # of a network
DESCRIBED = "described_cases.json"  # in a center's state folder
REPLIES = "replies"  # the record of a context's state that counts them
BEYOND = 1.2  # times the bound on memory the system says no, if an estimate was wrong
PREPROCESSED = 30  # voxels of a preprocessed scan, in those of the largest batch that is allowed


def read_policy(file: Path, **given: Any) -> CenterConfig:
    """The policy in a TOML file, keys as in `pedseg join --help` without the dashes; `given` settings come first."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise input_error("E-POLICY-FILE", file, "it is not there.", "Check the name.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise input_error("E-POLICY-FILE", file, f"this is no TOML file ({error}).", "Correct it.") from error
    known = {field.name.replace("_", "-") for field in fields(CenterConfig)}
    if unknown := sorted(set(content) - known):
        raise input_error(
            "E-POLICY-FILE", file, f"nobody knows {unknown[0]}.", f"Give one of {', '.join(sorted(known))}."
        )
    from_file = CenterConfig.from_run_config(content)
    values = {field.name: getattr(from_file, field.name) for field in fields(CenterConfig)}
    return CenterConfig(**{**values, **given})


def as_lines(policy: CenterConfig) -> list[str]:
    """The policy as it is told when a center joins."""
    return [
        f"{field.name.replace('_', '-'):<24} {getattr(policy, field.name)!s:<12} {field.metadata['help']}"
        for field in fields(policy)
    ]


def plan_digest(plan: str) -> str:
    """By which a center knows a plan again."""
    return hashlib.sha256(plan.encode()).hexdigest()[:16]


def check_described(dataset: DataSet, policy: CenterConfig) -> None:
    """Refuse to describe very few training cases, or cases that differ by very few from those described last.

    The difference of two descriptions would be that of the few. Those of the last one are kept in the state folder.
    """
    now, least = sorted(case.name for case in dataset.split("train")), policy.min_cases
    if len(now) < least:
        remedy = "Add cases, or lower the center's own bound (pedseg join --min-cases)."
        raise input_error("E-FEW-CASES", dataset.center, f"{len(now)} training cases, fewer than {least}.", remedy)
    if policy.state is None:
        return
    file = policy.state / DESCRIBED
    changed = set(now) ^ set(read_json(file)["cases"] if file.exists() else now)
    if 0 < len(changed) < least:
        problem = f"{len(changed)} case differs from those described last, fewer than {least}: it would stand alone."
        remedy = f"Wait for more cases, or remove {file.name} in the folder of the state if that is meant."
        raise input_error("E-FEW-NEW", dataset.center, problem, remedy)
    write_atomically(file, json.dumps({"cases": now}).encode(), mode=0o600)


def check_plan(text: str, policy: CenterConfig, own: Fingerprint) -> Plan:
    """The plan, if the policy allows it; `own` is the fingerprint of the scans that would be preprocessed by it."""
    try:
        plan = Plan.from_json(text)
        name, multiple = str(plan.network["kind"]), plan.network.get("multiple", MULTIPLES[0])
        if multiple not in MULTIPLES:
            raise ValueError(f"multiples of {multiple!r} voxels")
        step = math.prod(multiple * math.ceil(int(edge) / multiple) for edge in plan.patch) * int(plan.batch)
        if name == "compact" and any(edge % MULTIPLES[0] for edge in plan.patch):
            raise ValueError("a patch that does not fit the network")
        voxel_mm3 = math.prod(map(float, plan.spacing_mm)) if min(plan.spacing_mm) > 0 else math.nan
        stages, channels = largest_of(arguments_of(plan))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise input_error("E-PLAN", "plan", f"it is not understood ({error}).", "Install the same pedseg.") from error
    builder(name)  # refused if it is not installed here
    _bounded("voxels of a step", step, policy.max_voxels)
    _bounded("organs", len(plan.organs), len(NAMES))
    _bounded("stages of the network", stages, MAX_STAGES)
    _bounded("channels of the network", channels, MAX_CHANNELS)
    voxels = [math.prod(grid.shape) * math.prod(grid.spacing_mm) / voxel_mm3 for grid in own.grids]
    _bounded("voxels of a preprocessed scan", max(voxels), PREPROCESSED * policy.max_voxels)
    weights = _tried(_weights, plan)
    _bounded("weights of the network", weights, policy.max_weights)
    if policy.max_memory:
        need = _tried(partial(memory_need_mib, voxels=voxels), plan) + psutil.Process().memory_info().rss / 2**20
        _bounded("MiB of memory", round(need), policy.max_memory)
    digest = plan_digest(text)
    if policy.approve_plans and digest != policy.approved_plan:
        problem = f"{weights} weights, {plan.profile}, voxels of {plan.spacing_mm} mm: nobody has approved it."
        raise input_error("E-PLAN-NEW", digest, problem, f"If it is right, start again with --approved-plan {digest}.")
    return plan


def bounded_memory(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Flower mod: a reply takes no more memory than the policy allows, whatever was estimated."""
    most = CenterConfig.from_run_config(context.node_config).max_memory
    try:
        with memory.limited(0 if torch.cuda.is_available() else round(BEYOND * most)):  # CUDA maps what it never takes
            return call_next(message, context)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        remedy = "Nothing was sent. Raise max-memory, or ask the coordinator for a smaller plan."
        raise input_error("E-POLICY", "memory", f"more than {most} MiB are needed.", remedy) from error


def bounded_replies(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Flower mod: a run gets no more replies than the policy allows, whatever round it says that it is in."""
    before = int(str(_flower.metrics_of(context.state).get(REPLIES, {"sent": 0})["sent"]))
    _bounded("replies of a run", before + 1, CenterConfig.from_run_config(context.node_config).max_replies)
    reply = call_next(message, context)
    context.state[REPLIES] = MetricRecord({"sent": before + 1})
    return reply


def check_task(task: TrainingTask, policy: CenterConfig) -> None:
    """Refuse a round that asks for more training than the policy allows."""
    _bounded("training steps of a round", task.local_steps, policy.max_steps)


def check_hours(seconds: float, policy: CenterConfig) -> None:
    """Stop a training that takes longer than the policy allows."""
    if policy.max_hours and seconds > 3600 * policy.max_hours:
        remedy = "Nothing was sent. Raise max-hours, or ask the coordinator for fewer steps."
        raise input_error("E-POLICY", "hours of a round", f"more than {policy.max_hours:g}.", remedy)


def check_model(weights: Mapping[str, NDArray], plan: Plan) -> None:
    """Refuse a global model that is not finite everywhere, or not of the plan's network."""
    expected = {name: tuple(tensor.shape) for name, tensor in weights_of(_empty_network(plan)).items()}
    if {name: array.shape for name, array in weights.items()} != expected:
        raise input_error("E-MODEL", "global model", "it does not fit its own plan.", "Ask the coordinator.")
    if not all(math.isfinite(float(array.sum(dtype="float64"))) for array in weights.values()):
        raise input_error("E-MODEL", "global model", "it is not finite.", "Ask the coordinator to go back a round.")


def check_version(asked: str) -> None:
    """Refuse a coordinator that runs another pedseg: the same message could mean something else."""
    if asked and asked != __version__:
        problem = f"the coordinator runs {asked}, and this center {__version__}."
        raise input_error("E-VERSION", "pedseg", problem, "Install the same version on both sides.")


def _bounded(what: str, value: float, most: float) -> None:
    if not 0 < value <= most:
        remedy = "Nothing was allocated. Raise the bound in the center's policy if this is meant."
        raise input_error("E-POLICY", what, f"{value:g} are asked for, from 1 to {most:g} are allowed.", remedy)


def _empty_network(plan: Plan) -> torch.nn.Module:
    """The plan's network without memory for its weights."""
    with shapes_only():
        return build(plan)


def _weights(plan: Plan) -> int:
    return sum(tensor.numel() for tensor in _empty_network(plan).state_dict().values())


def _tried(count: Callable[[Plan], float], plan: Plan) -> float:
    """What is counted of a network that has no memory; refused if it cannot be built."""
    try:
        return count(plan)
    except Exception as error:  # torch has many words for sizes that no machine has
        problem = f"it cannot be built ({type(error).__name__})."
        raise input_error("E-POLICY", "network", problem, "Ask for less.") from error
