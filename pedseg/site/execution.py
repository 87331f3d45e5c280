"""Notebooks with their outputs: run once by nbclient, kept in a jupyter-cache, run again only when code changes.

jupyter-cache finds outputs by a notebook's code cells, so that new prose costs nothing. What the cells import and read
is in none of them: each state of the library and of the recorded results has a cache of its own.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from pedseg.errors import input_error
from pedseg.processes import prepend_path

ROOT = Path(__file__).parents[2]
MINUTES = 10  # that a cell may take
WORKERS = 2  # notebooks at once; each computes in one thread and takes up to 900 MiB
PROGRESS = "application/vnd.jupyter.widget-view+json"
WITHOUT_OUTPUT = ("cli", "site")  # rooms that no notebook imports


def execute(notebooks: Sequence[Path], cache_folder: Path, runs: Path) -> Iterator[tuple[Path, float]]:
    """Run the notebooks that the cache does not hold, two at once; yields each with its seconds as it ends.

    `runs` is where they keep what they make. Raises `PedsegInputError` with the cell's error where one stops.
    """
    waiting = [file for file in notebooks if cached(file, cache_folder) is None]
    if not waiting:
        return
    environment = {**os.environ, "PEDSEG_RUNS": str(runs), "PYTHONPATH": prepend_path(ROOT, "PYTHONPATH")}
    if len(waiting) > 1:  # two notebooks at once would simulate the centers' children in the same place
        children = "from pedseg.workbook import lesson; lesson.centers()"
        subprocess.run([sys.executable, "-c", children], env=environment, check=True, capture_output=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        futures = {pool.submit(_run, file, environment): file for file in waiting}
        try:
            for future in as_completed(futures):
                notebook, seconds = future.result()
                _keep(notebook, futures[future], cache_folder, seconds)
                yield futures[future], seconds
        finally:
            pool.shutdown(cancel_futures=True)


def _run(file: Path, environment: dict[str, str]) -> tuple[Any, float]:
    """A notebook with its outputs, and the seconds that it took."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook, began = nbformat.read(file, as_version=4), time.monotonic()
    # With timings in the metadata of cells, the cache would never find its own outputs.
    options: dict[str, Any] = {"timeout": 60 * MINUTES, "kernel_name": "python3", "record_timing": False}
    client = NotebookClient(notebook, resources={"metadata": {"path": str(file.parent)}}, **options)
    try:
        asyncio.run(client.async_execute(env=environment, stderr=subprocess.DEVNULL))  # closes its loop in this thread
    except CellExecutionError as error:
        problem = f"a cell stopped: {error.ename}: {error.evalue}."
        raise input_error("E-NOTEBOOK", file.name, problem, "Run it in JupyterLab.") from error
    except (CellTimeoutError, DeadKernelError) as error:
        problem = f"its kernel stopped, or a cell took more than {MINUTES} minutes."
        raise input_error("E-NOTEBOOK", file.name, problem, "Run it in JupyterLab.") from error
    return notebook, time.monotonic() - began


def _keep(notebook: Any, file: Path, cache_folder: Path, seconds: float) -> None:
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    cache_folder.mkdir(parents=True, exist_ok=True)
    bundle = CacheBundleIn(notebook, str(file), data={"execution_seconds": seconds})
    get_cache(str(cache_folder)).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def cached(file: Path, cache_folder: Path) -> Any:
    """A notebook with its prose of today and the outputs of the cache; None where its code has none."""
    import nbformat
    from jupyter_cache import get_cache

    if not (cache_folder / "global.db").is_file():
        return None
    try:
        _, merged = get_cache(str(cache_folder)).merge_match_into_notebook(nbformat.read(file, as_version=4))
    except KeyError:
        return None
    return without_progress_bars(merged)


def without_progress_bars(notebook: Any) -> Any:
    """The notebook without widgets that only live with a kernel and have nothing else to show."""
    for cell in notebook.cells:
        cell.get("outputs", [])[:] = [kept for output in cell.get("outputs", []) if (kept := _lasting(output))]
    return notebook


def _lasting(output: Any) -> Any:
    """An output as a page without a kernel can show it; None where nothing of it can be shown."""
    bundle = output.get("data", {})
    if PROGRESS in bundle:
        del bundle[PROGRESS]
        return output if bundle.keys() & {"text/html", "image/png", "image/svg+xml"} else None
    return output


def select_cache(folder: Path, root: Path) -> Path:
    """The cache for this state of library and data inside `folder`; those of other states are removed."""
    chosen = folder / fingerprint(root)
    for other in folder.glob("*/"):
        if other != chosen:
            shutil.rmtree(other)
    return chosen


def fingerprint(root: Path) -> str:
    """A digest of everything that a notebook's outputs depend on besides its cells; comments change nothing."""
    digest = hashlib.sha256()
    for file in sorted([*(root / "pedseg").rglob("*"), *(root / "notebooks").rglob("*.py")]):
        place = file.relative_to(root)
        if file.suffix == ".py" and place.parts[1] not in (*WITHOUT_OUTPUT, "source"):
            digest.update(f"{place} {_code(file.read_text('utf-8'))}".encode())
        elif file.suffix in (".tsv", ".js", ".css", ".j2") and place.parts[1] not in WITHOUT_OUTPUT:
            digest.update(str(place).encode() + file.read_bytes())
    for file in sorted(file for file in (root / "data_samples").rglob("*") if file.is_file()):
        digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _code(source: str) -> str:
    """Source code without comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
