"""Run a notebook cell by cell in a sandboxed kernel: what it recorded, which cells failed, and why it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pedseg.workbook.answer_records import MIME, RESULT_MIME, VARIABLE, AnswerRecord, Unreadable, decode, encode, read
from pedseg.workbook.grading import sandbox
from pedseg.workbook.grading.sandbox import Limits

Examiner = Callable[[Callable], str]
MAX_OUTPUT = 200_000  # characters that are kept of all that a notebook prints
MAX_RECORDS = 500
KERNEL = ("-m", "ipykernel_launcher", "-f", "{connection_file}")


@dataclass(frozen=True)
class Step:
    """A cell to run. `rescue` runs after it where it fails, so that the cells below find what they need."""

    source: str
    exercise: str = ""
    rescue: str = ""


@dataclass
class Execution:
    """What came out: records by exercise, errors by exercise ("" for other cells), and how it ended.

    `examined` holds what the grader's own process found wrong with a function ("" for nothing), by exercise. `ended`
    is `finished`, or why the rest did not run: `time`, `memory`, `processes` or `kernel died`.
    """

    records: dict[str, list[AnswerRecord]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    reached: set[str] = field(default_factory=set)
    examined: dict[str, str] = field(default_factory=dict)
    ended: str = "finished"
    seconds: float = 0.0
    peak_mib: float = 0.0


class Watch:
    """Kills a program with all that it started once it takes more than it may, and keeps why."""

    def __init__(self, pid: int, limits: Limits) -> None:
        self.limits, self.reason, self.peak_mib = limits, "", 0.0
        self.program, self.until = psutil.Process(pid), time.monotonic() + limits.seconds
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self.stopped.wait(0.05):
            with contextlib.suppress(psutil.NoSuchProcess):
                tree = [self.program, *self.program.children(recursive=True)]
                memory_mib = sum(map(resident_mib, tree))
                self.peak_mib = max(self.peak_mib, memory_mib)
                over = {
                    "memory": memory_mib > self.limits.memory_mib,
                    "processes": len(tree) > self.limits.processes,
                    "time": time.monotonic() > self.until,
                }
                self.reason = next((name for name, exceeded in over.items() if exceeded), "")
                if self.reason:
                    return kill(self.program)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()
        kill(self.program)


def resident_mib(process: psutil.Process) -> float:
    """Memory of one process; none if it is gone."""
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss / 2**20
    return 0.0


def kill(program: psutil.Process) -> None:
    """Kill a program and its children; in a sandbox, its namespace dies with it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [program, *program.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        program.wait(10)


def execute(
    steps: Sequence[Step],
    work: Path,
    limits: Limits,
    *,
    sandboxed: bool = True,
    examiners: Mapping[str, Examiner] | None = None,
) -> Execution:
    """Run the steps of one notebook in a kernel of its own, in the folder `work`.

    An examiner is given a function that a learner wrote for its exercise, and says what is wrong with it. It is called
    in this process; the function runs in the kernel, and only arguments and results travel.
    """
    with ThreadPoolExecutor(1) as own_thread:  # the caller's may have a running event loop
        return own_thread.submit(asyncio.run, _execute(steps, work, limits, sandboxed, examiners or {})).result()


async def _execute(
    steps: Sequence[Step], work: Path, limits: Limits, sandboxed: bool, examiners: Mapping[str, Examiner]
) -> Execution:
    execution, began = Execution(), time.monotonic()
    manager = kernel_manager(work, limits, sandboxed)
    env = sandbox.environment(work) | {VARIABLE: "1"}
    with (work.parent / f"{work.name}.log").open("wb") as log:
        await manager.start_kernel(env=env, cwd=str(work), stdout=log, stderr=log)
    program = manager.provisioner.process
    with Watch(program.pid, limits) as watch:
        try:
            await _run_steps(steps, _client(manager, limits, work), execution, examiners)
        except Exception as error:  # a kernel that dies does so in many ways
            if not watch.reason and await manager.is_alive():
                raise  # it is not the notebook that failed
            execution.ended = watch.reason or "kernel died"
            execution.errors.setdefault("", f"{type(error).__name__}: {error}"[:500])
    program.wait(10)
    await manager._async_cleanup_resources()
    execution.seconds, execution.peak_mib = time.monotonic() - began, watch.peak_mib
    return execution


def kernel_manager(work: Path, limits: Limits, sandboxed: bool) -> Any:
    """The manager of a kernel that talks through sockets in the folder `work`: it has no network in common with us."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    program = [sys.executable, *KERNEL]
    argv = sandbox.command(program, work, limits) if sandboxed else program
    transport = {"transport": "ipc", "ip": str(work / "k")} if sys.platform != "win32" else {}
    manager = AsyncKernelManager(connection_file=str(work / "kernel.json"), **transport)
    manager._kernel_spec = KernelSpec(argv=argv, display_name="", language="python", interrupt_mode="message")
    return manager


async def _run_steps(
    steps: Sequence[Step], client: Any, execution: Execution, examiners: Mapping[str, Examiner]
) -> None:
    async with client.async_setup_kernel(cleanup_kc=False):
        try:
            for step in steps:
                if step.exercise:
                    execution.reached.add(step.exercise)
                outputs = await _run(client, step.source)
                _note_records(step.exercise, outputs, execution)
                if errors := [output for output in outputs if output.output_type == "error"]:
                    execution.errors.setdefault(step.exercise, f"{errors[0].ename}: {errors[0].evalue}"[:500])
                    if step.rescue:
                        await _run(client, step.rescue)
                records = execution.records.get(step.exercise, [])
                examiner = examiners.get(step.exercise)
                if examiner and records and isinstance(records[0].answer, Unreadable) and not records[0].problem:
                    function = remote_function(client, step.exercise, asyncio.get_running_loop())
                    with contextlib.suppress(CannotExamine):
                        execution.examined[step.exercise] = await asyncio.to_thread(examiner, function)
        finally:
            client.kc.stop_channels()


async def _run(client: Any, source: str) -> list[Any]:
    """Run a source in the kernel as the notebook's next cell; its outputs, which the notebook does not keep."""
    import nbformat

    cell = nbformat.v4.new_code_cell(source)
    client.nb.cells.append(cell)
    await client.async_execute_cell(cell, len(client.nb.cells) - 1)
    outputs, cell.outputs = cell.outputs, []
    return outputs


class CannotExamine(BaseException):
    """A function takes or gives what cannot travel. No Exception: checks take those for the learner's."""


def remote_function(client: Any, exercise: str, loop: asyncio.AbstractEventLoop) -> Callable:
    """The function that a learner wrote, as one that can be called from another thread of this process."""

    def function(*arguments: Any) -> Any:
        packed = encode(list(arguments))
        if '"type"' in json.dumps(packed):
            raise CannotExamine
        source = f"from pedseg.workbook import answer_records\nanswer_records.call({exercise!r}, {packed!r})"
        try:
            outputs = asyncio.run_coroutine_threadsafe(_run(client, source), loop).result()
        except Exception as error:  # the kernel died
            raise CannotExamine from error
        errors = [output for output in outputs if output.output_type == "error"]
        if errors:
            raise type(errors[0].ename, (Exception,), {})(errors[0].evalue)
        results = [o.data[RESULT_MIME] for o in outputs if o.output_type == "display_data" and RESULT_MIME in o.data]
        result = decode(results[0]) if results else None
        if isinstance(result, Unreadable):
            raise CannotExamine
        return result

    return function


def _note_records(exercise: str, outputs: Sequence[Any], execution: Execution) -> None:
    """Keep the records that the cell of an exercise made about this exercise."""
    kept = execution.records.setdefault(exercise, [])
    for output in outputs:
        record = read(output.data[MIME]) if output.output_type == "display_data" and MIME in output.data else None
        if record and record.name == exercise and len(kept) < MAX_RECORDS:
            kept.append(record)


def _client(manager: Any, limits: Limits, work: Path) -> Any:
    """nbclient's client, for cells that may fail, never end, or print without end."""
    import nbformat
    from nbclient import NotebookClient

    class BoundedClient(NotebookClient):
        """Keeps a bounded part of what a notebook prints."""

        printed = 0

        def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
            content = msg["content"]
            if not {MIME, RESULT_MIME} & content.get("data", {}).keys() and msg["msg_type"] != "error":
                self.printed += len(content.get("text", "")) + sum(map(len, map(str, content.get("data", {}).values())))
                if self.printed > MAX_OUTPUT:
                    return None
            return super().output(outs, msg, display_id, cell_index)

    return BoundedClient(
        nbformat.v4.new_notebook(),
        km=manager,
        timeout=math.ceil(limits.cell_seconds),
        startup_timeout=math.ceil(limits.seconds),
        allow_errors=True,
        interrupt_on_timeout=True,
        resources={"metadata": {"path": str(work)}},
    )
