"""The verbs of the workbook and of those who work on it: `lab`, `rooms`, `weave`, `test`, `bench`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
FIRST_NOTEBOOK = NOTEBOOKS / "00_start_here.ipynb"
READING_ROOM = NOTEBOOKS / "09_reading_room.ipynb"


def lab(options: argparse.Namespace) -> int:
    """Open JupyterLab at the first notebook; other arguments go to it."""
    from pedseg.viewing import serving

    way = "offline" if options.offline_itk else "network" if options.itk else ""
    return subprocess.call(serving.lab_command(ROOT, FIRST_NOTEBOOK, options.rest), env=serving.lab_variables(way))


def _lab(own: argparse.ArgumentParser) -> None:
    ways = own.add_mutually_exclusive_group()
    ways.add_argument("--itk", action="store_true", help="let itkwidgets fetch its viewer from the internet")
    ways.add_argument("--offline-itk", action="store_true", help="build itkwidgets' viewer here, then use no network")


def rooms(options: argparse.Namespace) -> int:
    """Serve the reading room as a page on this machine; other arguments go to Voilà."""
    from pedseg.viewing import screenshots, serving

    if options.screenshots:
        for file in screenshots.take(READING_ROOM, options.screenshots):
            print(file)
        return 0
    command = serving.command(READING_ROOM, port=options.port, browser=not options.no_browser, rest=options.rest)
    return subprocess.call(command, env=serving.variables())


def _rooms(own: argparse.ArgumentParser) -> None:
    own.add_argument("--port", type=int, help="default: the first that is free from 8866")
    own.add_argument("--no-browser", action="store_true", help="only serve it")
    own.add_argument("--screenshots", type=Path, metavar="F", help="only keep pictures of it in the folder F")


def weave(options: argparse.Namespace) -> int:
    """Make the notebooks from their percent sources."""
    from pedseg.workbook.weave import weave as make

    for notebook in make(NOTEBOOKS / "source", options.out, solutions=not options.without_solutions):
        print(notebook)
    return 0


def _weave(own: argparse.ArgumentParser) -> None:
    own.add_argument("--out", type=Path, default=NOTEBOOKS)
    own.add_argument("--without-solutions", action="store_true", help="for lecturers: leave the folded answers out")


def test(options: argparse.Namespace) -> int:
    """Run the linters and the tests; other arguments go to pytest."""
    if not options.rest:
        for tool in (["ruff", "check", "."], ["mypy", "pedseg"]):
            code = subprocess.call([sys.executable, "-m", *tool], cwd=ROOT)
            if code:
                return code
    return subprocess.call([sys.executable, "-m", "pytest", *options.rest], cwd=ROOT)


def _test(own: argparse.ArgumentParser) -> None:
    """Everything else goes to pytest."""


def bench(options: argparse.Namespace) -> int:
    """Measure this project beside its peers, each pair in one run."""
    command = [sys.executable, "-m", "benchmarks", *(["--json"] if options.json else [])]
    return subprocess.call(command, cwd=ROOT)


def _bench(own: argparse.ArgumentParser) -> None:
    own.add_argument("--json", action="store_true")


VERBS = {lab: _lab, rooms: _rooms, weave: _weave, test: _test, bench: _bench}
