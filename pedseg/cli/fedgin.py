"""`pedseg fedgin`: CT and MR hospitals federated, with and without GIN, in four scenarios."""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli.arguments import positive_int, show_stages


def run(options: argparse.Namespace) -> int:
    """CT and MR hospitals together, with and without random convolutions (GIN), in four scenarios."""
    from pedseg.evaluation import fedgin

    settings = fedgin.default_settings(seeds=options.seeds, rounds=options.rounds, steps=options.local_steps)
    size = fedgin.select_size(options.scenario, options.model, options.test_patients)
    show_stages(fedgin.run_fedgin(options.out, settings, size=size))
    print(fedgin.table(options.out))
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg fedgin`."""
    parser.add_argument("--seeds", type=positive_int, default=3, metavar="N", help="repeat with seeds 0 to N-1")
    parser.add_argument("--rounds", type=positive_int, help="rounds of the federations")
    steps = "training steps a round and center"
    parser.add_argument("--local-steps", type=positive_int, metavar="N", help=steps)
    once = "only this one (may be given more than once)"
    scenarios = ["limited-1:1", "limited-1:2", "limited-1:5", "complete"]
    parser.add_argument("--scenario", action="append", default=[], choices=scenarios, help=once)
    models = ["local", "centralized_gin", "federated", "federated_gin"]
    parser.add_argument("--model", action="append", default=[], choices=models, help=once)
    tested = "of each way of scanning; default: %(default)s"
    parser.add_argument("--test-patients", type=positive_int, default=8, metavar="N", help=tested)
    parser.add_argument("--out", type=Path, default=Path("runs/fedgin"))
