"""Where a federation starts: its plan, and weights that are not random (warm start, transfer of a trained model).

A plan or weights from a file must fit the centers and the settings: nothing is passed over, and nothing is cut to fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pedseg.errors import InputProblem, input_error, raise_problems
from pedseg.federation.config import FederationConfig, invalid_setting
from pedseg.learning.fingerprint import Fingerprint, merge
from pedseg.learning.network import build, with_network
from pedseg.learning.plans import Plan, make_plan
from pedseg.learning.weights import Weights, get_weights, load_weights


def starting_point(
    prints: Sequence[Fingerprint], config: FederationConfig, plan: Plan | None, weights: Weights | None
) -> tuple[Plan, Weights | None]:
    """The plan of a federation, and its first weights if these are not random.

    A `plan` and `weights` that the caller has come first; then the files of the configuration; else the plan follows
    from the centers' fingerprints. Raises `PedsegInputError` with all that does not fit.
    """
    if (plan or weights) and (config.plan or config.weights):
        raise invalid_setting("plan", "it is given by a file, and by the caller.", "Give one of them.")
    if config.weights:
        weights, plan, _ = load_weights(config.weights)
    if config.plan:
        own, plan = plan, read_plan(config.plan)
        if own and own.organs != plan.organs:
            problem = f"it draws {', '.join(own.organs)}; the plan {', '.join(plan.organs)}."
            raise input_error("E-START", config.weights or "", problem, "Give a plan of the same organs, or none.")
    if file := config.plan or config.weights:
        assert plan is not None
        raise_problems(_contradictions(file, plan, config, merge(prints)))
        return plan, _fitting(weights, plan, file)
    return plan or merged_plan(prints, config), weights


def merged_plan(prints: Sequence[Fingerprint], config: FederationConfig) -> Plan:
    """The plan that the fingerprints of all centers lead to, with the network that was chosen."""
    merged, gin = merge(prints), config.gin_probability
    plan = make_plan(merged, config.profile, config.orientation, gin_probability=gin)
    return with_network(plan, config.network, config.network_arguments)


def read_plan(file: Path) -> Plan:
    """The plan in a JSON file or in a file of weights."""
    if file.suffix == ".safetensors":
        return load_weights(file)[1]
    try:
        return Plan.from_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise input_error("E-FILE-MISSING", file, "there is no such plan.", "Check the name and the folder.") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        problem = f"this is no plan ({error})."
        raise input_error("E-START", file, problem, "Give a plan as JSON, or weights that pedseg wrote.") from error


def _contradictions(file: Path, plan: Plan, config: FederationConfig, merged: Fingerprint) -> Iterator[InputProblem]:
    """What a plan from a file says otherwise than the settings, and than the scans of the centers."""
    given = {"profile": config.profile, "orientation": config.orientation, "gin_probability": config.gin_probability}
    for name, value in given.items():
        if value and value != getattr(plan, name):
            problem = f"its {name.replace('_', ' ')} is {getattr(plan, name)}, and {value} is set."
            yield InputProblem("E-START", str(file), problem, f"Set --{name.replace('_', '-')} as in the plan.")
    if config.network_arguments or config.network not in ("", plan.network["kind"]):
        problem = f"its network is {plan.network['kind']}, and another one or other arguments are set."
        yield InputProblem("E-START", str(file), problem, "Leave --network and --network-arguments out.")
    if differing := set(plan.organs) ^ set(merged.organs):
        problem = f"either the plan or the centers do not have {', '.join(sorted(differing))}."
        remedy = "What no center annotates would be forgotten, what the plan lacks be background: give another plan."
        yield InputProblem("E-START", str(file), problem, remedy)
    if "MR" in merged.modalities and plan.intensity == "hu":
        yield InputProblem("E-START", str(file), "it is for CT, and MR scans are here.", "Give another plan.")


def _fitting(weights: Weights | None, plan: Plan, file: Path) -> Weights | None:
    """The weights, if any, in the order and the number types of the plan's network; refused if they do not fit it."""
    try:
        expected = get_weights(build(plan))
    except Exception as error:  # torch has many words for what is no network
        problem = f"the plan's network cannot be built ({type(error).__name__})."
        raise input_error("E-START", file, problem, "Give another plan.") from error
    if weights is None:
        return None
    if {name: array.shape for name, array in expected.items()} != {name: a.shape for name, a in weights.items()}:
        raise input_error(
            "E-START", file, "the weights are not of the plan's network.", "Give the plan they came with."
        )
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise input_error("E-START", file, "the weights are not finite.", "Give those of another round.")
    return {name: weights[name].astype(array.dtype, copy=False) for name, array in expected.items()}
