"""The virtual centers Polder, Neckar, Fjord and Delta: their patients, scan protocols, and data sets of their scans.

They differ in causes that have names: contrast phase, slice thickness, kernel, noise, couch, ages, and which kidney
is mostly gone. Each is one field, so `dataclasses.replace` switches one of them at a time; posture, contouring
protocol, cushion and field of view are there too, and off in all centers. All children had surgery, for a renal tumor
or a neuroblastoma in the proportion 105 to 167, and 38 of 272 have a second scan (arXiv 2605.06820).

Polder and Neckar are the study's; Fjord scans with MR and joins them where CT meets MR; Delta joins them in the last
chapter. Nobody in the study has trained on Delta or on Fjord's CT (`UNSEEN`). A center with both machines has both
kinds of protocol.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.datasets.writing import write_case, write_index, written_cases
from pedseg.errors import input_error
from pedseg.phantoms.child import Child, Side
from pedseg.phantoms.contouring_protocol import WHOLE_ORGANS, ContouringProtocol, contour
from pedseg.phantoms.ct_scanner import CtProtocol, scan_ct
from pedseg.phantoms.mr_scanner import T2W_1_5T, MrProtocol, scan_mr
from pedseg.phantoms.phantom import make_phantom
from pedseg.scan import Scan, Spacing

LICENSE = "Apache-2.0"
BLOCK = 30  # patients, over which all traits are balanced
MAX_MONTHS_SINCE_SURGERY = 60
Protocol = CtProtocol | MrProtocol


@dataclass(frozen=True)
class Center:
    """One hospital: its patients and the protocols it scans with (share, protocol)."""

    name: str
    protocols: tuple[tuple[float, Protocol], ...]
    age_years: tuple[float, float, float]  # youngest, median, oldest
    renal_share: float = 105 / 272  # patients with one kidney removed for a renal tumor; the others: neuroblastoma
    left_share: float = 0.5  # of the removed kidneys, the left one
    clip_share: float = 0.2  # patients with clips of metal, which cast streaks
    repeat_share: float = 38 / 272  # patients with a second scan some months later
    lateral_share: float = 0.0  # patients who lie on a side, rolled by 60 to 120 degrees
    roll_sd_deg: float = 0.0  # how much the others are rolled
    contouring_protocol: ContouringProtocol = WHOLE_ORGANS
    build_mm: tuple[float, float, float] = (3.0, 3.0, 2.0)  # voxels the phantom is built of before the scan

    def vary(self, child: Child, protocol: Protocol, rng: np.random.Generator) -> tuple[Child, Protocol]:
        """What else is particular in one patient and scan; nothing, unless people of all kinds come (`varied`)."""
        return child, protocol


POLDER_PORTAL = CtProtocol("portal venous, soft", "portal venous", slice_mm=4.0, kernel_mm=3.5, noise_hu=10.0)
NECKAR_PLAIN = CtProtocol(
    "plain, sharp", "none", slice_mm=4.0, kernel_mm=2.5, noise_hu=10.0, noise_grain_mm=2.0, couch="flat"
)
# Each hospital scans one patient in four in the other phase. The study's first center could compare its model with and
# without intravenous contrast on its own patients (arXiv 2411.00594), so it had both kinds; how many is not published.
# The share was fixed before a network had seen it; it sets how much a local model fears the other center.
POLDER = Center(
    name="Polder",
    protocols=((3, POLDER_PORTAL), (1, replace(POLDER_PORTAL, name="plain, soft", phase="none"))),
    age_years=(1.0, 4.0, 10.0),
    left_share=0.8,
)
NECKAR = Center(
    name="Neckar",
    protocols=((3, NECKAR_PLAIN), (1, replace(NECKAR_PLAIN, name="portal venous, sharp", phase="portal venous"))),
    age_years=(2.0, 6.0, 11.0),
    left_share=0.2,
)
FJORD = Center(name="Fjord", protocols=((1, T2W_1_5T),), age_years=(1.0, 5.0, 11.0))
DELTA_PORTAL = CtProtocol("portal venous, medium", "portal venous", kernel_mm=3.0, noise_hu=11.0, noise_grain_mm=2.5)
DELTA = Center(  # joins the two, and its data hold flaws (`flaws`)
    name="Delta",
    protocols=((1, DELTA_PORTAL), (1, replace(DELTA_PORTAL, name="plain, medium", phase="none"))),
    age_years=(1.5, 5.0, 10.0),
    repeat_share=0.0,
)
CENTERS = {center.name: center for center in (POLDER, NECKAR)}  # those of the study
# The children of Fjord in a CT as neither has it: arterial phase, lower voltage, thicker slices.
FJORD_CT = replace(FJORD, protocols=((1, CtProtocol("arterial", "arterial", slice_mm=5.0, kernel_mm=2.5, kvp=100)),))
UNSEEN = {center.name: center for center in (DELTA, FJORD_CT)}
COHORT = {"train": 30, "validation": 5, "test": 30}  # patients of each center in the study
FIRST_EXTRA = 34 * BLOCK  # number of the first patient of a larger training cohort: beyond all that are tested


def sample_patient(center: Center, seed: int, index: int) -> tuple[Child, Protocol]:
    """Patient number `index` of a center, as at the first scan, and the protocol of the scan.

    Operations, ages and protocols are balanced (block randomization), so that any thirty patients in a row, counted
    from a multiple of thirty, show the center's distribution.
    """
    operation, protocol, age, sex, months, clips, lateral = (
        _balanced(center, seed, index, trait) for trait in (0, 1, 2, 3, 4, 6, 7)
    )
    rng = np.random.default_rng((seed, *center.name.encode(), index))
    years = round(float(np.interp(age + rng.uniform(-0.5, 0.5) / BLOCK, (0.0, 0.5, 1.0), center.age_years)), 2)
    renal, side = _operation(center, operation)
    longest = min(MAX_MONTHS_SINCE_SURGERY, 12 * years - 1)  # no child is operated on before its birth
    shares = np.cumsum([share for share, _ in center.protocols])
    chosen = center.protocols[int(np.searchsorted(shares[:-1], protocol * shares[-1], side="right"))][1]
    child = Child(
        years,
        "F" if sex < 0.5 else "M",
        side if renal else "",
        seed=int(rng.integers(2**31)),
        tumor="renal" if renal else "neuroblastoma",
        side=side,
        months_since_surgery=round(max(0.5, 1 + (longest - 1) * months), 1),
        clips=int(rng.integers(2, 6)) if clips < center.clip_share else 0,
    )
    rolled = replace(child, roll_deg=_roll_deg(center, rng, lateral < center.lateral_share))
    return center.vary(rolled, chosen, rng)


def _balanced(center: Center, seed: int, index: int, trait: int) -> float:
    """A quantile from 0 to 1: each block of thirty patients gets thirty evenly spread ones in random order."""
    block, place = divmod(index, BLOCK)
    order = np.random.default_rng((seed, *center.name.encode(), 31, trait, block)).permutation(BLOCK)
    return (float(order[place]) + 0.5) / BLOCK


def _operation(center: Center, quantile: float) -> tuple[bool, Side]:
    """Whether the tumor was renal, and its side: whole numbers of patients in each group of a block."""
    place, renal = int(quantile * BLOCK), round(center.renal_share * BLOCK)
    if place < renal:
        return True, "left" if place < round(renal * center.left_share) else "right"
    return False, "left" if (place - renal) % 2 == 0 else "right"


def _roll_deg(center: Center, rng: np.random.Generator, lateral: bool) -> float:
    """How a patient is rolled on the couch: on a side, or nearly supine."""
    if lateral:
        return round(float(rng.choice((-1, 1)) * rng.uniform(60.0, 120.0)), 1)
    return round(float(rng.normal(0.0, 1.0)) * center.roll_sd_deg, 1) + 0.0  # no -0.0


def follow_up(center: Center, seed: int, index: int) -> Child | None:
    """The same patient 3 to 12 months later, or None for the most, who are scanned once."""
    if _balanced(center, seed, index, 5) >= center.repeat_share:
        return None
    child, _ = sample_patient(center, seed, index)
    rng = np.random.default_rng((seed, *center.name.encode(), index, 1))
    later, supine = rng.uniform(3.0, 12.0), _roll_deg(center, rng, False)
    return replace(
        child,
        age_years=min(18.0, round(child.age_years + later / 12, 2)),
        months_since_surgery=round(child.months_since_surgery + later, 1),
        roll_deg=supine if child.posture == "supine" else child.roll_deg,
        visit=1,
    )


@dataclass(frozen=True)
class PlannedScan:
    """One scan that a center makes: of whom, how, and what it is used for. A patient may have two, in one split."""

    name: str
    patient: str
    split: str
    child: Child
    protocol: Protocol


def planned_scans(
    center: Center, *, train: int = 20, validation: int = 4, test: int = 20, extra_patients: int = 0, seed: int = 0
) -> list[PlannedScan]:
    """All scans of a data set in the order of their names; the numbers count patients, not scans.

    Follow-up scans are in the training and test splits; they are named like `polder-007b`. The `extra_patients`
    have numbers of their own, so that the others stay who they are. Raises `PedsegInputError` where the others
    would reach these numbers.
    """
    if (patients := train + validation + test) > FIRST_EXTRA:  # those beyond may have been trained on, elsewhere
        problem = f"it has {FIRST_EXTRA} patients, not {patients}."
        raise input_error("E-TOO-MANY", center.name, problem, "Ask for fewer.")
    planned = []
    splits = enumerate(["train"] * train + ["validation"] * validation + ["test"] * test)
    for index, split in [*splits, *((FIRST_EXTRA + extra, "train") for extra in range(extra_patients))]:
        name, patient = f"{center.name.lower()}-{index + 1:03d}", f"{center.name[0]}{index + 1:03d}"
        child, protocol = sample_patient(center, seed, index)
        planned.append(PlannedScan(name, patient, split, child, protocol))
        later = None if split == "validation" else follow_up(center, seed, index)
        if later is not None:
            planned.append(PlannedScan(f"{name}b", patient, split, later, protocol))
    return planned


def make_dataset(
    center: Center, folder: Path, *, seed: int = 0, first: int = 0, every: int = 1, **patients: int
) -> Iterator[str]:
    """Write a center's scans as a data set; yields each case's name when it is finished.

    `patients` are those of `planned_scans` (train, validation, test, extra_patients). Cases that a former call with
    the same center and seed has finished are kept; those of another seed are written anew. Threads share the
    work by `first` and `every`; the call for all scans writes the table of cases at its end.
    Raises `PedsegInputError` if the folder holds cases of other names.
    """
    folder = Path(folder)
    source = source_of(seed, center)
    planned = planned_scans(center, seed=seed, **patients)
    rows = written_cases(folder)
    unexpected = sorted(set(rows) - {scan.name for scan in planned})
    if unexpected:
        problem = f"it holds cases of another data set: {', '.join(unexpected[:4])}."
        raise input_error("E-OTHER-CASES", folder, problem, "Delete the folder or name another.")
    for scan in planned[first::every]:
        if scan.name not in rows or (rows[scan.name]["source"], rows[scan.name]["split"]) != (source, scan.split):
            image, labels = simulate_scan(center, scan)
            write_case(folder, scan.name, image, labels, **case_fields(center, scan, source))
        yield scan.name
    if every == 1:
        mirrored = [scan.name for scan in planned if scan.child.variant == "situs inversus"]
        write_index(folder, center=center.name, situs_inversus=mirrored)


def source_of(seed: int, made_by: object) -> str:
    """What the table of cases says of where a scan comes from; another text for another center, or others' flaws."""
    return f"pedseg phantom, seed {seed}, {hashlib.sha256(repr(made_by).encode()).hexdigest()[:12]}"


