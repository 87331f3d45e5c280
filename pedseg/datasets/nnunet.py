"""The layout of nnU-Net v2 raw, with or without pedseg's own table `cases.tsv`: which cases a folder holds.

No voxel is read here. Whatever is doubtful becomes a finding; nothing is guessed.
"""

from __future__ import annotations

import json
from pathlib import Path

from pedseg.datasets.cases import DataSet, assign_splits, folder_tail
from pedseg.datasets.cases_table import Files, read_case, read_rows, unfinished
from pedseg.datasets.survey import Survey, center_name
from pedseg.organ_names import IGNORE
from pedseg.organs import NAMES, recognize, suggest

MODALITY_OF = {"CT": "CT", "CT+MR": "", **dict.fromkeys(("MR", "MRI", "T1", "T2", "T1W", "T2W"), "MR")}


def survey_nnunet(folder: Path, found: Survey) -> None:
    """List the cases of dataset.json, imagesTr, labelsTr, imagesTs and labelsTs.

    Without `cases.tsv`, every case is a patient of its own, every organ that dataset.json lists counts
    as annotated in every case, and images without a labelsTs folder are not labeled.
    """
    about = _read_json(folder / "dataset.json", found)
    if about is None:
        return
    ending = about.get("file_ending")
    if ending not in (".nii.gz", ".nii"):
        found.note(
            "E-DATASET-JSON", folder / "dataset.json", f"file_ending is {ending!r}.", "Store .nii.gz files and say so."
        )
        return
    modality = _read_modality(folder / "dataset.json", about, found)
    labels = _read_labels(folder, about, found)
    files = _pair_files(folder, ending, found)
    rows = read_rows(folder / "cases.tsv", {name: file[0] for name, file in files.items()}, found)
    own = about.get("pedseg")
    found.situs_inversus = tuple(own.get("situs_inversus", ())) if isinstance(own, dict) else ()
    found.absent_stated = bool(rows) and all(row.get("absent") is not None for row in rows.values())
    found.sha256 = {name: row["sha256_image"] for name, row in rows.items() if row.get("sha256_image")}
    drawn = tuple(name for name in NAMES if name in labels.values())
    cases = [read_case(folder, name, files[name], rows.get(name, {}), drawn, found, modality) for name in sorted(files)]
    centers = {case.center for case in cases}
    if len(centers) > 1:
        found.note(
            "E-CENTER",
            folder / "cases.tsv",
            f"one data set names {len(centers)} centers: {', '.join(sorted(centers))}.",
            "Give each center a folder.",
        )
    center = cases[0].center if cases else center_name(folder)
    found.dataset = DataSet(folder, center, tuple(assign_splits(cases)), labels)


def _read_json(file: Path, found: Survey) -> dict | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
        problem = "it holds no table of keys"
    except (OSError, ValueError) as error:
        problem = str(error)
    found.note("E-DATASET-JSON", file, f"this file cannot be read ({problem}).", "Write it as nnU-Net v2 asks for.")
    return None


def _read_modality(file: Path, about: dict, found: Survey) -> str:
    """What the one channel holds: "CT", "MR", or "" where each case is one of both and says which."""
    channels = about.get("channel_names")
    if not isinstance(channels, dict) or len(channels) != 1:
        found.note("E-CHANNELS", file, f"channel_names is {channels!r}.", 'One channel is needed: {"0": "CT"}.')
        return "CT"
    name = str(next(iter(channels.values()))).upper()
    if name not in MODALITY_OF:
        remedy = 'Give CT or MR scans: {"0": "CT"}, {"0": "MR"}, or {"0": "CT+MR"} with a column modality in cases.tsv.'
        found.note("E-MODALITY", file, f"the channel is {next(iter(channels.values()))!r}.", remedy)
    return MODALITY_OF.get(name, "CT")


