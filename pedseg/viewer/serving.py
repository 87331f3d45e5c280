"""The reading room as a page of its own: Voilà on this machine alone, without one request to the internet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pedseg import processes
from pedseg.errors import input_error
from pedseg.processes import HOST, prepend_path

HERE = Path(__file__).parent
QUIETLY = (  # JupyterLab for a browser that nobody sits before
    "--no-browser", "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=", "--allow-root",
    "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)  # fmt: skip


def command(notebook: Path, *, port: int | None = None, browser: bool = True, rest: Sequence[str] = ()) -> list[str]:
    """The command that serves a notebook as a page on loopback."""
    own = [f"--Voila.ip={HOST}", "--template=pedseg", "--theme=dark", "--strip_sources=True"]
    own += [f"--port={port}", "--Voila.port_retries=0"] if port else []
    own += [] if browser else ["--no-browser"]
    return [sys.executable, "-m", "voila", str(notebook), *own, *rest]


def variables() -> dict[str, str]:
    """The environment under which Voilà finds our template, and the kernel this package."""
    ours = {
        "JUPYTER_PATH": prepend_path(HERE, "JUPYTER_PATH"),
        "PYTHONPATH": prepend_path(HERE.parents[1], "PYTHONPATH"),
    }
    return {**os.environ, **ours}


def lab_command(root: Path, first: Path, rest: Sequence[str] = ()) -> list[str]:
    """The command that opens JupyterLab on the folder `root` at the notebook `first`."""
    return [sys.executable, "-m", "jupyterlab", "--notebook-dir", str(root), str(first), *rest]


def lab_variables(itk: str = "") -> dict[str, str]:
    """The environment of JupyterLab; `itk` is how itkwidgets gets its viewer: `network`, `offline`, or not at all.

    The extension that it needs asks the internet for scripts in every page, so it is off unless it is asked for.
    `offline` builds its copy first, which takes npm and a minute, once.
    """
    from pedseg.viewer import itk as engine

    variables = dict(os.environ)
    if itk == "offline":
        from pedseg.viewer.offline_itk import build
        from pedseg.workbook.lesson import runs

        variables["JUPYTER_PATH"] = prepend_path(build(runs() / "itk-offline"), "JUPYTER_PATH")
    settings = HERE / "jupyter" / ("quiet" if itk else "without_itk")  # both: no news are fetched from the internet
    variables["JUPYTER_CONFIG_PATH"] = prepend_path(settings, "JUPYTER_CONFIG_PATH")
    return variables | ({engine.WAY: itk} if itk else {})


@contextmanager
def running(words: Sequence[str], port: int, *, env: dict[str, str], log: Path, seconds: float = 60) -> Iterator[str]:
    """Run a server of this machine as long as the block lasts; gives its address once it answers.

    Raises `PedsegInputError` with the end of its `log` where it ends or stays silent.
    """
    with processes.running(words, log, env=env) as server:
        if not processes.wait_until_listening(server, port, seconds):
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["without a word"]
            raise input_error("E-SERVER", log.name, f"the server did not come up ({last[0]}).", "Look into the log.")
        yield f"http://{HOST}:{port}/"
