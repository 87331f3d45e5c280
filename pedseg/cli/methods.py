"""`pedseg methods`: methods of federated learning compared, in three kinds of difference between two hospitals.

Leaves `cases.csv` and `summary.json` in `--out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli.arguments import add_settings, settings_from, show_stages
from pedseg.evaluation.config import METHODS_SCENARIOS, METHODS_STUDY


def run(options: argparse.Namespace) -> int:
    """FedProx, FedAvgM, FedAdam, SCAFFOLD, FedBN, FedPer and fine-tuning beside federated averaging."""
    from pedseg.evaluation import methods

    federation = settings_from(options, METHODS_STUDY.federation)
    config = settings_from(options, METHODS_STUDY, federation=federation)
    size = methods.Size(scenarios={name: METHODS_SCENARIOS[name] for name in options.scenario or METHODS_SCENARIOS})
    show_stages(methods.run_methods(options.folder, config, size=size))
    print(methods.table(options.folder))
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, METHODS_STUDY, "seeds", "resolution")
    add_settings(parser, METHODS_STUDY.federation, "rounds", "local_steps")
    once = "only this one (may be given more than once)"
    parser.add_argument("--scenario", action="append", default=[], choices=[*METHODS_SCENARIOS], help=once)
    parser.add_argument("--out", dest="folder", type=Path, default=Path("runs/methods"))
