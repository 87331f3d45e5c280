"""A federation over a mailbox from end to end: the coordinator's program and the center's program.

Both can be stopped or killed at any moment and started again with the same words; they go on
where they were, to the same final model. Two programs on one folder of theirs are refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from flwr.app import ConfigRecord, RecordDict, UserConfigValue

import pedseg
from pedseg import processes
from pedseg.datasets.reading import read_dataset
from pedseg.errors import input_error
from pedseg.federation import _flower
from pedseg.federation.apps import LEAST_CASES, RESULT, center_folders, save_result
from pedseg.federation.averaging import to_arrays, to_weights
from pedseg.federation.checkpoints import Round
from pedseg.federation.config import settings
from pedseg.federation.keys import (
    COORDINATOR,
    PUBLIC,
    Member,
    describe,
    known_centers,
    own_keys,
    read_member,
    read_own,
)
from pedseg.federation.mailbox.center import CenterMailbox, Event
from pedseg.federation.mailbox.grid import MailboxGrid
from pedseg.federation.mailbox.run_state import resume
from pedseg.federation.mailbox.storage import open_store
from pedseg.federation.rounds import federate
from pedseg.learning.network import sha256_of
from pedseg.learning.plans import Plan
from pedseg.learning.training import save_weights

LOG = "mailbox.log"
END_SECONDS = 60  # a center that has not ended by then is ended


def coordinate(
    url: str | Path,
    out: Path,
    run_config: Mapping[str, UserConfigValue],
    *,
    keys: Path,
    centers: Sequence[str] = (),
    wait_seconds: float = math.inf,
    least: int = 1,
    poll_seconds: float = 5.0,
) -> Iterator[Round]:
    """Play a federation through the mailbox at `url`, one `Round` at a time; `out`/federated.safetensors at the end.

    `keys` holds the coordinator's private file and the centers' public files. `centers` gives
    their order, which is part of the result (default: alphabetical). The centers get the final
    model, too.
    """
    own = read_own(keys, COORDINATOR)
    members = [read_member(keys, name) for name in centers or known_centers(keys)]
    if len({member.name for member in members}) < max(1, len(members)):
        remedy = f"Give each center once; its public file NAME{PUBLIC} must lie in {keys}."
        raise input_error("E-NO-CENTERS", keys, f"{len(members)} centers, of which some are the same.", remedy)
    config = settings({**run_config, "out": str(out), "centers": len(members)})
    with _alone(out), _log_file(out / LOG):
        grid = MailboxGrid(
            open_store(url), own, members, resume(out / "mailbox", _identity(config, members)),
            wait_seconds=wait_seconds, least=least, poll_seconds=poll_seconds,
        )  # fmt: skip
        last = None
        for last in federate(grid, config):
            yield last
        assert last is not None
        save_result(last, out)
        story = ConfigRecord({"plan": last.plan.to_json(), "rounds": last.number, "sha256": last.sha256})
        grid.finish(RecordDict({"arrays": to_arrays(last.weights), "end": story}), last.number)


def join(
    url: str | Path,
    name: str,
    data: Path,
    state: Path,
    *,
    keys: Path,
    poll_seconds: float = 5.0,
    least_cases: int = LEAST_CASES,
    clip: float = 0.0,
    noise: float = 0.0,
    masks_only: bool = False,
) -> Iterator[Event]:
    """Work for a federation as the center `name` with the data set in the folder `data`, one event at a time.

    Ends with the run, with the final model as `state`/federated.safetensors. `keys` holds the
    center's private file and the coordinator's public one, and for masks those of the other centers. Nothing
    is said of fewer than `least_cases` training cases. `clip`, `noise` and `masks_only` are what this
    center asks for whatever the coordinator says (`pedseg.federation.privacy.policy`).
    """
    own, coordinator = read_own(keys, name), read_member(keys, COORDINATOR)
    read_dataset(data)  # a wrong folder is told now and not in the first round
    with _alone(state), _log_file(state / LOG):
        node_config: dict[str, UserConfigValue] = {
            "data-dir": data.resolve().as_posix(), "center": name, "keys": keys.resolve().as_posix(),
            "least-cases": least_cases, "clip": clip, "noise": noise, "masks-only": masks_only,
        }  # fmt: skip
        mailbox = CenterMailbox(open_store(url), own, coordinator, node_config, state, poll_seconds=poll_seconds)
        for event in mailbox.events():
            if event.what == "finished" and event.records is not None:
                save_final(event.records, state / RESULT)
            yield event


def save_final(records: RecordDict, file: Path) -> str:
    """Write the final model that came with the last letter; gives its fingerprint."""
    story, weights = _flower.configs_of(records)["end"], to_weights(_flower.arrays_of(records)["arrays"])
    digest = sha256_of(weights)
    if digest != story["sha256"]:
        raise input_error(
            "E-MAIL-WEIGHTS", file, "the final model is not the one that was announced.", "Ask the coordinator."
        )
    plan = Plan.from_json(str(story["plan"]))
    save_weights(file, weights, plan, sha256=digest, rounds=int(str(story["rounds"])), model="federated")
    return digest


def federate_by_mailbox(data: Path, out: Path, run_config: Mapping[str, UserConfigValue]) -> Iterator[Round]:
    """The whole federation on this machine: a mailbox under `out`, and one process of its own for each center."""
    folders = center_folders(data)
    names = [read_dataset(folder).center for folder in folders]
    box, keys = out / "mailbox" / "place", out / "mailbox" / "keys"
    for name in (COORDINATOR, *names):
        own_keys(keys, name)
    with ExitStack() as stack:
        for name, folder in zip(names, folders, strict=True):
            state = out / "mailbox" / name
            stack.enter_context(_center(box, name, folder, state, keys))
        yield from coordinate(box, out, run_config, keys=keys, centers=names, poll_seconds=0.5)


@contextmanager
def _center(box: Path, name: str, data: Path, state: Path, keys: Path) -> Iterator[None]:
    """`pedseg join` as a process of its own; it ends with the run, or with us."""
    command = ["join", str(box), "--center", name, "--data", str(data), "--state", str(state), "--keys", str(keys)]
    path = processes.prepend_path(Path(pedseg.__file__).parents[1], "PYTHONPATH")
    state.mkdir(parents=True, exist_ok=True)
    with (state / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pedseg", *command, "--poll", "0.5"],
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
    try:
        yield
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only program that works in a folder; the lock goes with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "in-use.lock", timeout=0):
            yield
    except Timeout as error:
        remedy = "Wait until it has ended, or give this one another folder."
        raise input_error("E-IN-USE", folder, "another program works in this folder.", remedy) from error


@contextmanager
def _log_file(file: Path) -> Iterator[None]:
    """Everything that was refused or waited for, with date and time, in a file."""
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("flwr.pedseg.mailbox")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _identity(config: Mapping[str, object], members: Sequence[Member]) -> str:
    """What must be the same for a run to be taken up: its settings, and the centers with their keys, in order."""
    rest = {key: value for key, value in config.items() if key not in ("out", "data", "keys", "keep-rounds")}
    text = json.dumps([rest, [describe(member) for member in members]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
