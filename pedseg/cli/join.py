"""`pedseg join`: the client of a federation through a mailbox, at one center.

Leaves `federated.safetensors` and a log of everything that left the center. See [mailbox.md](mailbox.md).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import add_mailbox_url, add_settings, settings_from
from pedseg.federation.config import CenterConfig, MailboxConfig


def run(options: argparse.Namespace) -> Iterator[str]:
    """Take part in a federation through a mailbox, as one center with its own data."""
    from pedseg.federation.checkpoints import FINAL_MODEL
    from pedseg.federation.mailbox import run
    from pedseg.federation.privacy.differential_privacy import DELTA
    from pedseg.federation.privacy.disclosure_log import FILE, DisclosureLog

    state = options.state or Path("runs/join") / options.center
    config, mailbox = settings_from(options, CenterConfig), settings_from(options, MailboxConfig)
    for event in run.join(options.url, options.center, options.data, state, config, mailbox):
        yield str(event.problem or f"round {event.round}: {event.status} {event.message_type}".strip())
    loss = DisclosureLog(state / FILE).privacy_loss()
    if math.isfinite(loss):
        yield f"privacy of all weights in {state / FILE}: epsilon {loss:.3g} at delta {DELTA:g}"
    yield f"weights: {state / FINAL_MODEL}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg join`."""
    add_mailbox_url(parser)
    parser.add_argument("--center", required=True, metavar="NAME")
    parser.add_argument("--data", type=Path, required=True, help="folder of this center's data set")
    demands = ("min_cases", "clipping_norm", "noise_multiplier", "secure_aggregation_only")
    add_settings(parser, CenterConfig, *demands, "keys")
    add_settings(parser, MailboxConfig, "poll")
    parser.add_argument("--state", type=Path, help="folder of its replies and its log; default: runs/join/NAME")
