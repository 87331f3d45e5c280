"""What Flower costs: a federation in this process beside the same training without any federation.

Both train the same networks on the same cases for the same steps, two centers side by side on one
thread each. The peer never exchanges weights, so the difference is Flower: messages, checks,
averaging, and weights in and out of the network. Cases are prepared before the clock starts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import center_folders, read_dataset
from pedseg.federation.client_app import app, round_seed
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.learning.fingerprint import fingerprint, merge
from pedseg.learning.network import build
from pedseg.learning.plans import Plan, make_plan
from pedseg.learning.training import load_cases, train
from pedseg.phantoms.centers import CENTERS, make_dataset

ROUNDS, STEPS, SEED = 2, 85, 0  # a round of the lesson has as many steps
REPEATS = 3


def local_loops(datasets: list[DataSet], plan: Plan, *, rounds: int, steps: int) -> None:
    """Each center for itself: one network, all steps, nothing exchanged."""

    def train_center(index: int) -> None:
        network = build(plan, SEED)
        cases = load_cases(datasets[index], datasets[index].split("train"), plan)
        for round_ in range(rounds):
            seed = round_seed(SEED, round_ + 1, index)
            total, first = rounds * steps, round_ * steps
            for _ in train(network, cases, plan, steps=steps, seed=seed, total_steps=total, first_step=first):
                pass

    with ThreadPoolExecutor(len(datasets)) as pool:
        list(pool.map(train_center, range(len(datasets))))


def federation(data: Path) -> None:
    """The same training as a federation."""
    config = FederationConfig(data=data, out=None, rounds=ROUNDS, local_steps=STEPS, seed=SEED)
    nodes: list[dict] = [{} for _ in center_folders(data)]
    for _ in train_rounds(InProcessGrid(app, nodes, config.to_run_config(), workers=len(nodes)), config):
        pass


def cpu_seconds(work: Callable[[], None]) -> float:
    """CPU seconds of this process, all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure() -> list[dict]:
    """One row: CPU seconds of the federation, of the bare loops, and their ratio (median of pairs)."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        for number, center in enumerate(CENTERS.values(), start=901):
            list(make_dataset(center, data / f"Dataset{number}_{center.name}", train=2, validation=1, test=1))
        datasets = [read_dataset(folder) for folder in center_folders(data)]
        plan = make_plan(merge([fingerprint(dataset, dataset.split("train")) for dataset in datasets]), "lesson")
        local_loops(datasets, plan, rounds=1, steps=2)  # prepares the cases and warms up torch
        bare = partial(local_loops, datasets, plan, rounds=ROUNDS, steps=STEPS)
        pairs = [(cpu_seconds(partial(federation, data)), cpu_seconds(bare)) for _ in range(REPEATS)]
    ours, peer = (median(pair[which] for pair in pairs) for which in (0, 1))
    ratio = median(ours / peer for ours, peer in pairs)
    name = f"in-process Flower beside bare loops, {len(datasets)} centers, {ROUNDS} x {STEPS} steps"
    return [{"name": name, "ours": ours, "peer": peer, "ratio": ratio, "unit": "CPU s"}]


if __name__ == "__main__":
    print(measure())
