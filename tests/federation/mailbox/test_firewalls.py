"""Hospitals that nobody can call: each in a network of its own, with a way out to the cloud and no way in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pedseg.federation.deployment.superlink import make_certificates
from pedseg.federation.mailbox.remote_stores import PASSWORD, USER

MEMBERS = ("coordinator", "Aa", "Bb", "Cc")


def ip(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


def inside(network: str) -> list[str]:
    return ["ip", "netns", "exec", network]


@pytest.fixture
def networks() -> Iterator[dict[str, str]]:
    """A network for the cloud and one for each member, joined to the cloud's by a cable and to nothing else."""
    mark = f"p{os.getpid() % 100_000}"
    names = {name: f"{mark}-{name}" for name in ("cloud", *MEMBERS)}
    if not shutil.which("ip") or subprocess.run(["ip", "netns", "add", names["cloud"]], capture_output=True).returncode:
        pytest.skip("network namespaces are not permitted here")
    made = [names["cloud"]]
    try:
        ip("-n", names["cloud"], "addr", "add", "192.0.2.1/32", "dev", "lo")  # an address kept for documentation
        ip("-n", names["cloud"], "link", "set", "lo", "up")
        for number, name in enumerate(MEMBERS):
            ip("netns", "add", names[name])
            made.append(names[name])
            ours, theirs = f"{mark}c{number}", f"{mark}m{number}"
            ip(
                "link",
                "add",
                ours,
                "netns",
                names["cloud"],
                "type",
                "veth",
                "peer",
                "name",
                theirs,
                "netns",
                names[name],
            )
            for network, device, host in ((names["cloud"], ours, 1), (names[name], theirs, 2)):
                ip("-n", network, "addr", "add", f"198.51.100.{8 * number + host}/30", "dev", device)
                ip("-n", network, "link", "set", device, "up")
            ip("-n", names[name], "link", "set", "lo", "up")
            ip("-n", names[name], "route", "add", "192.0.2.1", "via", f"198.51.100.{8 * number + 1}")
        yield names
    finally:
        for network in made:
            subprocess.run(["ip", "netns", "del", network], capture_output=True)


def reaches(network: str, address: str) -> bool:
    """Whether a TCP connection gets an answer of any kind, be it a refusal."""
    code = f"import socket; print(socket.socket().connect_ex(('{address}', 9)))"
    answer = subprocess.run([*inside(network), "python3", "-c", code], capture_output=True, text=True, timeout=60)
    return answer.stdout.strip() == "111"  # connection refused: somebody is there


@pytest.mark.slow
def test_centers_without_an_inbound_route_join_through_webdav_over_tls(
    networks: dict[str, str], servers: ModuleType, programs, tmp_path: Path, expected: list[str]
) -> None:
    assert reaches(networks["Aa"], "192.0.2.1")  # out to the cloud
    assert not reaches(networks["coordinator"], "198.51.100.10")  # not in to Aa, nor from center to center
    assert not reaches(networks["Bb"], "198.51.100.10")
    make_certificates(tmp_path, "192.0.2.1")
    users = {servers.USER: servers.PASSWORD}
    cloud = inside(networks["cloud"])
    server = servers.webdav(tmp_path, users=users, address="192.0.2.1", tls=tmp_path, prefix=cloud)
    own = {USER: servers.USER, PASSWORD: servers.PASSWORD, "SSL_CERT_FILE": str(tmp_path / "ca.crt")}
    played = programs(f"{server.url}/box", environment=own)
    played.prefixes = {name: inside(networks[name]) for name in MEMBERS}
    server.start(wait=False)
    try:
        played.start()
        listening = [subprocess.run([*inside(networks[name]), "ss", "-Hltn"], capture_output=True) for name in MEMBERS]
        assert [result.stdout for result in listening] == [b""] * 4  # nobody listens but the cloud
        played.wait()
    finally:
        server.kill()
    assert played.digest() == expected[-1]


@pytest.mark.slow
def test_a_server_that_cannot_prove_who_it_is_gets_nothing(servers: ModuleType, programs, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    server = servers.webdav(tmp_path, tls=tmp_path)
    server.start()
    played = programs(f"{server.url}/box")  # its authority is not trusted
    try:
        played.start("coordinator")
        assert played.running["coordinator"].wait(60) == 1
    finally:
        server.kill()
    assert "E-MAILBOX-TLS" in played.said("coordinator")
    assert list((tmp_path / "root").iterdir()) == []
