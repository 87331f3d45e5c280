"""What a hospital does and what the coordinator does, as Flower apps: the same for every transport.

A center answers three questions: describe your cases in aggregate, train this model on them,
score this model on your validation cases. Scans never leave it; answers hold sums, counts,
weights and one score.
"""

from __future__ import annotations

import logging
import math
import threading
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, ConfigRecordValues, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from pedseg import memory
from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import read_dataset
from pedseg.errors import input_error
from pedseg.federation import _flower
from pedseg.federation.averaging import OrderedFedAvg, to_weights
from pedseg.federation.checkpoints import Round
from pedseg.federation.config import DEFAULTS
from pedseg.federation.in_process import stop_requested
from pedseg.federation.privacy.disclosure_log import log_disclosure
from pedseg.federation.privacy.policy import agree
from pedseg.federation.rounds import federate
from pedseg.learning.devices import fastest_device
from pedseg.learning.inference import mean_dice
from pedseg.learning.network import build, get_weights, set_weights
from pedseg.learning.plans import Plan, fingerprint
from pedseg.learning.training import load_cases, save_weights, train

__all__ = ["RESULT", "OrderedFedAvg", "Round", "client_app", "federate", "round_seed", "save_result", "server_app"]

RESULT = "federated.safetensors"
LEAST_CASES = 2  # before a statistic of them leaves a center

client_app = ClientApp(mods=[log_disclosure])
server_app = ServerApp()
log = logging.getLogger("flwr.pedseg")  # beneath Flower's logger: goes where its log goes
_one_at_a_time = threading.Lock()


@client_app.query("fingerprint")
def describe(message: Message, context: Context) -> Message:
    """The center's name, place, number of training cases and their aggregate description.

    Refused below `least-cases` of the node: an aggregate of very few describes each of them.
    """
    dataset, index = own_data(context)
    cases = dataset.split("train")
    least = int(context.node_config.get("least-cases", LEAST_CASES))
    if len(cases) < least:
        remedy = "Add cases, or lower the center's own bound (pedseg join --min-cases)."
        raise input_error("E-FEW-CASES", dataset.center, f"{len(cases)} training cases, fewer than {least}.", remedy)
    answer: dict[str, ConfigRecordValues] = {
        "json": _describe_once(dataset.folder, _stamps(dataset.folder)),
        "center": center_name(dataset, context),
        "center-index": index,
        "cases": len(cases),
    }
    return Message(RecordDict({"fingerprint": ConfigRecord(answer)}), reply_to=message)


@client_app.train()
def learn(message: Message, context: Context) -> Message:
    """Train the global model for a round's steps on this center's cases; answer with weights and mean loss."""
    task = _flower.configs_of(message.content)["config"]
    plan = Plan.from_json(str(task["plan"]))
    dataset, index = own_data(context)
    cases = dataset.split("train")
    seed = round_seed(int(task["seed"]), int(task["server-round"]), index)  # type: ignore[arg-type]
    before = to_weights(_flower.arrays_of(message.content)["arrays"])
    terms = agree(message, context, center_name(dataset, context), len(cases), before)
    losses = []
    with _room(plan):
        network = build(plan).to(fastest_device())
        set_weights(network, before)
        plan_steps = {key.replace("-", "_"): int(task[key]) for key in ("steps", "first-step", "total-steps")}  # type: ignore[arg-type]
        for step in train(network, load_cases(dataset, cases, plan), plan, seed=seed, **plan_steps):
            losses.append(step.loss)
            if stop_requested.is_set():
                raise InterruptedError("the round was interrupted")
    metrics = MetricRecord({"num-examples": len(cases), "train-loss": float(np.mean(losses)), "center-index": index})
    return Message(RecordDict({**terms.leaving(get_weights(network), before), "metrics": metrics}), reply_to=message)


