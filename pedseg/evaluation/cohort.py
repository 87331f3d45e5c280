"""More test patients for the networks of a finished study, where thirty are too few to prove them equal.

A test of "as good as" needs more patients than a test of "worse": with thirty, about half of the organs could be
proven equal even for networks that are (`power`). Virtual patients are cheap, so the networks of a study meet as many
as it takes; nothing is trained again. The first of them are the study's own test patients.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from pedseg.evaluation.concurrency import WORKERS, side_by_side
from pedseg.evaluation.domain_shift import Trained, load_models, tested
from pedseg.evaluation.reporting import as_csv, join, summarize, weight_files
from pedseg.evaluation.statistics import story
from pedseg.files import write_atomically
from pedseg.learning import inference, network
from pedseg.metrics import score_case
from pedseg.phantoms.centers import BLOCK, CENTERS, Center, PlannedScan, simulate_scan

Scans = list[PlannedScan]


def evaluate_cohort(
    study: Path, out: Path, *, patients: int, seeds: int = 1, workers: int = WORKERS
) -> Iterator[tuple[int, int]]:
    """Let the local and federated networks of a study contour `patients` test patients of each virtual center.

    Yields (scans done, scans in all). Leaves `cases.csv` and `summary.json` in `out`, as a study does; a block of
    patients that was finished before the call is not run again. Raises `PedsegInputError` without a study's weights.
    """
    models = load_models(study, seeds)
    blocks = [(center, block) for center in CENTERS.values() for block in _blocks(center, patients)]
    work = out / "work" / _identity(models)
    files = [work / f"{center.name}_{block[0].name}_{len(block)}.csv" for center, block in blocks]
    jobs = [
        (center.name, _test(center, block, models, file)) for (center, block), file in zip(blocks, files, strict=True)
    ]
    done, total = 0, sum(len(block) for _, block in blocks)
    for _, scans in side_by_side(jobs, workers):
        done += scans
        yield done, total
    text = join(files)
    weights = {
        f"seed{seed}_{model_key.file_name}": file
        for (seed, model_key), file in weight_files(study).items()
        if seed < seeds
    }
    data = {center: {"test": patients} for center in CENTERS}
    plan, rows = json.loads(models[0].plan.to_json()), list(csv.DictReader(io.StringIO(text)))
    summary = summarize(weights, data=data, plan=plan, left_out=[], statistics=story(rows))
    write_atomically(out / "cases.csv", text.encode())
    write_atomically(out / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False).encode())


def _blocks(center: Center, patients: int) -> list[Scans]:
    """The test scans of a center in blocks of patients."""
    scans = tested(center, patients)
    names = list(dict.fromkeys(scan.patient for scan in scans))
    groups = [set(names[start : start + BLOCK]) for start in range(0, len(names), BLOCK)]
    return [[scan for scan in scans if scan.patient in group] for group in groups]


def _identity(models: list[Trained]) -> str:
    """A name for these networks and hospitals: with others the work starts anew."""
    weights = [(one.model_key, one.seed, network.sha256_of(network.get_weights(one.net))) for one in models]
    return hashlib.sha256(repr((weights, CENTERS)).encode()).hexdigest()[:12]


def _test(center: Center, scans: Scans, models: list[Trained], file: Path) -> Iterator[int]:
    """Score every network on some patients of a center; one tick a scan."""
    if file.exists():
        yield len(scans)
        return
    rows: list[dict] = []
    for scan in scans:
        image, labels = simulate_scan(center, scan)
        for one in models:
            drawn = inference.predict(one.net, image, one.plan)
            who = {"seed": one.seed, **asdict(one.model_key), "tested_on": center.name}
            who |= {"patient": scan.patient, "case": scan.name}
            rows += [{**who, **asdict(s)} for s in score_case(labels.voxels, drawn, image.spacing_mm, one.plan.organs)]
        yield 1
    write_atomically(file, as_csv(rows))
