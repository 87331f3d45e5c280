"""Serve the reading room by Voilà, and the notebooks by JupyterLab, on this machine alone and without the internet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pedseg import processes
from pedseg.errors import input_error
from pedseg.processes import HOST, prepend_path
from pedseg.viewer import itk
from pedseg.viewer.engines import OPENED

HERE = Path(__file__).parent
HEADLESS_LAB = (  # options of JupyterLab for an automated browser
    "--no-browser", "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=", "--allow-root",
)  # fmt: skip
QUIET_LAB = (  # no prompt about news, and no question to jupyter.org or PyPI about news, releases and extensions
    "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)  # fmt: skip
CULLING = (  # a kernel whose browser has crashed, or lost its network, ends by itself
    "--MappingKernelManager.cull_idle_timeout=600", "--MappingKernelManager.cull_interval=60",
    "--MappingKernelManager.cull_connected=False",
)  # fmt: skip


def voila_command(
    notebook: Path, *, port: int | None = None, browser: bool = True, rest: Sequence[str] = ()
) -> list[str]:
    """The command that serves a notebook as a page on loopback."""
    options = [f"--Voila.ip={HOST}", "--template=pedseg", "--theme=dark", "--strip_sources=True", *CULLING]
    options += [f"--port={port}", "--Voila.port_retries=0"] if port else []
    options += [] if browser else ["--no-browser"]
    return [sys.executable, "-m", "voila", str(notebook), *options, *rest]


def voila_environment(**opened: Path | None) -> dict[str, str]:
    """The environment under which Voilà finds our template, and the kernel this package and what is to be `opened`.

    By name (`engines.OPENED`): the folder of data, study or DICOM.
    """
    paths = {
        "JUPYTER_PATH": prepend_path(HERE, "JUPYTER_PATH"),
        "PYTHONPATH": prepend_path(HERE.parents[1], "PYTHONPATH"),
    }
    folders = {OPENED[name]: str(folder.resolve()) for name, folder in opened.items() if folder}
    return {**os.environ, **paths, **folders}


def lab_command(root: Path, first: Path, rest: Sequence[str] = ()) -> list[str]:
    """The command that opens JupyterLab on the folder `root` at the notebook `first`."""
    return [sys.executable, "-m", "jupyterlab", "--notebook-dir", str(root), *QUIET_LAB, str(first), *rest]


def lab_environment(itk_source: str = "") -> dict[str, str]:
    """The environment of JupyterLab; `itk_source` is where itkwidgets gets its viewer: `network`, `offline` or "".

    The extension that it needs asks the internet for scripts in every page, so it is off unless it is asked for.
    `offline` builds its copy first, which takes npm and a minute, once.
    """
    environment = dict(os.environ)
    if itk_source == "offline":
        from pedseg.viewer.offline_itk import build
        from pedseg.workbook.lesson import runs

        environment["JUPYTER_PATH"] = prepend_path(build(runs() / "itk-offline"), "JUPYTER_PATH")
    settings = HERE / "jupyter" / ("quiet" if itk_source else "without_itk")  # both: no news from the internet
    environment["JUPYTER_CONFIG_PATH"] = prepend_path(settings, "JUPYTER_CONFIG_PATH")
    return environment | ({itk.SOURCE_VARIABLE: itk_source} if itk_source else {})


@contextmanager
def running(command: Sequence[str], port: int, *, env: dict[str, str], log: Path, seconds: float = 60) -> Iterator[str]:
    """Run a server on this machine as long as the block lasts; gives its address once it answers.

    Raises `PedsegInputError` with the end of its `log` where it ends or stays silent.
    """
    with processes.running(command, log, env=env) as server:
        if not processes.wait_until_listening(server, port, seconds):
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["without a message"]
            raise input_error("E-SERVER", log.name, f"the server did not start ({lines[-1]}).", "Read the log.")
        yield f"http://{HOST}:{port}/"