def simulate_scan(center: Center, scan: PlannedScan, noise_seed: int | None = None) -> tuple[Scan, Scan]:
    """Build, contour and scan the phantom of one patient: image (int16; HU if it is a CT) and labels (uint8 ids).

    With a `noise_seed`, only the noise of a CT is another.
    """
    spacing = (center.build_mm[0], center.build_mm[1], min(center.build_mm[2], scan.protocol.slice_mm))
    phantom = contour(make_phantom(scan.child, spacing), center.contouring_protocol)
    seed = scan.child.seed + scan.child.visit
    if isinstance(scan.protocol, MrProtocol):
        return scan_mr(phantom, scan.protocol, seed)
    return scan_ct(phantom, scan.protocol, seed, noise_seed)


def case_fields(center: Center, scan: PlannedScan, source: str) -> dict[str, Any]:
    """What the table of cases says of one scan: the arguments of `write_case` beside image and labels."""
    child, protocol = scan.child, scan.protocol
    return {
        "patient": scan.patient,
        "center": center.name,
        "split": scan.split,
        "age_months": round(child.age_years * 12),
        "sex": child.sex,
        "source": source,
        "license": LICENSE,
        "tumor": child.tumor,
        "months_since_surgery": child.months_since_surgery,
        "posture": child.posture,
        "phase": protocol.phase,
        "modality": "MR" if isinstance(protocol, MrProtocol) else "CT",
        "sequence": protocol.sequence if isinstance(protocol, MrProtocol) else "",
    }


