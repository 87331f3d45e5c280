"""Concurrent jobs: generators in worker threads, their progress in one stream, and the time of each stage."""

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
Ticks = queue.SimpleQueue[tuple[str, int] | BaseException | None]
Job = tuple[str, Iterator[int]]  # a stage's name, and its work: yields the units of each piece that is done


@dataclass(frozen=True)
class Progress:
    """How far a long run is, in units of about one training step."""

    stage: str
    done: int
    total: int


def run_concurrently(jobs: Sequence[Job], workers: int = WORKERS) -> Iterator[tuple[str, int]]:
    """Run several generators in threads, `workers` at a time, and yield (stage, units) as they come.

    The first error of a job is raised here; the other jobs stop at their next tick, as they do
    when the caller closes this generator.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    ticks: Ticks = queue.SimpleQueue()
    stop = threading.Event()
    count = min(workers, len(jobs))
    threads = [threading.Thread(target=_work, args=(waiting, ticks, stop), daemon=True) for _ in range(count)]
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


def _work(waiting: queue.SimpleQueue[Job], ticks: Ticks, stop: threading.Event) -> None:
    """One worker: do waiting jobs, tell each piece, then None; an error ends it."""
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


class StageTimer:
    """Wall and CPU seconds by stage, and peak memory, added to those of earlier runs that left theirs in a file."""

    def __init__(self) -> None:
        self.started = time.perf_counter(), time.process_time()
        self.seconds: dict[str, Seconds] = {}
        self._before: Seconds = {"wall": 0.0, "cpu": 0.0}
        self._peak_before_mib = 0.0
        self._file: Path | None = None
        self._lock = threading.Lock()

    def resume(self, work: Path) -> None:
        """Add what earlier runs took and left in this folder; from now on each job that ends renews the file."""
        file = work / TIMES
        saved: dict[str, Seconds] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self._before = saved.pop(TOTAL, self._before)
        self._peak_before_mib = saved.pop(PEAK, {}).get("mib", 0.0)
        for stage, entry in saved.items():
            self._add(stage, **entry)
        self._file = file
        self._save()

    def measure(self, stage: str, ticks: Iterator[int], *, own_thread: bool = False) -> Iterator[int]:
        """Pass `ticks` on and add the time they take to the stage; `own_thread` counts this thread's CPU only."""
        cpu_time = time.thread_time if own_thread else time.process_time
        wall, cpu = time.perf_counter(), cpu_time()
        try:
            yield from ticks
        finally:
            with self._lock:
                self._add(stage, wall=time.perf_counter() - wall, cpu=cpu_time() - cpu)
                self._save()

    def totals(self) -> Seconds:
        """Wall and CPU seconds of this run, and of those before it."""
        here = {"wall": time.perf_counter() - self.started[0], "cpu": time.process_time() - self.started[1]}
        return {kind: self._before[kind] + seconds for kind, seconds in here.items()}

    def peak_mib(self) -> float:
        """The most memory that this run, or one before it, ever held."""
        return max(self._peak_before_mib, memory.peak_mib())

    def _add(self, stage: str, *, wall: float, cpu: float) -> None:
        entry = self.seconds.setdefault(stage, {"wall": 0.0, "cpu": 0.0})
        entry["wall"] += wall
        entry["cpu"] += cpu

    def _save(self) -> None:
        if self._file is not None:
            content = {TOTAL: self.totals(), PEAK: {"mib": self.peak_mib()}, **self.seconds}
            write_atomically(self._file, json.dumps(content).encode())
