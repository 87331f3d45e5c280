"""The reading room as a page of its own: Voilà on this machine alone, without one request to the internet."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pedseg.findings import refuse

HERE = Path(__file__).parent
HOST = "127.0.0.1"
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
    ours = {"JUPYTER_PATH": _before(HERE, "JUPYTER_PATH"), "PYTHONPATH": _before(HERE.parents[1], "PYTHONPATH")}
    return {**os.environ, **ours}


def lab_command(root: Path, first: Path, rest: Sequence[str] = ()) -> list[str]:
    """The command that opens JupyterLab on the folder `root` at the notebook `first`."""
    return [sys.executable, "-m", "jupyterlab", "--notebook-dir", str(root), str(first), *rest]


def lab_variables(itk: str = "") -> dict[str, str]:
    """The environment of JupyterLab; `itk` is how itkwidgets gets its viewer: `network`, `offline`, or not at all.

    The extension that it needs asks the internet for scripts in every page, so it is off unless it is asked for.
    `offline` builds its copy first, which takes npm and a minute, once.
    """
    from pedseg.viewing import itk as engine

    variables = dict(os.environ)
    if itk == "offline":
        from pedseg.viewing.offline_itk import build
        from pedseg.workbook.lesson import runs

        variables["JUPYTER_PATH"] = _before(build(runs() / "itk-offline"), "JUPYTER_PATH")
    settings = HERE / "jupyter" / ("quiet" if itk else "without_itk")  # both: no news are fetched from the internet
    variables["JUPYTER_CONFIG_PATH"] = _before(settings, "JUPYTER_CONFIG_PATH")
    return variables | ({engine.WAY: itk} if itk else {})


def _before(folder: Path, variable: str) -> str:
    """A list of folders in a variable, with one more before them."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get(variable)])])


@contextmanager
def running(words: Sequence[str], port: int, *, env: dict[str, str], log: Path, seconds: float = 60) -> Iterator[str]:
    """Run a server of this machine as long as the block lasts; gives its address once it answers.

    Raises `PedsegInputError` with the end of its `log` where it ends or stays silent.
    """
    own_group = {"start_new_session": True} if os.name == "posix" else {}
    with log.open("wb") as stream:
        server = subprocess.Popen(  # type: ignore[call-overload]
            list(words), env=env, stdout=stream, stderr=subprocess.STDOUT, **own_group
        )  # fmt: skip
        try:
            _wait_for(server, port, log, seconds)
            yield f"http://{HOST}:{port}/"
        finally:
            if os.name == "posix":
                with suppress(ProcessLookupError):  # it has ended by itself
                    os.killpg(server.pid, signal.SIGTERM)  # the server, which ends its kernels
            else:
                server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for(server: subprocess.Popen, port: int, log: Path, seconds: float) -> None:
    """Wait until a server answers."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as line:
            line.settimeout(1)
            if line.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["without a word"]
    raise refuse("E-SERVER", log.name, f"the server did not come up ({last[0]}).", "Look into the log.")


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as line:
        line.bind((HOST, 0))
        return line.getsockname()[1]
