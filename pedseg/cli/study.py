"""`pedseg study`: local, cross-center, federated and centralized training, evaluated and reported."""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli.arguments import add_training, positive_int, probability, show_stages


def run(options: argparse.Namespace) -> int:
    """Run the study, print its table, write the report."""
    from pedseg.evaluation import reporting, study
    from pedseg.workbook.report import write_report

    settings = study.Settings.of(
        options.profile, seeds=options.seeds, rounds=options.rounds, steps=options.local_steps,
        orientation=options.orientation, gin=options.gin_probability,
    )  # fmt: skip
    show_stages(
        study.run_study(
            options.data, options.out, settings, single_phase=options.single_phase, resolution=options.resolution,
            extra_patients=options.extra_patients, filters=options.filters,
        )
    )  # fmt: skip
    print(reporting.table(options.out))
    print(f"report: {write_report(options.out)}")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg study`."""
    add_training(parser)
    parser.add_argument("--seeds", type=positive_int, default=1, metavar="N", help="repeat with seeds 0 to N-1")
    orientation = "how networks meet patients on their side; default: the profile's own"
    parser.add_argument("--orientation", choices=["none", "augment", "reorient"], default="", help=orientation)
    gin = "share of the training samples that random convolutions (GIN) change"
    parser.add_argument("--gin-probability", type=probability, default=0.0, metavar="P", help=gin)
    single = "virtual centers in their usual contrast phase only"
    parser.add_argument("--single-phase", action="store_true", help=single)
    voxels = "voxels of the virtual centers; default: the profile's own"
    parser.add_argument("--resolution", choices=["lesson", "clinic", "coarse"], default="", help=voxels)
    extra = "so many more training patients in each virtual center"
    parser.add_argument("--extra-patients", type=positive_int, default=0, metavar="N", help=extra)
    filters = "of the first stage of the clinic's network; default: 32, as nnU-Net"
    parser.add_argument("--filters", type=positive_int, metavar="N", help=filters)
    parser.add_argument("--out", type=Path, default=Path("runs/study"))
