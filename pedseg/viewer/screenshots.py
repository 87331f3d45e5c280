"""Screenshots of the reading room for README and docs, from a real browser: `pedseg viewer --screenshots`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pedseg import processes
from pedseg.dicom.example_patient import write_example_patient
from pedseg.files import write_atomically
from pedseg.phantoms.centers import POLDER, RESOLUTIONS, planned_scans, simulate_scan
from pedseg.scan import to_ras
from pedseg.viewer import browser, serving

SIZE = {"width": 1440, "height": 960}
RING = (329, 317)  # pixels: where the false kidney is
LARGEST_CELL = ".pedseg-map button.strong"


def take_screenshots(notebook: Path, folder: Path) -> Iterator[Path]:
    """Serve a notebook, open it, and write a picture of every state into `folder`; yields each file."""
    port = processes.free_port()
    command = serving.voila_command(notebook, port=port, browser=False)
    with tempfile.TemporaryDirectory() as work:
        scan = next(iter(planned_scans(RESOLUTIONS["clinic"](POLDER), train=0, validation=0, test=1)))
        image, labels = simulate_scan(RESOLUTIONS["clinic"](POLDER), scan)
        own = write_example_patient(Path(work), to_ras(image), to_ras(labels))
        log, env = Path(work) / "voila.log", serving.voila_environment(dicom=own) | {"PEDSEG_RUNS": work}
        with serving.running(command, port, env=env, log=log) as address, browser.chromium() as chromium:
            page, _ = browser.open_page(chromium, address, viewport=SIZE)
            for state in _states(page):
                browser.wait_until_still(page)
                file = folder / f"reading_room_{state}.png"
                write_atomically(file, page.locator(".pedseg-room").screenshot())
                yield file


def _states(page: Any) -> Iterator[str]:
    """Bring the page from one state to the next; yields the name of each."""
    slices = page.locator(".pedseg-slices")

    def tab(name: str) -> None:
        page.get_by_role("tab", name=name).click()

    def press(button: str, new_scan: bool = False) -> None:
        was = slices.get_attribute("data-voxel")
        page.get_by_role("button", name=button).click()
        browser.wait_until_moved(page, was) if new_scan else page.wait_for_timeout(1500)

    def choose(title: str, label: str, wait_for: str = "") -> None:
        was = slices.get_attribute("data-voxel")
        page.locator(f"select[title='{title}']").select_option(label=label)
        if title == "center":
            browser.wait_until_moved(page, was)
        browser.wait_until_described(page, wait_for)

    browser.wait_until_described(page, "hospital:")
    choose("B, dashed", "federated", "federated:")
    page.mouse.move(2, 2)
    yield "own"
    choose("center", "Polder", "truth:")
    choose("B, dashed", "federated", "federated:")
    yield "open"
    tab("Failures")
    yield "map"
    page.locator(LARGEST_CELL).first.click()
    press("next (N)", new_scan=True)  # the gravest: none was chosen
    yield "failure"
    press("distance to A")
    tab("Organs")
    yield "distance"
    press("organ colors")
    choose("C, dotted", "federated", "federated:")
    tab("Differences")
    press("next smaller")  # the largest: none was chosen
    yield "two_models"
    choose("C, dotted", "nothing")
    tab("Failures")
    press("next (N)", new_scan=True)
    tab("Correct")
    page.get_by_label("from", exact=True).select_option(label="Polder alone")
    press("draw (D)")
    page.wait_for_selector(".pedseg-slices[data-pen=brush]")
    for key in ("x", *5 * ["]"], "ArrowUp", " ", "ArrowUp", " ", "ArrowDown", "ArrowDown"):
        slices.press(key)  # a wide eraser takes away what is no kidney
        page.wait_for_timeout(300)
    page.mouse.move(*RING)
    yield "correct"
    press("draw (D)")
    tab("Organs")
    choose("center", "Neckar, fine", "Polder alone:")
    yield "fine"
