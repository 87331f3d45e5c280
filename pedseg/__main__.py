"""The command line of pedseg: one function a verb, each of them thin.

Exit codes: 0 done, 1 findings in the user's data (table on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pedseg import __version__, memory
from pedseg.federation import verbs as mailbox_verbs
from pedseg.findings import Finding, PedsegInputError, as_table, refuse

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
PASSED_ON = ("lab", "rooms", "test")  # verbs whose other arguments go to JupyterLab, Voilà and pytest
FIRST_NOTEBOOK = NOTEBOOKS / "00_start_here.ipynb"
READING_ROOM = NOTEBOOKS / "09_reading_room.ipynb"


def study(options: argparse.Namespace) -> int:
    """Run the study, print its table, write the report."""
    from tqdm import tqdm

    from pedseg.evaluation import study as room
    from pedseg.workbook.report import write_report

    bar = tqdm(total=1, bar_format="{desc:<30.30} {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left")
    settings = room.Settings.of(
        options.profile, seeds=options.seeds, rounds=options.rounds, steps=options.steps, posture=options.posture
    )
    for progress in room.run_study(options.data, options.out, settings, one_phase=options.one_phase):
        bar.total = progress.total
        bar.set_description(progress.stage, refresh=False)
        bar.update(progress.done - bar.n)
    bar.close()
    print(room.table(options.out))
    print(f"report: {write_report(options.out)}")
    return 0


def sweep(options: argparse.Namespace) -> int:
    """Test a study's models on one cause at a time: contrast phase, table, age, posture …"""
    from tqdm import tqdm

    from pedseg.evaluation import sweep as room

    out = options.out or options.study
    bar = tqdm(total=1, desc="one cause at a time", unit="scan")
    for done, total in room.sweep(
        options.study, out, patients=options.patients, seeds=options.seeds, names=options.cause
    ):
        bar.total = total
        bar.update(done - bar.n)
    bar.close()
    print(room.table(out))
    return 0


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
        rounds=rounds, steps=steps, seed=options.seed, **mailbox_verbs.privacy_settings(options),
    )  # fmt: skip
    digest = ""
    for round_ in tqdm(played, total=rounds, desc=f"federation, {options.transport}", unit="round"):
        digest = round_.sha256
        for finding in round_.refused:
            tqdm.write(str(finding), file=sys.stderr)
    print(f"weights: {options.out / 'federated.safetensors'}")
    if options.noise:
        print(mailbox_verbs.privacy_line(options.noise, rounds))
    print(f"sha256 {digest}")
    return 0


def mailbox(options: argparse.Namespace) -> int:
    """Say what happens in a federation through a mailbox, line by line."""
    for line in options.lines(options):
        print(line, flush=True)
    return 0


def check(options: argparse.Namespace) -> int:
    """Check every byte of a data set, or of a folder of data sets."""
    from pedseg.patients.datasets import check_dataset

    findings = check_dataset(options.dataset)
    if findings:
        print(as_table(findings), file=sys.stderr)
        return 1
    print(f"{options.dataset}: nothing to complain about")
    return 0


def predict(options: argparse.Namespace) -> int:
    """Draw contours on one scan, or on every NIfTI scan of a folder."""
    from tqdm import tqdm

    from pedseg.learning import prediction, training
    from pedseg.scan import Scan, like, read_nifti, to_ras, write_nifti

    net, plan = training.load_network(options.model)
    for source, target in tqdm(_targets(options.scan, options.out), unit="scan", disable=None):
        original = read_nifti(source)
        ras = to_ras(original)
        labels = prediction.predict(net, Scan(ras.voxels, ras.affine), plan)
        write_nifti(target, like(labels, original))
    print(f"contours of {len(plan.organs)} organs: {options.out}")
    return 0


def _targets(source: Path, out: Path) -> list[tuple[Path, Path]]:
    """Which scan becomes which label map; one file may name its own target."""
    if source.is_dir():
        scans = sorted(source.glob("*.nii.gz")) + sorted(source.glob("*.nii"))
        if not scans:
            raise refuse(
                "E-NO-SCAN", source, "the folder holds no NIfTI scan.", "Give a .nii.gz file or a folder of them."
            )
        return [(scan, out / f"{scan.name.removesuffix('.gz').removesuffix('.nii')}.nii.gz") for scan in scans]
    if out.name.endswith(".nii.gz"):
        return [(source, out)]
    return [(source, out / f"{source.name.removesuffix('.gz').removesuffix('.nii')}.nii.gz")]


def lab(options: argparse.Namespace) -> int:
    """Open JupyterLab at the first notebook; other arguments go to it."""
    from pedseg.viewing import serving

    way = "offline" if options.offline_itk else "network" if options.itk else ""
    return subprocess.call(serving.lab_command(ROOT, FIRST_NOTEBOOK, options.rest), env=serving.lab_variables(way))


def rooms(options: argparse.Namespace) -> int:
    """Serve the reading room as a page on this machine; other arguments go to Voilà."""
    from pedseg.viewing import screenshots, serving

    if options.screenshots:
        for file in screenshots.take(READING_ROOM, options.screenshots):
            print(file)
        return 0
    command = serving.command(READING_ROOM, port=options.port, browser=not options.no_browser, rest=options.rest)
    return subprocess.call(command, env=serving.variables())


