"""Evaluate a finished study's models on a larger test cohort, where thirty patients are too few to prove equivalence.

A test of "as good as" needs more patients than a test of "worse": with thirty, about half of the organs could be
proven equal even for networks that are (`power`). Virtual patients are cheap, so the networks of a study meet as many
as it takes; nothing is trained again. The first of them are the study's own test patients.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pedseg.evaluation.concurrency import Job, run_concurrently
from pedseg.evaluation.domain_shift import planned_test_scans
from pedseg.evaluation.reporting import summarize
from pedseg.evaluation.results import read_rows, write_rows
from pedseg.evaluation.scoring import score_simulated
from pedseg.evaluation.statistics import summarize_rows
from pedseg.evaluation.trained_models import load_virtual_models, models_digest, weight_files
from pedseg.files import write_atomically
from pedseg.phantoms.centers import BLOCK, CENTERS, Center, PlannedScan


def evaluate_cohort(
    study: Path, out: Path, *, patients: int, seeds: int, cores: int | None = None
) -> Iterator[tuple[int, int]]:
    """Score the local and federated models of a study on `patients` test patients of each virtual center.

    Yields (scans done, scans in all). Leaves `cases.csv` and `summary.json` in `out`, as a study does; a block of
    patients that was finished before the call is not run again. Raises `PedsegInputError` without a study's weights.
    """
    models = load_virtual_models(study, seeds)
    blocks = [(center, block) for center in CENTERS.values() for block in _blocks(center, patients)]
    work = out / "work" / models_digest(models, CENTERS)
    files = [work / f"{center.name}_{block[0].name}_{len(block)}.csv" for center, block in blocks]
    jobs = [
        Job(center.name, score_simulated(models, center, block, file))
        for (center, block), file in zip(blocks, files, strict=True)
    ]
    done, total = 0, sum(len(block) for _, block in blocks)
    for _, scans in run_concurrently(jobs, cores):
        done += scans
        yield done, total
    rows = pd.concat([read_rows(file) for file in files], ignore_index=True)
    weights = {
        f"seed{seed}_{model_key.file_name}": file
        for seed in range(seeds)
        for model_key, file in weight_files(study, seed).items()
    }
    data = {center: {"test": patients} for center in CENTERS}
    plan, statistics = json.loads(models[0].plan.to_json()), summarize_rows(rows)
    summary = summarize(weights, data=data, plan=plan, left_out=[], statistics=statistics)
    write_rows(out / "cases.csv", rows)
    write_atomically(out / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False).encode())


def _blocks(center: Center, patients: int) -> list[list[PlannedScan]]:
    """The test scans of a center in blocks of patients."""
    scans = planned_test_scans(center, patients)
    names = list(dict.fromkeys(scan.patient for scan in scans))
    groups = [set(names[start : start + BLOCK]) for start in range(0, len(names), BLOCK)]
    return [[scan for scan in scans if scan.patient in group] for group in groups]
