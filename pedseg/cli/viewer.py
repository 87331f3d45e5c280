"""`pedseg viewer`: the reading room as a page on this machine.

Leaves corrected contours in `runs/corrections`, or pictures if `--screenshots` is given.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from pedseg.cli import READING_ROOM


def run(options: argparse.Namespace) -> int:
    """Serve the reading room as a page on this machine; other arguments go to Voilà."""
    from pedseg.viewer import screenshots, serving

    if options.screenshots:
        for file in screenshots.take_screenshots(READING_ROOM, options.screenshots):
            print(file)
        return 0
    command = serving.voila_command(READING_ROOM, port=options.port, browser=not options.no_browser, rest=options.rest)
    return subprocess.call(command, env=serving.voila_environment())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg viewer`; all others go to Voilà."""
    parser.add_argument("--port", type=int, help="default: the first that is free from 8866")
    parser.add_argument("--no-browser", action="store_true", help="only serve it")
    parser.add_argument("--screenshots", type=Path, metavar="F", help="only keep pictures of it in the folder F")
