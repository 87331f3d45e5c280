#!/usr/bin/env python3
"""Set pedseg up in the folder `.venv` beside this file, then run the verb named.

    python3 run.py                 the study: prints its table and writes runs/study/report.html
    python3 run.py lab             JupyterLab with the notebooks
    python3 run.py viewer          the reading room alone: a page for people who look and do not program
    python3 run.py test            the tests
    python3 run.py VERB ...        any other verb of `pedseg`, for example `study --data FOLDER`

The first call takes minutes and needs the network. Where `uv` is on the path it installs, unless PEDSEG_USE_UV is 0.
"""

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
if not (3, 11) <= sys.version_info[:2] <= (3, 13):  # above every line that an old Python cannot read
    for minor in (13, 12, 11) if __name__ == "__main__" else ():  # another one on this machine may fit
        other = ["py", f"-3.{minor}"] if sys.platform == "win32" else [f"python3.{minor}"]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.check_output([*other, "-c", "import venv, ensurepip"], stderr=subprocess.STDOUT)
            sys.exit(subprocess.call(other + sys.argv))
    sys.exit(f"pedseg needs Python 3.11, 3.12 or 3.13, and this is {platform.python_version()}: install one of them.")

NEEDED_GB = 4
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"  # PyTorch's own address for builds without CUDA
PARTS = {"dev", "ray", "networks", "viewer3d", "mailbox", "dicom", "fetch", "site", "track"}  # optional ones
EXTRAS = {  # which of them a verb needs; the others do with the base
    **{verb: PARTS for verb in ("test", "bench")},
    "lab": {"viewer3d", "dicom"},
    "viewer": {"viewer3d", "dicom"},
    "fetch": {"fetch"},
    "site": {"site", "viewer3d", "dicom"},
    **{verb: {"mailbox"} for verb in ("coordinate", "join")},
    **{verb: {"dicom"} for verb in ("import", "predict", "export", "compare")},
}
REASONS = {  # what an installer writes when it fails, and what to say then
    r"Errno 28|WinError 112|No space left|not enough space": f"The disk is full: free {NEEDED_GB} GB and call again.",
    r"NewConnectionError|NameResolutionError|Max retries exceeded|ProxyError|name resolution|getaddrinfo failed"
    r"|ConnectTimeout|ReadTimeout|error sending request|dns error": "No network: the packages could not be fetched;"
    " connect (or give pip your proxy) and call this again.",
    r"No matching distribution found for (?P<what>\S+)": "No package index that pip can see offers {what}:"
    " ask whoever keeps the index, or give pip another one.",
    r"denied: (?P<what>.+)": "{what} may not be written: copy pedseg to a folder of your own.",
}


class SetUpError(Exception):
    """Why the set-up cannot be finished, in one sentence for the person at the keyboard."""


def main(arguments: list[str]) -> int:
    """Set up if need be, run the verb, and hand on its exit code."""
    if arguments[:1] in (["-h"], ["--help"], ["help"]):
        print(__doc__)
        return 0
    if not arguments or arguments[0].startswith("-"):
        arguments = ["study", *arguments]
    try:
        set_up(ROOT, extras_for(arguments))
        return start(ROOT, arguments)
    except KeyboardInterrupt:
        print("\nStopped; the next call goes on from here.", file=sys.stderr)
        return 130
    except (OSError, SetUpError) as error:
        say(reason(str(error)), end="\n")
        return 1


def say(text: str, end: str = "") -> None:
    """Write over the last line; without a terminal only what ends a line is written."""
    if sys.stderr.isatty():
        print(f"\r{text:72}", end=end, file=sys.stderr, flush=True)
    elif end:
        print(text, file=sys.stderr, flush=True)


def reason(text: str) -> str:
    """Put what went wrong in one sentence; an unknown trouble is told by its own last line."""
    for pattern, sentence in REASONS.items():
        match = re.search(pattern, text)
        if match:
            return sentence.format(**match.groupdict())
    return (text.strip().splitlines() or ["The set-up failed without a word."])[-1]


def extras_for(arguments: list[str]) -> set[str]:
    """Name the optional parts that this job needs."""
    extras = EXTRAS.get(arguments[0], set()) | ({"dev"} if "--screenshots" in arguments else set())
    words = (("ray", "ray"), ("swinunetr", "networks"), ("--track", "track"))
    return extras | {part for word, part in words if word in arguments}


def start(root: Path, arguments: list[str]) -> int:
    """Run `pedseg` in `.venv`; where the system can, this process becomes it."""
    command = [str(python_in(root)), "-m", "pedseg", *arguments]
    if os.name == "posix":
        os.execve(command[0], command, environment(root))
    work = subprocess.Popen(command, env=environment(root))
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # the work has heard it too, and ends by itself
            return work.wait()


