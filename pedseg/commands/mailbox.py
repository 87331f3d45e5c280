"""The verbs of a federation through a mailbox: `keys`, `coordinate`, `join`, told by `federation.verbs`."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator

from pedseg.federation import verbs

Lines = Callable[[argparse.Namespace], Iterator[str]]


def _printed(lines: Lines) -> Callable[[argparse.Namespace], int]:
    """A verb that prints the lines of another as they come."""

    @functools.wraps(lines)
    def verb(options: argparse.Namespace) -> int:
        for line in lines(options):
            print(line, flush=True)
        return 0

    return verb


VERBS = {_printed(lines): arguments for lines, arguments in verbs.VERBS.items()}
