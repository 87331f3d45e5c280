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

HEART = (-11.0, 19.0, 97.0)
# Great vessels of the chest, and whether their root lies within the heart; they belong to no label.
GREAT_VESSELS: tuple[tuple[Path, bool], ...] = (
    (((-6, 20, 104, 7), (4, 17, 118, 8), (10, 15, 134, 8), (11, 11, 165, 8)), True),  # ascending aorta
    (((-13, 38, 113, 6.5), (-14, 36, 122, 7.5), (-17, 24, 136, 7.5), (-17, 8, 145, 7)), True),  # pulmonary trunk
    (((-17, 8, 145, 6), (-4, 1, 142, 5.5), (10, -3, 138, 5.5), (24, -6, 130, 5)), False),  # right pulmonary artery
    (((-17, 8, 145, 6), (-24, -4, 143, 5.5), (-27, -12, 134, 5)), False),  # left pulmonary artery
    (((22, 12, 108, 5.5), (22, 6, 125, 5.5), (22, 3, 165, 5.5)), False),  # upper vena cava
    (((6, -12, 116, 4), (16, -9, 119, 4.2), (27, -7, 123, 3.6)), False),  # pulmonary veins
    (((6, -14, 106, 4), (16, -15, 106, 4.2), (27, -15, 104, 3.6)), False),
    (((-2, -13, 116, 4), (-16, -10, 119, 4.2), (-27, -8, 123, 3.6)), False),
    (((-2, -15, 106, 4), (-14, -13, 106, 4), (-27, -14, 104, 3.6)), False),
)
# Lower end of the trachea, main bronchi down to the lower lobes.
AIRWAYS: tuple[Path, ...] = (
    ((1, -15, 175, 5.2), (1, -14, 152, 5.2)),
    ((1, -14, 154, 4.6), (13, -14, 142, 4.6), (23, -14, 132, 4.0), (28, -17, 116, 3.4)),
    ((1, -14, 154, 4.4), (-13, -15, 144, 4.2), (-23, -17, 134, 3.8), (-27, -20, 116, 3.2)),
)
ESOPHAGUS: Path = (
    (-4, -19, 165, 4.6),
    (-4, -18, 130, 4.6),
    (-7, -16, 105, 4.8),
    (-11, -9, 86, 5.0),
    (-24, 4, 68, 5.4),
)
# Right lung, mirrored for the left: where arteries (upper lobe, other lobes) and veins begin, and where they end.
ARTERY_HILUM: Path = ((26, -6, 132, 4.0), (28, -12, 124, 4.0))
VEIN_HILUM: Path = ((27, -7, 123, 3.6), (27, -15, 104, 3.6))
LUNG_SEGMENTS = (
    (50, -14, 158),
    (62, -44, 144),
    (58, 36, 142),
    (70, 28, 112),
    (46, 50, 98),
    (60, -56, 118),
    (76, 8, 84),
    (78, -22, 76),
    (64, -52, 64),
    (38, -56, 66),
)
LUNG_VEINS = ((66, 10, 148), (64, 46, 120), (56, -50, 134), (78, -6, 104), (70, -38, 92), (50, -42, 60))

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
    (7, -8, -57, 5.2),
    (9, -9, -44, 5.5),
    (11, -8.5, -20, 5.8),
    (12, -8, 5, 6.3),
    (14, -6, 35, 6.8),
    (16, 0, 62, 7.2),
    (14, 8, 84, 7.5),
    (17, 13, 100, 7.5),
)
LEFT_CAVA: Path = (  # left of the aorta up to the renal veins, then across in front of it
    (-13, -8, -57, 5.0),
    (-18, -9, -40, 5.2),
    (-19, -10, -15, 5.4),
    (-16, -5, 0, 5.4),
    (-6, 2, 9, 4.6),
    (8, -3, 18, 5.6),
    (14, -6, 35, 6.6),
    (16, 0, 62, 7.2),
    (14, 8, 84, 7.5),
    (17, 13, 100, 7.5),
)
# Right side, mirrored for the left, whose common vessels begin elsewhere.
ILIAC: Path = ((4, -8, -42, 3.8), (14, -13, -66, 3.5), (30, -4, -98, 3.0), (41, 18, -130, 2.9), (44, 40, -165, 2.9))
INNER_ILIAC: Path = ((15, -14, -68, 2.4), (22, -28, -90, 2.2), (27, -28, -112, 1.8), (30, -14, -134, 1.4))
ILIAC_VEIN: Path = (
    (7, -9, -57, 4.2),
    (16, -17, -72, 3.9),
    (32, -11, -100, 3.4),
    (43, 11, -130, 3.2),
    (47, 33, -165, 3.2),
)
# Branches of the aorta: origins in front of it, given where its front lies at y -4.
CELIAC: tuple[Path, ...] = (
    ((-6, -6, 35, 2.4), (-5, 3, 33, 2.4)),
    ((-5, 3, 33, 2.0), (6, 7, 29, 1.8), (16, 14, 24, 1.7), (20, 18, 31, 1.6), (26, 19, 38, 1.2)),  # hepatic
    ((-5, 3, 33, 2.0), (-20, 2, 34, 1.9), (-34, -8, 31, 1.8), (-46, -14, 37, 1.7), (-56, -19, 38, 1.3)),  # splenic
    ((-5, 3, 33, 1.2), (-9, 6, 44, 1.1), (-15, 8, 54, 0.9), (-20, 14, 46, 0.7)),  # left gastric
)
UPPER_MESENTERIC_ARTERY: Path = (
    (-6, -6, 25, 2.3),
    (-5, -1.5, 18, 2.3),
    (-5, 1.5, 8, 2.2),
    (-4, 6, -4, 2.1),
    (-2, 10, -18, 2.0),
    (0, 13, -36, 1.8),
    (3, 15, -52, 1.5),
)
UPPER_MESENTERIC_VEIN: Path = (
    (12, 15, -52, 2.4),
    (9, 14, -36, 2.8),
    (7, 11, -18, 3.2),
    (8, 9, -4, 3.6),
    (10, 9, 8, 4.2),
)
LOWER_MESENTERIC_ARTERY: Path = ((-6, -6, -22, 1.4), (-12, 2, -36, 1.3), (-18, 4, -58, 1.1), (-18, -2, -84, 0.9))
LOWER_MESENTERIC_VEIN: Path = ((-20, 4, -60, 1.2), (-19, 2, -20, 1.4), (-14, 4, 6, 1.6))
CRURA: tuple[Path, ...] = (
    ((13, -14, 68, 3.2), (12, -13, 35, 3.6), (10, -13, 5, 2.6)),
    ((14, -18, 74, 5), (13, -17, 55, 5), (13, -16, 30, 4.5)),
)
PSOAS: Path = (
    (18, -34, 45, 5),
    (22, -33, 10, 9.5),
    (27, -31, -25, 12.5),
    (36, -24, -65, 15),
    (46, 0, -105, 13),
    (52, 23, -138, 10.5),
    (58, 18, -175, 9),
)
QUADRATUS: tuple[Path, ...] = (
    ((30, -51, 38, 4), (31, -51, 10, 5), (34, -50, -20, 5.5), (42, -46, -48, 6)),
    ((35, -51, 38, 4), (38, -51, 10, 5), (42, -49, -20, 5.5), (49, -44, -48, 6)),
    ((40, -51, 36, 3), (45, -51, 10, 4.5), (50, -48, -20, 5.5), (57, -42, -44, 5)),
)
# Upper and lower branch of the pubis, and the ischium.
PUBIS: tuple[Path, ...] = (
    ((46, 12, -134, 7), (28, 35, -146, 5), (8, 46, -152, 6.5), (3, 47, -156, 6.5)),
    ((5, 47, -158, 5.5), (13, 38, -169, 4.2), (24, 20, -178, 4.2), (34, -2, -184, 6)),
)
ISCHIUM: Path = (
    (41, -24, -120, 4.5),
    (46, -21, -131, 6.5),
    (48, -19, -143, 7.5),
    (44, -24, -156, 8),
    (40, -25, -170, 8.5),
    (37, -20, -184, 9),
)
# Neck, shaft and greater trochanter of the femur.
FEMUR: tuple[Path, ...] = (
    ((60, -3, -140, 9), (70, -5, -145, 8), (79, -7, -151, 9)),
    ((78, -7, -150, 9), (79, -6, -166, 9), (79, -4, -190, 8.5)),
    ((80, -8, -151, 7), (83, -11, -142, 7), (83, -13, -136, 5)),
)