def _read_labels(folder: Path, about: dict, found: Survey) -> dict[int, str]:
    """`labels` of dataset.json -> {number: organ name, or "" for what organ_names.tsv ignores}."""
    file = folder / "dataset.json"
    labels = about.get("labels")
    if not isinstance(labels, dict) or not all(type(number) is int for number in labels.values()):
        remedy = (
            'Write {"background": 0, "Liver": 1, …}; regions and the order {"1": "liver"} of nnU-Net v1 are not read.'
        )
        found.note("E-DATASET-JSON", file, "labels is no table of names and numbers.", remedy)
        return {}
    translation = _read_organ_names(folder / "organ_names.tsv", found)
    meaning: dict[int, str] = {}
    for name, number in labels.items():
        if name == "background" and number == 0:
            continue
        known = recognize(name)
        organ = translation.get(name, known.name if known else None)
        if organ is None:
            near = suggest(name)
            hint = f" Did you mean {near}?" if near else ""
            remedy = f"Write a line `{name}<tab>TG-263 name` (or `{IGNORE}`) in organ_names.tsv beside it.{hint}"
            found.note("E-ORGAN-UNKNOWN", file, f"the organ table has no {name!r} (label {number}).", remedy)
        elif number in meaning or number == 0:
            found.note(
                "E-DATASET-JSON",
                file,
                f"the number {number} of {name!r} has another meaning too.",
                "Give each label a number.",
            )
        elif organ and organ in meaning.values() and name not in translation:
            found.note(
                "E-ORGAN-TWICE",
                file,
                f"{name!r} is {organ}, which another label is already.",
                "Join them by two lines in organ_names.tsv.",
            )
        meaning[number] = organ or ""
    if not any(meaning.values()):
        found.note("E-DATASET-JSON", file, "labels names no organ of the table.", "Name the organs that are drawn.")
    return meaning


def _read_organ_names(file: Path, found: Survey) -> dict[str, str]:
    """The owner's own translation, two columns: foreign name, TG-263 name or `ignore` ("")."""
    translation: dict[str, str] = {}
    if not file.is_file():
        return translation
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name, *meant = (part.strip() for part in line.split("\t"))
        if not line.strip() or line.startswith("#"):
            continue
        organ = recognize(meant[0]) if len(meant) == 1 else None
        if organ is None and meant != [IGNORE]:
            remedy = f"Each line is: foreign name, tab, one of {', '.join(NAMES)} or {IGNORE}."
            found.note("E-ORGAN-NAMES", file, f"the line {line!r} names no organ of the table.", remedy)
            continue
        translation[name] = organ.name if organ else ""
    return translation


def _pair_files(folder: Path, ending: str, found: Survey) -> dict[str, Files]:
    """Case name -> (image, label map or None, whether it lies in the test folders)."""
    pairs: dict[str, Files] = {}
    marked, unlabeled = unfinished(folder)
    for tail in ("Tr", "Ts"):
        coming = {name for name, split in marked.items() if not split or tail != folder_tail(split)}
        images = _names(folder / f"images{tail}", f"_0000{ending}", ending, found, coming)
        labels = _names(folder / f"labels{tail}", ending, ending, found, coming | (marked.keys() & unlabeled))
        for name in sorted(labels.keys() - images.keys()):
            found.note(
                "E-IMAGE-MISSING",
                labels[name],
                "this label map has no image.",
                f"Add images{tail}/{name}_0000{ending} or remove it.",
            )
        for name, image in images.items():
            if name in pairs:
                found.note("E-CASE-TWICE", image, f"the case {name} also lies in imagesTr.", "Remove one of the two.")
            elif name not in labels and name not in unlabeled and (labels or tail == "Tr"):
                found.note(
                    "E-LABEL-MISSING",
                    image,
                    "this image has no label map.",
                    f"Add labels{tail}/{name}{ending} or remove it.",
                )
            pairs.setdefault(name, (image, labels.get(name), tail == "Ts"))
    if not pairs:
        found.note(
            "E-NO-CASE", folder, "there is no image in imagesTr or imagesTs.", f"Add imagesTr/CASE_0000{ending}."
        )
    return pairs


def _names(folder: Path, tail: str, ending: str, found: Survey, coming: set[str]) -> dict[str, Path]:
    """Case name -> file, for the files of one folder; hidden files and those of an import under way do not count."""
    files = {}
    for file in sorted(folder.glob("[!.]*")):
        name = file.name.removesuffix(tail)
        if name in coming:
            continue
        if name and name != file.name:
            files[name] = file
        elif file.name.endswith((".nii", ".nii.gz")):
            remedy = f"Name images CASE_0000{ending} and label maps CASE{ending}; one channel a case."
            found.note("E-CASE-NAME", file, f"the name does not end in {tail}.", remedy)
    return files
