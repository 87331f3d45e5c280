"""How a round grows with the number of centers: 2, 8, 32 and 128, in this process and through a mailbox in a folder.

The model has 3 million weights (12 MB). The centers do not train: they add a number to each weight, so that CPU seconds
and memory are those of the exchange. Each number of centers is a program of its own; through the mailbox
the coordinator is, and the centers work in another one, by turns. Ours is the cost of a center, or the server's
peak, with 128 centers; the peer is the same with 2. `python -m benchmarks.growth FIGURE.png` draws them.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from flwr.serverapp import Grid

from benchmarks.mailbox import add, exchange
from pedseg import memory
from pedseg.federation.config import MailboxConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.keys import COORDINATOR, RUN_COUNTER, known_centers, own_keys, read_member, read_own
from pedseg.federation.mailbox.center import CenterMailbox
from pedseg.federation.mailbox.grid import MailboxGrid
from pedseg.federation.mailbox.object_store import open_store
from pedseg.federation.mailbox.outbox import resume

CENTERS = (2, 8, 32, 128)
ARRAYS, SIZE, ROUNDS = 30, 100_000, 2
WAYS = ("in this process", "mailbox")


def play(grid: Grid, centers: int) -> dict:
    """Two rounds as `train_rounds` plays them; CPU seconds of the second and the peak of this program in MiB."""
    weights = {f"layer{n}": np.zeros(SIZE, dtype=np.float32) for n in range(ARRAYS)}
    for number in range(1, ROUNDS + 1):
        start, wall = time.process_time(), time.monotonic()
        weights = exchange(grid, number, weights, centers)
    assert np.isclose(weights["layer0"][0], ROUNDS * (centers + 1) / 2)
    return {"cpu": time.process_time() - start, "wall": time.monotonic() - wall, "mib": memory.peak_mib()}


def in_this_process(centers: int, result: Connection) -> None:
    """Server and centers in one program."""
    memory.limit_heap()
    result.send(play(InProcessGrid(add, [{}] * centers, {}, workers=1), centers))  # type: ignore[arg-type]


def through_a_mailbox(centers: int, result: Connection, folder: Path) -> None:
    """The coordinator alone; the centers are in the program that started this one."""
    memory.limit_heap()
    keys, store, run = (
        folder / "keys",
        open_store(folder / "box"),
        resume(folder / "run", "growth", folder / RUN_COUNTER),
    )
    members = [read_member(keys, name) for name in known_centers(keys)]
    result.send(play(MailboxGrid(store, read_own(keys, COORDINATOR), members, run, MailboxConfig(poll=0.2)), centers))


def mailbox_round(centers: int) -> dict:
    """The same rounds through a mailbox."""
    names = [f"C{number:03d}" for number in range(centers)]
    with tempfile.TemporaryDirectory() as temporary:
        folder, end = Path(temporary), threading.Event()
        own = {name: own_keys(folder / "keys", name) for name in (COORDINATOR, *names)}

        def work() -> None:
            boxes = [
                CenterMailbox(open_store(folder / "box"), own[name], own[COORDINATOR].member, {}, folder / name, add)
                for name in names
            ]
            while not end.is_set():
                if not [event for box in boxes for event in box.poll()]:
                    time.sleep(0.05)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            return _program(through_a_mailbox, centers, folder)
        finally:
            end.set()
            thread.join()


def _program(target, centers: int, *arguments) -> dict:
    """What a program of its own tells."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    program = context.Process(target=target, args=(centers, theirs, *arguments))
    program.start()
    try:
        assert ours.poll(600)
        return ours.recv()
    finally:
        program.join()


def curves() -> dict[str, dict[int, dict]]:
    """CPU seconds of a round and peak of the server by way and number of centers."""
    return {
        WAYS[0]: {n: _program(in_this_process, n) for n in CENTERS},
        WAYS[1]: {n: mailbox_round(n) for n in CENTERS},
    }


def measure() -> list[dict]:
    """For each way: CPU milliseconds a center, and the server's peak, with the most centers beside the fewest."""
    few, many, rows = CENTERS[0], CENTERS[-1], []
    for way, points in curves().items():
        costs = [1000 * points[n]["cpu"] / n for n in (many, few)]
        peaks = [points[n]["mib"] for n in (many, few)]
        for what, (ours, peer), unit in (("a center", costs, "CPU ms"), ("server", peaks, "MiB")):
            name = f"{way}: {what}, {many} centers beside {few}"
            rows.append({"name": name, "ours": ours, "peer": peer, "ratio": ours / peer, "unit": unit})
    return rows


def draw(measured: dict[str, dict[int, dict]], file: Path) -> None:
    """Two panels: seconds of a round, and the server's peak, by the number of centers."""
    from matplotlib.figure import Figure

    figure = Figure((8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (way, points), color, line, marker in zip(measured.items(), ("#0072B2", "#D55E00"), "-:", "os", strict=True):
        numbers = list(points)
        style = {"color": color, "linestyle": line, "marker": marker, "label": way}
        left.plot(numbers, [points[n]["cpu"] for n in numbers], **style)
        right.plot(numbers, [points[n]["mib"] for n in numbers], **style)
    left.set(xlabel="centers", ylabel="server: CPU seconds of a round")
    right.set(xlabel="centers", ylabel="server: peak memory (MiB)")
    for axes in (left, right):
        axes.set_ylim(0, 1.12 * axes.dataLim.y1)
        axes.grid(axis="y", color="#dddddd")
        axes.set_xticks(CENTERS, [str(n) if n != 8 else "" for n in CENTERS])
    left.legend(frameon=False)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    measured = curves()
    print(json.dumps(measured))
    if sys.argv[1:]:
        draw(measured, Path(sys.argv[1]))
