#!/usr/bin/env python3
"""Set pedseg up in the folder `.venv` beside this file, then do the job named.

    python3 run.py                 the study: prints its table and writes runs/study/report.html
    python3 run.py lab             JupyterLab with the notebooks
    python3 run.py rooms           the reading room alone: a page for people who look and do not program
    python3 run.py test            the tests
    python3 run.py VERB ...        any other verb of `pedseg`, for example `study --data FOLDER`

The first call takes minutes and needs the network; the next ones start at once. Nothing is installed
outside `.venv`; deleting that folder undoes everything. Where `uv` is on the path it installs, unless
PEDSEG_USE_UV is 0. The standard library is all this file needs.
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
OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED_GB = 4.0
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"  # PyTorch's own address for builds without CUDA


def python_that_fits():
    """Find another Python on this machine when the one that was called is too old or too new."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        command = ["py", f"-3.{minor}"] if sys.platform == "win32" else [f"python3.{minor}"]
        try:
            subprocess.check_output([*command, "-c", "import venv, ensurepip"], stderr=subprocess.STDOUT)
            return command
        except (OSError, subprocess.CalledProcessError):
            continue
    return None


if not OLDEST <= sys.version_info[:2] <= NEWEST:  # above every line that an old Python cannot read
    _other = python_that_fits() if __name__ == "__main__" else None
    if _other:
        sys.exit(subprocess.call(_other + sys.argv))
    sys.exit(f"pedseg needs Python 3.11, 3.12 or 3.13, and this is {platform.python_version()}: install one of them.")

# Which optional parts a verb needs; the others do with the base.
EXTRAS = {
    "test": {"dev", "ray", "viewer3d", "mailbox", "dicom", "fetch"},
    "bench": {"dev", "ray", "viewer3d", "mailbox", "dicom"},
    "rooms": {"viewer3d"},
    "lab": {"viewer3d", "dicom"},
    "coordinate": {"mailbox"},
    "join": {"mailbox"},
    "import": {"dicom"},
    "predict": {"dicom"},
    "export": {"dicom"},
    "fetch": {"fetch"},
}

# How many packages each part brings, and how many packages torch weighs: for the progress bar alone.
PACKAGES = {"": 152, "dev": 36, "ray": 1, "mailbox": 2, "dicom": 6, "fetch": 6, "viewer3d": 48}
TORCH = 100

# What an installer writes when it fails, and what to say then.
DISK = r"No space left on device|Errno 28|WinError 112|not enough space on the disk"
NETWORK = (
    r"NewConnectionError|NameResolutionError|Max retries exceeded|Failed to establish a new connection|ProxyError"
    r"|Temporary failure in name resolution|getaddrinfo failed|ConnectTimeout|ReadTimeout|error sending request"
    r"|dns error"
)
REASONS = {
    DISK: f"The disk is full: free {NEEDED_GB:.0f} GB and call this again.",
    NETWORK: "No network: the packages could not be fetched; connect (or give pip your proxy) and call this again.",
    r"No matching distribution found for (?P<what>\S+)": "No package index that pip can see offers {what}:"
    " ask whoever keeps the index, or give pip another one.",
}


class SetUpError(Exception):
    """Why the set-up cannot be finished, in one sentence for the person at the keyboard."""


def main(arguments: list[str]) -> int:
    """Set up if need be, do the job, and hand on its exit code."""
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
    except PermissionError as error:
        return _say(f"{error.filename} may not be written: copy pedseg to a folder of your own.")
    except (OSError, SetUpError) as error:
        return _say(reason(str(error)))


def _say(sentence: str) -> int:
    print(f"\r{sentence:72}" if sys.stderr.isatty() else sentence, file=sys.stderr)
    return 1


def reason(text: str) -> str:
    """Put what went wrong in one sentence; an unknown trouble is told by its own last line."""
    for pattern, sentence in REASONS.items():
        found = re.search(pattern, text)
        if found:
            return sentence.format(**found.groupdict())
    return (text.strip().splitlines() or ["The set-up failed without a word."])[-1]


def extras_for(arguments: list[str]) -> set[str]:
    """Name the optional parts that this job needs."""
    extras = set(EXTRAS.get(arguments[0], ())) | ({"dev"} if "--screenshots" in arguments else set())
    return extras | {"ray"} if "ray" in arguments else extras


