"""The reading room as a page of its own: Voilà on this machine alone, without one request to the internet."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pedseg.findings import refuse

HERE = Path(__file__).parent
HOST = "127.0.0.1"


def command(notebook: Path, *, port: int | None = None, browser: bool = True, rest: Sequence[str] = ()) -> list[str]:
    """The command that serves a notebook as a page on loopback."""
    own = [f"--Voila.ip={HOST}", "--template=pedseg", "--theme=dark", "--strip_sources=True"]
    own += [f"--port={port}", "--Voila.port_retries=0"] if port else []
    own += [] if browser else ["--no-browser"]
    return [sys.executable, "-m", "voila", str(notebook), *own, *rest]


def variables() -> dict[str, str]:
    """The environment under which Voilà finds our template, and the kernel this package."""
    paths = [str(HERE), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    ours = [str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "JUPYTER_PATH": os.pathsep.join(paths), "PYTHONPATH": os.pathsep.join(ours)}


@contextmanager
def running(words: Sequence[str], port: int, *, env: dict[str, str], log: Path, seconds: float = 60) -> Iterator[str]:
    """Run a server of this machine as long as the block lasts; gives its address once it answers.

    Raises `PedsegInputError` with the end of its `log` where it ends or stays silent.
    """
    own_group = {"start_new_session": True} if os.name == "posix" else {}
    with log.open("wb") as stream:
        server = subprocess.Popen(list(words), env=env, stdout=stream, stderr=subprocess.STDOUT, **own_group)  # type: ignore[call-overload]
        try:
            _wait_for(server, port, log, seconds)
            yield f"http://{HOST}:{port}/"
        finally:
            if os.name == "posix":
                os.killpg(server.pid, signal.SIGTERM)  # the server and its kernels
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
