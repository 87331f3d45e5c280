"""The command line of pedseg: run a verb and turn what goes wrong into an exit code.

Exit codes: 0 done, 1 problems in the user's data (table on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence

from pedseg import memory
from pedseg.cli.parser import parser
from pedseg.errors import InputProblem, PedsegInputError, as_table, import_errors

PASSED_ON = ("lab", "viewer", "test")  # verbs whose other arguments go to JupyterLab, Voilà and pytest


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run the verb, and turn what goes wrong into an exit code."""
    _speak_any_alphabet()
    top = parser()
    options, rest = top.parse_known_args(arguments)
    options.rest = rest
    memory.limit_heap()
    if options.rest and options.verb not in PASSED_ON:
        top.error(f"unrecognized arguments: {' '.join(options.rest)}")
    try:
        with import_errors():
            return _finish(options.run(options))
    except PedsegInputError as error:
        if options.debug:
            raise
        print(as_table(error.problems), file=sys.stderr)
        return 1
    except OSError as error:
        if options.debug:
            raise
        what, remedy = error.strerror or str(error), "Check the path, the rights and the free space."
        print(as_table([InputProblem("E-DISK", str(error.filename or ""), what, remedy)]), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is on disk, the same command goes on from there", file=sys.stderr)
        sys.stderr.flush()
        os._exit(130)  # training threads may be in mid-step; every file is written whole or not at all


def _speak_any_alphabet() -> None:
    """Names that the terminal or the file behind a redirect has no letters for (`Wątroba` in cp1252) stop no verb."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _finish(outcome: int | Iterable[str]) -> int:
    """The exit code of a verb; one that yields lines has them printed as they come."""
    if isinstance(outcome, int):
        return outcome
    for line in outcome:
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
