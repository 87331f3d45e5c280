"""The dataset fingerprint of nnU-Net, in numbers that can leave a hospital: from it follows the plan.

A fingerprint holds voxel spacings, image sizes, body sizes, organ volumes and the histogram of HU
inside the organs. Fingerprints of several hospitals merge into that of all their scans together, to the last digit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg import organs as organ_table
from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_image, load_labels
from pedseg.learning.body_mask import body_box, body_mask, bounding_box
from pedseg.scan import Spacing

HU_LOW, HU_HIGH = -1024, 3071  # the range of a 12-bit CT
HISTOGRAM_TOTAL = 10**9  # of each case, so that cases weigh the same and sums are exact
_HU = np.arange(HU_LOW, HU_HIGH + 1)
MOST_SPACING_MM, MOST_VOXELS, MOST_BODY_MM = 100.0, 10_000, 10_000.0  # along an axis, of any scan of a patient
ONLY_CT = ("CT",)
USUAL: dict[str, Any] = {"modalities": ONLY_CT, "ages_years": (), "phases": ()}  # what is not written down


@dataclass(frozen=True)
class Grid:
    """Size of one case: spacing in mm, shape after cropping zero borders, body box in mm; each (x, y, z)."""

    spacing_mm: Spacing
    shape: tuple[int, int, int]
    body_mm: tuple[float, float, float]


@dataclass(frozen=True)
class OrganCount:
    """In how many cases an organ was annotated and is present, and its volume over these cases in mm³."""

    annotated: int
    present: int
    total_mm3: int

    @property
    def mean_ml(self) -> float:
        """Mean volume in mL where the organ is present; 0 where it never is."""
        return self.total_mm3 / self.present / 1000 if self.present else 0.0


@dataclass(frozen=True)
class Fingerprint:
    """nnU-Net's dataset fingerprint of the scans of one or more hospitals; holds no voxel, no name, no date.

    `grids` one row a case, sorted; `hu_histogram` of the organ voxels by whole HU from -1024, where each
    labeled CT adds up to a billion; `organs` counts by TG-263 name, in table order; `modalities` CT, MR or both.
    `ages_years` are youngest and oldest in whole years, `phases` those of the contrast medium; empty where nobody said.
    """

    grids: tuple[Grid, ...]
    hu_histogram: tuple[int, ...]
    organs: dict[str, OrganCount]
    modalities: tuple[str, ...] = ONLY_CT
    ages_years: tuple[int, ...] = ()
    phases: tuple[str, ...] = ()

    @property
    def cases(self) -> int:
        """Number of cases."""
        return len(self.grids)

    @property
    def has_organs(self) -> bool:
        """Whether any case holds an annotated organ; of MR no gray values are kept that would tell."""
        with_mr = "MR" in self.modalities
        return any(self.hu_histogram) or (with_mr and any(organ.present for organ in self.organs.values()))

    @property
    def mean_hu(self) -> float:
        """Mean HU inside the organs."""
        return float(np.average(_HU, weights=self.hu_histogram))

    @property
    def sd_hu(self) -> float:
        """Standard deviation of HU inside the organs."""
        return float(np.sqrt(np.average((_HU - self.mean_hu) ** 2, weights=self.hu_histogram)))

    def percentile_hu(self, percent: float) -> float:
        """The lowest whole HU that at least `percent` of the organ voxels do not exceed."""
        share = np.cumsum(self.hu_histogram) / np.sum(self.hu_histogram)
        return float(_HU[np.searchsorted(share, percent / 100)])

    def domain(self) -> dict[str, list]:
        """What the scans are like, so coarse that nobody is found by it: a network's prediction is compared with it.

        Lowest and highest voxel spacing and body box (5th and 95th percentile, whole cm) along x, y, z, youngest and
        oldest age in whole years, and contrast phases; the last two only where the data sets say them.
        """
        spacings, bodies = ([getattr(grid, key) for grid in self.grids] for key in ("spacing_mm", "body_mm"))
        domain: dict[str, list] = {
            "spacing_mm": np.round(np.percentile(spacings, (5, 95), axis=0), 1).tolist(),
            "body_mm": (np.round(np.percentile(bodies, (5, 95), axis=0) / 10) * 10).tolist(),
            "ages_years": list(self.ages_years),
            "phases": list(self.phases),
        }
        return {key: values for key, values in domain.items() if values}

    def to_json(self) -> str:
        """As text; HU values that do not occur are left out."""
        histogram = {int(hu): part for hu, part in zip(_HU, self.hu_histogram, strict=True) if part}
        content = {**asdict(self), "hu_histogram": histogram}
        for key in (key for key, usual in USUAL.items() if content[key] == usual):
            del content[key]
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """The inverse of `to_json`; `KeyError`, `TypeError` or `ValueError` for any other text."""
        content = json.loads(text)
        histogram = [0] * len(_HU)
        for hu, part in content["hu_histogram"].items():
            histogram[int(hu) - HU_LOW] = int(part)
        grids = [Grid(*(tuple(row[key]) for key in ("spacing_mm", "shape", "body_mm"))) for row in content["grids"]]
        organs = {name: OrganCount(**row) for name, row in content["organs"].items()}
        kinds = {"modalities": str, "ages_years": int, "phases": str}
        about = (tuple(map(kinds[key], content.get(key, usual))) for key, usual in USUAL.items())
        fingerprint = cls(tuple(grids), tuple(histogram), organs, *about)
        if wrong := fingerprint._impossible():
            raise ValueError(f"impossible {wrong}")
        return fingerprint

    def _impossible(self) -> str:
        """What no scans can have, by its name; a center that invents it would bend everybody's plan."""
        most_mm3 = sum(math.prod(grid.body_mm) for grid in self.grids)
        organs = self.organs.items()
        rules = {
            "voxel spacing": all(0 < mm <= MOST_SPACING_MM for grid in self.grids for mm in grid.spacing_mm),
            "number of voxels": all(0 < edge <= MOST_VOXELS for grid in self.grids for edge in grid.shape),
            "body": all(0 <= mm <= MOST_BODY_MM for grid in self.grids for mm in grid.body_mm),
            "modality": set(self.modalities) <= {"CT", "MR"},
            "gray values": all(0 <= part <= self.cases * HISTOGRAM_TOTAL for part in self.hu_histogram),
            "number of cases with an organ": all(0 <= o.present <= o.annotated <= self.cases for _, o in organs),
            "volume of an organ": all(0 <= o.total_mm3 <= most_mm3 for _, o in organs),
        }
        return next((name for name, holds in rules.items() if not holds), "")


