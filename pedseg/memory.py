"""Memory of this process: its peak (resident set size), and glibc settings and calls that lower it."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LARGE_BYTES, SPARE_BYTES = 4 * 2**20, 64 * 2**20
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's numbers of the settings (malloc.h)


def limit_heap() -> None:
    """Give every large array's memory back to the system as soon as the array is gone; on Linux, else nothing happens.

    glibc raises its limit for that to 32 MiB by itself, and then keeps torch's freed arrays in pieces: a fixed limit
    takes a quarter off the peak of a study. Huge pages, asked for in `pedseg/__init__.py`, pay for the extra work.
    One heap for all threads takes off a little more: what one thread frees another can use. Its free end stays up to
    `SPARE_BYTES`; with a fixed limit glibc would keep 128 KiB only and fetch the rest anew at every step.
    """
    _glibc("mallopt", _MMAP_THRESHOLD, LARGE_BYTES)
    _glibc("mallopt", _TRIM_THRESHOLD, SPARE_BYTES)
    _glibc("mallopt", _ARENA_MAX, 1)


def release_memory() -> None:
    """Return freed memory to the system; Linux keeps hundreds of MiB otherwise. Elsewhere nothing happens."""
    gc.collect()
    _glibc("malloc_trim", 0)


def _glibc(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            getattr(ctypes.CDLL("libc.so.6"), function)(*arguments)


@contextmanager
def limited(mib: int) -> Iterator[None]:
    """Give this process no more than `mib` for data within the block: what asks for more fails. On Linux; 0: no limit.

    The last resort: libraries that do not expect it may end the process.
    """
    if not mib or sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (mib * 2**20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def peak_mib() -> float:
    """The most memory this process ever held, in MiB."""
    with suppress(OSError, KeyError, ValueError):  # Linux; what `resource` says there is at least what the parent held
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) / 2**10
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
