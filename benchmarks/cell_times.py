"""How long each cell of a chapter takes: python benchmarks/cell_times.py 05 07

Docs/teaching.md plans its 90 minutes with it.
Prints one line a cell: seconds by the clock, seconds of processor time (what counts where other programs run, too), and
the cell's first line; then the sum and the most memory that the kernel with all its programs took. `PEDSEG_PRECISION`
set to `float32` gives the times of a processor without bfloat16.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil

from pedseg.workbook.build_notebooks import build_notebook, read_chapter

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def main(chapters: list[str]) -> None:
    """Run the chapters, solved, one after the other."""
    for number in chapters:
        source = next((NOTEBOOKS / "source").glob(f"{number}_*.py"))
        print(source.stem)
        for line in cell_times(source):
            print(line, flush=True)


def cell_times(source: Path) -> Iterator[str]:
    """One line for each code cell, then the sum."""
    from nbclient import NotebookClient

    text = build_notebook(source.stem, read_chapter(source), solved=True)
    notebook = nbformat.reads(text, as_version=4)
    client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(NOTEBOOKS)}})
    with client.setup_kernel():
        kernel = psutil.Process(client.km.provisioner.pid)  # type: ignore[union-attr]
        memory = PeakMemory(kernel)
        began, used = time.perf_counter(), processor_seconds(kernel)
        start = (began, used)
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            client.execute_cell(cell, index)
            now, spent = time.perf_counter(), processor_seconds(kernel)
            yield f"{now - began:8.1f} {spent - used:8.1f}  {cell.source.splitlines()[0][:70]}"
            began, used = now, spent
        yield f"{began - start[0]:8.1f} {used - start[1]:8.1f}  in all; at most {memory.stop():.0f} MiB"


def processor_seconds(kernel: psutil.Process) -> float:
    """Processor time of a kernel, of what it started, and of what has ended since."""
    times = kernel.cpu_times()
    own = times.user + times.system + times.children_user + times.children_system
    return own + sum(t.user + t.system for t in (child.cpu_times() for child in kernel.children(recursive=True)))


class PeakMemory:
    """The most memory that a program and all its children took together, looked at ten times a second."""

    def __init__(self, program: Any) -> None:
        self.program, self.peak_mib, self.stopped = program, 0.0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        while not self.stopped.wait(0.1):
            tree = [self.program, *self.program.children(recursive=True)]
            self.peak_mib = max(self.peak_mib, sum(process.memory_info().rss for process in tree) / 2**20)

    def stop(self) -> float:
        """Stop looking; the peak in MiB."""
        self.stopped.set()
        self.thread.join()
        return self.peak_mib


if __name__ == "__main__":
    main(sys.argv[1:])
