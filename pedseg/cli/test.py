"""`pedseg test`: the linters and the tests."""

from __future__ import annotations

import argparse
import subprocess
import sys

from pedseg.cli import ROOT


def run(options: argparse.Namespace) -> int:
    """Run the linters and the tests; other arguments go to pytest."""
    if not options.rest:
        for tool in (["ruff", "check", "."], ["mypy", "pedseg"]):
            code = subprocess.call([sys.executable, "-m", *tool], cwd=ROOT)
            if code:
                return code
    return subprocess.call([sys.executable, "-m", "pytest", *options.rest], cwd=ROOT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own: everything goes to pytest."""
