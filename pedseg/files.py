"""Write files atomically (under a temporary name, flushed, then renamed, so never half a file), and tell a change."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pedseg.errors import input_error

PART = ".part"  # how the name of a file ends that is not whole yet
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV)


def write_atomically(
    file: Path, content: bytes, *, mode: int = 0o666, check: Callable[[Path], object] | None = None
) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a half; `mode` as the system knows it.

    `check` is called with the file under its temporary name; where it raises, the old file stays.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with _staged_file(file, content, mode=mode) as part:
        if check:
            check(part)
        os.replace(part, file)


def refuse_overwriting(targets: Iterable[Path], sources: Iterable[Path]) -> None:
    """Refuse to write to files that are read, whatever they are called; `PedsegInputError`."""
    read = {(stat.st_dev, stat.st_ino) for stat in (source.stat() for source in sources if source.exists())}
    for target in targets:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in read:
            raise input_error("E-OUT-NAME", target, "this file is read, and would be lost.", "Name another one.")


def write_new(file: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file that is not there yet, whole or not at all; `FileExistsError` if its name is taken.

    Where the file system has no hard links (SMB, FAT), an empty file beside it keeps other programs away meanwhile.
    """
    with _staged_file(file, content, mode=mode) as part:
        try:
            os.link(part, file)  # unlike a renaming it fails when the name is taken
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            _rename_to_new(part, file)


def _rename_to_new(part: Path, file: Path) -> None:
    claim = file.with_name(f".{file.name}.claim{PART}")
    os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        if file.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
        os.replace(part, file)
    finally:
        claim.unlink()


@contextmanager
def _staged_file(file: Path, content: bytes, *, mode: int = 0o666) -> Iterator[Path]:
    """The content of a file, whole and on the disk, under a temporary name beside it; removed if it was not renamed."""
    part = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}{PART}")
    part.unlink(missing_ok=True)
    try:
        with open(part, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        yield part
    except OSError as error:
        error.filename = error.filename or str(file)  # a full disk does not say which file it was
        raise
    finally:
        part.unlink(missing_ok=True)


def content_sha256(path: Path) -> bytes:
    """The SHA-256 of a file; of a folder, of the names and contents of all files below it."""
    digest = hashlib.sha256()
    for file in _files_of(path):
        with file.open("rb") as stream:
            digest.update(file.relative_to(path).as_posix().encode("utf-8", "surrogateescape") + b"\0")
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.digest()


def _files_of(path: Path) -> list[Path]:
    """A file itself, or all files below a folder, in the order of their names."""
    return sorted(file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def file_stamp(path: Path) -> str:
    """A digest of names, sizes and times of a file, or of all files below a folder; another one after any change."""
    stats = [(file.relative_to(path).as_posix(), file.stat()) for file in _files_of(path)]
    text = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
