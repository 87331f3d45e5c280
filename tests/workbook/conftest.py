"""A toy child made of ellipsoids: enough to draw, too simple to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.organs import organ
from pedseg.scan import Scan

SPACING_MM = (3.0, 3.0, 5.0)
# Organ: (center, radii, HU), in mm from the corner, right-anterior-superior growing.
ELLIPSOIDS = {
    "Lung_R": ((150, 95, 170), (40, 50, 60), -800),
    "Lung_L": ((75, 95, 170), (40, 50, 60), -800),
    "Liver": ((150, 110, 95), (55, 45, 40), 60),
    "Spleen": ((50, 65, 100), (22, 30, 28), 50),
    "Kidney_R": ((150, 50, 55), (18, 18, 30), 40),
    "Kidney_L": ((70, 50, 60), (18, 18, 30), 40),
}


@pytest.fixture(scope="session")
def toy() -> tuple[Scan, np.ndarray]:
    """A CT (HU, RAS) and its map of organ ids on the same grid, 3×3×5 mm."""
    shape = (74, 56, 46)
    x, y, z = np.meshgrid(*[(np.arange(n) + 0.5) * mm for n, mm in zip(shape, SPACING_MM, strict=True)], indexing="ij")
    hu = np.where(((x - 111) / 105) ** 2 + ((y - 84) / 78) ** 2 < 1, -60.0, -1000.0)
    labels = np.zeros(shape, np.uint8)
    for name, (center, radii, value) in ELLIPSOIDS.items():
        inside = sum(((a - c) / r) ** 2 for a, c, r in zip((x, y, z), center, radii, strict=True)) < 1
        hu[inside], labels[inside] = value, organ(name).id
    hu += np.random.default_rng((0, 1)).normal(0, 12, shape)
    return Scan(hu.astype(np.float32), np.diag([*SPACING_MM, 1.0])), labels
