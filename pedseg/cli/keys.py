"""`pedseg keys`: the key pair of a member of a mailbox federation.

Leaves a private key that stays here, and a public key for the other members.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pedseg.cli.arguments import add_settings, settings_from
from pedseg.federation.config import PrivacyConfig


def run(options: argparse.Namespace) -> Iterator[str]:
    """Make a member's keys, and print the fingerprints to compare over the phone."""
    from pedseg.federation import keys

    folder = settings_from(options, PrivacyConfig).keys
    public = folder / f"{options.name}{keys.PUBLIC}"
    if not public.exists():
        keys.own_keys(folder, options.name)
        yield f"keep to yourself: {folder / f'{options.name}{keys.PRIVATE}'}"
        yield f"send to the others: {public}"
    for name in keys.known_members(folder):
        yield f"{name:<20} {keys.read_member(folder, name).fingerprint}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the center's name, or: coordinator")
    add_settings(parser, PrivacyConfig, "keys")
