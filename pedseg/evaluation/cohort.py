"""Evaluate a finished study's models on a larger test cohort, where thirty patients are too few to prove equivalence.

A test of "as good as" needs more patients than a test of "worse": with thirty, about half of the organs could be
proven equal even for networks that are (`power`). Virtual patients are cheap, so the networks of a study meet as many
as it takes; nothing is trained again. The first of them are the study's own test patients. A hospital that nobody has
trained on (`phantoms.centers.UNSEEN`) tells how well each network travels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pedseg.evaluation.domain_shift import planned_test_scans
from pedseg.evaluation.fairness import fairness
from pedseg.evaluation.reporting import write_results
from pedseg.evaluation.scoring import score_side_by_side
from pedseg.evaluation.statistics import summarize_rows
from pedseg.evaluation.trained_models import load_virtual_models, models_digest, weight_files
from pedseg.phantoms.centers import BLOCK, CENTERS, UNSEEN, Center, PlannedScan


def evaluate_cohort(
    study: Path, out: Path, *, patients: int, seeds: int, centers: Sequence[str] = ()
) -> Iterator[tuple[int, int]]:
    """Score the models of a study on `patients` test patients of each virtual center, or of those named.

    Local and federated models; of a center that is unseen the centralized one, too. Yields (scans done, scans in all).
    Leaves `cases.csv` and `summary.json` in `out`, as a study does; a block of patients that was finished before the
    call is not run again. Raises `PedsegInputError` without a study's weights.
    """
    chosen = {name: (CENTERS | UNSEEN)[name] for name in centers or CENTERS}
    kinds = ("local", "federated", "centralized") if chosen.keys() & UNSEEN else ("local", "federated")
    models = load_virtual_models(study, seeds, kinds)
    work = out / "work" / models_digest(models, chosen)
    tasks = [
        (models, center, block, work / f"{center.name}_{block[0].name}_{len(block)}.csv", "")
        for center in chosen.values()
        for block in _blocks(center, patients)
    ]
    rows = yield from score_side_by_side(tasks)
    weights = {
        f"seed{seed}_{model_key.file_name}": file
        for seed in range(seeds)
        for model_key, file in weight_files(study, seed).items()
    }
    data = {center: {"test": patients} for center in chosen}
    plan, statistics = json.loads(models[0].plan.to_json()), summarize_rows(rows)
    groups = list(fairness(rows, virtual_ages(patients)))
    write_results(out, rows, weights, data=data, plan=plan, left_out=[], statistics=statistics, fairness=groups)


def virtual_ages(patients: int) -> dict[tuple[str, str], int]:
    """The ages in months of the first so many test patients of all virtual centers, by center and patient."""
    return {
        (center.name, scan.patient): round(scan.child.age_years * 12)
        for center in (CENTERS | UNSEEN).values()
        for scan in reversed(planned_test_scans(center, patients))  # at the first scan
    }


def _blocks(center: Center, patients: int) -> list[list[PlannedScan]]:
    """The test scans of a center in blocks of patients."""
    scans = planned_test_scans(center, patients)
    names = list(dict.fromkeys(scan.patient for scan in scans))
    groups = [set(names[start : start + BLOCK]) for start in range(0, len(names), BLOCK)]
    return [[scan for scan in scans if scan.patient in group] for group in groups]
