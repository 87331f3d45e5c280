"""The parser of the command line: every verb with its arguments."""

from __future__ import annotations

import argparse

from pedseg import __version__
from pedseg.cli import (
    bench,
    check,
    compare,
    coordinate,
    evaluate,
    export,
    failures,
    federate,
    fedgin,
    fetch,
    grade,
    import_,
    join,
    keys,
    lab,
    notebooks,
    predict,
    score,
    shift,
    site,
    status,
    study,
    test,
    viewer,
)  # fmt: skip

VERBS = (
    study, evaluate, shift, failures, fedgin, federate, keys, coordinate, join, status,
    check, fetch, import_, predict, score, export, compare, lab, viewer, notebooks, site, grade, test, bench,
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    top = argparse.ArgumentParser("pedseg", description="Federated learning of organ contours on pediatric CT.")
    top.add_argument("--version", action="version", version=__version__)
    subparsers = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        name, help_ = verb.__name__.rpartition(".")[2].rstrip("_"), verb.run.__doc__
        own = subparsers.add_parser(name, help=help_, description=help_)
        own.set_defaults(run=verb.run)
        own.add_argument("--debug", action="store_true", help="show the traceback of an error")
        verb.add_arguments(own)
    return top
