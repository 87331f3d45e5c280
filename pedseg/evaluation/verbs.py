"""What the command line asks of finished studies and of the experiment with CT and MR: lines to say, and arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path


def sweep(options: argparse.Namespace) -> Iterator[str]:
    """Test a study's models on one cause at a time: contrast phase, table, age, posture …"""
    from tqdm import tqdm

    from pedseg.evaluation import sweep as room

    out = options.out or options.study
    bar = tqdm(total=1, desc="one cause at a time", unit="scan")
    for done, total in room.sweep(
        options.study, out, patients=options.patients, seeds=options.seeds, names=options.cause
    ):
        bar.total = total
        bar.update(done - bar.n)
    bar.close()
    yield room.table(out)


def fedgin(options: argparse.Namespace) -> Iterator[str]:
    """CT and MR hospitals together, with and without random convolutions (GIN), in four scenarios."""
    from tqdm import tqdm

    from pedseg.evaluation import fedgin as room

    bar = tqdm(total=1, bar_format="{desc:<30.30} {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left")
    settings = room.settings_of(seeds=options.seeds, rounds=options.rounds, steps=options.steps)
    for progress in room.run_fedgin(options.out, settings):
        bar.total = progress.total
        bar.set_description(progress.stage, refresh=False)
        bar.update(progress.done - bar.n)
    bar.close()
    yield room.table(options.out)


def _of_sweep(own: argparse.ArgumentParser) -> None:
    own.add_argument("--study", type=Path, default=Path("runs/study"), help="folder of a finished study")
    own.add_argument("--patients", type=at_least_one, default=30, metavar="N", help="of each center")
    own.add_argument("--seeds", type=at_least_one, default=1, metavar="N", help="the study's first N; default 1")
    own.add_argument("--cause", action="append", default=[], help="only this one (may be given more than once)")
    own.add_argument("--out", type=Path, help="default: the study's folder")


def _of_fedgin(own: argparse.ArgumentParser) -> None:
    own.add_argument("--seeds", type=at_least_one, default=3, metavar="N", help="repeat with seeds 0 to N-1")
    own.add_argument("--rounds", type=at_least_one, help="rounds of the federations")
    own.add_argument("--steps", type=at_least_one, help="training steps a round and center")
    own.add_argument("--out", type=Path, default=Path("runs/fedgin"))


def at_least_one(text: str) -> int:
    """A whole number from 1 up."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def share(text: str) -> float:
    """A number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return number


# What is said, and the arguments of the verb of the same name.
VERBS: dict[Callable[[argparse.Namespace], Iterator[str]], Callable[[argparse.ArgumentParser], None]] = {
    sweep: _of_sweep,
    fedgin: _of_fedgin,
}
