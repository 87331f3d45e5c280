"""What the exchange of a large model through a mailbox costs: 33 million weights, three centers, a folder.

Coordinator and centers are processes of their own, with everything imported that they import in a
real federation. The centers do not train: they add a number to each weight, so that seconds and
memory are those of the exchange. The limit of the memory is one that the project sets itself.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from pedseg import memory
from pedseg.federation import _flower
from pedseg.federation._flower import to_arrays, to_weights
from pedseg.federation.config import MailboxConfig
from pedseg.federation.keys import COORDINATOR, RUN_COUNTER, make_keys, read_member, read_own, write_keys
from pedseg.federation.mailbox.center import CenterMailbox
from pedseg.federation.mailbox.grid import MailboxGrid
from pedseg.federation.mailbox.object_store import open_store
from pedseg.federation.mailbox.outbox import resume
from pedseg.federation.replies import replies_in_order
from pedseg.federation.strategies import OrderedFedAvg
from pedseg.learning.weights import Weights

NAMES = ("Aa", "Bb", "Cc")
ARRAYS, SIZE = 120, 275_800  # 33.1 million weights in single precision: 132 MB, as the clinic's network has them
ROUNDS, CASES = 3, 20
LIMIT_GIB = 2.0


def add(message: Message, context: Context) -> Message:
    """What stands for training: every weight plus the center's place."""
    step = np.float32(1 + int(context.node_config["partition-id"]))
    arrays = _flower.arrays_of(message.content)["arrays"]
    new = ArrayRecord({name: Array(array.numpy() + step) for name, array in arrays.items()})
    index = context.node_config["partition-id"]
    metrics = MetricRecord({"num-examples": CASES, "train-loss": 0.5, "center-index": index})  # type: ignore[dict-item]
    return Message(RecordDict({"arrays": new, "metrics": metrics}), reply_to=message)


def center(folder: Path, name: str, results: multiprocessing.Queue) -> None:
    """A center until the run ends."""
    store, keys = open_store(folder / "box"), folder / "keys"
    own, coordinator = read_own(keys, name), read_member(keys, COORDINATOR)
    for _ in CenterMailbox(store, own, coordinator, {}, folder / name, add, MailboxConfig(poll=0.5)).events():
        pass
    results.put((name, peak_gib(), time.process_time()))


def exchange(grid: Grid, number: int, weights: Weights, centers: int) -> Weights:
    """One round as `train_rounds` plays it: ask, and add up what comes as it comes."""
    strategy = OrderedFedAvg()
    messages = list(strategy.configure_train(number, to_arrays(weights), ConfigRecord(), grid))
    strategy.expect(CASES * centers)
    in_order = sorted(messages, key=lambda message: message.metadata.dst_node_id)
    arrays, _ = strategy.aggregate_train(number, (reply for reply in replies_in_order(grid, in_order) if reply))
    assert arrays is not None
    return to_weights(arrays)


def coordinate(folder: Path, results: multiprocessing.Queue) -> None:
    """The rounds, as `train_rounds` plays them."""
    keys = folder / "keys"
    members = [read_member(keys, name) for name in NAMES]
    run = resume(folder / "run", "benchmark", keys / RUN_COUNTER)
    store, own = open_store(folder / "box"), read_own(keys, COORDINATOR)
    grid = MailboxGrid(store, own, members, run, MailboxConfig(poll=0.5))
    weights = {f"layer{n}": np.zeros(SIZE, dtype=np.float32) for n in range(ARRAYS)}
    seconds = []
    for number in range(1, ROUNDS + 1):
        start = time.monotonic()
        weights = exchange(grid, number, weights, len(NAMES))
        seconds.append(time.monotonic() - start)
    assert weights["layer0"][0] == 2 * ROUNDS
    grid.finish(RecordDict({"arrays": to_arrays(weights)}), ROUNDS)
    results.put((COORDINATOR, peak_gib(), median(seconds)))


def peak_gib() -> float:
    """The most memory that this process held, in GiB."""
    return memory.peak_mib() / 2**10


def measure() -> list[dict]:
    """Peak memory of the largest process beside the limit; seconds of a round beside CPU seconds of a center in it."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in (COORDINATOR, *NAMES):
            write_keys(folder / "keys", make_keys(name))
        members = [context.Process(target=center, args=(folder, name, queue)) for name in NAMES]
        members.append(context.Process(target=coordinate, args=(folder, queue)))
        for member in members:
            member.start()
        results = {name: values for name, *values in (queue.get(timeout=600) for _ in members)}
        for member in members:
            member.join()
    model = f"{ARRAYS * SIZE / 1e6:.0f} M weights through a mailbox, {len(NAMES)} centers"
    largest = max(peak for peak, _ in results.values())
    cpu = max(results[name][1] for name in NAMES) / ROUNDS
    memory_row = {"ours": largest, "peer": None, "ratio": None, "limit": LIMIT_GIB, "unit": "GiB"}
    seconds = results[COORDINATOR][1]
    time_row = {"ours": seconds, "peer": cpu, "ratio": seconds / cpu, "unit": "s"}
    return [
        {"name": f"{model}: largest process", **memory_row},
        {"name": f"{model}: a round, beside a center's CPU seconds in it", **time_row},
    ]


if __name__ == "__main__":
    print(measure())