@client_app.evaluate()
def score(message: Message, context: Context) -> Message:
    """The mean DSC of the global model on this center's validation cases, and how many these are."""
    plan = Plan.from_json(str(_flower.configs_of(message.content)["config"]["plan"]))
    dataset, index = own_data(context)
    cases = dataset.split("validation")
    with _room(plan):
        network = build(plan).to(fastest_device())
        set_weights(network, to_weights(_flower.arrays_of(message.content)["arrays"]))
        dsc = mean_dice(network, load_cases(dataset, cases, plan), plan) if cases else math.nan
    counted = 0 if math.isnan(dsc) else len(cases)
    metrics = MetricRecord({"num-examples": counted, "validation-dsc": dsc if counted else 0.0, "center-index": index})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def round_seed(seed: int, round_: int, center_index: int) -> int:
    """The seed of one center's training in one round, from the run's seed; independent of all others."""
    return int(np.random.SeedSequence((seed, round_, center_index)).generate_state(1)[0])


def _room(plan: Plan) -> AbstractContextManager:
    """The lesson trains the centers side by side, one thread each; the clinic gives all cores to one at a time."""
    return nullcontext() if plan.profile == "lesson" else _one_at_a_time


def center_name(dataset: DataSet, context: Context) -> str:
    """The center's name in the federation: `center` of its node if that says so, else the data set's."""
    return str(context.node_config.get("center", dataset.center))


def own_data(context: Context) -> tuple[DataSet, int]:
    """The data set of this center and its place among the centers.

    `data-dir` of the node if it has one; else the folder at place `partition-id` among the
    sorted subfolders of the run's `data`.
    """
    index = int(context.node_config.get("partition-id", 0))
    if "data-dir" in context.node_config:
        return _read(Path(str(context.node_config["data-dir"]))), index
    data = Path(str(context.run_config.get("data", DEFAULTS["data"])))
    folders = center_folders(data)
    started = int(context.node_config.get("num-partitions", len(folders)))
    if index >= len(folders) or started != len(folders):
        remedy = "Start as many centers as there are data sets (flwr run: --federation-config num-supernodes=N)."
        raise input_error(
            "E-NO-CENTER", data, f"{len(folders)} data sets for {max(started, index + 1)} centers.", remedy
        )
    return _read(folders[index]), index


def center_folders(data: Path) -> list[Path]:
    """The data-set folders under `data` in the order of the centers, as `read_centers` sorts them."""
    folders = sorted(folder for folder in data.glob("[!.]*") if folder.is_dir())
    if not folders or (data / "dataset.json").exists():
        raise input_error(
            "E-NO-CENTERS", data, "this folder holds no data sets.", "Give the folder that holds one data set a center."
        )
    return folders


def _read(folder: Path) -> DataSet:
    return _read_once(folder, _stamps(folder))


@lru_cache(maxsize=64)
def _read_once(folder: Path, stamps: tuple[int, ...]) -> DataSet:
    """A data set, listed once as long as its tables do not change."""
    return read_dataset(folder)


@lru_cache(maxsize=64)
def _describe_once(folder: Path, stamps: tuple[int, ...]) -> str:
    """The fingerprint of the training cases as text, computed once as long as the tables do not change."""
    dataset = _read_once(folder, stamps)
    described = fingerprint(dataset, dataset.split("train")).to_json()
    memory.release_memory()
    return described


def _stamps(folder: Path) -> tuple[int, ...]:
    """When the folder and its tables were last changed."""
    files = [folder, folder / "dataset.json", folder / "cases.tsv", folder / "imagesTr", folder / "labelsTr"]
    return tuple(file.stat().st_mtime_ns for file in files if file.exists())


@server_app.main()
def coordinate(grid: Grid, context: Context) -> None:
    """Play all rounds, write `federated.safetensors` under `out` and log the fingerprint of the weights."""
    last = None
    for last in federate(grid, context.run_config):
        log.info("round %d: loss %.4f", last.number, last.train_loss)
        for problem in last.refused:
            log.warning("round %d: %s", last.number, problem)
    assert last is not None
    save_result(last, str(context.run_config.get("out", "")))
    log.info("sha256 %s", last.sha256)


def save_result(last: Round, out: str | Path) -> Path | None:
    """Write the global model as `out`/federated.safetensors; nothing if `out` is empty."""
    if not str(out):
        return None
    file = Path(out) / RESULT
    save_weights(file, last.weights, last.plan, sha256=last.sha256, rounds=last.number, model="federated")
    return file
