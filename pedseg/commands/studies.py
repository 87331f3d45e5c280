"""The verbs that learn: `study`, `sweep`, `retest`, `fedgin`, `federate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.federation import verbs as mailbox

if TYPE_CHECKING:
    from pedseg.evaluation.jobs import Progress


def study(options: argparse.Namespace) -> int:
    """Run the study, print its table, write the report."""
    from pedseg.evaluation import study as room
    from pedseg.workbook.report import write_report

    settings = room.Settings.of(
        options.profile, seeds=options.seeds, rounds=options.rounds, steps=options.steps, posture=options.posture,
        gin=options.gin,
    )  # fmt: skip
    _show_stages(
        room.run_study(
            options.data, options.out, settings, one_phase=options.one_phase, detail=options.detail,
            more=options.more_patients, filters=options.filters,
        )
    )  # fmt: skip
    print(room.table(options.out))
    print(f"report: {write_report(options.out)}")
    return 0


def _study(own: argparse.ArgumentParser) -> None:
    _learning(own)
    own.add_argument("--seeds", type=_at_least_one, default=1, metavar="N", help="repeat with seeds 0 to N-1")
    own.add_argument("--posture", choices=["ignored", "rotated", "turned"], default="", help="patients on their side")
    changed = "random convolutions on this share of samples"
    own.add_argument("--gin", type=_share, default=0.0, metavar="P", help=changed)
    own.add_argument("--one-phase", action="store_true", help="virtual centers in their usual contrast phase only")
    fine = "voxels of the virtual centers; default: the profile's own"
    own.add_argument("--detail", choices=["lesson", "clinic", "coarse"], default="", help=fine)
    larger = "so many more training patients in each virtual center"
    own.add_argument("--more-patients", type=_at_least_one, default=0, metavar="N", help=larger)
    narrow = "of the first stage of the clinic's network; default: 32, as nnU-Net"
    own.add_argument("--filters", type=_at_least_one, metavar="N", help=narrow)
    own.add_argument("--out", type=Path, default=Path("runs/study"))


def sweep(options: argparse.Namespace) -> int:
    """Test a study's models on one cause at a time: contrast phase, table, age, posture …"""
    from pedseg.evaluation import sweep as room

    out = options.out or options.study
    how = {"patients": options.patients, "seeds": options.seeds}
    _show_scans(room.sweep(options.study, out, names=options.cause, **how), "one cause at a time")
    print(room.table(out))
    return 0


def _sweep(own: argparse.ArgumentParser) -> None:
    _tested(own, patients=30, seeds=1)
    own.add_argument("--cause", action="append", default=[], help="only this one (may be given more than once)")
    own.add_argument("--out", type=Path, help="default: the study's folder")


def retest(options: argparse.Namespace) -> int:
    """Test a study's models on many more patients, which an equivalence test asks for."""
    from pedseg.evaluation import records
    from pedseg.evaluation.retest import retest as run
    from pedseg.workbook.report import write_report

    _show_scans(run(options.study, options.out, patients=options.patients, seeds=options.seeds), "more patients")
    print(records.table(options.out))
    print(f"report: {write_report(options.out)}")
    return 0


def _retest(own: argparse.ArgumentParser) -> None:
    _tested(own, patients=150, seeds=3)
    own.add_argument("--out", type=Path, default=Path("runs/retest"))


def fedgin(options: argparse.Namespace) -> int:
    """CT and MR hospitals together, with and without random convolutions (GIN), in four scenarios."""
    from pedseg.evaluation import fedgin as room

    settings = room.settings_of(seeds=options.seeds, rounds=options.rounds, steps=options.steps)
    size = room.part_of(options.scenario, options.model, options.test_patients)
    _show_stages(room.run_fedgin(options.out, settings, size=size))
    print(room.table(options.out))
    return 0


