"""A whole federation on this machine, over any transport: in this process, on Ray, a SuperLink or through a mailbox.

The apps are the same on every transport, and so are the weights, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pedseg.datasets.reading import read_centers
from pedseg.errors import input_error
from pedseg.federation.checkpoints import Round
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.deployment.ray_simulation import ray_rounds
from pedseg.federation.deployment.superlink import superlink_rounds
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.keys import COORDINATOR, own_keys
from pedseg.federation.mailbox.rehearsal import mailbox_rounds
from pedseg.federation.rounds import train_rounds
from pedseg.federation.tracking import check_tracker

TRANSPORTS = ("in-process", "ray", "superlink", "mailbox")


def federate(config: FederationConfig, transport: str = "in-process") -> Iterator[Round]:
    """Train one model over the data sets under `config.data`, one `Round` at a time.

    Leaves `federated.safetensors` under `config.out`; resumed where an earlier call with the same settings stopped.
    Keys of all members, for secure aggregation and the mailbox, are made under `config.out`.
    """
    check_tracker(config)
    names = [dataset.center for dataset in read_centers(config.data)]  # as a study: all centers are here to compare
    if config.secure_aggregation or transport == "mailbox":
        config = replace(config, keys=_keys_of_all(names, config.output_folder()))
    if transport == "in-process":
        nodes: list[dict] = [{} for _ in names]
        yield from train_rounds(InProcessGrid(app, nodes, config.to_run_config()), config)
    elif transport == "ray":
        yield from ray_rounds(config)
    elif transport == "superlink":
        yield from superlink_rounds(config)
    elif transport == "mailbox":
        yield from mailbox_rounds(config)
    else:
        problem = "there is no such transport."
        raise input_error("E-TRANSPORT", transport, problem, f"Give one of {', '.join(TRANSPORTS)}.")


def _keys_of_all(centers: Sequence[str], out: Path) -> Path:
    """A folder with the keys of every member, as if all had exchanged them; for federations on one machine."""
    folder = (out / "keys").resolve()
    for name in (COORDINATOR, *centers):
        own_keys(folder, name)
    return folder
