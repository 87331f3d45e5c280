"""Programs beside this one: whether they answer, and that nothing of them is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pedseg import processes

LISTENS = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"


@pytest.mark.parametrize(("code", "answered", "said"), [(LISTENS, True, ""), ("raise SystemExit('no')", False, "no\n")])
def test_a_server_answers_or_has_ended(code: str, answered: bool, said: str, tmp_path: Path) -> None:
    port, log = processes.free_port(), tmp_path / "log"
    with processes.running([sys.executable, "-c", code, str(port)], log, env=dict(os.environ)) as server:
        assert processes.wait_until_listening(server, port, 30) is answered
    assert server.poll() is not None and log.read_text() == said


def test_a_server_that_stays_silent_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    with processes.running(silent, tmp_path / "log", env=dict(os.environ)) as server:
        assert not processes.wait_until_listening(server, processes.free_port(), 0.3)
        assert server.poll() is None


def test_the_whole_family_of_a_server_is_ended(tmp_path: Path) -> None:
    child = "import time; time.sleep(60)"
    parent = (
        "import pathlib, subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(p.pid))\n"
        "time.sleep(60)"
    )
    server = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    until = time.monotonic() + 30
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    processes.terminate(server)
    assert server.poll() is not None
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
