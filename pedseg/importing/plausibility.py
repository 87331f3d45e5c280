"""Plausibility of a prediction: is a scan like those that the network was trained on, and are its contours anatomy?

A network draws organs on whatever it is given. Before it draws, header and scan are compared with the domain that its
weights carry: body region (name, lungs, spine), size, field of view, voxel spacing, age, and contrast phase. After it,
volumes by age, left and right, and the order of the organs from head to foot. What the weights do not say is taken
from the virtual centers, and said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pedseg.datasets.checks import RIGHT_TO_LEFT, center_mm
from pedseg.datasets.loading import organs_present
from pedseg.dicom.deidentification import age_months
from pedseg.learning.body_mask import bounding_box, coarse_body_mask
from pedseg.learning.orientation import BONE_HU
from pedseg.learning.plans import Plan
from pedseg.organs import organ
from pedseg.phantoms.anatomy import TRUNK_CM, VOLUME_ML, at_age
from pedseg.phantoms.centers import CENTERS
from pedseg.scan import Scan

TOLERANCE = 1.25  # times lowest and highest of the training: ages, bodies, spacings
SHORTEST_FIELD = 0.5  # of the shortest body in training
FOLD = 4.0  # beyond so many times its volume at this age, an organ is none
LUNG_HU, LEAST_LUNG = (-950, -400), 0.03  # share of the body's inside that is lung
LEAST_BONE = 0.9  # share of the slices that show bone
OFF_CENTER = 0.15  # of the body's radius, from its middle to its bones: a spine lies behind, a femur inside
OTHER_REGION = re.compile(
    "HEAD|SKULL|BRAIN|NECK|CSPINE|EXTREMITY|LEG|THIGH|CALF|KNEE|ANKLE|FOOT|TOE|ARM|ELBOW|WRIST|HAND|FINGER"
)
TRUNK = re.compile("ABD|CHEST|THORAX|PELV|TRUNK|BODY")  # NECKCHESTABDPELV shows it, too
ABOVE = (  # the first lies nearer to the head
    ("Heart", "Liver"), ("Lung_L", "Kidney_L"), ("Lung_R", "Kidney_R"), ("Liver", "Bladder"), ("Spleen", "Bladder"),
)  # fmt: skip
# Organ -> row of the reference volumes, and share of it.
REFERENCE = {name: (name, 1.0) for name in ("Liver", "Spleen", "Pancreas", "Heart")} | {
    f"{kind}_{side}": (f"{kind}s", 0.5) for kind in ("Kidney", "Lung") for side in "LR"
}
UNSAID = " (those of the virtual centers: the weights do not say)"


def doubts_before(scan: Scan, plan: Plan, header: Mapping[str, Any]) -> Iterator[str]:
    """Why this CT in RAS is none for this network, a sentence each; `header` is that of a DICOM slice, or empty."""
    region = re.sub(r"[^A-Z]", "", str(header.get("BodyPartExamined") or "").upper())
    if OTHER_REGION.search(region) and not TRUNK.search(region):
        yield f"its header says that it shows {region}, not the trunk"
    (youngest, oldest), months = _ages_years(plan), age_months(header)
    if months is not None and not 12 * youngest / TOLERANCE <= months <= 12 * (oldest + 1) * TOLERANCE:
        unsaid = "" if "ages_years" in plan.domain else UNSAID
        yield f"the patient is {months / 12:.1f} years old, the network knows {youngest:g} to {oldest:g} years{unsaid}"
    phases, agent = plan.domain.get("phases"), str(header.get("ContrastBolusAgent") or "").strip()
    if agent and phases == ["none"]:
        yield "contrast medium was given, the network knows scans without it"
    coarsest = np.max(plan.domain.get("spacing_mm", [plan.spacing_mm]), axis=0)
    if np.any(scan.spacing_mm > TOLERANCE * np.maximum(coarsest, plan.spacing_mm)):
        yield f"its voxels are {_mm(scan.spacing_mm)} mm large, the network knows up to {_mm(coarsest)} mm"
    if plan.intensity == "hu":
        yield from _doubts_of_body(scan, plan)


def _doubts_of_body(scan: Scan, plan: Plan) -> Iterator[str]:
    """Size, lungs and spine of the patient in a CT, over every so many voxels of about 6 mm."""
    mask, step = coarse_body_mask(scan)
    if not mask.any():
        yield "nobody is seen in it"
        return
    coarse = scan.voxels[:: step[0], :: step[1], :: step[2]]
    box = bounding_box(mask, scan.spacing_mm, step=step, shape=scan.shape)  # with the margin of a fingerprint's
    x, y, z = ((edge.stop - edge.start) * mm for edge, mm in zip(box, scan.spacing_mm, strict=True))
    size = np.array([max(x, y), min(x, y), z])  # a child on its side is no other child
    low, high = _bodies_mm(plan)
    if np.any(size < low * (1 / TOLERANCE, 1 / TOLERANCE, SHORTEST_FIELD)) or np.any(size > high * TOLERANCE):
        unsaid = "" if "body_mm" in plan.domain else UNSAID
        yield f"the body in it is {_mm(size)} mm large, the network knows {_mm(low)} to {_mm(high)} mm{unsaid}"
    inside = ndimage.binary_erosion(mask, iterations=2)
    if np.mean((coarse[inside] > LUNG_HU[0]) & (coarse[inside] < LUNG_HU[1]) if inside.any() else 0) < LEAST_LUNG:
        yield "no lung is seen in it"
    bones = mask & (coarse > BONE_HU)
    places = np.flatnonzero(bones.any(axis=(0, 1)))
    offsets = [np.linalg.norm(_middle(bones[:, :, k]) - _middle(mask[:, :, k])) for k in places]
    areas = np.count_nonzero(mask, axis=(0, 1))
    radius = np.sqrt(np.median(areas[areas > 0]) / np.pi)
    if len(places) < LEAST_BONE * np.count_nonzero(areas) or np.median(offsets) < OFF_CENTER * radius:
        yield "no spine is seen in it"


def doubts_after(labels: Scan, plan: Plan, header: Mapping[str, Any]) -> Iterator[str]:
    """Why a predicted map of organ ids in RAS is no anatomy, a sentence each; empty where all is well."""
    present = organs_present(labels)
    if not present:
        yield "nothing was drawn"
    months = age_months(header)
    youngest, oldest = _ages_years(plan) if months is None else (months / 12, months / 12)
    for name, (row, share) in REFERENCE.items():
        if name in present:
            mask = labels.voxels == organ(name).id
            volume_ml, cut = mask.sum() * labels.voxel_ml, mask[:, :, [0, -1]].any()
            least, most = (share * at_age(VOLUME_ML[row], years) for years in (youngest, oldest))
            if volume_ml > FOLD * most or (volume_ml < least / FOLD and not cut):
                usual = " to ".join(dict.fromkeys((f"{least:.0f}", f"{most:.0f}")))
                yield f"{name} has {volume_ml:.0f} mL, where {usual} mL are usual"
    for first, second in (pair for pair in (*RIGHT_TO_LEFT, *ABOVE) if {*pair} <= {*present}):
        x, y, z = center_mm(labels, second) - center_mm(labels, first)
        if (first, second) in ABOVE and z > 0:
            yield f"{second} lies above {first}"
        elif (first, second) in RIGHT_TO_LEFT and x > abs(y):  # by more than the patient is turned
            yield f"{second} lies to the patient's right of {first}"


def _ages_years(plan: Plan) -> tuple[float, float]:
    """Youngest and oldest age in training."""
    centers = CENTERS.values()
    unsaid = min(center.age_years[0] for center in centers), max(center.age_years[2] for center in centers)
    youngest, oldest = plan.domain.get("ages_years", unsaid)
    return youngest, oldest


def _bodies_mm(plan: Plan) -> NDArray[np.float64]:
    """Smallest and largest body in training: width, depth, length in mm."""
    unsaid = [[at_age(axis, age) for axis in zip(*TRUNK_CM, strict=True)] for age in _ages_years(plan)]
    return np.array(plan.domain.get("body_mm", np.multiply(unsaid, (20, 20, 10))))  # half axes and height in cm


def _middle(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.argwhere(mask).mean(axis=0)


def _mm(lengths: Any) -> str:
    return " x ".join(f"{mm:.3g}" for mm in lengths)
