"""The Flower ClientApp: what a hospital does in a federation, the same for every transport.

It answers three messages: send the fingerprint of the training cases, train the global model on them, evaluate it
on the validation cases. Scans never leave the center; replies hold sums, counts, weights, one score, and a digest of
the data.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, ConfigRecordValues, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from pedseg import __version__, memory
from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.reading import center_folders, read_centers, read_checked, read_dataset
from pedseg.errors import PedsegInputError, input_error
from pedseg.federation import _flower, center_policy, center_state, progress
from pedseg.federation.config import CenterConfig, FederationConfig
from pedseg.federation.in_process import stop_requested, tell_code_alone
from pedseg.federation.privacy.disclosure_log import log_disclosure
from pedseg.federation.privacy.policy import protection_for
from pedseg.federation.training_task import TrainingTask
from pedseg.files import file_stamp
from pedseg.learning import plans, training
from pedseg.learning.devices import fastest_device
from pedseg.learning.fingerprint import Fingerprint, fingerprint
from pedseg.learning.inference import mean_dice
from pedseg.learning.network import build
from pedseg.learning.weights import Weights, set_weights

app = ClientApp(mods=[log_disclosure, tell_code_alone, center_policy.bounded_replies, center_policy.bounded_memory])
# In a context's state, which goes with the run: the stamp of the files that passed, a digest of the cases that the
# center enrolled with, and the plan that it trains.
CHECKED, ENROLLED, AGREED = "checked", "enrolled", "agreed"
_one_at_a_time = threading.Lock()


@app.query("fingerprint")
def query_fingerprint(message: Message, context: Context) -> Message:
    """The center's name, index, number of training cases, their fingerprint, and a digest of the center's data.

    Refused below `min-cases` of the node: an aggregate of very few cases describes each of them.
    """
    asked = _flower.configs_of(message.content).get("config", ConfigRecord())
    center_policy.check_version(str(asked.get("version", "")))
    dataset, index = own_data(context)
    cases = len(dataset.split("train"))
    center_policy.check_described(dataset, _policy(context))
    data = data_sha256(dataset)
    context.state[ENROLLED] = ConfigRecord({"data": data})
    reply: dict[str, ConfigRecordValues] = {
        "json": _own_fingerprint(dataset),
        "data": data,
        "center": center_name(dataset, context),
        "center-index": index,
        "cases": cases,
        "scored": len(_scored_cases(dataset, _policy(context))),
        "version": __version__,
    }
    return Message(RecordDict({"fingerprint": ConfigRecord(reply)}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the global model for a round's local steps; reply with its weights and the mean loss."""
    task = TrainingTask.from_record(_flower.configs_of(message.content)["config"])
    policy = _policy(context)
    center_policy.check_task(task, policy)
    dataset, index = own_data(context)
    cases = dataset.split("train")
    plan = _agreed_plan(task.plan, dataset, context)
    before = _global_weights(message, plan)
    protection = protection_for(message, context, center_name(dataset, context), len(cases), before)
    shift = center_state.control_variates(before, task, plan, context.state)
    losses, started = [], time.monotonic()
    with _cores(plan):
        network = build(plan).to(fastest_device())
        set_weights(network, center_state.with_personal(before, context.state))
        prepared = training.load_cases(dataset, cases, plan)
        for step in training.train(
            network, prepared, plan, steps=task.local_steps, first_step=task.first_step, total_steps=task.total_steps,
            seed=round_seed(task.seed, task.server_round, index), proximal_mu=task.proximal_mu,
            shift=shift,
        ):  # fmt: skip
            losses.append(step.loss)
            progress.report(len(losses), task.local_steps, step.loss)
            if stop_requested.is_set():
                raise InterruptedError("the round was interrupted")
            center_policy.check_hours(time.monotonic() - started, policy)
    metrics = MetricRecord({"num-examples": len(cases), "train-loss": float(np.mean(losses)), "center-index": index})
    records = protection.apply(center_state.keep(network, before, shift, task, plan, context.state), before)
    return Message(RecordDict({**records, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """The mean DSC of the global model on this center's validation cases, and how many these are.

    Weights that this center has kept to itself take the place of the global ones.
    The score of one child tells a coordinator that varies the model the volumes of its organs: scores are rounded, and
    of too few cases, or where the center adds noise, there is none (zero cases).
    """
    dataset, index = own_data(context)
    policy = _policy(context)
    cases = _scored_cases(dataset, policy)
    plan = _agreed_plan(str(_flower.configs_of(message.content)["config"]["plan"]), dataset, context)
    dsc = math.nan
    if cases:
        with _cores(plan):
            network = build(plan).to(fastest_device())
            set_weights(network, center_state.with_personal(_global_weights(message, plan), context.state))
            dsc = mean_dice(network, training.load_cases(dataset, cases, plan), plan)
    counted = 0 if math.isnan(dsc) else len(cases)
    score = round(dsc, policy.score_digits) if counted else 0.0
    metrics = MetricRecord({"num-examples": counted, "validation-dsc": score, "center-index": index})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _scored_cases(dataset: DataSet, policy: CenterConfig) -> list[Case]:
    """The validation cases that a score is sent of; none if they are too few, or by the policy."""
    cases = dataset.split("validation")
    withheld = policy.no_scores or policy.noise_multiplier > 0 or len(cases) < policy.min_score_cases
    return [] if withheld else cases


def _policy(context: Context) -> CenterConfig:
    return CenterConfig.from_run_config(context.node_config)


def changed_data(dataset: DataSet, state: RecordDict) -> PedsegInputError | None:
    """What is wrong if the cases are not those of the enrollment that the `state` of a run tells of."""
    enrolled = _flower.configs_of(state).get(ENROLLED)
    if enrolled is None or enrolled.get("data") in (None, data_sha256(dataset)):
        return None
    problem = "the training or validation cases are not those that this center enrolled with."
    remedy = "Put them back as they were, or ask the coordinator for a new run (another --out)."
    return input_error("E-DATA-CHANGED", dataset.folder, problem, remedy)


def _agreed_plan(text: str, dataset: DataSet, context: Context) -> plans.Plan:
    """The plan of the run; refused if it, or the cases, are not those of the beginning."""
    if error := changed_data(dataset, context.state):
        raise error
    known = _flower.configs_of(context.state).get(AGREED)
    if known is None:
        plan = center_policy.check_plan(text, _policy(context), Fingerprint.from_json(_own_fingerprint(dataset)))
        context.state[AGREED] = ConfigRecord({"plan": _digest(text)})
        return plan
    if known["plan"] != _digest(text):
        problem = "the plan is not the one of the rounds before."
        raise input_error("E-PLAN-CHANGED", dataset.center, problem, "Ask the coordinator to begin a new run.")
    return plans.Plan.from_json(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def round_seed(seed: int, round_: int, center_index: int) -> int:
    """The seed of one center's training in one round, from the run's seed; independent of all others."""
    return int(np.random.SeedSequence((seed, round_, center_index)).generate_state(1)[0])


def _global_weights(message: Message, plan: plans.Plan) -> Weights:
    try:
        weights = _flower.to_weights(_flower.arrays_of(message.content)["arrays"])
    except (KeyError, ValueError) as error:
        problem = f"it is not understood ({error})."
        raise input_error("E-MODEL", "global model", problem, "Ask the coordinator.") from error
    center_policy.check_model(weights, plan)
    return weights


def _cores(plan: plans.Plan) -> AbstractContextManager:
    """The lesson trains the centers side by side, one thread each; the clinic gives all cores to one at a time."""
    return nullcontext() if plan.recipe.threads == 1 else _one_at_a_time


def center_name(dataset: DataSet, context: Context) -> str:
    """The center's name in the federation: `center` of its node config, else the data set's."""
    return str(context.node_config.get("center", dataset.center))


def own_data(context: Context) -> tuple[DataSet, int]:
    """The data set of this center, checked, and its index among the centers.

    `data-dir` of the node config if there is one; else the folder with the number `partition-id` among the sorted
    subfolders of the run's `data`. All checks of `pedseg check` are made once, and again when a file has changed: what
    was checked is in the context's state, which goes with the run. Where all centers lie side by side, the first one
    compares them, too.
    """
    index = int(context.node_config.get("partition-id", 0))
    if "data-dir" in context.node_config:
        folder = checked = Path(str(context.node_config["data-dir"]))
    else:
        data = FederationConfig.from_run_config(context.run_config).data
        folders = center_folders(data)
        started = int(context.node_config.get("num-partitions", len(folders)))
        if index >= len(folders) or started != len(folders):
            problem = f"{len(folders)} data sets for {max(started, index + 1)} centers."
            remedy = "Start as many centers as there are data sets (flwr run: --federation-config num-supernodes=N)."
            raise input_error("E-NO-CENTER", data, problem, remedy)
        folder = folders[index]
        checked = folder if index else data
    own = file_stamp(folder)
    now = own if checked == folder else file_stamp(checked)
    known = _flower.configs_of(context.state).get(CHECKED)
    if known is None or known["stamp"] != now:
        if checked == folder:
            read_checked(folder)
        else:
            read_centers(checked)
        context.state[CHECKED] = ConfigRecord({"stamp": now})
    return _read(folder, own), index


@lru_cache(maxsize=64)
def _read(folder: Path, files: str) -> DataSet:
    """A data set, listed once as long as its files do not change."""
    return read_dataset(folder)


def data_sha256(dataset: DataSet) -> str:
    """The digest of all that this center brings into a federation: training and validation cases."""
    return _data_sha256(dataset.folder, file_stamp(dataset.folder))


@lru_cache(maxsize=64)
def _data_sha256(folder: Path, files: str) -> str:
    """The digest, computed once as long as the files do not change."""
    return _read(folder, files).sha256("train", "validation")


def _own_fingerprint(dataset: DataSet) -> str:
    return _fingerprint_json(dataset.folder, file_stamp(dataset.folder))


@lru_cache(maxsize=64)
def _fingerprint_json(folder: Path, files: str) -> str:
    """The fingerprint of the training cases as text, computed once as long as the files do not change."""
    dataset = _read(folder, files)
    text = fingerprint(dataset, dataset.split("train")).to_json()
    memory.release_memory()
    return text
