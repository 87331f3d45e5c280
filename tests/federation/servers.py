"""Real storage servers on this machine, each a process of its own: WebDAV (wsgidav) and S3 (moto)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from pedseg.processes import free_port

USER, PASSWORD = "polder", "correct horse"


class Server:
    """A program that listens on a port; can be killed and begun again on the same port."""

    def __init__(self, command: list[str], port: int, log: Path, env: dict[str, str] | None = None) -> None:
        self.command, self.port, self.log = command, port, log
        self.env = {**os.environ, **(env or {})}
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen | None = None

    def start(self, wait: bool = True) -> None:
        """Begin, and wait until it accepts connections (unless these cannot be tried from here)."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.env
            )
        until = time.monotonic() + 60
        if not wait:
            return
        while time.monotonic() < until and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text(errors="replace"))

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def webdav(
    folder: Path,
    *,
    users: dict[str, str] | None = None,
    address: str = "127.0.0.1",
    tls: Path | None = None,
    prefix: Sequence[str] = (),
) -> Server:
    """A WebDAV server on a folder; open to everybody on this machine, or to `users` with their passwords.

    `tls` is a folder with server.pem and server.key; `prefix` stands before the command.
    """
    port = free_port()
    (folder / "root").mkdir(parents=True, exist_ok=True)
    accounts = {name: {"password": word} for name, word in users.items()} if users else True
    config = {
        "host": address,
        "port": port,
        "provider_mapping": {"/": str(folder / "root")},
        "simple_dc": {"user_mapping": {"*": accounts}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "verbose": 1,
    }
    if tls:
        config |= {"ssl_certificate": str(tls / "server.pem"), "ssl_private_key": str(tls / "server.key")}
    (folder / "wsgidav.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "wsgidav.server.server_cli", "--config", str(folder / "wsgidav.json")]
    server = Server([*prefix, *command], port, folder / "webdav.txt")
    server.url = f"{'https' if tls else 'http'}://{address}:{port}"
    return server


def moto_server() -> str | None:
    """Where moto's server is: on the path, or where PEDSEG_MOTO_SERVER says (its pins do not fit in with ours)."""
    return os.environ.get("PEDSEG_MOTO_SERVER") or shutil.which("moto_server")


def s3(folder: Path) -> Server:
    """An S3 server that forgets everything when it ends; skips the test where moto is not installed."""
    if not moto_server():
        pytest.skip("no S3 server here: install moto[s3,server] in an environment of its own, see PEDSEG_MOTO_SERVER")
    port = free_port()
    command = [str(moto_server()), "-H", "127.0.0.1", "-p", str(port)]
    return Server(command, port, folder / "s3.txt", {"PYTHONPATH": "", "MOTO_S3_CUSTOM_ENDPOINTS": ""})


def s3_environment(server: Server) -> dict[str, str]:
    """What a program needs to find it."""
    return {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }


def make_bucket(server: Server, name: str) -> None:
    """Make a bucket in an S3 server."""
    request = urllib.request.Request(f"{server.url}/{name}", method="PUT")
    request.add_header("Host", f"127.0.0.1:{server.port}")
    urllib.request.urlopen(request, timeout=30).close()
