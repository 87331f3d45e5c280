"""A tiny patient and tiny plans for the learning room."""

import numpy as np
import pytest

from pedseg import organs
from pedseg.learning.plans import Plan
from pedseg.scan import Scan

TINY = ("Liver", "Spleen", "Kidney_L")
COMPACT = {"kind": "compact", "widths": [4, 8, 8]}
DYNUNET = {
    "kind": "dynunet",
    "filters": [4, 8, 8],
    "kernels": [[3, 3, 3]] * 3,
    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
}


def make_plan(profile: str = "lesson", **changes) -> Plan:
    fields = {
        "profile": profile, "organs": TINY, "spacing_mm": (4.0, 4.0, 4.0), "patch": (32, 32, 16), "batch": 1,
        "clip_hu": (-1000.0, 500.0), "mean_hu": -50.0, "sd_hu": 300.0,
        "network": COMPACT if profile == "lesson" else DYNUNET,
    }  # fmt: skip
    return Plan(**{**fields, **changes})


@pytest.fixture(name="make_plan")
def plan_maker():
    return make_plan


@pytest.fixture
def plan() -> Plan:
    return make_plan()


@pytest.fixture
def patient() -> tuple[Scan, Scan]:
    """An ellipsoid of soft tissue in air with three bright boxes in it: image (HU) and labels, 4 mm voxels."""
    rng = np.random.default_rng(0)
    shape = (26, 22, 16)
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    body = (x / 0.85) ** 2 + (y / 0.8) ** 2 < 1
    image = np.where(body, 40.0, -1000.0)
    labels = np.zeros(shape, np.uint8)
    boxes = {"Liver": (14, 8, 3, 180.0), "Spleen": (6, 8, 3, 110.0), "Kidney_L": (10, 5, 9, 250.0)}
    for name, (i, j, k, hu) in boxes.items():
        part = np.s_[i : i + 5, j : j + 5, k : k + 5]
        image[part], labels[part] = hu, organs.organ(name).id
    image += rng.normal(0, 10, shape)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = (-50, -40, 100)
    return Scan(image.astype(np.int16), affine), Scan(labels, affine)
