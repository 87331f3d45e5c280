"""Map the ROI names of planning systems and public data sets to TG-263: exact tables, sides in any spelling.

`Lt Kidney`, `KIDNEY_LEFT` and `li. Niere` are one organ; `Kidny_L` is none, and comes back with the nearest name
for a person to decide. Where the table's organ is larger than the contours of others (lobes make a lung; stomach,
duodenum and bowels make Bowel^Stomach), all parts must be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pedseg.errors import InputProblem, input_error, raise_problems
from pedseg.organs import NAMES, ORGANS, is_marked, normalize, recognize, suggest

IGNORE = "ignore"  # in the place of an organ: the contour is not imported

# How the masks of TotalSegmentator v2 make up the organs of the table; every part must be there.
# Its spinal_cord is thinner than SpinalCanal and its vertebrae_* are more than VBs: left out.
TOTALSEGMENTATOR_PARTS: dict[str, tuple[str, ...]] = {
    "Liver": ("liver",),
    "Spleen": ("spleen",),
    "Pancreas": ("pancreas",),
    "Kidney_L": ("kidney_left",),
    "Kidney_R": ("kidney_right",),
    "Lung_L": ("lung_upper_lobe_left", "lung_lower_lobe_left"),
    "Lung_R": ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    "Heart": ("heart",),
    "Bowel^Stomach": ("stomach", "duodenum", "small_bowel", "colon"),
    "Esophagus": ("esophagus",),
    "Gallbladder": ("gallbladder",),
    "Glnd_Adrenal_L": ("adrenal_gland_left",),
    "Glnd_Adrenal_R": ("adrenal_gland_right",),
    "A_Aorta": ("aorta",),
    "V_Venacava_I": ("inferior_vena_cava",),
    "V_Portal": ("portal_vein_and_splenic_vein",),
    "Bladder": ("urinary_bladder",),
}
# Its MR data set has whole lungs in place of lobes.
TOTALSEGMENTATOR_MR_PARTS = TOTALSEGMENTATOR_PARTS | {"Lung_L": ("lung_left",), "Lung_R": ("lung_right",)}
# A mask of a whole organ: named as TotalSegmentator does where it has one.
MASK_OF = {
    organ.name: parts[0] if len(parts) == 1 else organ.plain.replace(" ", "_")
    for organ, parts in ((organ, TOTALSEGMENTATOR_PARTS.get(organ.name, ())) for organ in ORGANS)
}
PARTS_OF = {"CT": TOTALSEGMENTATOR_PARTS, "MR": TOTALSEGMENTATOR_MR_PARTS}

LEFT = {"l", "lt", "left", "li", "links", "linke", "linker"}
RIGHT = {"r", "rt", "right", "re", "rechts", "rechte", "rechter"}

# Other names of the parts that TotalSegmentator draws, as planning systems and public data sets write them.
PART_ALIASES = {
    "stomach": ("magen", "maag"),
    "duodenum": ("zwölffingerdarm",),
    "small_bowel": ("small intestine", "bowel small", "dünndarm", "smallbowel"),
    "colon": ("large intestine", "bowel large", "large bowel", "dickdarm", "largebowel"),
}


def masks_of(name: str, modality: str, masks: set[str]) -> tuple[str, ...]:
    """Which masks of a folder make up an organ: all its parts, or one of the whole; none if it is not complete."""
    parts = PARTS_OF[modality].get(name, ())
    return parts if parts and masks.issuperset(parts) else tuple(masks & {MASK_OF[name]})


@dataclass
class NameMapping:
    """TG-263 name -> the ROI names that make up the organ; and the ROIs that are not imported."""

    organs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)
    incomplete: dict[str, tuple[str, ...]] = field(default_factory=dict)  # organ -> parts that are missing

    def messages(self) -> list[str]:
        """What was not imported, and what was joined, a line each."""
        lines = []
        for name in sorted(self.unmapped):
            near = suggest(name)
            hint = f" (did you mean {near}? then say so with --names)" if near else ""
            lines.append(f"not imported: {name}{hint}")
        for organ, missing in self.incomplete.items():
            lines.append(f"not imported: {organ}, of which {', '.join(missing)} is missing")
        lines += [f"{organ}: joined from {', '.join(names)}" for organ, names in self.organs.items() if len(names) > 1]
        return lines


def normalize_roi_name(name: str) -> str:
    """A ROI name in one spelling: case and punctuation gone, the side in English and at the end."""
    if is_marked(name):
        return name  # no name of the table begins or ends so
    words = normalize(name).split()
    sides = ["left" for word in words if word in LEFT] + ["right" for word in words if word in RIGHT]
    return " ".join([word for word in words if word not in LEFT | RIGHT] + sides)


# ROI name in one spelling -> organ, and which part of it ("" for the whole)
_MEANING = {
    normalize_roi_name(alias): (organ, part)
    for organ, parts in TOTALSEGMENTATOR_PARTS.items()
    if len(parts) > 1 and organ in NAMES
    for part in parts
    for alias in (part, *PART_ALIASES.get(part, ()))
} | {normalize_roi_name(alias): (organ.name, "") for organ in ORGANS for alias in (organ.name, *organ.aliases)}


def map_roi_names(names: Iterable[str], own: Mapping[str, str] | None = None, file: Path | str = "") -> NameMapping:
    """Which organs a set of ROI names holds; `own` is the user's table of names, "" for what is to be ignored.

    An organ that is drawn as a whole and in parts is all of them together. Raises `PedsegInputError` if two names mean
    the same organ, or the same part of one, and the user's table does not join them.
    """
    own, mapping = own or {}, NameMapping()
    meant: dict[tuple[str, str], list[str]] = {}  # (organ, part of it or ""): ROI names
    problems = []
    for name in names:
        organ, part = (own[name], "") if name in own else _MEANING.get(normalize_roi_name(name), (None, ""))
        if organ is None:
            mapping.unmapped.append(name)
        elif organ:
            others = meant.setdefault((organ, part), [])
            if others and not {name, *others} <= own.keys():
                problem = f"{name!r} and {others[0]!r} both mean {part or organ}."
                remedy = f"Join them (`{organ}`), or ignore one, by a line for each in the table of --names."
                problems.append(InputProblem("E-ORGAN-TWICE", str(file), problem, remedy))
            others.append(name)
    raise_problems(problems)
    for organ in (organ for organ in NAMES if organ in {organ for organ, _ in meant}):
        missing = tuple(part for part in TOTALSEGMENTATOR_PARTS.get(organ, ()) if (organ, part) not in meant)
        if missing and (organ, "") not in meant:
            mapping.incomplete[organ] = missing
        else:
            mapping.organs[organ] = tuple(
                name for (owner, _), joined in meant.items() if owner == organ for name in joined
            )
    return mapping


def read_names(file: Path | None, *, comments: bool = False) -> dict[str, str]:
    """A table of the user's own names: ROI name, tab, TG-263 name or `ignore` (""); refused with all its odd lines.

    With `comments`, lines that begin with # are passed over; ROI names may begin with one.
    """
    if file is None:
        return {}
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problem = f"it cannot be read ({error})."
        raise input_error("E-ORGAN-NAMES", file, problem, "Write a text file in UTF-8.") from error
    names: dict[str, str] = {}
    problems = []
    for line in filter(str.strip, lines):
        if comments and line.startswith("#"):
            continue
        name, *meant = (part.strip() for part in line.split("\t"))
        organ = recognize(meant[0]) if len(meant) == 1 else None
        if organ is None and meant != [IGNORE]:
            remedy = f"Each line is: foreign name, tab, one of {', '.join(NAMES)} or {IGNORE}."
            problem = f"the line {line!r} names no organ of the table."
            problems.append(InputProblem("E-ORGAN-NAMES", str(file), problem, remedy))
        if name in names:
            problem, remedy = f"{name!r} has two lines.", "Keep the one that is meant."
            problems.append(InputProblem("E-ORGAN-NAMES", str(file), problem, remedy))
        names[name] = organ.name if organ else ""
    raise_problems(problems)
    return names
