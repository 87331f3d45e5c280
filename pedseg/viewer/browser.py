"""Chromium under Playwright that opens the reading room, for browser tests and screenshots.

It draws on the CPU (SwiftShader). No address outside this machine can be reached, and every attempt is counted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pedseg.errors import input_error
from pedseg.processes import HOST

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {HOST}",
)  # fmt: skip
PATIENCE_MS = 150_000  # software rendering on a busy machine is slow
SIZE = {"width": 1280, "height": 800}
LOCAL_SCHEMES = ("data", "blob", "about", "chrome", "chrome-error")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser as long as the block lasts (Playwright's `Browser`)."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        problem, remedy = "no Chromium is on the path.", "Install it (Debian: apt install chromium)."
        raise input_error("E-NO-BROWSER", PROGRAMS[0], problem, remedy)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Any, url: str, **options: Any) -> tuple[Any, list[str]]:
    """A page of 1280 x 800 pixels, and the growing list of addresses outside this machine that it asked for.

    `options` are Playwright's, such as another `viewport`, `has_touch` or `color_scheme`.
    """
    page, outside = browser.new_page(**{"viewport": SIZE} | options), []
    page.set_default_timeout(PATIENCE_MS)

    def check(request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme not in LOCAL_SCHEMES and address.hostname != HOST:
            outside.append(request.url)

    page.on("request", check)
    page.on("websocket", check)
    page.goto(url, wait_until="commit", timeout=PATIENCE_MS)
    return page, outside


def wait_until_drawn(page: Any, *, model: str = "federated") -> None:
    """Wait for the slices and the prediction of a model on them."""
    page.wait_for_selector(".pedseg-slices[data-drawn]")
    wait_until_described(page, f"{model}:")


def wait_until_described(page: Any, text: str) -> None:
    """Wait until the line about the crosshair says this."""
    page.wait_for_function(f"document.querySelector('.pedseg-crosshair')?.innerText.includes({text!r})")


def wait_until_moved(page: Any, voxel: str) -> None:
    """Wait until another scan, or a place that was not `voxel`, is shown with all that belongs to it."""
    page.wait_for_function(f"document.querySelector('.pedseg-slices').dataset.voxel !== '{voxel}'")
    page.wait_for_selector(".pedseg-slices[data-whole]")
    page.get_by_text("meshes true to").wait_for()


def crosshair_voxel(page: Any, slices: str = ".pedseg-slices") -> list[int]:
    """The voxel at the crosshair, (x, y, z), once what was asked for is drawn: two frames later."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
    return [int(index) for index in page.locator(slices).get_attribute("data-voxel").split()]


def wait_until_still(page: Any, *, quiet_ms: int = 300, seconds: float = 8) -> None:
    """Wait until the page looks the same twice."""
    before = b""
    for _ in range(int(1000 * seconds / quiet_ms)):
        now = page.screenshot()
        if now == before:
            return
        before = now
        page.wait_for_timeout(quiet_ms)
