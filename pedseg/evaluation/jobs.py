"""Long work side by side: generators in threads, their progress in one stream, and their time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

WORKERS = 2
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
    """Seconds by stage, wall and CPU."""

    def __init__(self) -> None:
        self.started = time.perf_counter(), time.process_time()
        self.seconds: dict[str, dict[str, float]] = {}

    def watch(self, stage: str, ticks: Iterator[int], *, own_thread: bool = False) -> Iterator[int]:
        """Pass `ticks` on and add the time they take to the stage; `own_thread` counts this thread's CPU only."""
        cpu_now = time.thread_time if own_thread else time.process_time
        wall, cpu = time.perf_counter(), cpu_now()
        try:
            yield from ticks
        finally:
            entry = self.seconds.setdefault(stage, {"wall": 0.0, "cpu": 0.0})
            entry["wall"] += time.perf_counter() - wall
            entry["cpu"] += cpu_now() - cpu

    def totals(self) -> dict[str, float]:
        """Wall and CPU seconds since the start."""
        return {"wall": time.perf_counter() - self.started[0], "cpu": time.process_time() - self.started[1]}
