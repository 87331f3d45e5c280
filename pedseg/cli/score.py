"""`pedseg score`: how good trained models are on one's own test patients, on those of several centers, on public ones.

Leaves `cases.csv`, `summary.json`, and `report.html` in `--out`. Scans in another layout than that of a data set are
imported first, as test cases, into a folder `data-…` in `--out`; a source that has changed gets another one. An organ
that nobody has drawn has no score. Contours of a public collection may follow other rules: a bowel without its
mesentery, lungs without their vessels.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import show_scans
from pedseg.errors import input_error

PUBLIC = "Public"  # the center of scans that are imported here


def run(options: argparse.Namespace) -> Iterator[str]:
    """Score trained models on the test cases of data sets, or on labeled scans of a public collection."""
    from pedseg.datasets.totalsegmentator import SCANS
    from pedseg.evaluation.cross_site import by_organ, matrix, score_models
    from pedseg.evaluation.results import read_rows
    from pedseg.files import file_stamp
    from pedseg.importing.public_layouts import needs_import
    from pedseg.workbook.report import write_report

    data = options.data
    if needs_import(data):
        depends_on = data.parent if data.suffix == ".json" or data.name in SCANS else data
        if options.out.resolve().is_relative_to(depends_on.resolve()):
            problem = "the scores would lie among the scans that they are of."
            raise input_error("E-OUT-NAME", options.out, problem, "Give a folder elsewhere.")
        data = options.out / f"data-{file_stamp(depends_on)[:8]}"
        yield from _import(options.data, data)
    kept = options.out / "predictions" if options.pictures else None
    show_scans(score_models(options.model, data, options.out, kept=kept), "test cases")
    rows = read_rows(options.out / "cases.csv")
    yield matrix(rows).to_string()
    yield by_organ(rows).to_string(na_rep="")
    yield f"report: {write_report(options.out)}"


def _import(source: Path, data: Path) -> Iterator[str]:
    """Import the scans of a source as test cases; what is refused is told and left out."""
    from pedseg.cli.import_ import describe
    from pedseg.importing.import_scans import ImportResult, import_scans

    key, results = data.with_name("case-key"), []
    for result in import_scans(source, data, center=PUBLIC, key=key, split="test", skip_refused=True):
        results.append(result)
        yield from describe(result)
    if not any(isinstance(result, ImportResult) for result in results):
        remedy = (
            "Give a data set (dataset.json), a folder of data sets, or labeled scans as `pedseg import` reads them."
        )
        raise input_error("E-NO-SCAN", source, "no scan there could be read.", remedy)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    several = "a .safetensors file; again for each further model"
    parser.add_argument("--model", type=Path, action="append", required=True, metavar="WEIGHTS", help=several)
    data = "a data set, a folder of one for each center, or any labeled scans that `import` reads"
    parser.add_argument("--data", type=Path, required=True, help=data)
    parser.add_argument("--pictures", action="store_true", help="a slice of one scan of each center in the report")
    parser.add_argument("--out", type=Path, default=Path("runs/score"))
