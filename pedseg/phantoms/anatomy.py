"""Reference sizes of children by age: height, trunk and organ volumes, from which every phantom is sampled.

Masses of ICRP 89 as printed in Turner, *Atoms, Radiation and Radiation Protection*, Table 16.1 (rows
pancreas, heart, gallbladder and adrenals from memory of the same report), turned into volumes with
1.03-1.06 g/mL and 0.30 g/mL for lung. The pancreas of adults is smaller on CT (`PANCREAS_ML`). Trunk axes after Cristy
and Eckerman, ORNL/TM-8381, made 8 % narrower and 7 % deeper to agree with trunks measured on CT (AJR 2015;204:167).
Numbers for teaching, not a reference phantom.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from pedseg import organs

AGES = (0.0, 1.0, 5.0, 10.0, 15.0, 20.0)  # years; 20 stands for adult

HEIGHT_CM = {"M": (51.0, 76.0, 109.0, 138.0, 167.0, 176.0), "F": (51.0, 76.0, 109.0, 138.0, 161.0, 163.0)}

# Trunk half width, half depth and height in cm.
TRUNK_CM = (
    (6.35, 4.90, 21.6),
    (8.80, 6.50, 30.7),
    (11.45, 7.50, 40.8),
    (13.90, 8.40, 50.8),
    (17.25, 9.80, 63.1),
    (18.2, 11.4, 68.0),  # that of adults on CT, about 33 cm wide and 24 cm deep; the report counts the arms in
)

# Volumes in mL at AGES. Paired organs are given together.
VOLUME_ML = {
    "Liver": (124.0, 314.0, 543.0, 790.0, 1238.0, 1700.0),
    "Spleen": (9.0, 27.0, 47.0, 75.0, 123.0, 142.0),
    "Pancreas": (6.0, 19.0, 34.0, 58.0, 106.0, 132.0),
    "Kidneys": (24.0, 67.0, 105.0, 171.0, 238.0, 295.0),
    "Heart": (44.0, 93.0, 210.0, 352.0, 629.0, 800.0),
    "Lungs": (200.0, 500.0, 1000.0, 1667.0, 3000.0, 4000.0),
    "Stomach": (45.0, 84.0, 128.0, 194.0, 308.0, 390.0),
    "Gallbladder": (3.2, 9.0, 17.0, 30.0, 51.0, 65.0),
    "Adrenals": (5.8, 4.0, 5.0, 7.0, 10.0, 14.0),
    "Bladder": (15.0, 35.0, 80.0, 120.0, 150.0, 180.0),  # as filled in a scan, about 40 % of (age + 2) x 30 mL
}
# On CT the pancreas stops growing at 72 mL (SD 26) and shrinks after 60 (Saisho et al. 2007: 2021 people, birth to 100
# years), far below what ICRP's mass says of adults. How much it shrinks is a guess.
PANCREAS_ML, PANCREAS_SD = 72.4, 0.33  # of adults, the second as that of the logarithm
PANCREAS_YEARS = 11.9  # when ICRP's mass reaches it
ATROPHY_YEARS, ATROPHY = (60.0, 90.0), (1.0, 0.7)


class Tissue(IntEnum):
    """What a voxel of a synthetic child is made of; the scanner gives every tissue its gray value."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    SPONGIOSA = 3
    CORTEX = 4  # cortical bone
    CARTILAGE = 5  # discs and rib ends
    LUNG = 6
    LIVER = 7
    SPLEEN = 8
    KIDNEY_CORTEX = 9
    KIDNEY_MEDULLA = 10
    PANCREAS = 11
    ADRENAL = 12
    ARTERY = 13
    VEIN = 14  # inferior vena cava
    PORTAL = 15  # portal, splenic and hepatic veins
    HEART_BLOOD = 16
    MYOCARDIUM = 17
    BOWEL_WALL = 18
    BOWEL_FLUID = 19
    STOOL = 20
    GAS = 21
    BILE = 22
    URINE = 23
    CORD = 24
    THYMUS = 25
    LUNG_VESSEL = 26
    MESENTERY = 27
    CSF = 28  # fluid and nerve roots around the cord; as gray as the cord on CT
    SCAR = 29  # soft tissue where a tumor was removed
    CLIP = 30  # metal that the surgeon left
    # Not organs, but drawn as well:
    SKIN = 31
    FASCIA = 32  # linea alba and tendons
    FISSURE = 33  # the thin planes between the lobes of a lung
    ASCITES = 34
    TUBE = 35  # of plastic: a line or a tube
    SOFT = 36  # uterus, prostate, lymph nodes, thyroid


def organ_id(name: str) -> int:
    """The label of an organ, by its TG-263 name."""
    return organs.organ(name).id


@dataclass(frozen=True)
class BodySize:
    """One child's size: scale of each axis against the 5-year-old, organ volumes in mL, fat in mm."""

    scale: np.ndarray  # (3,) for x, y, z
    volume_ml: dict[str, float]
    fat_mm: float  # under the skin
    visceral: float = 1.0  # fat around the organs, as a multiple of what is usual


def at_age(row: tuple[float, ...], age_years: float) -> float:
    """A row of the tables at one age, interpolated on a logarithmic scale between the table's ages."""
    return float(np.exp(np.interp(age_years, AGES, np.log(row))))


def usual_volumes_ml(age_years: float) -> dict[str, float]:
    """The median volumes of organs at one age."""
    volumes = {organ: at_age(row, age_years) for organ, row in VOLUME_ML.items()}
    if age_years > PANCREAS_YEARS:
        volumes["Pancreas"] = PANCREAS_ML * float(np.interp(age_years, ATROPHY_YEARS, ATROPHY))
    return volumes


def sample_size(age_years: float, sex: str, rng: np.random.Generator, adiposity: float = 0.0) -> BodySize:
    """Draw one child's size: the table at its age, with log-normal variation (organ volumes vary by about 18 %).

    `adiposity` in standard deviations makes the trunk wider and deeper, not the organs.
    """
    trunk = [at_age(axis, age_years) / axis[2] for axis in zip(*TRUNK_CM, strict=True)]
    stature, girth = np.exp(rng.normal(0.0, (0.03, 0.035)))
    axes = np.array([girth, girth, stature])
    scale = np.array(trunk) * axes
    if sex == "F" and age_years > 10:
        scale[2] *= at_age(HEIGHT_CM["F"], age_years) / at_age(HEIGHT_CM["M"], age_years)
    spread = {"Stomach": 0.3, "Bladder": 0.45, "Gallbladder": 0.3}
    if age_years > PANCREAS_YEARS:
        spread["Pancreas"] = PANCREAS_SD
    volume_ml = {}
    for organ, usual in usual_volumes_ml(age_years).items():
        factor = np.exp(rng.normal(0.0, spread.get(organ, 0.13)))
        volume_ml[organ] = usual * float(axes.prod()) * float(np.clip(factor, 0.5, 2.0))
    fat_mm = float(np.clip(rng.lognormal(np.log(7.0), 0.3), 3.5, 14.0))
    if adiposity:
        scale[:2] *= 1.0 + (0.07 if adiposity > 0 else 0.04) * adiposity
        fat_mm = float(np.clip(fat_mm * np.exp(0.45 * adiposity), 2.5, 45.0))
    return BodySize(scale, volume_ml, fat_mm, float(np.exp(0.5 * adiposity)))
