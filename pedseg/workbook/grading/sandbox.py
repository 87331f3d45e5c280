"""The command that runs a program in a sandbox of Linux namespaces: no network, no files but its own, no names.

Everything that it needs is part of Linux and of util-linux (`unshare`); it works without root where the system lets
people make user namespaces. On other systems a program runs without a sandbox, if the lecturer says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pedseg.errors import input_error

UNSHARE = (
    "setpriv", "--pdeathsig", "KILL",  # nothing goes on where the grader is gone
    "unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
)  # fmt: skip
SYSTEM = (  # what programs need of a Linux; nothing of /home, /root, /var, /run
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/sys", "/etc/alternatives", "/etc/fonts", "/etc/group",
    "/etc/hosts", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/nsswitch.conf",
    "/etc/passwd", "/etc/ssl/openssl.cnf",
)  # fmt: skip
PROJECT = ("pedseg", "notebooks", "data_samples", "pyproject.toml")  # not `runs`: the grades are there
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Limits:
    """What one notebook may take: memory and number of all its processes, seconds of a cell and in all.

    Zero seconds stand for what follows from the time that the chapter itself takes.
    """

    memory_mib: int = 1536
    cell_seconds: float = 0.0
    seconds: float = 0.0
    processes: int = 64


def visible_paths() -> list[str]:
    """The system's programs, this Python with its packages, and the project's code and data."""
    python = {sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)}
    packages = {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    project = {str(ROOT / name) for name in PROJECT}
    return sorted({*SYSTEM, *python, *packages, *project} - {"/"})


def command(program: Sequence[str], work: Path, limits: Limits) -> list[str]:
    """The program as it runs in the sandbox, with `work` as its folder."""
    confine = Path(__file__).with_name("confine.py")
    settings = {
        "work": str(work),
        "visible": visible_paths(),
        "tmp_mib": 256,
        "data_mib": 3 * limits.memory_mib,  # address space, of which much is never used
        "file_mib": 512,
    }
    return [*UNSHARE, sys.executable, "-I", str(confine), json.dumps(settings), *program]


def environment(work: Path) -> dict[str, str]:
    """The variables of a sandboxed notebook: nothing of the lecturer's own but where programs are."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(work / "home"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PEDSEG_RUNS": str(work / "runs"),
    }


@cache
def missing() -> str:
    """Why there is no sandbox on this machine; empty if there is one."""
    if sys.platform != "linux":
        return f"the sandbox is made of Linux namespaces, and this is {sys.platform}"
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        return "`unshare` and `setpriv` (util-linux) are not on the path"
    with tempfile.TemporaryDirectory() as work:
        trial = command([sys.executable, "-c", ""], Path(work), Limits())
        answer = subprocess.run(trial, capture_output=True, text=True, timeout=60)
    return "" if answer.returncode == 0 else (answer.stderr.strip().splitlines() or ["unshare failed"])[-1]


def require() -> None:
    """Raise `PedsegInputError` where notebooks would run without a sandbox."""
    if reason := missing():
        remedy = "Grade on a Linux machine that allows user namespaces, or say --without-sandbox (docs/teaching.md)."
        raise input_error("E-NO-SANDBOX", "grade", f"handed-in code would not be confined: {reason}.", remedy)