# --- upper abdomen ----------------------------------------------------------------------------------

SPLENIC_VEIN: Path = (
    (-56, -20, 33, 2.8),
    (-44, -14, 27, 3.2),
    (-32, -8, 20, 3.5),
    (-14, 4, 12, 3.7),
    (3, 8, 7, 4.0),
    (10, 9, 9, 4.7),
    (16, 11, 19, 5.0),
    (23, 13, 30, 4.8),
)
SPLENIC_BRANCHES: tuple[Path, ...] = (
    ((-55, -16, 33, 2.2), (-59, -22, 46, 1.8), (-63, -28, 56, 1.0)),
    ((-55, -16, 33, 2.2), (-60, -24, 30, 1.7), (-66, -32, 26, 1.0)),
    ((-55, -16, 33, 1.8), (-62, -16, 38, 1.6), (-68, -22, 42, 0.9)),
)
PORTAL_BRANCHES: tuple[Path, ...] = (
    ((23, 13, 30, 4.4), (35, 9, 37, 3.8), (47, 4, 40, 3.0)),
    ((23, 13, 30, 4.2), (12, 17, 38, 3.5), (0, 22, 44, 3.0)),
)
# Inside the liver: three hepatic veins with branches, and branches of the portal vein by segment.
HEPATIC_VEINS: tuple[Path, ...] = (
    ((16, 3, 75, 4.4), (34, -10, 66, 3.6), (56, -24, 50, 2.8), (72, -32, 26, 1.4)),
    ((44, -17, 60, 2.4), (62, -8, 50, 1.8), (78, -2, 34, 1.0)),
    ((15, 6, 76, 4.0), (27, 20, 66, 3.3), (40, 34, 48, 2.4), (46, 44, 26, 1.2)),
    ((30, 24, 62, 2.2), (46, 24, 56, 1.6), (62, 26, 44, 0.9)),
    ((13, 7, 76, 3.8), (0, 20, 69, 3.0), (-18, 32, 60, 2.2), (-34, 40, 52, 1.1)),
    ((-6, 25, 66, 1.9), (-10, 40, 52, 1.3), (-12, 48, 40, 0.8)),
)
PORTAL_SEGMENTS: tuple[Path, ...] = (
    ((46, 4, 40, 2.7), (60, 16, 46, 2.1), (72, 22, 58, 1.0)),  # VIII
    ((46, 4, 40, 2.6), (60, 18, 28, 2.0), (70, 28, 8, 1.0)),  # V
    ((47, 3, 40, 2.6), (62, -18, 46, 2.0), (72, -32, 52, 1.0)),  # VII
    ((47, 3, 40, 2.6), (60, -20, 22, 2.0), (68, -32, -4, 1.0)),  # VI
    ((60, 17, 36, 1.6), (74, 8, 26, 1.2), (84, 2, 14, 0.8)),
    ((1, 21, 44, 3.0), (-5, 32, 42, 2.6), (-6, 42, 36, 1.4)),  # umbilical portion
    ((-3, 28, 44, 2.2), (-18, 32, 52, 1.6), (-34, 34, 58, 0.9)),  # II
    ((-6, 36, 41, 2.0), (-20, 42, 40, 1.5), (-34, 44, 40, 0.8)),  # III
    ((-4, 34, 42, 1.9), (10, 42, 42, 1.4), (20, 48, 40, 0.8)),  # IV
    ((12, 17, 38, 1.4), (10, 6, 48, 1.1), (8, 0, 56, 0.7)),  # caudate
)
GALLBLADDER: Path = ((37, 44, -11, 7.5), (36, 36, -3, 8.5), (34, 28, 6, 7.0), (32, 22, 13, 4.0), (31, 19, 18, 2.0))
BILE_DUCTS: tuple[Path, ...] = (
    ((31, 19, 18, 1.2), (29, 19, 22, 1.0), (25, 17, 20, 1.1)),  # cystic
    ((34, 12, 40, 0.9), (27, 17, 32, 1.2), (24, 15, 18, 1.4), (22, 8, 4, 1.4), (24, 4, -10, 1.2)),  # common
)
PANCREAS: Path = (
    (21, 6, -18, 6),
    (20, 9, -5, 9),
    (12, 15, 4, 6.2),
    (-4, 15, 11, 7),
    (-20, 6, 18, 7.5),
    (-36, -5, 25, 7.5),
    (-49, -13, 31, 5.5),
)
UNCINATE: Path = ((20, 5, -12, 7), (12, 2, -14, 5.5), (3, 3, -14, 3.0))
# From the renal pelvis over the psoas and the iliac vessels to the bladder; given for the right side.
URETER: Path = (
    (27, -18, -26, 1.3),
    (24, -12, -55, 1.3),
    (19, -6, -76, 1.3),
    (29, -18, -104, 1.3),
    (26, -12, -132, 1.3),
    (13, 2, -146, 1.3),
)

