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
from pedseg.errors import input_error
from pedseg.files import write_atomically
from pedseg.resources import parallel_jobs

TOTAL, PEAK, TIMES = "total", "peak memory", "seconds.json"
Seconds = dict[str, float]  # wall and cpu


@dataclass(frozen=True)
class Progress:
    """How far a long run is, in units of about one training step."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Job:
    """A stage's name, its work, which yields the units of each piece that is done, and the cores that it keeps busy.

    The jobs `then` wait until this one has ended.
    """

    stage: str
    work: Iterator[int]
    cores: int = 1
    then: Sequence[Job] = ()


Ticks = queue.SimpleQueue[tuple[str, int] | Job | BaseException]


def run_concurrently(jobs: Sequence[Job], cores: int | None = None) -> Iterator[tuple[str, int]]:
    """Run several generators, each in a thread, and yield (stage, units) as they come.

    At a time as many as fit so many cores (unless told, `resources.parallel_jobs`), the first that fits first. The
    first error of a job is raised here; the other jobs stop at their next tick, as they do when the caller closes this
    generator.
    """
    free, waiting = cores or parallel_jobs(), list(jobs)
    running: dict[Job, threading.Thread] = {}
    ticks: Ticks = queue.SimpleQueue()
    stop = threading.Event()
    try:
        while waiting or running:
            while job := next((j for j in waiting if j.cores <= free or not running), None):
                waiting.remove(job)
                free -= job.cores
                running[job] = threading.Thread(target=_work, args=(job, ticks, stop), daemon=True)
                running[job].start()
            tick = ticks.get()
            if isinstance(tick, Job):  # it has ended
                running.pop(tick).join()
                free += tick.cores
                waiting.extend(tick.then)
            elif isinstance(tick, BaseException):
                raise tick
            else:
                yield tick
    except KeyboardInterrupt:
        running.clear()  # the user waits: the program ends without them
        raise
    finally:
        stop.set()
        for thread in running.values():
            thread.join()


def _work(job: Job, ticks: Ticks, stop: threading.Event) -> None:
    """Do a job: tell each piece, then the job itself, or its error."""
    try:
        for units in job.work:
            ticks.put((job.stage, units))
            if stop.is_set():
                break
        ticks.put(job)
    except BaseException as error:
        ticks.put(error)
    finally:
        if isinstance(job.work, Generator):
            job.work.close()


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
        saved = _read_times(file) if file.is_file() else {}
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

    def add_cpu(self, stage: str, seconds: float) -> None:
        """Add CPU seconds that other threads took for a stage."""
        with self._lock:
            self._add(stage, wall=0.0, cpu=seconds)

    def _add(self, stage: str, *, wall: float, cpu: float) -> None:
        entry = self.seconds.setdefault(stage, {"wall": 0.0, "cpu": 0.0})
        entry["wall"] += wall
        entry["cpu"] += cpu

    def _save(self) -> None:
        if self._file is not None:
            content = {TOTAL: self.totals(), PEAK: {"mib": self.peak_mib()}, **self.seconds}
            write_atomically(self._file, json.dumps(content).encode())


def _read_times(file: Path) -> dict[str, Seconds]:
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return {stage: {kind: float(number) for kind, number in entry.items()} for stage, entry in saved.items()}
    except (ValueError, TypeError, AttributeError) as error:
        remedy = "Remove it; the seconds of earlier calls are then not counted."
        raise input_error(
            "E-TIMES", file, f"the times of earlier calls are not understood ({error}).", remedy
        ) from error
