"""`pedseg test`: the linters and the tests."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from pedseg.cli import ROOT
from pedseg.resources import available_cores

MOST_WORKERS = 4


def run(options: argparse.Namespace) -> int:
    """Run the linters and the tests; other arguments go to pytest."""
    if not options.rest:
        for tool in (["ruff", "check", "."], ["mypy"]):
            code = subprocess.call([sys.executable, "-m", *tool], cwd=ROOT)
            if code:
                return code
    return subprocess.call([sys.executable, "-m", "pytest", *_side_by_side(options.rest), *options.rest], cwd=ROOT)


def _side_by_side(arguments: list[str]) -> list[str]:
    """Options of pytest-xdist: files of tests run side by side, unless some are named. Each worker may take 2 GB.

    One worker more than cores: tests of programs and browsers wait much of their time.
    """
    if any(Path(ROOT, argument.partition("::")[0]).exists() for argument in arguments):
        return []
    return ["-n", str(min(MOST_WORKERS, available_cores() + 1)), "--dist", "loadfile", "--no-loadscope-reorder"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own: everything goes to pytest."""
