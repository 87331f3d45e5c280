"""Arguments that several verbs of the command line share, their types, and the progress bars."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pedseg.evaluation.concurrency import Progress


def positive_int(text: str) -> int:
    """A whole number from 1 on; anything else is wrong usage."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def probability(text: str) -> float:
    """A number from 0 to 1; anything else is wrong usage."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return number


def add_training(parser: argparse.ArgumentParser) -> None:
    """Which data a study or a federation learns from, and how long."""
    data = "folder of data sets, one subfolder a center; default: the virtual centers"
    parser.add_argument("--data", type=Path, help=data)
    add_schedule(parser)


def add_schedule(parser: argparse.ArgumentParser) -> None:
    """The profile and its number of rounds and local steps."""
    parser.add_argument("--profile", choices=["lesson", "clinic"], default="lesson")
    parser.add_argument("--rounds", type=positive_int, help="rounds of the federation; default: the profile's own")
    steps = "training steps a round and center; default: the profile's own"
    parser.add_argument("--local-steps", type=positive_int, metavar="N", help=steps)


def add_evaluated_study(parser: argparse.ArgumentParser, *, patients: int, seeds: int) -> None:
    """Which finished study is evaluated again, on how many patients."""
    parser.add_argument("--study", type=Path, default=Path("runs/study"), help="folder of a finished study")
    many, first = f"of each center; default: {patients}", f"the study's first N; default: {seeds}"
    parser.add_argument("--patients", type=positive_int, default=patients, metavar="N", help=many)
    parser.add_argument("--seeds", type=positive_int, default=seeds, metavar="N", help=first)


def add_privacy(parser: argparse.ArgumentParser) -> None:
    """Differential privacy of the updates: the clipping norm and the noise."""
    clipping = "clip each update to this L2 norm; 0: as it is"
    parser.add_argument("--clipping-norm", type=float, default=0.0, metavar="L2", help=clipping)
    noise = "Gaussian noise of Z times the clipping norm on each weight"
    parser.add_argument("--noise-multiplier", type=float, default=0.0, metavar="Z", help=noise)


def add_mailbox(parser: argparse.ArgumentParser) -> None:
    """Where the mailbox of a federation is, and where the keys are."""
    parser.add_argument("url", help="a folder, https://… (WebDAV) or s3://bucket/prefix")
    parser.add_argument("--poll", type=float, default=5.0, metavar="SECONDS", help="longest pause between two looks")
    add_keys(parser)


def add_keys(parser: argparse.ArgumentParser) -> None:
    """The folder of the keys."""
    parser.add_argument("--keys", type=Path, default=Path("keys"), help="folder of the keys; default: keys")


def add_ct(parser: argparse.ArgumentParser, repairs: Iterable[str], repaired: str) -> None:
    """Which CT series of a DICOM folder is read, and which repairs are asked for."""
    parser.add_argument("--series", default="", metavar="N", help="which CT series, by number in the table or UID")
    parser.add_argument("--repair", action="append", default=[], choices=[*repairs], help=repaired)


def show_stages(stages: Iterable[Progress]) -> None:
    """Run to the end; a bar shows the stage and how much of the whole is done."""
    from tqdm import tqdm

    bar = tqdm(total=1, bar_format="{desc:<30.30} {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left")
    for progress in stages:
        bar.total = progress.total
        bar.set_description(progress.stage, refresh=False)
        bar.update(progress.done - bar.n)
    bar.close()


def show_scans(ticks: Iterable[tuple[int, int]], description: str) -> None:
    """Run to the end; a bar shows how many scans of how many are done."""
    from tqdm import tqdm

    bar = tqdm(total=1, desc=description, unit="scan")
    for done, total in ticks:
        bar.total = total
        bar.update(done - bar.n)
    bar.close()