def _fedgin(own: argparse.ArgumentParser) -> None:
    own.add_argument("--seeds", type=_at_least_one, default=3, metavar="N", help="repeat with seeds 0 to N-1")
    own.add_argument("--rounds", type=_at_least_one, help="rounds of the federations")
    own.add_argument("--steps", type=_at_least_one, help="training steps a round and center")
    own.add_argument(
        "--scenario", action="append", default=[], choices=["limited-1:1", "limited-1:2", "limited-1:5", "complete"],
        help="only this one (may be given more than once)",
    )  # fmt: skip
    own.add_argument(
        "--model", action="append", default=[], choices=["local", "centralized_gin", "federated", "federated_gin"],
        help="only this one (may be given more than once)",
    )  # fmt: skip
    tested = "of each way of scanning; default: %(default)s"
    own.add_argument("--test-patients", type=_at_least_one, default=8, metavar="N", help=tested)
    own.add_argument("--out", type=Path, default=Path("runs/fedgin"))


def federate(options: argparse.Namespace) -> int:
    """Run the federation alone and print the fingerprint of its weights."""
    from tqdm import tqdm

    from pedseg.evaluation.study import DEFAULTS, VIRTUAL_DATA, virtual_centers
    from pedseg.federation import transports

    rounds, steps = (options.rounds or DEFAULTS[options.profile][0]), (options.steps or DEFAULTS[options.profile][1])
    if options.data is None:
        for _ in tqdm(virtual_centers(), desc="virtual children", unit="child", delay=2):
            pass
    played = transports.federate(
        options.data or VIRTUAL_DATA, options.out, transport=options.transport, profile=options.profile,
        rounds=rounds, steps=steps, seed=options.seed, **mailbox.privacy_settings(options),
    )  # fmt: skip
    digest = ""
    for round_ in tqdm(played, total=rounds, desc=f"federation, {options.transport}", unit="round"):
        digest = round_.sha256
        for finding in round_.refused:
            tqdm.write(str(finding), file=sys.stderr)
    print(f"weights: {options.out / 'federated.safetensors'}")
    if options.noise:
        print(mailbox.privacy_line(options.noise, rounds))
    print(f"sha256 {digest}")
    return 0


def _federate(own: argparse.ArgumentParser) -> None:
    _learning(own)
    own.add_argument("--transport", choices=["in-process", "ray", "superlink", "mailbox"], default="in-process")
    own.add_argument("--seed", type=int, default=0)
    mailbox.privacy_options(own, "--masks", "the coordinator sees the sum of the updates alone")
    own.add_argument("--out", type=Path, default=Path("runs/federation"))


def _show_stages(stages: Iterable[Progress]) -> None:
    """Run to the end; a bar shows the stage and how much of the whole is done."""
    from tqdm import tqdm

    bar = tqdm(total=1, bar_format="{desc:<30.30} {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left")
    for progress in stages:
        bar.total = progress.total
        bar.set_description(progress.stage, refresh=False)
        bar.update(progress.done - bar.n)
    bar.close()


def _show_scans(ticks: Iterable[tuple[int, int]], told: str) -> None:
    """Run to the end; a bar shows how many scans of how many are done."""
    from tqdm import tqdm

    bar = tqdm(total=1, desc=told, unit="scan")
    for done, total in ticks:
        bar.total = total
        bar.update(done - bar.n)
    bar.close()


def _learning(own: argparse.ArgumentParser) -> None:
    own.add_argument(
        "--data", type=Path, help="folder of data sets, one subfolder a center; default: the virtual centers"
    )
    own.add_argument("--profile", choices=["lesson", "clinic"], default="lesson")
    own.add_argument("--rounds", type=_at_least_one, help="rounds of the federation")
    own.add_argument("--steps", type=_at_least_one, help="training steps a round and center")


def _tested(own: argparse.ArgumentParser, *, patients: int, seeds: int) -> None:
    own.add_argument("--study", type=Path, default=Path("runs/study"), help="folder of a finished study")
    many, first = f"of each center; default: {patients}", f"the study's first N; default: {seeds}"
    own.add_argument("--patients", type=_at_least_one, default=patients, metavar="N", help=many)
    own.add_argument("--seeds", type=_at_least_one, default=seeds, metavar="N", help=first)


def _at_least_one(text: str) -> int:
    """A whole number from 1 on; anything else is wrong usage."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return number


VERBS = {study: _study, sweep: _sweep, retest: _retest, fedgin: _fedgin, federate: _federate}
