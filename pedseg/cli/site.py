"""`pedseg site`: the workbook as a static site, with the exhibit.

Leaves `html/` in `--out`, to be handed out by any web server (`python3 -m http.server -d runs/site/html`), and the
notebooks with their outputs in `source/notebooks`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli import ROOT


def run(options: argparse.Namespace) -> Iterator[str]:
    """Build the static site: chapters with their pictures, the exhibit, the guide and the API reference."""
    from pedseg.site.build import Site, build

    chapters = None if options.run_only is None else tuple(options.run_only.split(","))
    yield from build(Site(ROOT, options.out.resolve(), options.repository, chapters))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "site", help="default: runs/site")
    parser.add_argument("--repository", default="", metavar="OWNER/NAME", help="on GitHub, for Binder and Colab")
    some = "give outputs to these chapters alone, `none` to no chapter; default: to all"
    parser.add_argument("--run-only", metavar="01,02", help=some)