def fingerprint(dataset: DataSet, cases: Iterable[Case]) -> Fingerprint:
    """The fingerprint of some cases of a data set, read one after the other."""
    return merge([_fingerprint_case(dataset, case) for case in cases])


def merge(fingerprints: Sequence[Fingerprint]) -> Fingerprint:
    """The fingerprint of all cases together; exact, whatever the order and the grouping."""
    histograms = np.array([f.hu_histogram for f in fingerprints], dtype=np.int64).reshape(-1, len(_HU))
    counts = {}
    for name in organ_table.NAMES:
        rows = [f.organs[name] for f in fingerprints if name in f.organs]
        if rows:
            counts[name] = OrganCount(
                annotated=sum(row.annotated for row in rows),
                present=sum(row.present for row in rows),
                total_mm3=sum(row.total_mm3 for row in rows),
            )
    grids = sorted((grid for f in fingerprints for grid in f.grids), key=lambda g: (g.spacing_mm, g.shape, g.body_mm))
    modalities = tuple(sorted({modality for f in fingerprints for modality in f.modalities})) or ONLY_CT
    ages = [age for f in fingerprints for age in f.ages_years]
    phases = tuple(sorted({phase for f in fingerprints for phase in f.phases}))
    histogram, ages_years = tuple(histograms.sum(axis=0).tolist()), (min(ages), max(ages)) if ages else ()
    return Fingerprint(tuple(grids), histogram, counts, modalities, ages_years, phases)


def _fingerprint_case(dataset: DataSet, case: Case) -> Fingerprint:
    """The fingerprint of one case. A CT has air around the patient, not zeros, so that most keep their full shape."""
    scan = load_image(case)
    edges = [np.flatnonzero(np.any(scan.voxels, axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    x, y, z = (int(edge[-1] - edge[0] + 1) if len(edge) else 1 for edge in edges)
    is_ct = case.modality == "CT"
    box = body_box(scan) if is_ct else bounding_box(body_mask(scan), scan.spacing_mm)
    body = [(edge.stop - edge.start) * mm for edge, mm in zip(box, scan.spacing_mm, strict=True)]
    grid = Grid(_rounded(scan.spacing_mm), (x, y, z), _rounded(body))
    no_hu = (0,) * len(_HU)
    ages_years = () if case.age_months is None else (case.age_months // 12,)
    about = (case.modality,), ages_years, (case.phase,) if case.phase else ()
    if case.label_file is None:
        return Fingerprint((grid,), no_hu, {}, *about)
    labels = load_labels(dataset, case).voxels
    volumes = np.bincount(labels.ravel(), minlength=256) * scan.voxel_ml * 1000
    counts = {}
    for name in case.annotated:
        mm3 = round(float(volumes[organ_table.organ(name).id]))
        counts[name] = OrganCount(annotated=1, present=int(mm3 > 0), total_mm3=mm3)
    return Fingerprint((grid,), _histogram(scan.voxels[labels > 0]) if is_ct else no_hu, counts, *about)


def _rounded(lengths_mm: Iterable[float]) -> Spacing:
    """Lengths to the nanometer, so that headers in single precision give equal numbers."""
    return tuple(round(float(length), 6) for length in lengths_mm)  # type: ignore[return-value]


def _histogram(values_hu: NDArray) -> tuple[int, ...]:
    """Parts of a billion by whole HU; values beyond the range of a 12-bit CT count at its ends."""
    whole = np.clip(np.rint(values_hu), HU_LOW, HU_HIGH).astype(np.int64) - HU_LOW
    counts = np.bincount(whole, minlength=len(_HU))
    return tuple(np.rint(counts * (HISTOGRAM_TOTAL / max(1, counts.sum()))).astype(np.int64).tolist())
