"""The data sets of the virtual centers, on which a study trains where no data are given."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from pedseg.evaluation.concurrency import Job, run_concurrently
from pedseg.evaluation.config import StudyConfig
from pedseg.federation.config import FederationConfig
from pedseg.phantoms.centers import CENTERS, COHORT, RESOLUTIONS, Center, in_single_phase, make_dataset, planned_scans
from pedseg.resources import parallel_jobs

VIRTUAL, VIRTUAL_DATA = tuple(CENTERS.values()), FederationConfig.data
CHILD_UNITS = 4  # a child is made in about as long as so many training steps


def centers_for(config: StudyConfig) -> tuple[Center, ...]:
    """The virtual centers with the contrast phases and the resolution that a study asks for."""
    centers = map(in_single_phase, VIRTUAL) if config.single_phase else VIRTUAL
    return tuple(map(RESOLUTIONS[_resolution(config)], centers))


def _resolution(config: StudyConfig) -> str:
    """The voxels that are asked for, or those of the profile."""
    return config.resolution or ("clinic" if config.federation.profile == "clinic" else "lesson")


def data_folder(config: StudyConfig) -> Path:
    """Where their data sets lie: a folder of its own for each combination of options."""
    resolution = _resolution(config)
    marks = ["single_phase"] if config.single_phase else []
    marks += [resolution] if resolution != "lesson" else []
    marks += [f"{config.extra_patients}_extra"] if config.extra_patients else []
    return VIRTUAL_DATA.with_name("_".join([VIRTUAL_DATA.name, *marks]))


def count_scans(centers: Sequence[Center], extra_patients: int) -> tuple[int, int]:
    """How many scans the centers make in all, and how many of them are for the test."""
    splits = [
        scan.split for center in centers for scan in planned_scans(center, **COHORT, extra_patients=extra_patients)
    ]
    return len(splits), splits.count("test")


def virtual_centers(
    folder: Path = VIRTUAL_DATA, centers: Sequence[Center] = VIRTUAL, extra_patients: int = 0
) -> Iterator[int]:
    """Write the data sets of the virtual centers concurrently, one tick a case; what is there is kept.

    With `extra_patients` training patients in each than the study has.
    """
    counts = {**COHORT, "extra_patients": extra_patients}
    wanted = [(c, folder / f"Dataset{number}_{c.name}", counts, 0) for number, c in enumerate(centers, 901)]
    yield from write_datasets(wanted)


def write_datasets(wanted: Sequence[tuple[Center, Path, dict[str, int], int]]) -> Iterator[int]:
    """Write data sets (center, folder, patients, seed) concurrently, one tick a case; what is there is kept."""
    parts = parallel_jobs()

    def write(first: int, center: Center, folder: Path, patients: dict[str, int], seed: int) -> Job:
        names = make_dataset(center, folder, seed=seed, first=first, every=parts, **patients)
        return Job(center.name, (CHILD_UNITS for _ in names))

    jobs = [write(first, *dataset) for dataset in wanted for first in range(parts)]
    yield from (units for _, units in run_concurrently(jobs))
    for center, folder, patients, seed in wanted:  # all its scans are there: this writes the table of cases
        deque(make_dataset(center, folder, seed=seed, **patients), maxlen=0)
