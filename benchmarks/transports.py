"""What each way between hospitals costs over bare training: CPU seconds and memory, two centers, the lesson's network.

Every way is a program of its own (`pedseg federate --transport …`) with all the programs that it starts; the
peer is the same training without any federation, as a program of its own, too. CPU seconds are those of
the program and of everything that it started; memory is the largest sum of proportional set
sizes over all of them, looked at twice a second. All begin with the same files and prepare the cases anew.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.federation import local_loops
from pedseg import memory
from pedseg.datasets.reading import read_dataset
from pedseg.federation.client_app import center_folders
from pedseg.learning.fingerprint import fingerprint, merge
from pedseg.learning.plans import make_plan
from pedseg.phantoms.centers import CENTERS, make_dataset

ROUNDS = int(os.environ.get("PEDSEG_BENCH_ROUNDS", "10"))
STEPS = int(os.environ.get("PEDSEG_BENCH_STEPS", "85"))
WAYS = ("in-process", "mailbox", "ray", "superlink")
LOOK_SECONDS = 0.5


def bare(data: Path) -> None:
    """The same training without any federation; its program is `python -m benchmarks.transports FOLDER`."""
    datasets = [read_dataset(folder) for folder in center_folders(data)]
    plan = make_plan(merge([fingerprint(dataset, dataset.split("train")) for dataset in datasets]), "lesson")
    local_loops(datasets, plan, rounds=ROUNDS, steps=STEPS)


def watched(command: list[str]) -> tuple[float, float, float]:
    """CPU seconds, GiB at most, and seconds of a program with everything that it starts."""
    before, start, most = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0
    seen: dict[int, float] = {}
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        held = 0
        for member in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                held += member.memory_full_info().pss
                times = member.cpu_times()
                seen[member.pid] = times.user + times.system
        most = max(most, held)
        time.sleep(LOOK_SECONDS)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return max(waited, sum(seen.values())), most / 2**30, time.monotonic() - start


def measure() -> list[dict]:
    """For each way: CPU seconds beside bare training; and memory beside that of the bare training."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        for number, center in enumerate(CENTERS.values(), start=901):
            list(make_dataset(center, data / f"Dataset{number}_{center.name}", train=4, validation=1, test=1))
        size = ["--rounds", str(ROUNDS), "--local-steps", str(STEPS)]
        peer = [sys.executable, "-m", "benchmarks.transports", str(data)]
        peer_cpu, peer_gib, _ = watched(peer)
        for way in WAYS:
            command = [sys.executable, "-m", "pedseg", "federate", "--data", str(data), "--transport", way, *size]
            cpu, gib, seconds = watched([*command, "--out", str(Path(folder) / way)])
            what = f"{way}, 2 centers, {ROUNDS} x {STEPS} steps, {seconds:.0f} s"
            rows.append({"name": what, "ours": cpu, "peer": peer_cpu, "ratio": cpu / peer_cpu, "unit": "CPU s"})
            rows.append({"name": what, "ours": gib, "peer": peer_gib, "ratio": gib / peer_gib, "unit": "GiB"})
    return rows


if __name__ == "__main__":
    memory.limit_heap()  # as every program of pedseg does
    bare(Path(sys.argv[1]))
