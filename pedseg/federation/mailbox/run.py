"""A whole federation through a mailbox: the coordinator's program and the center's program.

Both can be stopped or killed at any moment and started again with the same command; they resume, to the same final
model. Two programs on one folder are refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from flwr.app import ConfigRecord, RecordDict, UserConfigValue

from pedseg.datasets.reading import read_checked
from pedseg.errors import input_error
from pedseg.federation import _flower, client_app
from pedseg.federation.center_state import with_personal
from pedseg.federation.checkpoints import FINAL_METADATA, FINAL_MODEL, Round, read_final_metadata
from pedseg.federation.config import CenterConfig, FederationConfig, MailboxConfig
from pedseg.federation.keys import (
    COORDINATOR,
    PUBLIC,
    RUN_COUNTER,
    Member,
    known_centers,
    public_keys,
    read_member,
    read_own,
)
from pedseg.federation.mailbox.center import CenterEvent, CenterMailbox
from pedseg.federation.mailbox.grid import MailboxGrid
from pedseg.federation.mailbox.messages import WEIGHTS
from pedseg.federation.mailbox.object_store import open_store
from pedseg.federation.mailbox.outbox import resume
from pedseg.federation.rounds import train_rounds
from pedseg.federation.run_folder import write_status
from pedseg.learning.plans import Plan
from pedseg.learning.weights import load_weights, save_weights, sha256_of

LOG = "mailbox.log"
log = logging.getLogger("flwr.pedseg.mailbox")


def coordinate(
    url: str | Path, config: FederationConfig, mailbox: MailboxConfig = MailboxConfig(), centers: Sequence[str] = (),
    data: Sequence[str] = (),
) -> Iterator[Round]:  # fmt: skip
    """Train a federation through the mailbox at `url`, one `Round` at a time; leaves the final model in `config.out`.

    `config.keys` holds the coordinator's private file and the centers' public files. `centers` gives
    their order, which is part of the result (default: alphabetical). `data` are digests of their data where these lie
    on this machine, so that other data are another run. The centers get the final model, too.
    """
    keys, out = config.keys, config.output_folder()
    own = read_own(keys, COORDINATOR)
    members = [read_member(keys, name) for name in centers or known_centers(keys)]
    if COORDINATOR in centers:
        raise input_error("E-NO-CENTERS", COORDINATOR, "the coordinator is no center.", "Name the centers alone.")
    if len({public_keys(member)["signing"] for member in members}) < max(1, len(members)):
        remedy = f"Give each center once; its public file NAME{PUBLIC} must be in {keys}."
        raise input_error("E-NO-CENTERS", keys, f"{len(members)} centers, of which some are the same.", remedy)
    with _locked(out), _log_file(out / LOG):
        store = open_store(url)
        store.probe(WEIGHTS, make=True)
        run = resume(out / "mailbox", _identity(config, members, data), keys / RUN_COUNTER)
        watch = partial(write_status, out, config.rounds, time.time())
        grid = MailboxGrid(store, own, members, run, mailbox, watch=watch)
        for last in train_rounds(grid, config):
            yield last
        if last.restored:
            log.info("the run in %s was over: its model is sent again. A new run needs another --out", out)
        weights, plan, _ = load_weights(out / FINAL_MODEL)
        arrays = _flower.to_arrays({name: weights[name] for name in last.weights})  # in the order of the rounds
        end = ConfigRecord({"plan": plan.to_json(), **read_final_metadata(out)})
        grid.finish(RecordDict({"arrays": arrays, "end": end}), last.number)
        watch([], grid.statuses.signs, ended=True)


def join(
    url: str | Path, name: str, data: Path, state: Path, config: CenterConfig = CenterConfig(),
    mailbox: MailboxConfig = MailboxConfig(),
) -> Iterator[CenterEvent]:  # fmt: skip
    """Take part in a federation as the center `name` with the data set in the folder `data`, one event at a time.

    Ends with the run, with the final model as `state`/federated.safetensors, in which weights that never left the
    center (FedBN, FedPer) take the place of the global ones. `config` is what this center demands
    whatever the coordinator asks for; its `keys` hold the center's private file, the coordinator's public one, and for
    secure aggregation those of the other centers.
    """
    own, coordinator = read_own(config.keys, name), read_member(config.keys, COORDINATOR)
    dataset = read_checked(data)  # what would be refused in the first round is refused now
    if dataset.center != name and dataset.center in known_centers(config.keys):
        problem = f"it is the data set of {dataset.center}, which is another center of this federation."
        raise input_error("E-OTHER-CENTER", data, problem, f"Give the data set of {name}, or join as {dataset.center}.")
    config = replace(config, keys=config.keys.resolve(), state=state.resolve())
    node_config: dict[str, UserConfigValue] = {"data-dir": data.resolve().as_posix(), "center": name}
    with _locked(state), _log_file(state / LOG):
        node_config |= config.to_run_config()
        center = CenterMailbox(open_store(url), own, coordinator, node_config, state, config=mailbox)
        error, newest = client_app.changed_data(dataset, center.replies.last_state()), center.replies.newest
        if error and newest:
            center.outdated[newest.run] = error
        for event in center.events():
            if event.status == "finished" and event.records is not None:
                _save_final_model(event.records, state, center.replies.last_state())
            yield event


def _save_final_model(records: RecordDict, state: Path, kept: RecordDict) -> None:
    """Write the model of the message that ends a run, with the weights that the center has kept to itself.

    Refused if the weights are not the ones announced.
    """
    end, weights = _flower.configs_of(records)["end"], _flower.to_weights(_flower.arrays_of(records)["arrays"])
    if sha256_of(weights) != end["sha256"]:
        problem = "the final model is not the one that was announced."
        raise input_error("E-MAIL-WEIGHTS", FINAL_MODEL, problem, "Ask the coordinator.")
    about = {name: str(end[name]) for name in FINAL_METADATA if name in end}
    weights = with_personal(weights, kept)
    about["sha256"] = sha256_of(weights)
    save_weights(state / FINAL_MODEL, weights, Plan.from_json(str(end["plan"])), **about)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Be the only program that works in a folder; the lock goes with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # logs and losses tell of patients
    try:
        with FileLock(folder / "in-use.lock", timeout=0):
            yield
    except Timeout as error:
        remedy = "Wait until it has ended, or give this one another folder."
        raise input_error("E-IN-USE", folder, "another program works in this folder.", remedy) from error


@contextmanager
def _log_file(file: Path) -> Iterator[None]:
    """Log everything that was refused or waited for, with date and time, into a file."""
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


def _identity(config: FederationConfig, members: Sequence[Member], data: Sequence[str] = ()) -> str:
    """What must be the same for a run to be resumed: its settings, and the centers with their keys, in order.

    A center whose `data` are elsewhere refuses to go on when they have changed.
    """
    ends = [config.select, config.patience]  # another end is another message that ends a run
    start = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (config.plan, config.weights) if file]
    parts = [config.identity(), [public_keys(member) for member in members], ends, start, *data]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
