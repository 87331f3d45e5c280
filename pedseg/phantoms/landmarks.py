"""Anatomical landmarks of the standard 5-year-old: centerlines of tubular organs, and how surgery moves them.

Rows are (x right, y anterior, z superior, radius) in mm, origin in the middle of the body at the second lumbar
vertebra (`canvas`). Paired organs are given for the right side; `mirrored` makes the left one. What an operation
moves stands in `SHIFTS`: for each path and side of the removed kidney, row number -> (x, y, z) at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Row = tuple[float, float, float, float]
Path = tuple[Row, ...]

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
    (-34, -24, 78, 15),  # fundus
    (-41, -16, 66, 21),
    (-46, 2, 46, 20),
    (-44, 22, 24, 17),
    (-34, 34, 6, 15),
    (-16, 40, -6, 13),  # antrum
    (4, 39, -5, 11),
    (17, 33, 5, 7),  # pylorus
)
DUODENUM: Path = (
    (18, 31, 6, 6.5),
    (28, 22, 10, 8),  # bulb
    (35, 12, 2, 7),
    (35, 5, -14, 7.5),
    (30, 2, -30, 7.5),
    (16, 3, -37, 6.5),
    (2, 4, -35, 5.5),  # between the superior mesenteric artery and the aorta
    (-12, 3, -28, 6.5),
    (-17, 6, -14, 6.5),
    (-19, 14, -6, 6),  # duodenojejunal flexure
)
COLON: Path = (
    (42, 16, -101, 11),  # cecum
    (54, 14, -91, 14),
    (62, 4, -69, 14),
    (65, -6, -45, 13.5),
    (62, -10, -20, 13),
    (56, 8, -9, 12.5),  # hepatic flexure
    (48, 30, -15, 12),
    (28, 45, -28, 12),
    (0, 52, -36, 12),
    (-28, 48, -24, 11.5),
    (-52, 28, 0, 11),
    (-66, 6, 21, 11),  # splenic flexure
    (-71, -16, 10, 10),
    (-72, -24, -15, 9.5),
    (-71, -21, -45, 9.5),
    (-64, -9, -74, 9.5),
    (-49, 7, -95, 9.5),
    (-30, 18, -105, 9.5),  # sigmoid
    (-8, 18, -98, 10),
    (14, 12, -98, 10),
    (22, -2, -108, 10),
    (12, -14, -118, 10.5),
    (3, -22, -128, 12),  # rectum
    (0, -26, -142, 12.5),
    (0, -23, -155, 10),
    (0, -18, -168, 6),  # anal canal
)
# How deep the folds between the haustra are, as a share of the radius; the rectum has few.
COLON_HAUSTRA = np.interp(
    np.arange(len(COLON)), (0, 2, 7, 10, 15, 19, 22, 25), (0.1, 0.26, 0.32, 0.28, 0.18, 0.15, 0.06, 0)
)
# The appendix, toward the pelvis or behind the cecum.
APPENDIX: tuple[Path, ...] = (
    ((42, 10, -99, 3.0), (32, 2, -106, 2.6), (24, 4, -116, 2.4), (18, 2, -124, 2.0)),
    ((44, 8, -98, 3.0), (50, -6, -96, 2.6), (58, -12, -84, 2.4), (62, -14, -70, 2.0)),
)
# Where the mesentery of the small bowel is fixed: duodenojejunal flexure, right iliac fossa; the superior mesenteric
# vessels, from which its branches come; the end of the ileum at the cecum.
MESENTERIC_ROOT = ((-10, 4, -12), (38, 4, -76))
MESENTERIC_TRUNK = ((3, 11, -8), (4, 13, -20), (5, 14, -32), (7, 14, -44), (12, 13, -54), (20, 11, -64), (30, 10, -72))
TERMINAL_ILEUM: Path = ((14, 14, -100, 6), (30, 18, -94, 5.5), (46, 16, -86, 5))

# --- after surgery ----------------------------------------------------------------------------------

SHIFTS: dict[tuple[str, str], dict[int, tuple[float, float, float]]] = {
    ("splenic vein", "left"): {0: (0, -6, 0), 1: (0, -6, 0)},
    ("pancreas", "left"): {4: (0, -4.8, 0), 5: (0, -12, 0), 6: (0, -12, 0)},
    ("colon", "left"): {11: (4, -6, -6), 12: (8, -8, -3), 13: (12, -9, 0), 14: (8, -5, 0)},
    ("colon", "right"): {3: (0, -5, 0), 4: (-6, -12, 0)},
    ("duodenum", "right"): {2: (0, -8, 0), 3: (0, -14, 0), 4: (0, -14, 0)},
}


def mirrored(path: Path, side: int) -> NDArray:
    """The path on the right (side 1) or on the left (side -1)."""
    return np.array(path, dtype=float) * [side, 1, 1, 1]


def after_operation(name: str, path: Path, left: float, right: float) -> NDArray:
    """The path where neighbors have sunk into the bed of a kidney removed on the left or right (0 to 1)."""
    out = np.array(path, dtype=float)
    for side, share in (("left", left), ("right", right)):
        for row, shift in SHIFTS.get((name, side), {}).items():
            out[row, :3] += share * np.array(shift)
    return out
