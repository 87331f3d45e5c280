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
from pedseg.viewer.failure_list import KINDS

SIZE = {"width": 1440, "height": 960}


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

    def chosen(title: str) -> str:
        label = page.locator(f"select[title='{title}']").evaluate("select => select.selectedOptions[0].label")
        return str(label).replace("\xa0", " ")  # names of networks do not break in a list

    def open_gravest(kind: str) -> None:
        page.locator("select[title='filter by kind']").select_option(label=KINDS[kind])
        press("next (N)", new_scan=True)  # the first of the list: none was chosen

    browser.wait_until_described(page, "hospital:")
    choose("B, dashed", "federated", "federated:")
    page.mouse.move(2, 2)
    yield "own"
    choose("center", "Polder", "truth:")
    choose("B, dashed", "federated", "federated:")
    yield "open"
    tab("Failures")
    yield "map"
    page.get_by_role("button", name="list", exact=True).click()
    open_gravest("false")
    yield "failure"
    press("distance to A")
    tab("Organs")
    yield "distance"
    press("organ colors")
    home = f"{chosen('center')} alone"
    other = "federated" if chosen("B, dashed") == home else home
    choose("C, dotted", other, f"{other}:")
    tab("Differences")
    press("next smaller")  # the largest: none was chosen
    yield "two_models"
    choose("C, dotted", "nothing")
    tab("Failures")
    open_gravest("worst")
    open_gravest("false")  # back to its place
    tab("Correct")
    page.get_by_label("from", exact=True).select_option(label=chosen("B, dashed"))
    press("draw (D)")
    page.wait_for_selector(".pedseg-slices[data-pen=brush]")
    for key in ("x", *5 * ["]"], "ArrowUp", " ", "ArrowUp", " ", "ArrowDown", "ArrowDown"):
        slices.press(key)  # a wide eraser takes away what is no kidney
        page.wait_for_timeout(300)
    yield "correct"
    press("draw (D)")
    tab("Organs")
    network = chosen("B, dashed")
    choose("center", f"{chosen('center')}, fine", "truth:")
    choose("B, dashed", network, f"{network}:")
    yield "fine"
