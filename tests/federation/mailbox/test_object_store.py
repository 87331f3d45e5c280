"""The same manners on a folder, a WebDAV server and an S3-compatible store: written once, whole or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pedseg.errors import PedsegInputError
from pedseg.federation.mailbox import object_store, remote_stores
from pedseg.federation.mailbox.object_store import ObjectStore, open_store


@pytest.fixture(scope="module")
def webdav_server(servers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    server = servers.webdav(tmp_path_factory.mktemp("webdav"), users={servers.USER: servers.PASSWORD})
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def s3_server(servers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    server = servers.s3(tmp_path_factory.mktemp("s3"))
    server.start()
    servers.make_bucket(server, "box")
    yield server
    server.kill()


def as_user(monkeypatch: pytest.MonkeyPatch, user: str, password: str) -> None:
    monkeypatch.setenv(remote_stores.USER, user)
    monkeypatch.setenv(remote_stores.PASSWORD, password)


@pytest.fixture(params=["folder", "folder without links", "webdav", "s3"])
def store(
    request: pytest.FixtureRequest, servers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    """An empty store of each kind; a share over SMB is a folder without hard links."""
    if request.param == "folder without links":
        request.getfixturevalue("without_links")
    if request.param.startswith("folder"):
        return open_store(tmp_path / "box")
    if request.param == "webdav":
        as_user(monkeypatch, servers.USER, servers.PASSWORD)
        server = request.getfixturevalue("webdav_server")
        store = open_store(server.url)
        store.root = tmp_path.name
    else:
        server = request.getfixturevalue("s3_server")
        for key, value in servers.s3_environment(server).items():
            monkeypatch.setenv(key, value)
        store = open_store(f"s3://box/{tmp_path.name}")
    return store


def test_an_object_is_read_as_it_was_written(store: ObjectStore) -> None:
    store.make_folder("to/Aa")
    data = bytes(range(256)) * 20_000  # 5 MB
    store.write_once("to/Aa/letter.0", data)
    assert store.read("to/Aa/letter.0") == data
    listed = store.list_objects("to/Aa", parts=True)
    assert list(listed) == ["letter.0"] and listed["letter.0"].size == len(data)


def test_a_name_is_taken_once(store: ObjectStore) -> None:
    store.make_folder("to/Aa")
    store.write_once("to/Aa/letter.0", b"first")
    with pytest.raises(FileExistsError):
        store.write_once("to/Aa/letter.0", b"second")
    assert store.read("to/Aa/letter.0") == b"first"
    assert list(store.list_objects("to/Aa", parts=True)) == ["letter.0"]


def test_of_many_writers_one_wins(store: ObjectStore) -> None:
    store.make_folder("to/Aa")
    won: list[bytes] = []

    def write(text: bytes) -> None:
        try:
            store.write_once("to/Aa/letter.0", text * 100_000)
            won.append(text)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=write, args=(bytes([65 + n]),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and store.read("to/Aa/letter.0") == won[0] * 100_000
    assert list(store.list_objects("to/Aa", parts=True)) == ["letter.0"]


def test_what_is_not_there(store: ObjectStore) -> None:
    assert store.list_objects("nowhere") == {}
    with pytest.raises(FileNotFoundError):
        store.read("to/Aa/letter.0")
    store.delete("to/Aa/letter.0")


def test_a_deleted_name_is_free_and_a_changed_object_has_another_stamp(store: ObjectStore) -> None:
    store.make_folder("to/Aa")
    store.write_once("to/Aa/letter.0", b"first")
    before = store.list_objects("to/Aa")["letter.0"].etag
    store.delete("to/Aa/letter.0")
    assert store.list_objects("to/Aa") == {}
    time.sleep(1.1)  # WebDAV tells whole seconds
    store.write_once("to/Aa/letter.0", b"other")
    assert store.list_objects("to/Aa")["letter.0"].etag != before


def test_a_half_written_object_is_not_listed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.make_folder("to")
    (tmp_path / "to" / f"letter.0.12{object_store.PART}").write_bytes(b"half")
    assert store.list_objects("to") == {} and len(store.list_objects("to", parts=True)) == 1


def test_a_wrong_password_is_told_at_once(webdav_server, servers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, servers.USER, "wrong")
    for act in (lambda p: p.list_objects("to"), lambda p: p.write_once("x", b""), lambda p: p.make_folder("y")):
        with pytest.raises(PedsegInputError, match="E-MAILBOX-DENIED"):
            act(open_store(webdav_server.url))


def test_a_server_that_is_away_is_waited_for(
    servers: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = servers.webdav(tmp_path)
    store = open_store(server.url)
    later = threading.Timer(1.0, server.start)
    later.start()
    try:
        store.make_folder("to")
        store.write_once("to/letter.0", b"text")
        assert store.read("to/letter.0") == b"text"
    finally:
        later.join()
        server.kill()
    assert "does not answer" in caplog.text


def test_the_folder_at_an_address_is_made_but_not_those_above_it(servers: ModuleType, tmp_path: Path) -> None:
    server = servers.webdav(tmp_path)
    server.start()
    try:
        store = open_store(f"{server.url}/box")
        assert store.list_objects("to") == {}
        store.make_folder("to/Aa")
        store.make_folder("to/Aa")
        store.write_once("to/Aa/letter.0", b"text")
        assert (tmp_path / "root/box/to/Aa/letter.0").read_bytes() == b"text"
        with pytest.raises(PedsegInputError, match="no such folder"):
            open_store(f"{server.url}/some/where").make_folder("to")
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://ann:secret@cloud.example/box", "E-MAILBOX-URL"),
        ("http://cloud.example/box", "E-MAILBOX-URL"),
        ("ftp://cloud.example/box", "E-MAILBOX-URL"),
    ],
)
def test_unsafe_addresses_are_refused(url: str, code: str) -> None:
    with pytest.raises(PedsegInputError, match=code) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_an_unsafe_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example")
    with pytest.raises(PedsegInputError, match="TLS"):
        open_store("s3://box")


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_stores.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PedsegInputError, match=r"pedseg\[mailbox\]"):
        open_store("https://cloud.example/box")
