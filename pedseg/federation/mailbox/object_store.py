"""Object stores for a mailbox: a folder, a WebDAV server or an S3-compatible store, all by fsspec.

Every object is written once: it appears whole under its name or not at all, and is never overwritten. A server that
is unavailable is tried again; one that denies access is not. Passwords come from the environment, never from the
address.
"""

from __future__ import annotations

import itertools
import logging
import math
import posixpath
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fsspec.implementations.local import LocalFileSystem

from pedseg.errors import PedsegInputError, input_error
from pedseg.federation.progress import set_within
from pedseg.files import PART, write_new

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)  # seconds between two attempts to reach an unavailable server
FIRST_POLL_SECONDS = 0.05
POLLS_BETWEEN_REPAIRS = 20  # then nothing is trusted that was seen in the mailbox before
START_SECONDS = 60.0  # within which a store must answer when a program begins
PROBE = b"pedseg writes this when it begins, and removes it"
T = TypeVar("T")
log = logging.getLogger("flwr.pedseg.mailbox")
_patience: ContextVar[float] = ContextVar("patience", default=math.inf)


@dataclass(frozen=True)
class Entry:
    """An object as a listing shows it: its size in bytes, and an etag that changes when the object does."""

    size: int
    etag: str


class StorageUnavailable(Exception):
    """The store does not answer at the moment, or has no room; it is tried again."""


def patience(seconds: float) -> AbstractContextManager[None]:
    """Within this block a store that is unavailable is tried again for so long only, then `StorageUnavailable`."""
    return set_within(_patience, seconds)


