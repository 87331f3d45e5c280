"""Screenshots of the reading room for README and docs, from a real browser: `pedseg viewer --screenshots`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pedseg import processes
from pedseg.files import write_atomically
from pedseg.viewer import browser, serving

LARGEST_CELL = ".pedseg-map button.strong"
SECOND_MODEL = "select[title='C, dotted']"
PEN_STROKE = ((25, -20), (55, -10), (60, 25), (30, 45), (0, 25), (0, 0))  # pixels right and down from its start


def take_screenshots(notebook: Path, folder: Path) -> Iterator[Path]:
    """Serve a notebook, open it, and write a picture of every state into `folder`; yields each file."""
    port = processes.free_port()
    command = serving.voila_command(notebook, port=port, browser=False)
    with tempfile.TemporaryDirectory() as work:
        log, env = Path(work) / "voila.log", serving.voila_environment() | {"PEDSEG_RUNS": work}
        with serving.running(command, port, env=env, log=log) as address, browser.chromium() as chromium:
            page, _ = browser.open_page(chromium, address)
            browser.wait_until_drawn(page)
            for state in _states(page):
                browser.wait_until_still(page)
                file = folder / f"reading_room_{state}.png"
                write_atomically(file, page.locator(".pedseg-room").screenshot())
                yield file


def _states(page: Any) -> Iterator[str]:
    """Bring the page from one state to the next; yields the name of each."""

    def tab(name: str) -> None:
        page.get_by_role("tab", name=name).click()

    def press(button: str, wait_ms: int = 1000) -> None:
        page.get_by_role("button", name=button).click()
        page.wait_for_timeout(wait_ms)

    page.mouse.move(2, 2)
    yield "open"
    tab("Failures")
    yield "map"
    page.locator(LARGEST_CELL).first.click()
    press("next (N)", 3000)  # the gravest: none was chosen
    yield "failure"
    press("distance to A")
    tab("Organs")
    yield "distance"
    page.locator(SECOND_MODEL).select_option(label="federated")
    tab("Differences")
    press("next smaller", 3000)  # the largest: none was chosen
    yield "two_models"
    page.locator(SECOND_MODEL).select_option(index=0)
    tab("Correct")
    press("draw (D)")
    page.wait_for_selector(".pedseg-slices[data-pen=brush]")
    box = page.locator(".pedseg-slices").bounding_box()
    x, y = box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    for right, down in PEN_STROKE:
        page.mouse.move(x + right, y + down, steps=5)
    page.mouse.up()
    page.wait_for_timeout(1500)
    yield "correct"
