"""`pedseg grade`: handed-in notebooks, graded in a sandbox each.

Leaves `grades.csv` and a page for each notebook in `feedback`, in `--out`. Names stay on this machine. What the sandbox
holds, and what it does not, is in docs/teaching.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import number, positive_int
from pedseg.workbook.grading.sandbox import Limits

OUT = Path("runs/grades")


def run(options: argparse.Namespace) -> Iterator[str]:
    """Run and grade a folder of handed-in notebooks; write a CSV and feedback for each."""
    from pedseg.workbook.grading.feedback import write_grades
    from pedseg.workbook.grading.grade import grade_folder

    limits = Limits(memory_mib=options.memory, seconds=60 * (options.minutes or 0))
    if options.without_sandbox:
        yield "Without a sandbox: handed-in code can read your files, change them, and reach the network."
    copies = []
    for copy in grade_folder(options.folder, jobs=options.jobs, limits=limits, sandboxed=not options.without_sandbox):
        copies.append(copy)
        yield f"{copy.submission.name}: {copy.right} of {len(copy.verdicts)}, {copy.status}"
    files = write_grades(copies, options.out)
    yield f"{len(copies)} notebooks: {files[0]}, and a page for each in {options.out / 'feedback'}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="what the class handed in: *.ipynb, also in subfolders")
    parser.add_argument("--out", type=Path, default=OUT, help=f"default: {OUT}")
    parser.add_argument("--jobs", type=positive_int, metavar="N", help="notebooks at a time; default: one per core")
    memory = "MiB of memory for one notebook with all that it starts"
    parser.add_argument("--memory", type=positive_int, default=Limits.memory_mib, metavar="MIB", help=memory)
    minutes = "for one notebook; default: six times what the chapter takes, and 40 s"
    parser.add_argument("--minutes", type=number(float, 0.1, 1e4), metavar="N", help=minutes)
    unsafe = "run handed-in code with your own rights (where there are no Linux namespaces)"
    parser.add_argument("--without-sandbox", action="store_true", help=unsafe)
