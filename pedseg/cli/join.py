"""`pedseg join`: the client of a federation through a mailbox, at one center."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import add_mailbox, add_privacy


def run(options: argparse.Namespace) -> Iterator[str]:
    """Take part in a federation through a mailbox, as one center with its own data."""
    from pedseg.federation.mailbox import run
    from pedseg.federation.privacy.disclosure_log import DisclosureLog

    state = options.state or Path("runs/join") / options.center
    own = {"keys": options.keys, "poll_seconds": options.poll, "least_cases": options.min_cases}
    own |= {"clip": options.clipping_norm, "noise": options.noise_multiplier}
    own |= {"masks_only": options.secure_aggregation_only}
    for event in run.join(options.url, options.center, options.data, state, **own):
        yield str(event.problem or f"round {event.round}: {event.what} {event.kind}".strip())
    spent = DisclosureLog(state / "ledger.tsv").privacy_loss()
    if math.isfinite(spent):
        yield f"privacy of all weights in {state / 'ledger.tsv'}: epsilon {spent:.3g} at delta 1e-5"
    yield f"weights: {state / 'federated.safetensors'}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg join`."""
    add_mailbox(parser)
    add_privacy(parser)
    only = "send no update without secure aggregation"
    parser.add_argument("--secure-aggregation-only", action="store_true", help=only)
    parser.add_argument("--center", required=True, metavar="NAME")
    parser.add_argument("--data", type=Path, required=True, help="folder of this center's data set")
    least = "send no statistic of fewer training cases"
    parser.add_argument("--min-cases", type=int, default=2, metavar="N", help=least)
    parser.add_argument("--state", type=Path, help="folder of its replies and its log; default: runs/join/NAME")
