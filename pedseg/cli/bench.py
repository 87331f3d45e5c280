"""`pedseg bench`: this project beside its peers, each pair in one run; with `--gpu` its clinic profile on a card.

`--gpu` leaves the results of a study and `gpu.json` in `--out`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from pedseg.cli import ROOT


def run(options: argparse.Namespace) -> int:
    """Measure this project beside its peers, each pair in one run."""
    command = ["benchmarks", *(["--json"] if options.json else [])]
    if options.gpu or options.toy:
        command = ["benchmarks.gpu", str(options.out.resolve())]
        command += ["--toy"] if options.toy else ["--minutes", str(options.gpu)]
    return subprocess.call([sys.executable, "-m", *command], cwd=ROOT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true")
    gpu = "the clinic profile on a graphics card instead, in so many minutes; default: 12"
    what.add_argument("--gpu", type=int, nargs="?", const=12, metavar="MINUTES", help=gpu)
    toy = "try --gpu on any machine: few children, a narrow network, two steps"
    what.add_argument("--toy", action="store_true", help=toy)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="of --gpu and --toy; default: runs/gpu")
