"""The cores and the memory that this process may use, in a container too.

Docker, Kubernetes and with them Binder and JupyterHub limit a process by control groups (cgroup v2). Python and psutil
then still tell what the whole machine has.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
JOB_MIB = 700  # asked for each job; a study with two models in training takes 1300 to 1650 MiB in all


def available_cores(cgroup: Path = CGROUP) -> int:
    """How many cores this process may use, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no control group, or no limit: "max 100000"
        quota, period = map(int, (cgroup / "cpu.max").read_text().split())
        cores = min(cores, math.ceil(quota / period))
    return max(1, cores)


def available_memory_mib(cgroup: Path = CGROUP) -> int:
    """How much memory this process may still ask for."""
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError, KeyError):
        limit, used = (int((cgroup / f"memory.{name}").read_text()) for name in ("max", "current"))
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(stat["inactive_file"]))  # the cache of files is given back on demand
    return max(0, free) // 2**20


def parallel_jobs() -> int:
    """How many jobs of one thread run side by side: one a core, as far as memory goes."""
    return max(1, min(available_cores(), available_memory_mib() // JOB_MIB))
