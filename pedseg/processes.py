"""Programs beside this one on this machine, such as servers: begun, waited for, ended with all that they started."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

HOST = "127.0.0.1"
END_SECONDS = 10  # a program that was asked to end has so long, before it is ended for good


def free_port() -> int:
    """A port of this machine that nobody uses at this moment."""
    with socket.socket() as line:
        line.bind((HOST, 0))
        return line.getsockname()[1]


def with_first(folder: Path, variable: str) -> str:
    """A list of folders in a variable of the environment, with one more before them."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get(variable)])])


@contextmanager
def running(
    command: Sequence[str], log: Path, *, env: Mapping[str, str], folder: Path | None = None
) -> Iterator[subprocess.Popen]:
    """A program that runs until the end of the block, with everything that it starts; what it says goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command), env=env, cwd=folder, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        end(process)


def answers(server: subprocess.Popen, port: int, seconds: float) -> bool:
    """Wait until a server accepts connections; False if it ends or stays silent for so long."""
    until = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < until:
        with socket.socket() as line:
            line.settimeout(1)
            if line.connect_ex((HOST, port)) == 0:
                return True
        time.sleep(0.1)
    return False


def end(server: subprocess.Popen) -> None:
    """End a program and everything it started, first by request, after ten seconds for good.

    Its helpers may open sessions of their own, so the family is taken from the process tree.
    """
    try:
        top = psutil.Process(server.pid)
        family = [*reversed(top.children(recursive=True)), top]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=END_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    with suppress(subprocess.TimeoutExpired):
        server.wait(1)
