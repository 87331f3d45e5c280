"""`pedseg coordinate`: the server of a federation through a mailbox."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import add_mailbox, add_privacy, add_schedule
from pedseg.cli.federate import privacy_line


def run(options: argparse.Namespace) -> Iterator[str]:
    """Lead a federation through a mailbox: a folder, a WebDAV server or an S3-compatible store."""
    from pedseg.federation.config import DEFAULTS
    from pedseg.federation.mailbox import run

    given = {"rounds": options.rounds, "steps-per-round": options.local_steps}
    config = {**DEFAULTS, **{key: value for key, value in given.items() if value is not None}}
    config |= {"profile": options.profile, "seed": options.seed, "evaluate-every": options.evaluate_every}
    config |= {
        "strategy": options.strategy, "hostile-centers": options.num_malicious,
        "largest-update": options.max_update_norm, "clip": options.clipping_norm, "noise": options.noise_multiplier,
        "masks": options.secure_aggregation,
    }  # fmt: skip
    played = run.coordinate(
        options.url, options.out, config, keys=options.keys, centers=options.center,
        wait_seconds=3600 * options.round_timeout, least=options.min_centers, poll_seconds=options.poll,
    )  # fmt: skip
    digest = ""
    for round_ in played:
        digest = round_.sha256
        yield f"round {round_.number} of {config['rounds']}: loss {round_.train_loss:.4f}"
        yield from map(str, round_.refused)
    yield f"weights: {options.out / 'federated.safetensors'}"
    if options.noise_multiplier:
        yield privacy_line(options.noise_multiplier, int(str(config["rounds"])))
    yield f"sha256 {digest}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg coordinate`."""
    add_mailbox(parser)
    add_privacy(parser)
    secure = "see the sum of the updates alone; three centers at least"
    parser.add_argument("--secure-aggregation", action="store_true", help=secure)
    add_schedule(parser)
    parser.add_argument("--seed", type=int, default=0)
    named = "once for each, in their order"
    parser.add_argument("--center", action="append", default=[], metavar="NAME", help=named)
    timeout = "how long a round waits; default: forever"
    parser.add_argument("--round-timeout", type=float, default=math.inf, metavar="HOURS", help=timeout)
    least = "after the timeout, go on with this many centers"
    parser.add_argument("--min-centers", type=int, default=1, metavar="N", help=least)
    strategies = "average, median, trimmed-mean or krum; default: average"
    parser.add_argument("--strategy", default="average", help=strategies)
    malicious = "malicious centers that a robust strategy tolerates"
    parser.add_argument("--num-malicious", type=int, default=1, metavar="N", help=malicious)
    largest = "refuse an update with a larger L2 norm; 0: refuse none"
    parser.add_argument("--max-update-norm", type=float, default=0.0, metavar="L2", help=largest)
    parser.add_argument("--evaluate-every", type=int, default=0, metavar="K", help="rounds; 0: never")
    parser.add_argument("--out", type=Path, default=Path("runs/coordinate"))
