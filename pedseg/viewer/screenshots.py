"""Screenshots of the reading room for README and docs, from a real browser: `pedseg viewer --screenshots`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
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
            for state in _states(_Room(page)):
                browser.wait_until_still(page)
                file = folder / f"reading_room_{state}.png"
                write_atomically(file, page.locator(".pedseg-room").screenshot())
                yield file


@dataclass(frozen=True)
class _Room:
    """The reading room in a browser, and what a reader does in it."""

    page: Any

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def _voxel(self) -> str:
        return str(self.page.locator(".pedseg-slices").get_attribute("data-voxel"))

    def press(self, button: str, new_scan: bool = False) -> None:
        was = self._voxel()
        self.page.get_by_role("button", name=button).click()
        browser.wait_until_moved(self.page, was) if new_scan else self.page.wait_for_timeout(1500)

    def choose(self, title: str, label: str, wait_for: str = "") -> None:
        was = self._voxel()
        self.page.locator(f"select[title='{title}']").select_option(label=label)
        if title == "center":
            browser.wait_until_moved(self.page, was)
        browser.wait_until_described(self.page, wait_for)

    def chosen(self, title: str) -> str:
        label = self.page.locator(f"select[title='{title}']").evaluate("select => select.selectedOptions[0].label")
        return str(label).replace("\xa0", " ")  # names of networks do not break in a list

    def open_gravest(self, kind: str) -> None:
        self.page.locator("select[title='filter by kind']").select_option(label=KINDS[kind])
        self.press("next (N)", new_scan=True)  # the first of the list: none was chosen


def _states(room: _Room) -> Iterator[str]:
    """Bring the page from one state to the next; yields the name of each."""
    browser.wait_until_described(room.page, "hospital:")
    room.choose("B, dashed", "federated", "federated:")
    room.page.mouse.move(2, 2)
    yield "own"
    room.choose("center", "Polder", "truth:")
    room.choose("B, dashed", "federated", "federated:")
    yield "open"
    yield from _failures(room)
    yield from _correction(room)
    room.tab("Organs")
    network = room.chosen("B, dashed")
    room.choose("center", f"{room.chosen('center')}, fine", "truth:")
    room.choose("B, dashed", network, f"{network}:")
    yield "fine"


def _failures(room: _Room) -> Iterator[str]:
    """The map and the list of failures, a false kidney, and the place where two networks differ most."""
    room.tab("Failures")
    yield "map"
    room.page.get_by_role("button", name="list", exact=True).click()
    room.open_gravest("false")
    yield "failure"
    room.press("distance to A")
    room.tab("Organs")
    yield "distance"
    room.press("organ colors")
    home = f"{room.chosen('center')} alone"
    other = "federated" if room.chosen("B, dashed") == home else home
    room.choose("C, dotted", other, f"{other}:")
    room.tab("Differences")
    room.press("next smaller")  # the largest: none was chosen
    yield "two_models"
    room.choose("C, dotted", "nothing")


def _correction(room: _Room) -> Iterator[str]:
    """A false kidney under the eraser."""
    room.tab("Failures")
    room.open_gravest("worst")
    room.open_gravest("false")  # back to its place
    room.tab("Correct")
    room.page.get_by_label("from", exact=True).select_option(label=room.chosen("B, dashed"))
    room.press("draw (D)")
    room.page.wait_for_selector(".pedseg-slices[data-pen=brush]")
    for key in ("x", *5 * ["]"], "ArrowUp", " ", "ArrowUp", " ", "ArrowDown", "ArrowDown"):
        room.page.locator(".pedseg-slices").press(key)  # a wide eraser takes away what is no kidney
        room.page.wait_for_timeout(300)
    yield "correct"
    room.press("draw (D)")