def in_single_phase(center: Center) -> Center:
    """The same hospital if it scanned in its usual contrast phase only: no child bridges the gap to the other."""
    return replace(center, protocols=center.protocols[:1])


def with_protocol(center: Center, *protocols: Protocol) -> Center:
    """The same hospital and the same children, scanned by these protocols, each equally often."""
    return replace(center, protocols=tuple((1.0, protocol) for protocol in protocols))


def at_resolution(
    center: Center, pixel_mm: float, slice_mm: float, build_mm: Spacing, *, kernel: float, noise: float, grain: float
) -> Center:
    """The same hospital with CT scans in other voxels; kernel, noise and its grain change by these factors."""
    protocols: list[tuple[float, Protocol]] = []
    for share, protocol in center.protocols:
        if isinstance(protocol, CtProtocol):
            resized = replace(protocol, pixel_mm=pixel_mm, slice_mm=slice_mm, kernel_mm=kernel * protocol.kernel_mm)
            noise_hu, grain_mm = noise * protocol.noise_hu, grain * protocol.noise_grain_mm
            protocols.append((share, replace(resized, noise_hu=noise_hu, noise_grain_mm=grain_mm)))
    return replace(center, protocols=tuple(protocols), build_mm=build_mm)


RESOLUTIONS: dict[str, Callable[[Center], Center]] = {
    "lesson": lambda center: center,
    # as the clinic profile plans them: finer, sharper, noisier
    "clinic": lambda center: at_resolution(center, 1.0, 2.0, (1.0, 1.0, 2.0), kernel=0.5, noise=1.2, grain=0.6),
    # for the clinic's network where there is no GPU
    "coarse": lambda center: at_resolution(center, 5.0, 6.0, center.build_mm, kernel=1.6, noise=0.8, grain=1.6),
}
