"""`pedseg study`: local, cross-center, federated and centralized training, evaluated and reported.

Leaves `cases.csv`, `failures.json`, `summary.json`, `report.html`, and the weights in `--out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli.arguments import add_settings, settings_from, show_stages
from pedseg.evaluation.config import OUT, StudyConfig
from pedseg.federation.config import FederationConfig


def run(options: argparse.Namespace) -> int:
    """Run the study, print its table, write the report."""
    from pedseg.evaluation import reporting, study
    from pedseg.workbook.report import write_report

    federation = settings_from(options, FederationConfig)
    config = settings_from(options, StudyConfig, federation=federation)
    show_stages(study.run_study(federation.data if "data" in options else None, options.folder, config))
    print(reporting.table(options.folder))
    print(f"report: {write_report(options.folder)}")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    settings = ("profile", "network", "network_arguments", "rounds", "local_steps", "orientation", "gin_probability")
    add_settings(parser, FederationConfig, "data", *settings)
    add_settings(parser, StudyConfig, "seeds", "single_phase", "resolution", "extra_patients", "filters", "minutes")
    parser.add_argument("--out", dest="folder", type=Path, default=OUT, help=f"folder of the results; default: {OUT}")
