"""A real browser before a real page: served once for all tests of this folder, with a picture of every state."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pedseg import processes
from pedseg.cli import READING_ROOM
from pedseg.organs import organ
from pedseg.scan import Scan
from pedseg.viewer import browser, serving

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "runs" / "screenshots"


@pytest.fixture
def scan() -> Scan:
    """A gray scan of 24 x 22 x 20 voxels of 3 x 3 x 4 mm."""
    return Scan(np.full((24, 22, 20), 40, np.int16), np.diag([3.0, 3.0, 4.0, 1.0]))


@pytest.fixture
def truth(scan) -> np.ndarray:
    """Its label map: a liver of 1000 voxels (36 mL), a spleen of 144."""
    labels = np.zeros(scan.shape, np.uint8)
    labels[2:12, 4:14, 3:13], labels[14:18, 4:10, 4:10] = organ("Liver").id, organ("Spleen").id
    return labels


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as program:
        yield program


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """Where the pages keep what is saved in them."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def voila(tmp_path_factory, runs) -> Iterator[str]:
    """The address of the reading room, served as `pedseg viewer` does."""
    port, log = processes.free_port(), tmp_path_factory.mktemp("voila") / "voila.log"
    command = serving.voila_command(READING_ROOM, port=port, browser=False)
    env = {**serving.voila_environment(), "PEDSEG_RUNS": str(runs)}
    with serving.running(command, port, env=env, log=log) as address:
        yield address


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Callable[..., Any]:
    """Opens JupyterLab on a folder as `pedseg lab` does, with settings of its own; a context that gives the address."""

    def serve(folder: Path, itk: str = "", **environment: str) -> Any:
        own = tmp_path_factory.mktemp("jupyter")
        places = {f"JUPYTER_{kind}_DIR": str(own / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
        places |= {f"JUPYTERLAB_{kind}_DIR": str(own / kind.lower()) for kind in ("SETTINGS", "WORKSPACES")}
        port = processes.free_port()
        command = serving.lab_command(folder, folder, [*serving.HEADLESS_LAB, f"--port={port}"])
        places["PYTHONPATH"] = serving.voila_environment()["PYTHONPATH"]
        env = {**serving.lab_environment(itk), **places, **environment}
        return serving.running(command, port, env=env, log=own / "lab.log")

    return serve


@pytest.fixture(scope="session")
def keep() -> Callable[[Any, str], np.ndarray]:
    """Takes a picture of a page, keeps it in runs/screenshots, and gives its pixels (y, x, 3)."""
    PICTURES.mkdir(parents=True, exist_ok=True)

    def keep_picture(page: Any, name: str, of: str = "") -> np.ndarray:
        browser.wait_until_still(page)
        png = page.locator(of).first.screenshot() if of else page.screenshot()
        (PICTURES / f"{name}.png").write_bytes(png)
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)

    return keep_picture


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[Any]:
    """Where a test with a browser fails, the report says what its pages show: a machine of the CI keeps no picture."""
    report = yield
    program = item.funcargs.get("chromium") if isinstance(item, pytest.Function) else None
    if report.when == "call" and report.failed and program is not None:
        pages = [page for context in program.contexts for page in context.pages]
        for page in pages:
            with suppress(Exception):  # a page that crashed says nothing, and the test's own failure is told anyway
                report.sections.append((page.url, page.locator("body").inner_text(timeout=5000)[-2000:]))
    return report