def python_in(root: Path) -> Path:
    """Tell where the Python of `.venv` is."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment(root: Path) -> dict[str, str]:
    """Give the variables under which `.venv` is active for every program it starts."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PIP_USER", "PIP_TARGET")}
    path = str(python_in(root).parent) + os.pathsep + os.environ.get("PATH", "")
    return kept | {"VIRTUAL_ENV": str(root / ".venv"), "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def set_up(root: Path, extras: set[str]) -> None:
    """Bring `.venv` to what pyproject.toml and constraints.txt ask for; costs nothing when it is there."""
    current, installed = read_stamp(root)
    if current and extras <= installed and python_in(root).exists():
        return
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        raise SetUpError("PyTorch is no longer built for Intel Macs: use Binder or another machine (README.md).")
    free_gb = shutil.disk_usage(root).free / 1e9
    if free_gb < NEEDED_GB:
        raise SetUpError(f"The disk is too full: the set-up needs {NEEDED_GB} GB, and {free_gb:.1f} GB are free.")
    with alone(root):
        setup = SetUp(root)
        setup.make_environment()
        setup.install(extras | installed)
        write_stamp(root, extras | installed)
        setup.unfinished.unlink()
        say(f"Set up in {time.monotonic() - setup.began:.0f} s.", end="\n")


def fingerprint(root: Path) -> str:
    """Sum up everything an installation depends on: both lists of packages and the Python inside."""
    parts = ("pyproject.toml", "constraints.txt", ".venv/pyvenv.cfg")
    return hashlib.sha256(b"".join((root / part).read_bytes() for part in parts)).hexdigest()


def read_stamp(root: Path) -> tuple[bool, set[str]]:
    """Tell whether the last set-up still holds, and which optional parts it installed."""
    try:
        digest, *extras = (root / ".venv" / "pedseg-stamp").read_text().split()
        return digest == fingerprint(root) and not moved(root), set(extras) & PARTS
    except (OSError, ValueError):
        return False, set()


def write_stamp(root: Path, extras: set[str]) -> None:
    """Note what has just been installed, last of all: a set-up that stops before leaves no stamp that holds."""
    (root / ".venv" / "pedseg-stamp").write_text(" ".join([fingerprint(root), *sorted(extras)]) + "\n")


def moved(root: Path) -> bool:
    """Tell whether `.venv` was made by this file in another place: its programs point there still."""
    home = root / ".venv" / "pedseg-home"
    return home.exists() and home.read_text(encoding="utf-8") != str(root)


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the lock of this folder's set-up; the system lets go of it even when we are killed."""
    with open(root / ".setup.lock", "a+") as lock:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetUpError("Another set-up is at work in this folder: wait until it has ended.") from None
        yield


class SetUp:
    """One set-up: its steps and its log (`.venv/setup.log`)."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.began = root, root / ".venv", time.monotonic()
        self.log, self.unfinished = self.folder / "setup.log", self.folder / "unfinished"
        say(f"Setting up, once; this takes minutes (log: {self.log})", end="\n")

    def make_environment(self) -> None:
        """Make `.venv`; one of ours that was stopped half-way, moved, or lost its Python is made anew."""
        ours = (self.folder / "pedseg-home").exists()
        if ours and (self.unfinished.exists() or moved(self.root) or not python_in(self.root).exists()):
            shutil.rmtree(self.folder)
        if not self.folder.exists():
            self.folder.mkdir()
            (self.folder / "pedseg-home").write_text(str(self.root), encoding="utf-8")
            self.unfinished.touch()
            if self.run([sys.executable, "-m", "venv", str(self.folder)]):
                raise SetUpError("Python could not make .venv; on Debian and Ubuntu: apt install python3-venv")
        self.unfinished.touch()
        self.log.write_text("")

    def install(self, extras: set[str]) -> None:
        """Install torch, then pedseg in place with its dependencies at the versions of constraints.txt.

        Where no GPU could use CUDA, torch comes without it (0.2 GB, not 3 GB) if a local wheel or PyTorch's index does.
        """
        if sys.platform != "darwin" and not shutil.which("nvidia-smi"):
            pins = (self.root / "constraints.txt").read_text().splitlines()
            torch = next(pin for pin in pins if pin.startswith("torch=="))
            hurry = {"PIP_DEFAULT_TIMEOUT": "15", "PIP_RETRIES": "1", "UV_HTTP_TIMEOUT": "15", "UV_HTTP_RETRIES": "1"}
            if not self._install(["--no-index", "--no-deps", torch], hurry):
                self._install(["--index-url", CPU_WHEELS, "--no-deps", f"{torch}+cpu"], hurry)
        here = f".[{','.join(sorted(extras))}]" if extras else "."
        if not self._install(["-c", "constraints.txt", "-e", here]):
            self.unfinished.unlink()  # the installer gave up in good order: what was there still is
            raise SetUpError(reason(self.log.read_text(encoding="utf-8", errors="replace")) + f" (log: {self.log})")

    def _install(self, wanted: list[str], variables: dict[str, str] | None = None) -> bool:
        """Install by uv where it is there and not unwanted, else or if that fails by pip; tell whether it worked."""
        python = str(python_in(self.root))
        tools = [[python, "-m", "pip", "install", "--progress-bar=off"]]
        uv = shutil.which("uv")
        if uv and os.environ.get("PEDSEG_USE_UV", "1") != "0":
            tools.insert(0, [uv, "pip", "install", "--python", python])
        return any(self.run([*tool, *wanted], variables) == 0 for tool in tools)

    def run(self, command: list[str], variables: dict[str, str] | None = None) -> int:
        """Run one step with its output in the log and the seconds on the screen; return its exit code."""
        env = environment(self.root) | (variables or {})
        with open(self.log, "a", encoding="utf-8") as log:
            work = subprocess.Popen(command, cwd=self.root, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                while work.poll() is None:
                    say(f"Setting up: {time.monotonic() - self.began:.0f} s")
                    time.sleep(0.2)
            finally:
                work.wait()
        return work.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
