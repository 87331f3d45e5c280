"""How the pages are served: on loopback, without news and foreign scripts, and gone when they are not needed."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from pedseg import processes
from pedseg.errors import PedsegInputError
from pedseg.viewer import itk, npm, offline_itk, serving


def test_the_room_is_served_on_loopback_with_our_template():
    command = serving.voila_command(Path("a.ipynb"), port=8888, browser=False, rest=["--debug"])
    assert "--Voila.ip=127.0.0.1" in command and "--port=8888" in command and command[-1] == "--debug"
    assert (serving.HERE / "voila" / "templates" / "pedseg" / "index.html.j2").is_file()
    assert serving.voila_environment()["JUPYTER_PATH"].split(os.pathsep)[0] == str(serving.HERE)


def test_the_template_takes_out_what_voila_would_fetch():
    """Voilà's own page must still hold the very text that ours replaces."""
    ours = (serving.HERE / "voila" / "templates" / "pedseg" / "index.html.j2").read_text("utf-8")
    theirs = (Path(sys.prefix) / "share/jupyter/voila/templates/lab/index.html.j2").read_text("utf-8")
    far = [line.strip() for line in theirs.splitlines() if "https://" in line and "<link" in line]
    assert far and all(line in ours for line in far)


def test_jupyterlab_asks_for_no_news_and_foreign_scripts_only_on_request(monkeypatch):
    monkeypatch.delenv("JUPYTER_CONFIG_PATH", raising=False)
    plain, asked = serving.lab_environment(), serving.lab_environment("network")
    off = [
        json.loads((Path(environment["JUPYTER_CONFIG_PATH"]) / "labconfig" / "page_config.json").read_text())[
            "disabledExtensions"
        ]
        for environment in (plain, asked)
    ]
    assert "imjoy-jupyterlab-extension" in off[0] and "imjoy-jupyterlab-extension" not in off[1]
    assert all("@jupyterlab/apputils-extension:announcements" in disabled for disabled in off)
    assert itk.SOURCE_VARIABLE not in plain and asked[itk.SOURCE_VARIABLE] == "network"


def test_a_server_that_does_not_come_up_is_a_sentence(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such notebook')"]
    with (
        pytest.raises(PedsegInputError, match="no such notebook"),
        serving.running(command, processes.free_port(), env={}, log=tmp_path / "log"),
    ):
        pass


def test_a_server_ends_with_its_block(tmp_path):
    port = processes.free_port()
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    with serving.running([sys.executable, "-c", code], port, env={}, log=tmp_path / "log") as address:
        assert address == f"http://127.0.0.1:{port}/"
    with socket.socket() as line:
        assert line.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('f("https://cdn.jsdelivr.net/npm/vue@2.6.10/dist/vue.min.js")', 'f((globalThis.pedsegOffline+"vue.min.js"))'),
        (
            r"f(\"https://imjoy-team.github.io/vue-js-modal/index.js\")",
            r"f((globalThis.pedsegOffline+\"vue-js-modal.js\"))",
        ),
        ("b=`https://cdn.jsdelivr.net/npm/imjoy-rpc@${config.version}/dist/`;", "b=globalThis.pedsegOffline;"),
        ("nothing far", "nothing far"),
    ],
)
def test_far_addresses_become_files_beside_the_script(text, expected):
    assert offline_itk.use_local_files(text) == expected


def test_a_package_with_other_bytes_is_refused(tmp_path, monkeypatch):
    program = tmp_path / "npm"
    program.write_text("#!/bin/sh\necho other > vue-2.6.10.tgz\n")
    program.chmod(0o755)
    monkeypatch.setattr(npm.shutil, "which", lambda name: str(program))
    with pytest.raises(PedsegInputError, match="E-CHECKSUM vue@2"):
        npm.fetch("vue@2.6.10", offline_itk.PACKAGES["vue@2.6.10"], tmp_path)


def test_a_package_that_cannot_be_fetched_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{processes.free_port()}")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(PedsegInputError, match=r"npm cannot fetch it \(npm error code ECONNREFUSED\)"):
        npm.fetch("vue@2.6.10", offline_itk.PACKAGES["vue@2.6.10"], tmp_path)


def test_without_npm_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    with pytest.raises(PedsegInputError, match="npm: it is not on the path"):
        npm.fetch("vue@2.6.10", offline_itk.PACKAGES["vue@2.6.10"], tmp_path)
