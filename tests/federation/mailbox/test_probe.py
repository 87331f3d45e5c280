"""What is no mailbox, or holds what nobody asked for, is told when a program begins, and costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pedseg.__main__ import main
from pedseg.errors import PedsegInputError
from pedseg.federation.keys import make_keys, write_keys
from pedseg.federation.mailbox import object_store
from pedseg.federation.mailbox.object_store import open_store
from pedseg.processes import free_port


class LoginPage(BaseHTTPRequestHandler):
    """A server that answers everything with a page and status 200, as portals of hotels and hospitals do."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html><body>Please log in</body></html>")

    do_GET = do_PUT = do_PROPFIND = do_MKCOL = do_MOVE = do_DELETE = do_HEAD = do_OPTIONS = _answer

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def login_page() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), LoginPage)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/dav"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_mailbox_in_a_folder_is_one(tmp_path: Path) -> None:
    store = open_store(tmp_path / "box")
    with pytest.raises(FileNotFoundError):
        store.probe("from/Aa")
    store.probe("weights", make=True)
    assert list((tmp_path / "box/weights").iterdir()) == []


def test_a_share_without_hard_links_is_as_good(without_links: None, tmp_path: Path) -> None:
    store = open_store(tmp_path / "box")
    store.probe("weights", make=True)
    write_keys(tmp_path / "keys", make_keys("Aa"))
    with pytest.raises(PedsegInputError, match="E-KEY-EXISTS"):
        write_keys(tmp_path / "keys", make_keys("Aa"))


def test_a_login_page_is_no_mailbox(login_page: str) -> None:
    for folder, make in (("weights", True), ("from/Aa", False)):
        with pytest.raises(PedsegInputError, match="E-MAILBOX") as caught:
            open_store(login_page).probe(folder, make=make)
        assert login_page in str(caught.value)


def test_an_address_that_never_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "START_SECONDS", 0.5)
    with pytest.raises(PedsegInputError, match="E-MAILBOX-AWAY"):
        open_store(f"http://127.0.0.1:{free_port()}/dav").probe("weights", make=True)


def test_a_bucket_that_is_not_there_is_told(servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers.s3(tmp_path)
    monkeypatch.setattr(object_store, "START_SECONDS", 1.0)
    for key, value in servers.s3_environment(server).items():
        monkeypatch.setenv(key, value)
    server.start()
    try:
        with pytest.raises(PedsegInputError, match="E-MAILBOX-PROBE s3://mistyped/box"):
            open_store("s3://mistyped/box").probe("weights", make=True)
    finally:
        server.kill()


@pytest.mark.parametrize("verb", ["coordinate", "join"])
def test_a_mistyped_folder_is_told(
    verb: str, key_folder: Path, three_hospitals: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = [verb, str(tmp_path / "mnt" / "sahre" / "box"), "--keys", str(key_folder)]
    own = ["--out", str(tmp_path / "out")]
    if verb == "join":
        data = sorted(three_hospitals.iterdir())[0]
        own = ["--center", "Aa", "--data", str(data), "--state", str(tmp_path / "state")]
    assert main([*words, *own]) == 1
    assert "E-MAILBOX-URL" in capsys.readouterr().err and not (tmp_path / "mnt").exists()
