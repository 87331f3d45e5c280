"""`pedseg bench`: this project beside its peers, each pair in one run."""

from __future__ import annotations

import argparse
import subprocess
import sys

from pedseg.cli import ROOT


def run(options: argparse.Namespace) -> int:
    """Measure this project beside its peers, each pair in one run."""
    command = [sys.executable, "-m", "benchmarks", *(["--json"] if options.json else [])]
    return subprocess.call(command, cwd=ROOT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true")
