"""The settings of a federation: what can be chosen, what is taken where nothing was said, what goes together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flwr.app import UserConfigValue

from pedseg.errors import input_error

RunConfig = Mapping[str, UserConfigValue]
DEFAULTS: dict[str, UserConfigValue] = {
    "data": "runs/data",  # folder of data sets, one subfolder a center
    "profile": "lesson",
    "orientation": "",  # the profile's own
    "gin": 0.0,  # share of the training samples that random convolutions change
    "rounds": 10,
    "steps-per-round": 85,
    "seed": 0,
    "out": "",  # folder of the weights and checkpoints; empty: nothing is written
    "centers": 0,  # wait for this many; 0: those that are there
    "evaluate-every": 0,  # rounds between two looks at the validation cases; 0: never
    "keep-rounds": 0,  # checkpoints to keep; 0: all
    "strategy": "average",  # or against hostile centers: median, trimmed-mean, krum
    "hostile-centers": 1,  # how many of them a robust strategy shall stand
    "largest-update": 0.0,  # L2 norm of the change of all weights in a round; 0: any
    "clip": 0.0,  # L2 norm to which every center shortens its update before that leaves; 0: as it is
    "noise": 0.0,  # that every center adds to its update, as a multiple of clip
    "masks": False,  # the coordinator sees the sum of the updates alone; three centers at least
    "keys": "",  # folder of all centers' keys, where all run on one machine
}
IDENTITY = (
    "profile", "orientation", "rounds", "steps-per-round", "seed", "strategy", "hostile-centers", "largest-update",
    "clip", "noise", "masks",
)  # fmt: skip
LEAST = {
    "rounds": 1,
    "steps-per-round": 1,
    "seed": 0,
    "centers": 0,
    "evaluate-every": 0,
    "keep-rounds": 0,
    "hostile-centers": 0,
}


def settings(run_config: RunConfig) -> dict[str, Any]:
    """The run's settings with defaults filled in; a number below its least value is refused."""
    config: dict[str, Any] = {**DEFAULTS, **run_config}
    for key, least in LEAST.items():
        if not isinstance(config[key], int) or config[key] < least:
            raise input_error(
                "E-SETTING", key, f"the value is {config[key]!r}.", f"Give a whole number from {least} up."
            )
    for key in ("largest-update", "clip", "noise"):
        if not isinstance(config[key], int | float) or not 0 <= config[key] < math.inf:
            raise input_error("E-SETTING", key, f"the value is {config[key]!r}.", "Give a number from 0 up.")
    if not isinstance(config["gin"], int | float) or not 0 <= config["gin"] <= 1:
        raise input_error("E-SETTING", "gin", f"the value is {config['gin']!r}.", "Give a number from 0 to 1.")
    _check_privacy(config)
    return config


def _check_privacy(config: Mapping[str, Any]) -> None:
    """Refuse what promises nothing, and what would need updates that the coordinator cannot see."""
    if config["noise"] and not config["clip"]:
        raise input_error("E-SETTING", "noise", "noise without a bound promises nothing.", "Set a bound (clip), too.")
    if not isinstance(config["masks"], bool):
        raise input_error("E-SETTING", "masks", f"the value is {config['masks']!r}.", "Give true or false.")
    if config["masks"] and config["strategy"] != "average":
        found = f"{config['strategy']} compares single updates, and masks hide them."
        raise input_error("E-SETTING", "masks", found, "Choose one of the two.")
    if config["masks"] and config["largest-update"]:
        found = "the length of a single update cannot be checked behind masks."
        raise input_error("E-SETTING", "masks", found, "Let the centers shorten their updates themselves (clip).")
