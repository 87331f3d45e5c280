"""The SuperLink behind nginx: centers come through, users do not. The lines are those of docs/superlink.md."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from pedseg import processes
from pedseg.federation import transports
from pedseg.federation.checkpoints import FINAL_MODEL
from pedseg.federation.config import FederationConfig
from pedseg.federation.deployment import flower_programs
from pedseg.federation.privacy.disclosure_log import DisclosureLog
from pedseg.learning.weights import load_weights, sha256_of

OUTSIDE = [
    *("/v1/control/list-runs", "/v1/runtime/x", "/", "/health", "/v1/fleet/../control/x", "/v1/fleet/%2e%2e/control/x"),
    *("/v1/fleet/..%2fcontrol/x", "/v1/fleetx", "//v1/control/x", "/V1/FLEET/x"),
]
NGINX = """
daemon off; pid {home}/nginx.pid; error_log {home}/nginx.log;
events {{}}
http {{
    access_log {home}/access.log;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f;
    uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
    {server}
}}
"""


def configuration(root: Path, home: Path, port: int, behind: int) -> Path:
    """The documented lines with this test's ports and files."""
    (server,) = re.findall(r"```nginx\n(.*?)```", (root / "docs" / "superlink.md").read_text(), flags=re.DOTALL)
    for name in ("server.pem", "server.key", "ca.crt"):
        server = re.sub(rf"(\s){name};", rf"\g<1>{home / name};", server)
    server = server.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace(":9092", f":{behind}")
    file = home / "nginx.conf"
    file.write_text(NGINX.format(home=home, server=server))
    return file


def status(home: Path, port: int, path: str) -> int:
    context = ssl.create_default_context(cafile=str(home / "ca.crt"))
    try:
        request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", data=b"{}", method="POST")
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


class Documented:
    """The commands of docs/superlink.md, in their order, with this test's ports, files and centers."""

    def __init__(self, root: Path, home: Path, port: int, proxy: int) -> None:
        text = (root / "docs" / "superlink.md").read_text(encoding="utf-8")
        self.blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
        self.root, self.home, self.port, self.proxy = root, home, port, proxy
        self.env = {**flower_programs.environment(home), "FLWR_HOME": str(home / "flower")}

    def script(self, block: int, center: int = 0, data: Path = Path(), more: str = "") -> str:
        words = {
            "coordinator.example:443": f"127.0.0.1:{self.proxy}",
            "9092": str(self.port),
            "/data/Dataset901_Polder": data.as_posix(),
            "/data/federation": (self.home / f"state{center}").as_posix(),
            "partition-id=0": f"partition-id={center} {more}",
            "Polder": ("Aa", "Bb", "Cc")[center],
            "polder": f"key{center}",
            "$PWD": self.home.as_posix(),
            "min-available-centers=2": f"min-available-centers=3 {more}",
            "rounds=10": "rounds=1",
            "/srv/federation/out": (self.home / "out").as_posix(),
        }
        text = self.blocks[block]
        for old, new in words.items():
            text = text.replace(old, new)
        return text

    def run(self, block: int, center: int = 0, folder: Path | None = None, **words: str) -> str:
        """What a block prints; every command in it must succeed."""
        command = ["bash", "-euo", "pipefail", "-c", self.script(block, center, **words)]  # type: ignore[arg-type]
        done = subprocess.run(
            command, cwd=folder or self.home, env=self.env, capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def running(self, block: int, log: str, *, end: str = "", **words: Any) -> AbstractContextManager:
        """A program that a block starts, as long as the context lasts."""
        script = f"exec {self.script(block, **words).strip()} {end}"
        env = {**self.env, "FLWR_HOME": str(self.home / f"home-{log}")}
        return processes.running(["bash", "-c", script], self.home / log, env=env, folder=self.home)


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("nginx", "openssl", "ssh-keygen", "bash"))),
    reason="nginx, openssl or OpenSSH is not installed",
)
def test_a_federation_by_the_documented_commands_through_the_documented_proxy(
    root: Path, three_hospitals: Path, key_folder: Path, tmp_path: Path
) -> None:
    """Behind masks, too: the SuperLink's operator sees no single update."""
    home, out = tmp_path / "home", tmp_path / "home" / "out"
    home.mkdir()
    port, proxy = processes.free_port(), processes.free_port()
    documented = Documented(root, home, port, proxy)
    documented.run(0)
    with ExitStack() as stack:
        server = stack.enter_context(documented.running(1, flower_programs.LOG))
        flower_programs.await_port(server, port, home)
        command = [str(shutil.which("nginx")), "-c", str(configuration(root, home, proxy, port)), "-p", str(home)]
        nginx = stack.enter_context(processes.running(command, home / "nginx.txt", env=documented.env, folder=home))
        flower_programs.await_port(nginx, proxy, home)
        for path in OUTSIDE:
            assert status(home, proxy, path) == 403, path
        assert status(home, proxy, "/v1/fleet/x") != 403  # passed on: the SuperLink answers
        outside = {**documented.env, "FLWR_HOME": str(home / "outside")}
        (home / "outside").mkdir()
        text = (home / "flower" / "config.toml").read_text().replace(f":{port}", f":{proxy}")
        (home / "outside" / "config.toml").write_text(text)
        assert not flower_programs.flwr(["ls"], outside).get("success")
        for index, folder in enumerate(sorted(three_hospitals.iterdir())):
            at_hospital, at_coordinator = documented.run(2, index), documented.run(3, index)
            assert at_hospital.strip() in at_coordinator and "registered" in at_coordinator.lower()
            own = f'keys="{key_folder}" secure-aggregation-only=true disclosure-log="{tmp_path}/{index}.tsv"'
            end = f"--host 127.0.0.1 --port {processes.free_port()}"  # here all share one machine
            stack.enter_context(documented.running(4, f"node{index}.log", end=end, center=index, data=folder, more=own))
        documented.run(5, folder=root, more=f'local-steps=2 seed=7 secure-aggregation=true keys="{key_folder}"')
        (run,) = flower_programs.flwr(["ls"], documented.env)["runs"]
        log = flower_programs.log_of(str(run["run-id"]), documented.env)
        assert run["status"] == flower_programs.COMPLETED, flower_programs.last_lines(log)
    weights, _, _ = load_weights(out / FINAL_MODEL)
    settings = {"data": three_hospitals, "rounds": 1, "local_steps": 2, "seed": 7, "secure_aggregation": True}
    (here,) = transports.federate(FederationConfig(out=tmp_path / "here", **settings))
    assert sha256_of(weights) == here.sha256
    assert (home / "access.log").read_text().count("POST /v1/fleet/") > 10
    assert [entry.message_type for entry in DisclosureLog(tmp_path / "0.tsv").entries()] == [
        "query.fingerprint",
        "train",
    ]
    assert (home / "state0" / "aggregation_group.json").is_file() and (home / "ca.key").stat().st_mode & 0o77 == 0
