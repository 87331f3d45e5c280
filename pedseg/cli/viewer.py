"""`pedseg viewer`: the reading room as a page on this machine, for the study's children and for patients of one's own.

Leaves drafts of corrected contours in `runs/drafts`, what is written in the page, or pictures if `--screenshots` is
given.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from pedseg.cli import READING_ROOM
from pedseg.errors import input_error

SOURCES = {
    "data": "a data set, or a folder of data sets, in place of the samples",
    "study": "the folder of a study of one's own: its models and failures",
    "dicom": "a folder with a CT, and the RTSTRUCT or SEG that lies beside it",
}


def run(options: argparse.Namespace) -> int:
    """Serve the reading room as a page on this machine; other arguments go to Voilà."""
    from pedseg.viewer import screenshots, serving

    given = {name: getattr(options, name) for name in SOURCES}
    for folder in filter(None, given.values()):
        if not folder.is_dir():
            raise input_error("E-FILE-MISSING", folder, "there is no such folder.", "Check the name.")
    if options.screenshots:
        for file in screenshots.take_screenshots(READING_ROOM, options.screenshots):
            print(file)
        return 0
    command = serving.voila_command(READING_ROOM, port=options.port, browser=not options.no_browser, rest=options.rest)
    return subprocess.call(command, env=serving.voila_environment(**given))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg viewer`; all others go to Voilà."""
    for name, help_ in SOURCES.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER", help=help_)
    parser.add_argument("--port", type=int, help="default: the first that is free from 8866")
    parser.add_argument("--no-browser", action="store_true", help="only serve it")
    parser.add_argument("--screenshots", type=Path, metavar="F", help="only keep pictures of it in the folder F")
