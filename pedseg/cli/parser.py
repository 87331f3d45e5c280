"""The parser of the command line: every verb with its arguments."""

from __future__ import annotations

import argparse
from importlib import import_module

from pedseg import __version__

VERBS = (
    "study", "train", "evaluate", "shift", "failures", "fedgin", "methods",
    "federate", "keys", "coordinate", "join", "status",
    "phantoms", "check", "fetch", "import_", "predict", "score", "export", "compare",
    "lab", "viewer", "notebooks", "site", "grade", "test", "bench",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    top = argparse.ArgumentParser("pedseg", description="Federated learning of organ contours on pediatric CT.")
    top.add_argument("--version", action="version", version=__version__)
    subparsers = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        verb = import_module(f"pedseg.cli.{name}")
        own = subparsers.add_parser(name.rstrip("_"), help=verb.run.__doc__, description=verb.run.__doc__)
        own.set_defaults(run=verb.run)
        own.add_argument("--debug", action="store_true", help="show the traceback of an error")
        verb.add_arguments(own)
    return top
