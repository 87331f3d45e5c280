"""One child at one scan: postures have names, and surgery cannot contradict itself."""

from __future__ import annotations

import pytest

from pedseg.phantoms.child import Child


@pytest.mark.parametrize(
    ("roll_deg", "posture"),
    [
        (0.0, "supine"),
        (-12.0, "supine"),
        (-90.0, "right side"),
        (-60.0, "right side"),
        (120.0, "left side"),
        (180.0, "prone"),
        (-180.0, "prone"),
        (270.0, "right side"),
    ],
)
def test_postures_have_names(roll_deg, posture):
    assert Child(5.0, roll_deg=roll_deg).posture == posture


def test_the_side_of_the_operation():
    assert Child(5.0).operated_side == 0
    assert Child(5.0, removed_kidney="left").operated_side == -1
    assert Child(5.0, tumor="neuroblastoma", side="right").operated_side == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"age_years": 91.0},
        {"age_years": -1.0},
        {"sex": "x"},
        {"removed_kidney": "both"},
        {"tumor": "lymphoma"},
        {"tumor": "renal"},
        {"tumor": "neuroblastoma"},
        {"tumor": "neuroblastoma", "side": "left", "removed_kidney": "left"},
        {"tumor": "renal", "side": "left", "removed_kidney": "right"},
        {"months_since_surgery": -1.0},
        {"clips": 2},
        {"clips": -1, "removed_kidney": "left"},
        {"visit": -1},
    ],
)
def test_no_such_child(wrong):
    with pytest.raises(ValueError, match="no such child"):
        Child(**({"age_years": 5.0} | wrong)).validate()
