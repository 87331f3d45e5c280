"""Object stores on a server: WebDAV, and S3-compatible ones. Passwords come from the environment."""

from __future__ import annotations

import importlib.util
import io
import itertools
import os
import posixpath
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from pedseg.errors import input_error
from pedseg.federation.mailbox.object_store import Entry, ObjectStore, StorageUnavailable, access_denied
from pedseg.files import PART

USER, PASSWORD = "PEDSEG_MAILBOX_USER", "PEDSEG_MAILBOX_PASSWORD"
TIMEOUT_SECONDS = 120.0  # a server may need that long to store a large model
_numbers = itertools.count()


class WebDavStore(ObjectStore):
    """A WebDAV server, such as Nextcloud; user and password from the environment."""

    def __init__(self, url: str) -> None:
        _need("webdav4", "httpx")
        from webdav4.fsspec import WebdavFileSystem

        parts = urlsplit(url)
        local = parts.hostname in ("localhost", "::1") or str(parts.hostname).startswith("127.")
        if parts.username or parts.password:
            problem, remedy = "the address holds a password.", f"Set {USER} and {PASSWORD}."
            raise input_error("E-MAILBOX-URL", parts.hostname or url, problem, remedy)
        if parts.scheme == "http" and not local:
            raise input_error("E-MAILBOX-URL", url, "the password would travel in the open.", "Use https.")
        auth = (os.environ[USER], os.environ.get(PASSWORD, "")) if USER in os.environ else None
        super().__init__(WebdavFileSystem(url, auth=auth, timeout=TIMEOUT_SECONDS), "", url)

    def make_folder(self, folder: str) -> None:
        """Make a folder, and the one at the address itself, if they are not there."""
        try:
            super().make_folder(folder)
        except FileNotFoundError as error:  # the server answers so for a folder within none
            try:
                self._retry(lambda: self.filesystem.client.mkdir(""))
            except Exception:
                raise input_error("E-MAILBOX-URL", self.url, "there is no such folder.", "Make it first.") from error
            super().make_folder(folder)

    def _create(self, name: str, data: bytes) -> None:
        client = self.filesystem.client
        final = self._path(name)
        part = f"{final}.{os.getpid()}-{next(_numbers)}{PART}"
        try:
            client.upload_fileobj(io.BytesIO(data), part, overwrite=True, size=len(data))
            client.move(part, final, overwrite=False)
        except Exception:
            with suppress(Exception):
                client.remove(part)
            raise

    def _translate(self, error: Exception) -> Exception:
        import httpx
        from webdav4 import client as dav

        status = getattr(error, "status_code", 0)
        if isinstance(error, dav.ResourceAlreadyExists):
            return FileExistsError(str(error))
        if isinstance(error, dav.ResourceNotFound | dav.ResourceConflict) or status == 409:  # 409: no such folder
            return FileNotFoundError(str(error))
        if isinstance(error, dav.ForbiddenOperation) or status in (401, 403):
            return access_denied(self.root or "WebDAV", error)
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            remedy = "Ask for its authority's certificate and name it in SSL_CERT_FILE."
            return input_error("E-MAILBOX-TLS", self.url, "the server cannot prove who it is.", remedy)
        if isinstance(error, httpx.HTTPError | dav.InsufficientStorage | dav.BadGatewayError | dav.ResourceLocked):
            return StorageUnavailable(error)
        if status == 429 or status >= 500:
            return StorageUnavailable(error)
        return error


class S3Store(ObjectStore):
    """An S3-compatible store, `s3://bucket/prefix`; keys and endpoint from the usual AWS variables."""

    def __init__(self, url: str) -> None:
        _need("obstore")
        from obstore.fsspec import FsspecStore
        from obstore.store import S3Store

        parts = urlsplit(url)
        retry: Any = {"max_retries": 1}
        options: Any = {"allow_http": True} if _plain_endpoint() else {}
        self.store = S3Store(parts.netloc, client_options=options, retry_config=retry)
        filesystem = FsspecStore("s3", client_options=options, retry_config=retry)
        super().__init__(filesystem, posixpath.join(parts.netloc, parts.path.strip("/")), url)

    def make_folder(self, folder: str) -> None:
        """Nothing: an object store has no folders."""

    def _create(self, name: str, data: bytes) -> None:
        import obstore

        key = self._path(name).partition("/")[2]
        obstore.put(self.store, key, data, mode="create", use_multipart=False)

    def _list(self, folder: str) -> dict[str, Entry]:
        self.filesystem.invalidate_cache()
        return super()._list(folder)

    def _translate(self, error: Exception) -> Exception:
        from obstore import exceptions as store

        if isinstance(error, store.AlreadyExistsError | store.PreconditionError):
            return FileExistsError(str(error))
        if isinstance(error, FileNotFoundError | store.NotFoundError):
            return FileNotFoundError(str(error))
        if isinstance(error, store.PermissionDeniedError | store.UnauthenticatedError):
            return access_denied(self.root, error)
        return StorageUnavailable(error) if isinstance(error, store.BaseError) else error


def _plain_endpoint() -> bool:
    """Whether the store is reached without TLS; allowed on this machine only."""
    parts = urlsplit(os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", "")))
    if parts.scheme != "http":
        return False
    if parts.hostname != "localhost" and not str(parts.hostname).startswith("127."):
        raise input_error("E-MAILBOX-URL", parts.netloc, "the store would be reached without TLS.", "Use https.")
    return True


def _need(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "Install the extra: pip install 'pedseg[mailbox]'."
        raise input_error("E-NO-MAILBOX", missing[0], "it is not installed.", remedy)
