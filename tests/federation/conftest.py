"""The shortest federation of the two tiny hospitals."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def run_config(hospitals: Path) -> dict:
    """The shortest federation: two rounds of two steps."""
    return {"data": str(hospitals), "profile": "lesson", "rounds": 2, "steps-per-round": 2, "seed": 7, "out": ""}
