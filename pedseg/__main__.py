"""The command line of pedseg: which verb, and what becomes of its errors.

Exit codes: 0 done, 1 findings in the user's data (table on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pedseg import __version__, memory
from pedseg.commands import VERBS
from pedseg.findings import Finding, PedsegInputError, as_table

PASSED_ON = ("lab", "rooms", "test")  # verbs whose other arguments go to JupyterLab, Voilà and pytest


def parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    top = argparse.ArgumentParser("pedseg", description="Federated learning of organ contours on pediatric CT.")
    top.add_argument("--version", action="version", version=__version__)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for function, add_arguments in VERBS.items():
        own = verbs.add_parser(function.__name__.rstrip("_"), help=function.__doc__, description=function.__doc__)
        own.set_defaults(function=function)
        own.add_argument("--debug", action="store_true", help="show the traceback of an error")
        add_arguments(own)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run the verb, and turn what goes wrong into an exit code."""
    top = parser()
    options, rest = top.parse_known_args(arguments)
    options.rest = rest
    memory.keep_low()
    if options.rest and options.verb not in PASSED_ON:
        top.error(f"unrecognized arguments: {' '.join(options.rest)}")
    try:
        return options.function(options)
    except PedsegInputError as error:
        if options.debug:
            raise
        print(as_table(error.findings), file=sys.stderr)
        return 1
    except OSError as error:
        if options.debug:
            raise
        finding = Finding(
            "E-DISK",
            str(error.filename or ""),
            error.strerror or str(error),
            "Check the path, the rights and the free space.",
        )
        print(as_table([finding]), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is on disk, the same command goes on from there", file=sys.stderr)
        sys.stderr.flush()
        os._exit(130)  # training threads may be in mid-step; every file is written whole or not at all


if __name__ == "__main__":
    sys.exit(main())
