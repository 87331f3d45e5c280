"""`pedseg join`: the client of a federation through a mailbox, at one center.

Leaves `federated.safetensors` and a log of everything that left the center. See [mailbox.md](mailbox.md).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from pedseg.cli.arguments import add_mailbox_url, add_settings, log_on_screen, settings_from
from pedseg.federation.config import CenterConfig, MailboxConfig


def run(options: argparse.Namespace) -> Iterator[str]:
    """Take part in a federation through a mailbox, as one center with its own data."""
    from pedseg.federation.center_policy import as_lines, read_policy
    from pedseg.federation.checkpoints import FINAL_MODEL
    from pedseg.federation.mailbox import run
    from pedseg.federation.privacy.differential_privacy import DELTA
    from pedseg.federation.privacy.disclosure_log import FILE, DisclosureLog

    mailbox = settings_from(options, MailboxConfig)
    given = {field.name: getattr(options, field.name) for field in fields(CenterConfig) if field.name in options}
    policy = read_policy(options.policy, **given) if options.policy else CenterConfig(**given)
    state = policy.state or Path("runs/join") / options.center
    yield from as_lines(policy)
    with log_on_screen():
        for event in run.join(options.url, options.center, options.data, state, policy, mailbox):
            if event.status == "finished":
                yield f"round {event.round}: finished"
    loss = DisclosureLog(state / FILE).privacy_loss()
    if math.isfinite(loss):
        yield f"privacy of all weights in {state / FILE}: epsilon {loss:.3g} at delta {DELTA:g}"
    yield f"weights: {state / FINAL_MODEL}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_mailbox_url(parser)
    parser.add_argument("--center", required=True, metavar="NAME")
    parser.add_argument("--data", type=Path, required=True, help="folder of this center's data set")
    add_settings(parser, CenterConfig, *(field.name for field in fields(CenterConfig)))
    parser.add_argument("--policy", type=Path, metavar="FILE", help="a TOML file of these demands; options come first")
    add_settings(parser, MailboxConfig, "poll")
