"""Anatomical landmarks of the standard 5-year-old: centerlines of tubular organs, and how surgery moves them.

Rows are (x right, y anterior, z superior, radius) in mm, origin in the middle of the body at the second lumbar
vertebra (`canvas`). Paired organs are given for the right side; `mirrored` makes the left one. What an operation
moves stands in `SHIFTS`: for each path and side of the removed kidney, row number -> (x, y, z) at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pedseg.phantoms.landmarks import Path

# --- chest ------------------------------------------------------------------------------------------

HEART = (-13.0, 16.0, 107.0)
HEART_HALF_AXES, HEART_TURN = (33.0, 45.0, 33.0), (0.0, 28.0, -38.0)
# Two ventricles, two atria: offset from the middle of the heart, half axes.
CHAMBERS = (
    ((-9, 10, -8), (12, 20, 13)),
    ((12, 12, -4), (13, 20, 18)),
    ((10, -14, 12), (15, 13, 16)),
    ((-8, -16, 12), (16, 12, 14)),
)
# Ascending aorta, pulmonary trunk, superior vena cava: they belong to no label.
GREAT_VESSELS: tuple[Path, ...] = (
    ((4, 14, 122, 8), (8, 18, 165, 8)),
    ((-10, 24, 124, 8), (-12, 20, 165, 8)),
    ((22, 4, 118, 5.5), (24, 4, 165, 5)),
)
ESOPHAGUS: Path = ((-2, -12, 165, 5.0), (-4, -9, 130, 5.0), (-8, -6, 100, 5.0), (-14, 0, 82, 5.2), (-24, 4, 68, 5.4))
# Ends of the lung's vessels, which start at the hilum.
LUNG_TIPS = (
    (70, -44, 88),
    (76, -10, 78),
    (74, 20, 92),
    (48, -52, 66),
    (58, -54, 128),
    (78, -14, 120),
    (60, 34, 122),
    (50, -30, 150),
)

# --- vessels and muscles ----------------------------------------------------------------------------

# The aorta as (x, distance in front of the middle of the vertebra, z, radius).
AORTA: Path = (
    (-15, 14, 165, 5.8),
    (-14, 15, 130, 5.63),
    (-11, 17, 95, 5.46),
    (-7, 19.5, 60, 5.29),
    (-6, 19.5, 30, 5.11),
    (-6, 19, 0, 4.94),
    (-6, 19, -25, 4.77),
    (-5, 19, -42, 4.6),
)
CAVA: Path = (
    (9, -10, -46, 5.4),
    (11, -8.5, -20, 5.8),
    (12, -8, 5, 6.3),
    (14, -6, 35, 6.8),
    (16, 0, 62, 7.2),
    (13, 8, 84, 7.5),
    (11, 12, 98, 7.5),
)
ILIAC: Path = ((0, -8, -46, 3.8), (16, -12, -70, 3.6), (32, -6, -98, 3.4), (42, 18, -130, 3.2), (44, 40, -160, 3))
CRURA: tuple[Path, ...] = (
    ((13, -14, 68, 3.2), (12, -13, 35, 3.6), (10, -13, 5, 2.6)),
    ((14, -18, 74, 5), (13, -17, 55, 5), (13, -16, 30, 4.5)),
)
PSOAS: Path = (
    (18, -34, 45, 5),
    (21, -33, 10, 9.5),
    (25, -31, -25, 12.5),
    (33, -26, -65, 16.5),
    (45, -4, -105, 16),
    (54, 20, -140, 13),
    (58, 22, -175, 10),
)
QUADRATUS: Path = ((38, -58, 40, 5), (42, -57, 0, 7), (48, -50, -45, 10), (64, -24, -85, 11))
# Pubis, ischium and the neck of the femur.
HIP_BARS: tuple[Path, ...] = (
    ((50, 14, -140, 7), (28, 38, -150, 5.5), (6, 46, -158, 6)),
    ((56, -12, -146, 8), (48, -26, -166, 9), (42, -22, -185, 9)),
    ((66, -2, -142, 9), (84, -6, -152, 10), (88, -6, -185, 10)),
)

# --- upper abdomen ----------------------------------------------------------------------------------

SPLENIC_VEIN: Path = (
    (-54, -14, 30, 3.2),
    (-34, -4, 20, 3.5),
    (-14, 5, 12, 3.7),
    (4, 8, 7, 4.0),
    (11, 9, 10, 4.8),
    (17, 11, 20, 5.0),
    (24, 13, 30, 4.9),
)
PORTAL_BRANCHES: tuple[Path, ...] = (
    ((24, 13, 30, 4.6), (38, 8, 36, 3.4), (48, 6, 40, 2.8)),
    ((24, 13, 30, 4.4), (12, 22, 38, 3.2), (2, 26, 42, 2.6)),
)
# Three hepatic veins and three branches of the portal vein, inside the liver.
LIVER_VESSELS: tuple[Path, ...] = (
    ((16, 2, 74, 4.2), (36, -8, 62, 3.4), (60, -18, 44, 2.2)),
    ((15, 5, 75, 3.8), (30, 22, 62, 3.0), (46, 38, 44, 2.0)),
    ((13, 6, 75, 3.6), (-4, 24, 66, 2.8), (-22, 36, 58, 1.8)),
    ((48, 6, 40, 3.0), (60, -20, 20, 2.2), (66, -30, 0, 1.6)),
    ((46, 6, 40, 3.0), (62, 18, 28, 2.4), (66, 28, 8, 1.6)),
    ((2, 26, 42, 2.6), (-18, 36, 44, 1.8)),
)
PANCREAS: Path = (
    (20, 6, -18, 6),
    (19, 9, -4, 9),
    (10, 15, 4, 7),
    (-4, 15, 11, 7),
    (-20, 9, 18, 7.5),
    (-36, -1, 24, 7.5),
    (-48, -9, 29, 5.5),
)

# --- stomach and bowel ------------------------------------------------------------------------------

STOMACH: Path = (
    (-36, -20, 76, 18),
    (-42, -12, 60, 23),
    (-45, 12, 36, 20),
    (-40, 28, 14, 17),
    (-22, 38, -2, 14),
    (2, 38, -2, 11),
    (16, 32, 6, 8),
)
DUODENUM: Path = (
    (18, 30, 6, 7.5),
    (30, 18, 6, 8),
    (34, 8, -10, 8),
    (32, 2, -30, 8),
    (18, 4, -38, 7.5),
    (0, 6, -36, 7),
    (-18, 8, -24, 7),
)
COLON: Path = (
    (54, 16, -92, 14),  # cecum
    (60, 6, -70, 15),
    (64, -4, -45, 14),
    (60, -6, -18, 13),
    (50, 24, -14, 13),  # hepatic flexure
    (30, 46, -26, 13),
    (0, 52, -34, 13),
    (-28, 48, -24, 12),
    (-52, 26, 2, 12),
    (-70, 2, 18, 12),  # splenic flexure
    (-70, -20, -8, 11),
    (-70, -22, -38, 11),
    (-64, -12, -75, 11),
    (-46, 8, -100, 11),  # sigmoid
    (-16, 14, -108, 12),
    (8, -2, -112, 12),
    (4, -20, -124, 13),  # rectum
    (0, -26, -150, 12),
)

# --- after surgery ----------------------------------------------------------------------------------

SHIFTS: dict[tuple[str, str], dict[int, tuple[float, float, float]]] = {
    ("splenic vein", "left"): {0: (0, -6, 0), 1: (0, -6, 0)},
    ("pancreas", "left"): {4: (0, -4.8, 0), 5: (0, -12, 0), 6: (0, -12, 0)},
    ("colon", "left"): {9: (4, -6, -6), 10: (12, -9, 0), 11: (8, -5, 0)},
    ("colon", "right"): {2: (0, -5, 0), 3: (-6, -12, 0)},
    ("duodenum", "right"): {2: (0, -14, 0), 3: (0, -14, 0)},
}


def after_operation(name: str, path: Path, left: float, right: float) -> NDArray:
    """The path where neighbors have sunk into the bed of a kidney removed on the left or right (0 to 1)."""
    out = np.array(path, dtype=float)
    for side, share in (("left", left), ("right", right)):
        for row, shift in SHIFTS.get((name, side), {}).items():
            out[row, :3] += share * np.array(shift)
    return out
