"""`pedseg coordinate`: the server of a federation through a mailbox.

Leaves checkpoints and `federated.safetensors` in `--out`. See [mailbox.md](mailbox.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pedseg.cli.arguments import add_mailbox_url, add_settings, log_on_screen, settings_from
from pedseg.cli.federate import TRAINING, last_lines
from pedseg.federation.config import FederationConfig, MailboxConfig


def run(options: argparse.Namespace) -> Iterator[str]:
    """Lead a federation through a mailbox: a folder, a WebDAV server or an S3-compatible store."""
    from pedseg.federation.mailbox import run
    from pedseg.federation.run_folder import line_of, row_of

    config, mailbox = settings_from(options, FederationConfig), settings_from(options, MailboxConfig)
    with log_on_screen():
        for round_ in run.coordinate(options.url, config, mailbox, options.center):
            yield line_of(row_of(round_), config.rounds) + (" (from disk)" if round_.restored else "")
            yield from map(str, round_.refused)
    yield from last_lines(config)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_mailbox_url(parser)
    add_settings(parser, FederationConfig, *TRAINING, "keys")
    add_settings(parser, MailboxConfig, "poll", "round_timeout", "min_centers")
    named = "once for each, in their order; default: all in the folder of the keys, in alphabetical order"
    parser.add_argument("--center", action="append", default=[], metavar="NAME", help=named)