# --- stomach and bowel ------------------------------------------------------------------------------

STOMACH: Path = (
    (-34, -24, 78, 15), (-41, -16, 66, 21), (-46, 2, 46, 20), (-44, 22, 24, 17), (-34, 34, 6, 15),  # fundus and body
    (-16, 40, -6, 13), (4, 39, -5, 11), (17, 33, 5, 7),  # antrum, pylorus
)  # fmt: skip
DUODENUM: Path = (
    (18, 31, 6, 6.5), (28, 22, 10, 8), (35, 12, 2, 7), (35, 5, -14, 7.5), (30, 2, -30, 7.5),  # bulb, descending part
    (16, 3, -37, 6.5), (2, 4, -35, 5.5), (-12, 3, -28, 6.5),  # between the superior mesenteric artery and the aorta
    (-17, 6, -14, 6.5), (-19, 14, -6, 6),  # up to the duodenojejunal flexure
)  # fmt: skip
COLON: Path = (
    (42, 16, -101, 11), (54, 14, -91, 14), (62, 4, -69, 14), (65, -6, -45, 13.5), (62, -10, -20, 13),  # cecum
    (56, 8, -9, 12.5), (48, 30, -15, 12), (28, 45, -28, 12), (0, 52, -36, 12), (-28, 48, -24, 11.5),  # hepatic flexure
    (-52, 28, 0, 11), (-66, 6, 21, 11), (-71, -16, 10, 10),  # splenic flexure in row 11
    (-72, -24, -15, 9.5), (-71, -21, -45, 9.5), (-64, -9, -74, 9.5), (-49, 7, -95, 9.5),  # descending
    (-30, 18, -105, 9.5), (-8, 18, -98, 10), (14, 12, -98, 10), (22, -2, -108, 10), (12, -14, -118, 10.5),  # sigmoid
    (3, -22, -128, 12), (0, -26, -142, 12.5), (0, -23, -155, 10), (0, -18, -168, 6),  # rectum, anal canal
)  # fmt: skip
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
