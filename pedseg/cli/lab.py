"""`pedseg lab`: JupyterLab with the notebooks."""

from __future__ import annotations

import argparse
import subprocess

from pedseg.cli import FIRST_NOTEBOOK, ROOT


def run(options: argparse.Namespace) -> int:
    """Open JupyterLab at the first notebook; other arguments go to it."""
    from pedseg.viewer import serving

    itk_source = "offline" if options.offline_itk else "network" if options.itk else ""
    command = serving.lab_command(ROOT, FIRST_NOTEBOOK, options.rest)
    return subprocess.call(command, env=serving.lab_environment(itk_source))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg lab`; all others go to JupyterLab."""
    sources = parser.add_mutually_exclusive_group()
    offline = "build itkwidgets' viewer here, then use no network"
    sources.add_argument("--itk", action="store_true", help="let itkwidgets fetch its viewer from the internet")
    sources.add_argument("--offline-itk", action="store_true", help=offline)
