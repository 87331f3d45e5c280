"""`pedseg lab`: JupyterLab with the notebooks."""

from __future__ import annotations

import argparse
import subprocess

from pedseg.cli import FIRST_NOTEBOOK, ROOT


def run(options: argparse.Namespace) -> int:
    """Open JupyterLab at the first notebook; other arguments go to it."""
    from pedseg.viewer import serving

    way = "offline" if options.offline_itk else "network" if options.itk else ""
    return subprocess.call(serving.lab_command(ROOT, FIRST_NOTEBOOK, options.rest), env=serving.lab_variables(way))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg lab`; all others go to JupyterLab."""
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--itk", action="store_true", help="let itkwidgets fetch its viewer from the internet")
    ways.add_argument("--offline-itk", action="store_true", help="build itkwidgets' viewer here, then use no network")
