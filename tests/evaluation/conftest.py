"""What several tests of the evaluation stand on."""

from __future__ import annotations

import pytest

from pedseg.learning.plans import Plan
from pedseg.organs import NAMES


@pytest.fixture
def coarse_plan() -> Plan:
    """A plan on voxels so coarse that any child is drawn at once, by a tiny network."""
    return Plan(
        "lesson", NAMES, (6.0, 6.0, 8.0), (56, 40, 48), 1, (-900.0, 600.0), 0.0, 200.0,
        {"kind": "compact", "widths": [2, 2, 2]}, orientation="reorient",
    )  # fmt: skip
