"""`pedseg keys`: the key pair of a member of a mailbox federation."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pedseg.cli.arguments import add_keys


def run(options: argparse.Namespace) -> Iterator[str]:
    """Make a member's keys, and print the fingerprints to compare over the phone."""
    from pedseg.federation import keys

    public = options.keys / f"{options.name}{keys.PUBLIC}"
    if not public.exists():
        keys.own_keys(options.keys, options.name)
        yield f"keep to yourself: {options.keys / f'{options.name}{keys.PRIVATE}'}"
        yield f"send to the others: {public}"
    for name in keys.known_members(options.keys):
        yield f"{name:<20} {keys.read_member(options.keys, name).fingerprint}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg keys`."""
    parser.add_argument("name", help="the center's name, or: coordinator")
    add_keys(parser)
