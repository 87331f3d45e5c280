"""`pedseg fedgin`: CT and MR hospitals federated, with and without GIN, in four scenarios.

Leaves `cases.csv`, `summary.json`, and the weights in `--out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli.arguments import add_settings, positive_int, settings_from, show_stages
from pedseg.evaluation.config import FEDGIN, FEDGIN_MODELS, FEDGIN_SCENARIOS, FEDGIN_TEST_PATIENTS


def run(options: argparse.Namespace) -> int:
    """CT and MR hospitals together, with and without random convolutions (GIN), in four scenarios."""
    from pedseg.evaluation import fedgin

    federation = settings_from(options, FEDGIN.federation)
    size = fedgin.select_size(options.scenario, options.model, options.test_patients)
    show_stages(fedgin.run_fedgin(options.folder, settings_from(options, FEDGIN, federation=federation), size=size))
    print(fedgin.table(options.folder))
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, FEDGIN, "seeds")
    add_settings(parser, FEDGIN.federation, "rounds", "local_steps")
    once = "only this one (may be given more than once)"
    parser.add_argument("--scenario", action="append", default=[], choices=[*FEDGIN_SCENARIOS], help=once)
    parser.add_argument("--model", action="append", default=[], choices=FEDGIN_MODELS, help=once)
    tested, many = "of each way of scanning; default: %(default)s", FEDGIN_TEST_PATIENTS
    parser.add_argument("--test-patients", type=positive_int, default=many, metavar="N", help=tested)
    parser.add_argument("--out", dest="folder", type=Path, default=Path("runs/fedgin"))
