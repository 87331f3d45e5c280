"""`pedseg train`: one network on one's own data set, on several pooled, or on phantoms of all kinds.

Leaves the weights in `--out`. Without `--data` it is the robust profile on phantoms of all ages, builds, and ways of
scanning, so that the network has met more than one kind of body before it sees a real scan.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import add_settings, settings_from, show_stages
from pedseg.federation.config import PROFILES, FederationConfig


def run(options: argparse.Namespace) -> Iterator[str]:
    """Train one network on a data set, on several pooled, or on phantoms of all ages, builds and ways of scanning."""
    from pedseg.evaluation import single_training

    own = "data" in options
    options.profile = options.profile if "profile" in options else "lesson" if own else "robust"
    federation = settings_from(options, FederationConfig)
    if not own:
        show_stages(single_training.make_varied())
    data = federation.data if own else single_training.VARIED_DATA
    show_stages(single_training.train_one(data, options.folder, federation))
    file = options.folder / single_training.MODEL
    for point in single_training.curve(file):
        dsc = "" if point["dsc"] is None else f", validation DSC {point['dsc']:.3f}"
        yield f"step {point['step']:.0f}: training loss {point['loss']:.3f}{dsc}"
    yield f"weights: {file}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    data = "a data set, or a folder of data sets; left out: phantoms of all kinds, made in runs/varied_data"
    profile = "size of network and training; default: lesson, or robust without --data"
    parser.add_argument("--data", type=Path, default=argparse.SUPPRESS, metavar="FOLDER", help=data)
    parser.add_argument("--profile", choices=tuple(PROFILES), default=argparse.SUPPRESS, help=profile)
    settings = ("network", "network_arguments", "rounds", "local_steps", "orientation", "gin_probability", "seed")
    add_settings(parser, FederationConfig, *settings)
    parser.add_argument("--out", dest="folder", type=Path, default=Path("runs/train"), help="default: runs/train")
