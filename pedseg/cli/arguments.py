"""Arguments that several verbs of the command line share, their types, and the progress bars."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pedseg.evaluation.config import OUT
from pedseg.federation.config import OF_PROFILE, Config

if TYPE_CHECKING:
    from pedseg.evaluation.concurrency import Progress

C = TypeVar("C", bound=Config)


def add_settings(parser: argparse.ArgumentParser, config: type[Config] | Config, *names: str) -> None:
    """Options for these settings; one that is not given has no value here, but its default in the configuration."""
    options = {option.name: option for option in fields(config)}
    for option in (options[name] for name in names):
        kind: dict[str, Any] = {"action": "store_true"}
        if option.type != "bool":
            choices = [choice for choice in option.metadata["choices"] if choice]
            kind = {"choices": choices} if choices else {"type": _type(option), "metavar": option.metadata["metavar"]}
        default = option.default if isinstance(config, type) else getattr(config, option.name)
        help_ = option.metadata["help"] + ("" if default is None and "Path" in option.type else _default_text(default))
        parser.add_argument(f"--{option.name.replace('_', '-')}", default=argparse.SUPPRESS, help=help_, **kind)


def settings_from(options: argparse.Namespace, config: type[C] | C, **others: Any) -> C:
    """The configuration, by class or as it is without options, with the options that were given, and `others`."""
    given = {option.name: getattr(options, option.name) for option in fields(config) if option.name in options}
    return config(**given, **others) if isinstance(config, type) else replace(config, **given, **others)


def _type(option: Field) -> Callable[[str], Any]:
    if "Path" in option.type or option.type == "str":
        return Path if "Path" in option.type else str
    least, most = option.metadata["least"], option.metadata["most"]
    return number(int if option.type == "int" else float, least, most)


def _default_text(default: Any) -> str:
    if default is OF_PROFILE:
        return "; default: the profile's own"
    return "" if default == "" or default is False else f"; default: {default}"


def number(kind: type[int] | type[float], least: float, most: float) -> Callable[[str], float]:
    """The argument type of a number in a range; anything else is wrong usage."""

    def parse(text: str) -> float:
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        if not value <= most:
            raise argparse.ArgumentTypeError(f"must be at most {most}")
        return value

    parse.__name__ = kind.__name__  # in the message for what is no number
    return parse


def positive_int(text: str) -> int:
    """A whole number from 1 on; anything else is wrong usage."""
    return int(number(int, 1, 2**63)(text))


def add_evaluated_study(parser: argparse.ArgumentParser, *, patients: int, seeds: int) -> None:
    """Which finished study is evaluated again, on how many patients."""
    parser.add_argument("--study", type=Path, default=OUT, help="folder of a finished study")
    many, first = f"of each center; default: {patients}", f"the study's first N; default: {seeds}"
    parser.add_argument("--patients", type=positive_int, default=patients, metavar="N", help=many)
    parser.add_argument("--seeds", type=positive_int, default=seeds, metavar="N", help=first)


@contextmanager
def log_on_screen() -> Iterator[None]:
    """Show on stderr what a federation logs: who is waited for, how far a training is, what was refused."""
    handler, logger = logging.StreamHandler(sys.stderr), logging.getLogger("flwr.pedseg.mailbox")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def add_mailbox_url(parser: argparse.ArgumentParser) -> None:
    """Where the mailbox of a federation is."""
    parser.add_argument("url", help="a folder, https://… (WebDAV) or s3://bucket/prefix")


def add_ct(parser: argparse.ArgumentParser, repairs: Iterable[str], repaired: str) -> None:
    """Which CT series of a DICOM folder is read, and which repairs are asked for."""
    parser.add_argument("--series", default="", metavar="N", help="which CT series, by number in the table or UID")
    parser.add_argument("--repair", action="append", default=[], choices=[*repairs], help=repaired)


def add_contours(parser: argparse.ArgumentParser, repairs: Iterable[str], repaired: str) -> None:
    """How contours are read that lie on a CT: their names, and what of the series is taken or repaired."""
    names = "lines of foreign name, tab, TG-263 name or `ignore`"
    parser.add_argument("--names", type=Path, metavar="FILE", help=names)
    add_ct(parser, repairs, repaired)
    frame = "take contours of another frame of reference"
    parser.add_argument("--ignore-frame-of-reference", action="store_true", help=frame)


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
