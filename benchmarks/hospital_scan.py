"""A hospital's CT of 512 x 512 x 300 in the reading room: how soon it is seen, and how wheel and pen answer.

A synthetic child, enlarged, with noise, as DICOM with an RTSTRUCT; the page as `pedseg viewer` serves it, in a Chromium
that draws without a graphics card. The page has no peer but limits that the project sets itself; wall time on a machine
that others may use as well. Run `python -m benchmarks hospital_scan`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pedseg import processes
from pedseg.cli import READING_ROOM
from pedseg.viewer import browser, serving

SHAPE, SPACING_MM = (512, 512, 300), (0.7, 0.7, 1.0)
STEPS = 30
WAYS = ("framesent", "framereceived")  # of a message over a websocket
SLICES = "document.querySelector('.pedseg-slices')"
ANSWER = f"""async (act) => {{
    const el = {SLICES}, canvas = el.querySelector('canvas'), box = canvas.getBoundingClientRect(), took = [];
    canvas.setPointerCapture = () => {{}};
    const at = (k) => ({{
        pointerId: 1, clientX: box.left + box.width * 0.15 + 4 * k, clientY: box.top + box.height * 0.4,
        deltaY: k % 2 ? 100 : -100, bubbles: true, cancelable: true }});
    if (act === 'pen') canvas.dispatchEvent(new PointerEvent('pointerdown', {{ ...at(0), button: 0, buttons: 1 }}));
    for (let k = 1; k <= {STEPS}; k++) {{
        const began = performance.now();
        canvas.dispatchEvent(act === 'pen' ? new PointerEvent('pointermove', {{ ...at(k), buttons: 1 }})
            : new WheelEvent('wheel', {{ ...at(0), deltaY: at(k).deltaY }}));
        while (!(Number(el.dataset.drawn) > began)) await new Promise((next) => setTimeout(next, 1));
        took.push(performance.now() - began);
        await new Promise((next) => setTimeout(next, 30));
    }}
    if (act === 'pen') canvas.dispatchEvent(new PointerEvent('pointerup', at({STEPS})));
    return took;
}}"""


def measure() -> list[dict[str, Any]]:
    """Rows of `name`, `ours`, `limit` and `unit`; there is no peer."""
    with tempfile.TemporaryDirectory() as work, browser.chromium() as chromium:
        took = dict(_page(chromium, Path(work), write_hospital_scan(Path(work))))
    limits = {"first picture": (2.0, "s"), "whole scan": (6.0, "s"), "wheel step, median": (200.0, "ms")}
    limits |= {"pen move, median": (200.0, "ms"), "largest message with the pen": (1e6, "bytes")}
    empty = {"peer": None, "ratio": None}
    return [
        {"name": f"hospital scan, {name}", "ours": took[name], **empty, "limit": limit, "unit": unit}
        for name, (limit, unit) in limits.items()
    ]


def write_hospital_scan(folder: Path) -> Path:
    """A child enlarged to `SHAPE`, with noise, as a CT and an RTSTRUCT; gives back their folder."""
    from pedseg.datasets.loading import load_image, load_labels
    from pedseg.dicom.example_patient import write_example_patient
    from pedseg.scan import Scan
    from pedseg.workbook import lesson

    dataset = lesson.samples()[0]
    image, labels = load_image(dataset.cases[0]), load_labels(dataset, dataset.cases[0])
    nearest = np.ix_(*(np.arange(n) * m // n for n, m in zip(SHAPE, image.shape, strict=True)))
    noise = np.random.default_rng(0).normal(0, 12, SHAPE).astype(np.int16)
    affine = np.diag([*SPACING_MM, 1.0])
    hu = np.clip(image.voxels[nearest] + noise, -1000, 3000).astype(np.int16)
    return write_example_patient(folder, Scan(hu, affine), Scan(labels.voxels[nearest], affine))


def _page(chromium: Any, work: Path, folder: Path) -> Iterator[tuple[str, float]]:
    """Open the scan in the page, then use wheel and pen."""
    port, sizes = processes.free_port(), [0]
    command = serving.voila_command(READING_ROOM, port=port, browser=False)
    env = serving.voila_environment() | {"PEDSEG_RUNS": str(work)}
    with serving.running(command, port, env=env, log=work / "voila.log") as address:
        page, _ = browser.open_page(chromium, "about:blank")
        page.on("websocket", lambda socket: [socket.on(way, lambda frame: sizes.append(len(frame))) for way in WAYS])
        page.goto(address)
        browser.wait_until_drawn(page)
        page.get_by_role("tab", name="Files").click()
        page.locator("input[title='path of what is opened']").fill(str(folder))
        page.locator("input[title='path of what is opened']").press("Tab")
        page.wait_for_timeout(3000)
        before, began = page.evaluate(f"{SLICES}.dataset.whole"), time.perf_counter()
        page.get_by_role("button", name="open", exact=True).click()
        page.wait_for_function(f"Number({SLICES}.dataset.voxel.split(' ')[0]) === {SHAPE[0] // 2}", polling=20)
        yield "first picture", time.perf_counter() - began
        page.wait_for_function(f"![undefined, '{before}'].includes({SLICES}.dataset.whole)", polling=20)
        yield "whole scan", time.perf_counter() - began
        page.wait_for_function("document.querySelector('.pedseg-crosshair').innerText.includes('hospital:')")
        yield "wheel step, median", statistics.median(page.evaluate(ANSWER, "wheel"))
        page.get_by_role("tab", name="Correct").click()
        page.get_by_role("button", name="draw (D)").click()
        page.wait_for_selector(".pedseg-slices[data-pen=brush]")
        sizes.clear()
        yield "pen move, median", statistics.median(page.evaluate(ANSWER, "pen"))
        page.wait_for_function("!document.body.innerText.includes('changed: +0.0')")
        yield "largest message with the pen", max(sizes)
        page.close()
