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
        command = ["benchmarks.gpu", str(options.out.resolve()), "--minutes", str(options.minutes)]
        command += ["--toy"] if options.toy else []
    return subprocess.call([sys.executable, "-m", *command], cwd=ROOT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true")
    gpu = "the clinic profile at 1 x 1 x 2 mm on a graphics card instead: local, next door, federated, pooled"
    parser.add_argument("--gpu", action="store_true", help=gpu)
    parser.add_argument(
        "--toy", action="store_true", help="try --gpu on any machine: few children, a narrow network, two steps"
    )
    parser.add_argument("--minutes", type=int, default=12, help="of --gpu, for training and tests; default: 12")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="of --gpu; default: runs/gpu")
