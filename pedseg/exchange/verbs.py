"""The words of scans and contours on the command line: `import`, `export` and `fetch`.

Each is a generator of the lines that its user reads. What is heavy is imported when it runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from pedseg.exchange.words import ALL_REPAIRS, FORMATS, REPAIRS


def import_(options: argparse.Namespace) -> Iterator[str]:
    """Bring scans into a data set: DICOM (CT, RTSTRUCT, SEG), NIfTI, nnU-Net, TotalSegmentator, AMOS22, MSD lists."""
    from pedseg.exchange.dicom_folders import Wishes
    from pedseg.exchange.importing import import_scans
    from pedseg.exchange.naming import read_names
    from pedseg.findings import Finding

    key = options.key or Path("keys") / f"{options.center}.case-key"
    wishes = Wishes(
        options.series,
        read_names(options.names),
        tuple(options.repair),
        options.other_frame,
        options.empty_means_absent,
    )
    count = 0
    for one in import_scans(
        options.source, options.to, center=options.center, key=key, wishes=wishes, skip_refused=options.skip_refused,
        license=options.license, origin=options.origin, split=options.split, situs_inversus=options.situs_inversus,
    ):  # fmt: skip
        if isinstance(one, Finding):
            yield str(one)
            continue
        count += not one.was_there
        drawn = f"{len(one.organs)} organs: {', '.join(one.organs)}" if one.organs else "no contours"
        yield f"{one.case}  {'is there already' if one.was_there else drawn}  ({one.source})"
        yield from (f"    {line}" for line in one.told)
    yield f"{count} scan(s) imported into {options.to}; the key of their names: {key}"


def _import(own: argparse.ArgumentParser) -> None:
    own.add_argument("source", type=Path, help="folder of DICOM files, a NIfTI file, a public data set or its list")
    own.add_argument(
        "--to", type=Path, required=True, metavar="DATASET", help="folder of the data set; made or added to"
    )
    own.add_argument("--center", required=True, metavar="NAME")
    own.add_argument("--series", default="", metavar="N", help="which CT series, by number in the table or UID")
    own.add_argument("--names", type=Path, metavar="FILE", help="lines of foreign name, tab, TG-263 name or `ignore`")
    own.add_argument(
        "--repair", action="append", default=[], choices=[*ALL_REPAIRS], help="may be given more than once"
    )
    own.add_argument("--other-frame", action="store_true", help="take contours of another frame of reference")
    own.add_argument("--empty-means-absent", action="store_true", help="an empty ROI says that the organ was removed")
    own.add_argument("--situs-inversus", action="store_true", help="organs of these scans are truly mirrored")
    own.add_argument("--skip-refused", action="store_true", help="import the sound scans, list the others")
    own.add_argument("--split", choices=["train", "validation", "test"], default="", help="of contoured scans")
    own.add_argument("--origin", default="", metavar="TEXT", help="where the scans come from, for cases.tsv")
    own.add_argument("--license", default="", metavar="TEXT", help="their license, for cases.tsv")
    own.add_argument("--key", type=Path, metavar="FILE", help="the center's secret; default: keys/NAME.case-key")


def export(options: argparse.Namespace) -> Iterator[str]:
    """Write contours for a planning system (RTSTRUCT), an archive (SEG) or other programs (NIfTI); read back first."""
    from pedseg.exchange import exporting
    from pedseg.exchange.ct_series import read_ct

    labels = exporting.read_label_map(options.case)
    ct = read_ct(options.ct, wanted=options.series, repairs=options.repair) if options.ct else None
    kind = options.format or ("rtstruct" if ct else "nnunet")
    for line in exporting.export(labels, options.out, kind=kind, ct=ct, name=options.case):
        yield f"    {line}"
    checked = ", read back and compared" if kind in ("rtstruct", "seg") else ""
    yield f"{kind}: {options.out}{checked}"


def _export(own: argparse.ArgumentParser) -> None:
    own.add_argument("case", type=Path, help="a label map (.nii.gz), as `pedseg predict` leaves it")
    own.add_argument(
        "--ct", type=Path, metavar="FOLDER", help="the DICOM folder of the CT; needed for rtstruct and seg"
    )
    own.add_argument("--series", default="", metavar="N", help="which CT series, by number in the table or UID")
    own.add_argument("--repair", action="append", default=[], choices=[*REPAIRS], help="of the CT, as at its import")
    own.add_argument("--format", choices=FORMATS, help="default: rtstruct with --ct, else nnunet")
    own.add_argument("--out", type=Path, required=True)


def fetch(options: argparse.Namespace) -> Iterator[str]:
    """Download a few children of the public collection Pediatric-CT-SEG; says size and license first."""
    from tqdm import tqdm

    from pedseg.exchange import fetching

    series = fetching.look_up(options.children)
    yield fetching.summary(series)
    if not options.yes:
        yield "nothing was fetched yet: say --yes"
        return
    bar = tqdm(total=None, unit="B", unit_scale=True, desc="fetch", delay=1)
    for done, total in fetching.fetch(series, options.to):
        bar.total = total
        bar.update(done - bar.n)
    bar.close()
    yield f"fetched and compared: {options.to}"
    yield f"next: pedseg import {options.to} --to DATASET --center NAME --license 'CC BY 4.0' --origin Pediatric-CT-SEG"


def _fetch(own: argparse.ArgumentParser) -> None:
    own.add_argument("--children", type=int, default=2, choices=range(1, 6), help="1 to 5, of other ages; default: 2")
    own.add_argument("--to", type=Path, default=Path("runs/pediatric_ct_seg"), metavar="FOLDER")
    own.add_argument("--yes", action="store_true", help="start; without it, only size and license are said")


VERBS: dict[Callable[[argparse.Namespace], Iterator[str]], Callable[[argparse.ArgumentParser], None]] = {
    import_: _import,
    export: _export,
    fetch: _fetch,
}
