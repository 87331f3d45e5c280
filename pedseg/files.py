"""Write files atomically: under a temporary name, flushed to the disk, then renamed, so never half a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".part"  # how the name of a file ends that is not whole yet


def write_atomically(file: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a half; `mode` as the system knows it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with staged_file(file, content, mode=mode) as part:
        os.replace(part, file)


@contextmanager
def staged_file(file: Path, content: bytes, *, mode: int = 0o666) -> Iterator[Path]:
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
