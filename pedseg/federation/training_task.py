"""What a center is asked to do in a round: the settings that travel with the global model.

A setting that a center does not know is refused at both ends: a strategy whose wish nobody hears, such as the clipping
of Flower's differential privacy, would train something else than its name says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from flwr.app import ConfigRecord

from pedseg.errors import input_error
from pedseg.federation.config import PERSONAL_WEIGHTS, FederationConfig
from pedseg.learning.plans import Plan


@dataclass(frozen=True)
class TrainingTask:
    """The training of one round: steps `first_step` + 1 to `first_step` + `local_steps` of a run of `total_steps`.

    `proximal_mu` is the strength with which weights are held at the global ones (FedProx; Li et al. 2020);
    `personal_weights` and `scaffold` say what the center keeps from round to round (`center_state`). What is done to
    the update by `clipping_norm` and `noise_multiplier` says `privacy.policy`.
    """

    plan: str
    seed: int
    local_steps: int
    first_step: int
    total_steps: int
    server_round: int = 0
    clipping_norm: float = 0.0
    noise_multiplier: float = 0.0
    proximal_mu: float = 0.0
    personal_weights: str = ""
    scaffold: bool = False

    @classmethod
    def of_round(cls, number: int, plan: Plan, config: FederationConfig, first: int, end: int) -> Self:
        """The task of a round; the learning rate follows the steps over the rounds from `first` + 1 to `end`."""
        steps = config.local_steps
        privacy = {"clipping_norm": config.clipping_norm, "noise_multiplier": config.noise_multiplier}
        method = {"personal_weights": config.personal_weights, "scaffold": config.strategy == "scaffold"}
        return cls(
            plan.to_json(), config.seed, steps, (number - 1 - first) * steps, (end - first) * steps, number,
            proximal_mu=config.proximal_mu, **privacy, **method,  # type: ignore[arg-type]
        )  # fmt: skip

    def to_record(self) -> ConfigRecord:
        """As it travels."""
        return ConfigRecord({_key(name): value for name, value in vars(self).items()})

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_record`; refused if a setting is unknown, missing, negative or not finite."""
        check_known(record)
        values = {field.name: record[_key(field.name)] for field in fields(cls) if _key(field.name) in record}
        for name, value in values.items():
            if name == "personal_weights" and value not in PERSONAL_WEIGHTS:
                raise _refused(_key(name), f"the value is {value!r}.", "The coordinator must give norms or head.")
            number = isinstance(value, int | float) and math.isfinite(value) and value >= 0
            if name not in ("plan", "personal_weights") and not number:
                raise _refused(_key(name), f"the value is {value!r}.", "The coordinator must give a number from 0 up.")
        try:
            return cls(**values)
        except TypeError as error:
            raise _refused("task", f"it is not whole ({error}).", "Install the same pedseg on both sides.") from error


def check_known(record: Mapping[str, Any]) -> None:
    """Raise `PedsegInputError` for a setting that no center acts on."""
    for key in sorted(set(record) - {_key(field.name) for field in fields(TrainingTask)}):
        remedy = "Choose a strategy whose settings the centers know; clipping and noise are settings of pedseg's own."
        raise _refused(key, "the strategy asks the centers for something that they do not know.", remedy)


def _refused(key: str, problem: str, remedy: str) -> Exception:
    return input_error("E-TASK", key, problem, remedy)


def _key(name: str) -> str:
    return name.replace("_", "-")