def weave(options: argparse.Namespace) -> int:
    """Make the notebooks from their percent sources."""
    from pedseg.workbook.weave import weave as make

    for notebook in make(NOTEBOOKS / "source", options.out, solutions=not options.without_solutions):
        print(notebook)
    return 0


def test(options: argparse.Namespace) -> int:
    """Run the linters and the tests; other arguments go to pytest."""
    if not options.rest:
        for tool in (["ruff", "check", "."], ["mypy", "pedseg"]):
            code = subprocess.call([sys.executable, "-m", *tool], cwd=ROOT)
            if code:
                return code
    return subprocess.call([sys.executable, "-m", "pytest", *options.rest], cwd=ROOT)


def bench(options: argparse.Namespace) -> int:
    """Measure this project beside its peers, each pair in one run."""
    command = [sys.executable, "-m", "benchmarks", *(["--json"] if options.json else [])]
    return subprocess.call(command, cwd=ROOT)


def parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    top = argparse.ArgumentParser("pedseg", description="Federated learning of organ contours on pediatric CT.")
    top.add_argument("--version", action="version", version=__version__)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(function, told=None) -> argparse.ArgumentParser:
        told = told or function
        own = verbs.add_parser(told.__name__, help=told.__doc__, description=told.__doc__)
        own.set_defaults(function=function)
        own.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return own

    def learning(own: argparse.ArgumentParser) -> None:
        own.add_argument(
            "--data", type=Path, help="folder of data sets, one subfolder a center; default: the virtual centers"
        )
        own.add_argument("--profile", choices=["lesson", "clinic"], default="lesson")
        own.add_argument("--rounds", type=_at_least_one, help="rounds of the federation")
        own.add_argument("--steps", type=_at_least_one, help="training steps a round and center")

    own = verb(study)
    learning(own)
    own.add_argument("--seeds", type=_at_least_one, default=1, metavar="N", help="repeat with seeds 0 to N-1")
    own.add_argument("--posture", choices=["ignored", "rotated", "turned"], default="", help="patients on their side")
    own.add_argument("--one-phase", action="store_true", help="virtual centers in their usual contrast phase only")
    own.add_argument("--out", type=Path, default=Path("runs/study"))
    own = verb(sweep)
    own.add_argument("--study", type=Path, default=Path("runs/study"), help="folder of a finished study")
    own.add_argument("--patients", type=_at_least_one, default=30, metavar="N", help="of each center")
    own.add_argument("--seeds", type=_at_least_one, default=1, metavar="N", help="the study's first N; default 1")
    own.add_argument("--cause", action="append", default=[], help="only this one (may be given more than once)")
    own.add_argument("--out", type=Path, help="default: the study's folder")
    own = verb(federate)
    learning(own)
    own.add_argument("--transport", choices=["in-process", "ray", "superlink", "mailbox"], default="in-process")
    own.add_argument("--seed", type=int, default=0)
    mailbox_verbs.privacy_options(own, "--masks", "the coordinator sees the sum of the updates alone")
    own.add_argument("--out", type=Path, default=Path("runs/federation"))
    for lines, arguments in mailbox_verbs.VERBS.items():
        own = verb(mailbox, lines)
        own.set_defaults(lines=lines)
        arguments(own)
    own = verb(check)
    own.add_argument("dataset", type=Path)
    own = verb(predict)
    own.add_argument("scan", type=Path, help="a NIfTI file, or a folder of them")
    own.add_argument("--model", type=Path, required=True, help="weights, a .safetensors file")
    own.add_argument("--out", type=Path, required=True, help="label map (.nii.gz), or a folder")
    own = verb(lab)
    ways = own.add_mutually_exclusive_group()
    ways.add_argument("--itk", action="store_true", help="let itkwidgets fetch its viewer from the internet")
    ways.add_argument("--offline-itk", action="store_true", help="build itkwidgets' viewer here, then use no network")
    own = verb(rooms)
    own.add_argument("--port", type=int, help="default: the first that is free from 8866")
    own.add_argument("--no-browser", action="store_true", help="only serve it")
    own.add_argument("--screenshots", type=Path, metavar="F", help="only keep pictures of it in the folder F")
    own = verb(weave)
    own.add_argument("--out", type=Path, default=NOTEBOOKS)
    own.add_argument("--without-solutions", action="store_true", help="for lecturers: leave the folded answers out")
    verb(test)
    verb(bench).add_argument("--json", action="store_true")
    return top


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run the verb, and turn what goes wrong into an exit code."""
    top = parser()
    options, rest = top.parse_known_args(arguments)
    options.rest = rest
    memory.keep_low()
    if options.rest and options.verb not in PASSED_ON:
        top.error(f"unrecognized arguments: {' '.join(options.rest)}")
    try:
        return options.function(options)
    except PedsegInputError as error:
        if options.debug:
            raise
        print(as_table(error.findings), file=sys.stderr)
        return 1
    except OSError as error:
        if options.debug:
            raise
        finding = Finding(
            "E-DISK",
            str(error.filename or ""),
            error.strerror or str(error),
            "Check the path, the rights and the free space.",
        )
        print(as_table([finding]), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is on disk, the same command goes on from there", file=sys.stderr)
        sys.stderr.flush()
        os._exit(130)  # training threads may be in mid-step; every file is written whole or not at all


if __name__ == "__main__":
    sys.exit(main())
