"""A real browser that looks at the reading room: for the tests and for the screenshots.

Chromium, driven by Playwright, drawing by the processor (SwiftShader). Whatever is not on this machine cannot be
reached, and every attempt is counted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pedseg.errors import input_error
from pedseg.processes import HOST

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {HOST}",
)  # fmt: skip
SIZE = {"width": 1280, "height": 800}
INSIDE = ("data", "blob", "about", "chrome", "chrome-error")  # schemes of addresses that lead nowhere


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser as long as the block lasts (Playwright's `Browser`)."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise input_error(
            "E-NO-BROWSER", NAMES[0], "no Chromium is on the path.", "Install it (Debian: apt install chromium)."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Any, address: str = "") -> tuple[Any, list[str]]:
    """A page of 1280 x 800 pixels, and the growing list of addresses outside this machine that it asked for."""
    page, outside = browser.new_page(viewport=SIZE), []

    def note(asked: Any) -> None:
        parts = urlsplit(asked.url)
        if parts.scheme not in INSIDE and parts.hostname != HOST:
            outside.append(asked.url)

    page.on("request", note)
    page.on("websocket", note)
    if address:
        page.goto(address, wait_until="commit", timeout=120_000)
    return page, outside


def wait_until_drawn(page: Any, *, model: str = "federated", seconds: float = 90) -> None:
    """Wait for the slices and for what a model draws on them."""
    page.wait_for_selector(".pedseg-slices[data-drawn]", timeout=1000 * seconds)
    said = f"document.querySelector('.pedseg-crosshair')?.innerText.includes('{model}:')"
    page.wait_for_function(said, timeout=1000 * seconds)


def settle(page: Any, *, quiet_ms: int = 300, seconds: float = 8) -> None:
    """Wait until the picture of the page does not change any more."""
    before = b""
    for _ in range(int(1000 * seconds / quiet_ms)):
        now = page.screenshot()
        if now == before:
            return
        before = now
        page.wait_for_timeout(quiet_ms)


def run_all(page: Any) -> None:
    """Run all cells of the notebook that JupyterLab shows; a click that gets lost while it lays out is made again."""
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
    for _ in range(4):
        page.wait_for_timeout(1500)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        try:
            page.wait_for_selector(".jp-OutputArea-child", timeout=15_000)
            return
        except Exception:  # Playwright's own; the click was lost
            page.keyboard.press("Escape")
