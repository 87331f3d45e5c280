"""How fast does the reading room answer? Surfaces beside scikit-image's plain way, the page beside what it promises.

Surfaces: one thread, CPU seconds of the process, medians of both in turns. The page has no peer but limits that the
project sets itself: JupyterLab in a real Chromium that draws without a graphics card (SwiftShader), wall time on a
machine that others may use as well. The large case is a child of 2 mm voxels on a grid of 192 x 160 x 128 with 19
labels; its "models" are the truth, shifted. Run `python -m benchmarks viewer`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pedseg import processes
from pedseg.viewer import browser, serving

REPEATS, MOVES = 5, 15
SHAPE, SPACING_MM = (192, 160, 128), 2.0
AFFINE = np.diag([SPACING_MM] * 3 + [1.0])
SETUP = """from pedseg.viewer import engines
from pedseg.workbook import lesson
lesson.setup()
engines.prepare()
print("loaded")"""
ROOM = "engines.reading_room(lesson.samples(), lesson.study())"
LARGE = """import numpy as np
from pedseg.scan import Scan
data = np.load("large.npz")
maps = {name: data[name] for name in ("one", "two")}
engines.view(Scan(data["image"], data["affine"]), data["truth"], maps, engine="canvas")"""
CLOCK = """() => {
    window.pressed = undefined;
    addEventListener('keydown', () => { window.pressed = performance.now(); }, {once: true, capture: true});
}"""
DRAWN = "document.querySelector('.pedseg-slices')?.dataset.drawn"


def measure() -> list[dict[str, Any]]:
    """Rows of `name`, `ours`, `peer`, `ratio` (peer / ours), `limit` and `unit`; None where there is none."""
    case = large_case()
    ours, peer = _surfaces(case["truth"])
    name = "surfaces of 19 organs, 192x160x128 (peer: scikit-image on whole volumes, undecimated)"
    rows = [_row(name, ours, 2.0, "CPU s") | {"peer": peer, "ratio": peer / ours}]
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        np.savez(Path(folder) / "large.npz", affine=AFFINE, **case)  # type: ignore[arg-type]
        lesson = dict(_page(chromium, Path(folder), ROOM, "federated"))
        large = dict(_page(chromium, Path(folder), LARGE, "one"))
    rows += [
        _row("first picture (still), lesson grid", lesson["still"], 2.0, "s"),
        _row("slices to leaf through, lesson grid", lesson["first"], 2.0, "s"),
        _row("slices to leaf through: CPU of browser, kernel and server", lesson["first cpu"], 2.0, "CPU s"),
        _row("a slider's move, lesson grid, median", lesson["move"], 150.0, "ms"),
        _row("192x160x128 with two models: opens", large["whole"], 6.0, "s"),
        _row("192x160x128 with two models: CPU of browser, kernel and server", large["whole cpu"], 6.0, "CPU s"),
        _row("192x160x128: a slider's move, median", large["move"], 150.0, "ms"),
        _row("192x160x128: tab and kernel", large["memory"], 1228.8, "MiB"),
    ]
    return rows


def _row(name: str, ours: float, limit: float, unit: str) -> dict[str, Any]:
    return {"name": f"viewer, {name}", "ours": ours, "peer": None, "ratio": None, "limit": limit, "unit": unit}


def large_case() -> dict[str, np.ndarray]:
    """A child, cut and padded to the large grid, and two shifted copies of its labels."""
    from dataclasses import replace

    from pedseg.phantoms.centers import COHORT, NECKAR, NECKAR_PLAIN, planned_scans, simulate_scan

    fine = replace(NECKAR_PLAIN, pixel_mm=SPACING_MM, slice_mm=SPACING_MM)
    center = replace(NECKAR, protocols=((1.0, fine),), build_mm=(SPACING_MM,) * 3)
    image, labels = simulate_scan(center, planned_scans(center, **COHORT)[0])
    truth = _fitted(labels.voxels, 0)
    return {
        "image": _fitted(image.voxels, -1000), "truth": truth, "one": np.roll(truth, (2, 1, 0), (0, 1, 2)),
        "two": np.roll(truth, (-1, 2, 1), (0, 1, 2)),
    }  # fmt: skip


def _fitted(voxels: np.ndarray, empty: int) -> np.ndarray:
    fitted = np.full(SHAPE, empty, voxels.dtype)
    low = [max(0, (n - m) // 2) for n, m in zip(voxels.shape, SHAPE, strict=True)]
    part = voxels[tuple(slice(a, a + m) for a, m in zip(low, SHAPE, strict=True))]
    start = [(m - n) // 2 for n, m in zip(part.shape, SHAPE, strict=True)]
    fitted[tuple(slice(a, a + n) for a, n in zip(start, part.shape, strict=True))] = part
    return fitted


def _surfaces(labels: np.ndarray) -> tuple[float, float]:
    """Ours (cropped, blurred, decimated, with its error) and the plain way (each label in the whole volume)."""
    from skimage.measure import marching_cubes

    from pedseg.viewer.meshes import organ_surfaces

    ids = [i for i in np.unique(labels) if i]
    ways = (
        lambda: organ_surfaces(labels, AFFINE),
        lambda: [marching_cubes((labels == i).astype(np.float32), 0.5) for i in ids],
    )
    ours, peer = zip(*[[_cpu_of(way) for way in ways] for _ in range(REPEATS)], strict=True)
    return statistics.median(ours), statistics.median(peer)


def _cpu_of(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began


def _page(chromium: Any, folder: Path, code: str, model: str) -> Iterator[tuple[str, float]]:
    """Run two cells in JupyterLab: what the second one takes until the first picture, until all is there, and then."""
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (SETUP, code)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "page.ipynb")
    port = processes.free_port()
    command = serving.lab_command(folder, folder, [*serving.HEADLESS_LAB, f"--port={port}"])
    ours = {"PYTHONPATH": serving.voila_environment()["PYTHONPATH"], "OMP_NUM_THREADS": "1"}
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with serving.running(command, port, env={**serving.lab_environment(), **ours}, log=folder / "lab.log") as address:
        page, _ = browser.open_page(chromium, f"{address}lab/tree/page.ipynb")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
        page.wait_for_timeout(4000)
        page.locator(".jp-Cell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_selector(".jp-OutputArea-output:has-text('loaded')", timeout=60_000)
        page.wait_for_timeout(2000)
        began, spent = time.perf_counter(), _cpu_seconds()
        page.keyboard.press("Shift+Enter")
        page.wait_for_function("document.querySelector('img.pedseg-preview')?.naturalWidth > 10", polling=20)
        yield "still", time.perf_counter() - began
        page.wait_for_function(f"{DRAWN} !== undefined", timeout=60_000, polling=20)
        yield "first", time.perf_counter() - began
        yield "first cpu", _cpu_seconds() - spent
        browser.wait_until_drawn(page, model=model)
        page.wait_for_function("document.querySelectorAll('.k3d-target canvas').length >= 2", timeout=60_000)
        yield "whole", time.perf_counter() - began
        yield "whole cpu", _cpu_seconds() - spent
        page.wait_for_timeout(5000)
        yield "move", _moves(page)
        yield "memory", _memory_mib(before)
        page.close()


def _moves(page: Any) -> float:
    """Milliseconds from a slider's move to the picture that shows it, median; told by the browser's own clock."""
    sliders = page.locator(".noUi-handle")
    named = "e => e.closest('.widget-slider, .widget-inline-hbox').innerText.includes('axial')"
    handle = sliders.nth(next(k for k in range(sliders.count()) if sliders.nth(k).evaluate(named)))
    handle.focus()
    took = []
    for _ in range(MOVES):
        was = page.evaluate(DRAWN)
        page.evaluate(CLOCK)
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"{DRAWN} !== '{was}'", polling=5)
        took.append(page.evaluate(f"Number({DRAWN}) - window.pressed"))
        page.wait_for_timeout(250)
    return statistics.median(took)


def _cpu_seconds() -> float:
    """What every process below this one has spent: on a busy machine it says more than the clock on the wall."""
    return sum(sum(process.cpu_times()[:2]) for process in psutil.Process().children(recursive=True))


def _memory_mib(before: set[int]) -> float:
    """The browser's tab (its renderer) and the kernel, private and shared memory shared out (PSS), in MiB."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        line = " ".join(process.cmdline())
        if "--type=renderer" in line or (process.pid not in before and "ipykernel_launcher" in line):
            held = process.memory_full_info()
            total += getattr(held, "pss", held.rss)
    return total / 2**20