class ObjectStore(ABC):
    """A store of objects under names such as `to/Polder/7f3a-00001-….0`."""

    def __init__(self, filesystem: Any, root: str, url: str = "") -> None:
        self.filesystem = filesystem
        self.root, self.url = root, url or root

    def list_objects(self, folder: str, *, parts: bool = False) -> dict[str, Entry]:
        """The objects in a folder by name; with `parts` also those that are not whole, or never will be."""
        entries = self._retry(lambda: self._list(folder))
        return {name: entry for name, entry in entries.items() if parts or not name.endswith(PART)}

    def read(self, name: str, most: int | None = None) -> bytes:
        """The bytes of an object; `FileNotFoundError` if it is not there, refused if it has more than `most` bytes."""
        if most is not None:
            size = int(self._retry(lambda: self.filesystem.info(self._path(name)))["size"] or 0)
            if size > most:
                raise input_error("E-MAIL-SIZE", name, f"{size} bytes, {most} at most.", "It is ignored.")
        return self._retry(lambda: self.filesystem.cat_file(self._path(name)))

    def probe(self, folder: str, *, make: bool = False) -> None:
        """Write, list, read and remove an object in a folder: what is no mailbox is told when a program begins.

        `FileNotFoundError` if the folder is not there yet, unless we `make` it.
        """
        name = f"{folder}/probe-{secrets.token_hex(8)}{PART}"
        try:
            with patience(START_SECONDS):
                if make:
                    self.make_folder(folder)
                self.write_once(name, PROBE)
                with suppress(FileExistsError):
                    self.write_once(name, PROBE)
                    raise ValueError("a name could be taken twice")
                listed = name.rpartition("/")[2] in self.list_objects(folder, parts=True)
                whole = listed and self.read(name) == PROBE
                self.delete(name)
            if not whole:
                raise ValueError("what was written did not come back")
        except PedsegInputError:
            raise
        except StorageUnavailable as error:
            problem = f"it has not answered for {START_SECONDS:g} seconds ({error})."
            raise input_error("E-MAILBOX-AWAY", self.url, problem, "Check the address and the network.") from error
        except Exception as error:  # a login page, for example: every library has its own words for that
            if isinstance(error, FileNotFoundError) and not make:
                raise
            problem = f"what answers there is no mailbox ({type(error).__name__}: {str(error)[:200]})."
            remedy = "Check the address: a folder, the WebDAV address of one, or s3://bucket/prefix."
            raise input_error("E-MAILBOX-PROBE", self.url, problem, remedy) from error

    def write_once(self, name: str, data: bytes) -> None:
        """Write a new object, whole or not at all; `FileExistsError` if the name is taken, by whatever."""
        self._retry(lambda: self._create(name, data))

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError):
            self._retry(lambda: self.filesystem.rm_file(self._path(name)))

    def make_folder(self, folder: str) -> None:
        """Make a folder, if it is not there."""
        self._retry(lambda: self.filesystem.makedirs(self._path(folder), exist_ok=True))

    @abstractmethod
    def _create(self, name: str, data: bytes) -> None: ...

    @abstractmethod
    def _translate(self, error: Exception) -> Exception: ...

    def _path(self, name: str) -> str:
        return posixpath.join(self.root, name)

    def _list(self, folder: str) -> dict[str, Entry]:
        try:
            infos = self.filesystem.ls(self._path(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {posixpath.basename(info["name"]): _entry(info) for info in infos if info["type"] == "file"}

    def _retry(self, act: Callable[[], T]) -> T:
        """The result of `act`, which is called again after a pause as long as the store is unavailable."""
        until = time.monotonic() + _patience.get()
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            try:
                return act()
            except Exception as error:
                translated = self._translate(error)
                if not isinstance(translated, StorageUnavailable) or time.monotonic() + pause > until:
                    raise translated from error
                log.warning("the mailbox does not answer (%s); trying again in %g s", translated, pause)
                time.sleep(pause)
        raise AssertionError


class FolderStore(ObjectStore):
    """A folder of this machine or of a network drive."""

    def __init__(self, folder: Path) -> None:
        whole = folder.expanduser().resolve()
        if not whole.parent.is_dir():
            raise input_error("E-MAILBOX-URL", folder, "there is no such folder.", "Check the name, or make it first.")
        super().__init__(LocalFileSystem(), whole.as_posix())

    def _create(self, name: str, data: bytes) -> None:
        write_new(Path(self._path(name)), data)

    def _translate(self, error: Exception) -> Exception:
        if isinstance(error, PermissionError):
            return access_denied(self.root, error)
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | FileExistsError):
            return StorageUnavailable(error)
        return error


def open_store(url: str | Path) -> ObjectStore:
    """The store at an address: a path, `http(s)://…` for WebDAV, `s3://bucket/prefix` for an object store."""
    from pedseg.federation.mailbox.remote_stores import S3Store, WebDavStore  # these build on this module

    scheme = urlsplit(str(url)).scheme
    if scheme in ("http", "https"):
        return WebDavStore(str(url))
    if scheme == "s3":
        return S3Store(str(url))
    if len(scheme) > 1 and "://" in str(url):
        problem = f"{scheme} is not supported for a mailbox."
        raise input_error("E-MAILBOX-URL", str(url), problem, "Give a folder, https:// or s3://.")
    return FolderStore(Path(url))


def _entry(info: Mapping[str, Any]) -> Entry:
    keys = ("size", "etag", "e_tag", "mtime", "modified", "last_modified", "LastModified", "ino")
    return Entry(int(info.get("size") or 0), " ".join(str(info[key]) for key in keys if info.get(key) is not None))


def access_denied(address: str, error: Exception) -> Exception:
    """The error for a store that does not let us in."""
    return input_error("E-MAILBOX-DENIED", address, f"access was denied ({error}).", "Check user, password and rights.")


def polls(longest: float, repair: Callable[[], None]) -> Iterator[None]:
    """Pause between two polls of a mailbox with exponential backoff, up to `longest` seconds; `repair` now and then."""
    pause = FIRST_POLL_SECONDS
    for number in itertools.count(1):
        yield
        time.sleep(min(pause, longest))
        pause *= 1.5
        if number % POLLS_BETWEEN_REPAIRS == 0:
            repair()
