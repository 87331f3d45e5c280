"""How the federation's messages travel: in this process, on Ray, over a SuperLink, or through a mailbox.

The apps are the same on every way, and so are the weights, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flwr.app import UserConfigValue

from pedseg.datasets.reading import read_dataset
from pedseg.errors import input_error
from pedseg.federation.apps import center_folders, client_app, save_result
from pedseg.federation.checkpoints import Round
from pedseg.federation.config import DEFAULTS
from pedseg.federation.deployment.ray_simulation import ray_rounds
from pedseg.federation.deployment.superlink import superlink_rounds
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.keys import own_keys
from pedseg.federation.mailbox.run import federate_by_mailbox
from pedseg.federation.rounds import federate as play

TRANSPORTS = ("in-process", "ray", "superlink", "mailbox")


def federate(
    data: Path,
    out: Path,
    *,
    transport: str = "in-process",
    profile: str = "lesson",
    rounds: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    **privacy: UserConfigValue,
) -> Iterator[Round]:
    """Train one model over the data sets under `data`, one `Round` at a time; `out`/federated.safetensors at the end.

    `transport` is one of `TRANSPORTS`; `privacy` are the settings `clip`, `noise` and `masks`, for which keys are made
    under `out`. Taken up where an earlier call with the same settings stopped.
    """
    config: dict[str, UserConfigValue] = {
        **DEFAULTS,
        "data": str(data),
        "out": str(out),
        "profile": profile,
        "seed": seed,
        **privacy,
    }
    if config["masks"]:
        config["keys"] = str(_keys_for_all(data, out))
    config |= {key: value for key, value in {"rounds": rounds, "steps-per-round": steps}.items() if value is not None}
    if transport == "ray":
        yield from ray_rounds(data, config, out)
    elif transport == "superlink":
        yield from superlink_rounds(data, config, out)
    elif transport == "mailbox":
        yield from federate_by_mailbox(data, out, config)
    elif transport == "in-process":
        last = None
        for last in play(InProcessGrid(client_app, [{}] * len(center_folders(data)), config), config):
            yield last
        assert last is not None
        save_result(last, out)
    else:
        raise input_error("E-TRANSPORT", transport, "there is no such way.", f"Give one of {', '.join(TRANSPORTS)}.")


def _keys_for_all(data: Path, out: Path) -> Path:
    """A folder with keys for every center, as if all had exchanged them; for federations on one machine."""
    folder = (out / "keys").resolve()
    for place in center_folders(data):
        own_keys(folder, read_dataset(place).center)
    return folder