def start(root: Path, arguments: list[str]) -> int:
    """Run `pedseg` in `.venv`; where the system can, this process becomes it."""
    command = [str(python_in(root)), "-m", "pedseg", *arguments]
    if os.name == "posix":
        os.execve(command[0], command, environment(root))
    work = subprocess.Popen(command, env=environment(root))
    while True:
        try:
            return work.wait()
        except KeyboardInterrupt:  # the work has heard it too, and ends by itself
            continue


def python_in(root: Path) -> Path:
    """Tell where the Python of `.venv` is."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment(root: Path) -> dict[str, str]:
    """Give the variables under which `.venv` is active for every program it starts."""
    bin_folder = str(python_in(root).parent)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PIP_USER", "PIP_TARGET")}
    return kept | {
        "VIRTUAL_ENV": str(root / ".venv"),
        "PATH": bin_folder + os.pathsep + os.environ.get("PATH", ""),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


# --- is there anything to do? --------------------------------------------------------------------


def set_up(root: Path, extras: set[str]) -> None:
    """Bring `.venv` to what pyproject.toml and constraints.txt ask for; costs nothing when it is there."""
    current, installed = read_stamp(root)
    if current and extras <= installed and python_in(root).exists():
        return
    check_machine(root)
    with alone(root):
        extras = extras | installed
        setup = SetUp(root, sum(PACKAGES[extra] for extra in ["", *extras]))
        setup.make_environment()
        unfinished = root / ".venv" / "unfinished"
        unfinished.touch()
        try:
            setup.install(extras)
        except SetUpError:
            unfinished.unlink()  # the installer gave up in good order: what was there still is
            raise
        write_stamp(root, extras)
        unfinished.unlink()
        setup.done()


def fingerprint(root: Path) -> str:
    """Sum up everything an installation depends on: both lists of packages and the Python inside."""
    digest = hashlib.sha256()
    for part in ("pyproject.toml", "constraints.txt", ".venv/pyvenv.cfg"):
        digest.update((root / part).read_bytes())
    return digest.hexdigest()


def read_stamp(root: Path) -> tuple[bool, set[str]]:
    """Tell whether the last set-up still holds, and which optional parts it installed."""
    try:
        digest, *extras = (root / ".venv" / "pedseg-stamp").read_text().split()
        return digest == fingerprint(root) and not moved(root), set(extras) & set(PACKAGES)
    except (OSError, ValueError):
        return False, set()


def write_stamp(root: Path, extras: set[str]) -> None:
    """Note what has just been installed, last of all, so that a stop in between leaves no stamp."""
    new = root / ".venv" / "pedseg-stamp.new"
    new.write_text(" ".join([fingerprint(root), *sorted(extras)]) + "\n")
    os.replace(new, root / ".venv" / "pedseg-stamp")


def moved(root: Path) -> bool:
    """Tell whether `.venv` was made by this file in another place: its programs point there still."""
    home = root / ".venv" / "pedseg-home"
    return home.exists() and home.read_text(encoding="utf-8") != str(root)


def check_machine(root: Path) -> None:
    """Stop before the first download when it could not end well."""
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        raise SetUpError("PyTorch is no longer built for Intel Macs: use Binder or another machine (README.md).")
    free_gb = shutil.disk_usage(root).free / 1e9
    if free_gb < NEEDED_GB:
        raise SetUpError(f"The disk is too full: the set-up needs {NEEDED_GB:.0f} GB, and {free_gb:.1f} GB are free.")


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


# --- doing it ------------------------------------------------------------------------------------


class SetUp:
    """One set-up: its steps, its log (`.venv/setup.log`) and its bar."""

    def __init__(self, root: Path, packages: int) -> None:
        self.root, self.packages, self.began = root, packages, time.monotonic()
        self.folder = root / ".venv"
        self.log = self.folder / "setup.log"
        self.there_before = self._installed()
        if not sys.stderr.isatty():
            print(f"Setting up, once; this takes minutes (log: {self.log})", file=sys.stderr, flush=True)

    def make_environment(self) -> None:
        """Make `.venv`; one of ours that was stopped half-way, moved, or lost its Python is made anew."""
        ours = (self.folder / "pedseg-home").exists()
        broken = (self.folder / "unfinished").exists() or moved(self.root) or not python_in(self.root).exists()
        if self.folder.exists() and ours and broken:
            print("Clearing away a set-up that was stopped half-way or moved ...", file=sys.stderr, flush=True)
            shutil.rmtree(self.folder)
        if not self.folder.exists():
            self.folder.mkdir()
            (self.folder / "pedseg-home").write_text(str(self.root), encoding="utf-8")
            (self.folder / "unfinished").touch()
            if self.run([sys.executable, "-m", "venv", str(self.folder)]):
                raise SetUpError("Python could not make .venv; on Debian and Ubuntu: apt install python3-venv")
        self.log.write_text("")

    def install(self, extras: set[str]) -> None:
        """Install torch, then pedseg in place with its dependencies at the versions of constraints.txt."""
        self._install_small_torch()
        here = f".[{','.join(sorted(extras))}]" if extras else "."
        for tool in self._installers():
            if self.run([*tool, "-c", "constraints.txt", "-e", here]) == 0:
                return
        raise SetUpError(reason(self.log.read_text(encoding="utf-8", errors="replace")) + f" (log: {self.log})")

    def _installers(self) -> list[list[str]]:
        """List the ways to install: uv where it is there and not unwanted, and pip."""
        pip = [str(python_in(self.root)), "-m", "pip", "install", "--progress-bar=off"]
        uv = shutil.which("uv") if os.environ.get("PEDSEG_USE_UV", "1") != "0" else None
        return [[uv, "pip", "install", "--python", str(python_in(self.root))], pip] if uv else [pip]

    def _install_small_torch(self) -> None:
        """Install torch without CUDA (0.2 GB, not 3 GB) where no NVIDIA GPU could use it.

        First from wheels that lie on this machine (`find-links`), then from PyTorch's own index. Where
        neither can be reached, the next step takes what the user's index offers.
        """
        pin = re.search(r"^torch==(\S+)", (self.root / "constraints.txt").read_text(), re.MULTILINE)
        if sys.platform == "darwin" or shutil.which("nvidia-smi") or pin is None:
            return
        local = ["--no-index", "--no-deps", f"torch=={pin[1]}"]
        remote = ["--index-url", CPU_WHEELS, "--no-deps", f"torch=={pin[1]}+cpu"]
        hurry = {"PIP_DEFAULT_TIMEOUT": "15", "PIP_RETRIES": "1", "UV_HTTP_TIMEOUT": "15", "UV_HTTP_RETRIES": "1"}
        for source in (local, remote):
            for tool in self._installers():
                if self.run([*tool, *source], hurry) == 0:
                    return

    def run(self, command: list[str], variables: dict[str, str] | None = None) -> int:
        """Run one step with its output in the log and a bar on the screen; return its exit code."""
        with open(self.log, "a", encoding="utf-8") as log:
            work = subprocess.Popen(
                command,
                cwd=self.root,
                env=environment(self.root) | (variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                while work.poll() is None:
                    self.draw()
                    time.sleep(0.2)
            finally:
                work.wait()
        return work.returncode

    def draw(self) -> None:
        """Show how far it is and how long it may still take; without a terminal nothing is drawn."""
        if not sys.stderr.isatty():
            return
        log = self.log.read_text(encoding="utf-8", errors="replace")
        found = len(re.findall(r"^(?:Collecting|Processing) ", log, re.MULTILINE))
        torch = TORCH if "Successfully installed torch" in log else 0
        done = min((torch + found + self._installed() - self.there_before) / (TORCH + 2 * self.packages), 0.99)
        seconds = time.monotonic() - self.began
        left = f"about {seconds / done * (1 - done) / 60 + 0.5:.0f} min left" if done > 0.05 else "some minutes"
        bar = f"Setting up, once [{'#' * int(24 * done):24}] {seconds:.0f} s, {left}"
        print(f"\r{bar:72}", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Take the bar away and say how long it took."""
        ready = f"Set up in {time.monotonic() - self.began:.0f} s."
        print(f"\r{ready:72}" if sys.stderr.isatty() else ready, file=sys.stderr, flush=True)

    def _installed(self) -> int:
        libraries = "Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"
        return sum(1 for _ in self.folder.glob(libraries + "/*.dist-info"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
