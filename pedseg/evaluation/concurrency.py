"""Long work side by side: generators in threads, their progress in one stream, and their time."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pedseg import memory
from pedseg.files import write_atomically

WORKERS = 2
TOTAL, PEAK, TIMES = "total", "peak memory", "seconds.json"
Seconds = dict[str, float]  # wall and cpu
Job = tuple[str, Iterator[int]]  # a stage's name, and the work itself: one tick a piece, worth so many units


@dataclass(frozen=True)
class Progress:
    """How far a long run is, in units of about one training step."""

    stage: str
    done: int
    total: int


def side_by_side(jobs: Sequence[Job], workers: int = WORKERS) -> Iterator[tuple[str, int]]:
    """Drain several generators, `workers` at a time, and yield (stage, units) as they come.

    The first error of a job is raised here; the other jobs stop at their next tick, as they do
    when the caller closes this generator.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    ticks: queue.SimpleQueue[tuple[str, int] | BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                stage, units = waiting.get_nowait()
                for unit in units:
                    ticks.put((stage, unit))
                    if stop.is_set() and isinstance(units, Generator):
                        units.close()
        except queue.Empty:
            pass
        except BaseException as error:
            ticks.put(error)
        finally:
            ticks.put(None)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        running = len(threads)
        while running:
            tick = ticks.get()
            if tick is None:
                running -= 1
            elif isinstance(tick, BaseException):
                raise tick
            else:
                yield tick
    except KeyboardInterrupt:
        threads.clear()  # the user waits: the program ends without them
        raise
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class Clock:
    """Seconds by stage, wall and CPU, and the most memory; of earlier programs, too, that left theirs in a file."""

    def __init__(self) -> None:
        self.started = time.perf_counter(), time.process_time()
        self.seconds: dict[str, Seconds] = {}
        self._before: Seconds = {"wall": 0.0, "cpu": 0.0}
        self._peak_before_mib = 0.0
        self._file: Path | None = None
        self._one_at_a_time = threading.Lock()

    def go_on(self, work: Path) -> None:
        """Add what earlier programs took and left in this folder; from now on each job that ends renews it."""
        file = work / TIMES
        kept: dict[str, Seconds] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self._before = kept.pop(TOTAL, self._before)
        self._peak_before_mib = kept.pop(PEAK, {}).get("mib", 0.0)
        for stage, entry in kept.items():
            self._add(stage, **entry)
        self._file = file
        self._keep()

    def watch(self, stage: str, ticks: Iterator[int], *, own_thread: bool = False) -> Iterator[int]:
        """Pass `ticks` on and add the time they take to the stage; `own_thread` counts this thread's CPU only."""
        cpu_now = time.thread_time if own_thread else time.process_time
        wall, cpu = time.perf_counter(), cpu_now()
        try:
            yield from ticks
        finally:
            with self._one_at_a_time:
                self._add(stage, wall=time.perf_counter() - wall, cpu=cpu_now() - cpu)
                self._keep()

    def totals(self) -> Seconds:
        """Wall and CPU seconds of this program, and of those before it."""
        here = {"wall": time.perf_counter() - self.started[0], "cpu": time.process_time() - self.started[1]}
        return {kind: self._before[kind] + seconds for kind, seconds in here.items()}

    def peak_mib(self) -> float:
        """The most memory that this program, or one before it, ever held."""
        return max(self._peak_before_mib, memory.peak_mib())

    def _add(self, stage: str, *, wall: float, cpu: float) -> None:
        entry = self.seconds.setdefault(stage, {"wall": 0.0, "cpu": 0.0})
        entry["wall"] += wall
        entry["cpu"] += cpu

    def _keep(self) -> None:
        if self._file is not None:
            told = {TOTAL: self.totals(), PEAK: {"mib": self.peak_mib()}, **self.seconds}
            write_atomically(self._file, json.dumps(told).encode())
