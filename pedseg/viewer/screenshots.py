"""Pictures of the reading room for README and docs: what a reader sees, taken from a real browser.

Each state is named; `take` opens the page once and goes from one to the next.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pedseg import processes
from pedseg.files import write_atomically
from pedseg.viewer import browser, serving

LIST = ".pedseg-room .widget-select select"


def take(notebook: Path, folder: Path) -> Iterator[Path]:
    """Serve a notebook, open it, and keep a picture of every state in `folder`; yields each file."""
    port = processes.free_port()
    words = serving.command(notebook, port=port, browser=False)
    with tempfile.TemporaryDirectory() as work:
        log, env = Path(work) / "voila.log", serving.variables() | {"PEDSEG_RUNS": work}
        with serving.running(words, port, env=env, log=log) as address, browser.chromium() as chromium:
            page, _ = browser.open_page(chromium, address)
            browser.wait_until_drawn(page)
            for name, reach in STATES.items():
                reach(page)
                browser.settle(page)
                file = folder / f"reading_room_{name}.png"
                write_atomically(file, page.locator(".pedseg-room").screenshot())
                yield file


def _open(page: Any) -> None:
    page.mouse.move(2, 2)


def _failure(page: Any) -> None:
    """The worst organ that is missing."""
    page.get_by_role("tab", name="Failures").click()
    page.locator("select[title='filter by kind']").select_option(label="missing")
    page.locator(LIST).first.select_option(index=0)
    page.wait_for_timeout(3000)


def _distance(page: Any) -> None:
    page.get_by_role("button", name="distance to truth").click()
    page.get_by_role("tab", name="Organs").click()
    page.wait_for_timeout(1000)


def _two_models(page: Any) -> None:
    """The largest place where two models disagree."""
    page.locator("select[title='second model (dotted)']").select_option(label="federated")
    page.get_by_role("tab", name="Two models").click()
    page.get_by_role("button", name="next smaller").click()
    page.wait_for_timeout(3000)


def _correct(page: Any) -> None:
    """A circle drawn with the pen."""
    page.locator("select[title='second model (dotted)']").select_option(index=0)
    page.get_by_role("tab", name="Correct").click()
    page.get_by_role("button", name="draw (D)").click()
    page.wait_for_timeout(1000)
    box = page.locator(".pedseg-slices").bounding_box()
    x, y = box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    for right, down in ((25, -20), (55, -10), (60, 25), (30, 45), (0, 25), (0, 0)):
        page.mouse.move(x + right, y + down, steps=5)
    page.mouse.up()
    page.wait_for_timeout(1500)


STATES: dict[str, Callable[[Any], None]] = {
    "open": _open, "failure": _failure, "distance": _distance, "two_models": _two_models, "correct": _correct,
}  # fmt: skip
