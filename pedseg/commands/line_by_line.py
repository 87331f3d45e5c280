"""Verbs that rooms tell line by line: of scans (`exchange`), a network (`learning`), a mailbox (`federation`)."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator

from pedseg.exchange import verbs as scans
from pedseg.federation import verbs as mailbox
from pedseg.learning import verbs as network

Lines = Callable[[argparse.Namespace], Iterator[str]]


def _printed(lines: Lines) -> Callable[[argparse.Namespace], int]:
    """A verb that prints the lines of another as they come."""

    @functools.wraps(lines)
    def verb(options: argparse.Namespace) -> int:
        for line in lines(options):
            print(line, flush=True)
        return 0

    return verb


VERBS = {_printed(lines): add for room in (scans, network, mailbox) for lines, add in room.VERBS.items()}
