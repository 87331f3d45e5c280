"""The SuperLink behind nginx: centers come through, users do not. The lines are those of docs/superlink.md."""

from __future__ import annotations

import re
import shutil
import ssl
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from pedseg import processes
from pedseg.federation import transports
from pedseg.federation.checkpoints import FINAL_MODEL
from pedseg.federation.config import FederationConfig
from pedseg.federation.deployment import flower_programs, superlink
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


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_a_federation_through_the_proxy_that_publishes_the_fleet_path_alone(
    root: Path, three_hospitals: Path, key_folder: Path, tmp_path: Path
) -> None:
    """Behind masks, too: the SuperLink's operator sees no single update."""
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    superlink.make_certificates(home)
    proxy = processes.free_port()
    with ExitStack() as stack:
        env, port = stack.enter_context(superlink.superlink(home))
        command = [str(shutil.which("nginx")), "-c", str(configuration(root, home, proxy, port)), "-p", str(home)]
        nginx = stack.enter_context(processes.running(command, home / "nginx.txt", env=env, folder=home))
        flower_programs.await_port(nginx, proxy, home)
        for path in OUTSIDE:
            assert status(home, proxy, path) == 403, path
        assert status(home, proxy, "/v1/fleet/x") != 403  # passed on: the SuperLink answers
        outside = {**env, "FLWR_HOME": str(home / "outside")}
        (home / "outside").mkdir()
        text = (home / "flwr" / "config.toml").read_text().replace(f":{port}", f":{proxy}")
        (home / "outside" / "config.toml").write_text(text)
        assert not flower_programs.flwr(["ls"], outside).get("success") and flower_programs.flwr(["ls"], env)["success"]
        for index, folder in enumerate(sorted(three_hospitals.iterdir())):
            key = superlink.make_node_key(home, f"node{index}")
            superlink.register(key.with_suffix(".pub"), f"center{index}", env)
            own = {
                "keys": str(key_folder),
                "secure-aggregation-only": True,
                "disclosure-log": f"{tmp_path}/{index}.tsv",
            }
            stack.enter_context(superlink.supernode(home, proxy, key, index, folder, own))
        settings = {"data": three_hospitals, "rounds": 1, "local_steps": 2, "seed": 7, "secure_aggregation": True}
        config = FederationConfig(out=out, min_available_centers=3, **settings)
        run_id = flower_programs.submit(home, config, env)
        list(flower_programs.follow_run(run_id, env, out, {}, 1, set()))
        assert flower_programs.status_of(run_id, env) == "finished:completed"
    weights, _, _ = load_weights(out / FINAL_MODEL)
    (here,) = transports.federate(replace(config, out=tmp_path / "here"))
    assert sha256_of(weights) == here.sha256
    assert (home / "access.log").read_text().count("POST /v1/fleet/") > 10
    assert [entry.message_type for entry in DisclosureLog(tmp_path / "0.tsv").entries()] == [
        "query.fingerprint",
        "train",
    ]
