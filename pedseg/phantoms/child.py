"""The patient of a phantom: age, sex, posture, tumor and surgery.

Two tumors bring children to this scan. After a renal tumor one kidney is gone and the other grows in its place; after
a neuroblastoma both kidneys stay, but the adrenal of that side is mostly gone and a scar lies beside the aorta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pedseg.datasets.cases import POSTURES

Side = Literal["", "left", "right"]
Tumor = Literal["", "renal", "neuroblastoma"]
Variant = Literal["", "left cava", "horseshoe kidney", "situs inversus"]
MAX_CLIPS = 12
OLDEST_YEARS = 90.0


@dataclass(frozen=True)
class Child:
    """One child (or adult) at one scan: age, sex, removed kidney, roll (0 supine, -90 on its right side), and surgery.

    After a renal tumor `removed_kidney` is the side. After a neuroblastoma both kidneys are there, and `side` is
    where the tumor was. `clips` counts the surgeon's clips of metal, `visit` the scans of one child from 0:
    a follow-up has the same anatomy and another filling of stomach, bowel and bladder.

    `adiposity` (in standard deviations, -2 lean to 3 obese) sets the fat under the skin and around the organs, a
    `variant` of the anatomy may be declared, and the arms may lie beside the trunk. With a `variety` of 1, organs lie
    twice as far from their usual places as in the study's children (0), the pancreas takes other courses, and the vena
    cava is flatter. Ages reach from birth to 90 years.
    """

    age_years: float
    sex: Literal["F", "M"] = "F"
    removed_kidney: Side = ""
    roll_deg: float = 0.0
    seed: int = 0
    tumor: Tumor = ""
    side: Side = ""
    months_since_surgery: float = 12.0
    clips: int = 0
    visit: int = 0
    adiposity: float = 0.0
    variant: Variant = ""
    arms_down: bool = False
    variety: float = 0.0

    @property
    def operated_side(self) -> int:
        """-1 after surgery on the left, 1 on the right, 0 without surgery."""
        return {"left": -1, "": 0, "right": 1}[self.removed_kidney or self.side]

    @property
    def posture(self) -> str:
        """How the child lies, as `cases.tsv` says it."""
        roll = (self.roll_deg + 180.0) % 360.0 - 180.0
        supine, left, right, prone = POSTURES
        if abs(roll) <= 45:
            return supine
        return prone if abs(roll) >= 135 else (right if roll < 0 else left)

    def validate(self) -> None:
        """Raise `ValueError` for what no child can be."""
        valid = (
            0 <= self.age_years <= OLDEST_YEARS
            and self.sex in ("F", "M")
            and self.removed_kidney in ("", "left", "right")
            and self.side in ("", "left", "right")
            and self.tumor in ("", "renal", "neuroblastoma")
            and (self.tumor != "renal" or self.removed_kidney != "")
            and (self.tumor != "neuroblastoma" or (self.side != "" and self.removed_kidney == ""))
            and (self.side in ("", self.removed_kidney) or self.tumor == "neuroblastoma")
            and self.months_since_surgery >= 0
            and 0 <= self.clips <= MAX_CLIPS
            and (self.clips == 0 or self.operated_side != 0)
            and self.visit >= 0
            and -2 <= self.adiposity <= 3
            and self.variant in get_args(Variant)
            and 0 <= self.variety <= 1
        )
        if not valid:
            raise ValueError(f"no such child: {self}")
