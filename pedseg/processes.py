"""Start a server or another program on this machine, wait until it listens, and terminate it with all its children."""

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
TERMINATE_SECONDS = 10  # a program that was asked to end has so long, before it is killed


def free_port() -> int:
    """A TCP port of this machine that nobody uses at this moment."""
    with socket.socket() as connection:
        connection.bind((HOST, 0))
        return connection.getsockname()[1]


def prepend_path(folder: Path, variable: str) -> str:
    """A list of folders in a variable of the environment (such as PATH), with one more before them."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get(variable)])])


@contextmanager
def running(
    command: Sequence[str], log: Path, *, env: Mapping[str, str], folder: Path | None = None
) -> Iterator[subprocess.Popen]:
    """A program that runs until the end of the block, with everything that it starts; its output goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command), env=env, cwd=folder, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        terminate(process)


def wait_until_listening(server: subprocess.Popen, port: int, seconds: float) -> bool:
    """Wait until a server accepts connections; False if it ends or stays silent for so long."""
    until = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < until:
        with socket.socket() as connection:
            connection.settimeout(1)
            if connection.connect_ex((HOST, port)) == 0:
                return True
        time.sleep(0.1)
    return False


def terminate(server: subprocess.Popen) -> None:
    """Terminate a program and everything it started; what still runs after ten seconds is killed.

    Its children may open sessions of their own, so they are taken from the process tree.
    """
    try:
        parent = psutil.Process(server.pid)
        processes = [*reversed(parent.children(recursive=True)), parent]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=TERMINATE_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    with suppress(subprocess.TimeoutExpired):
        server.wait(1)
