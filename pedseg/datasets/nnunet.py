"""The layout of nnU-Net v2 raw (dataset.json, imagesTr, labelsTr), with or without `cases.tsv`: its cases.

No voxel is read here. Whatever is doubtful becomes a problem; nothing is guessed.
"""

from __future__ import annotations

from pathlib import Path

from pedseg.datasets.cases import UNLABELED, DataSet, DataSetListing, assign_splits, center_name, folder_suffix
from pedseg.datasets.cases_table import Files, cases_being_imported, listed_splits, read_case, read_rows
from pedseg.datasets.loading import LARGEST_LABEL
from pedseg.errors import collect_problems
from pedseg.organ_names import IGNORE, read_names
from pedseg.organs import NAMES, recognize, suggest
from pedseg.scan import is_nifti_name
from pedseg.tables import read_json

MODALITY_OF = {"CT": "CT", "CT+MR": "", **dict.fromkeys(("MR", "MRI", "T1", "T2", "T1W", "T2W"), "MR")}

UNDECIDED = "its label `ignore` marks voxels that nobody decided.", "Take out the cases that hold it, then the label."


def list_nnunet(folder: Path, listing: DataSetListing) -> None:
    """List the cases of dataset.json, imagesTr, labelsTr, imagesTs and labelsTs.

    Without `cases.tsv`, every case is a patient of its own, every organ that dataset.json lists counts
    as annotated in every case, and images without a labelsTs folder are not labeled.
    """
    file = folder / "dataset.json"
    content = _read_json(file, listing)
    if content is None:
        return
    ending = content.get("file_ending")
    if ending not in (".nii.gz", ".nii"):
        problem = f"file_ending is {ending!r}."
        listing.add_problem("E-DATASET-JSON", file, problem, "Store .nii.gz files and say so.")
        return
    modality = _read_modality(file, content, listing)
    labels = _read_labels(file, content, listing)
    files = _pair_files(folder, ending, listing)
    table = folder / "cases.tsv"
    rows = read_rows(table, {name: image for name, (image, _, _) in files.items()}, listing)
    own = content.get("pedseg")
    listing.situs_inversus = _read_situs_inversus(file, own, listing)
    listing.absent_stated = bool(rows) and all(row.get("absent") is not None for row in rows.values())
    listing.sha256 = {name: row["sha256_image"] for name, row in rows.items() if row.get("sha256_image")}
    labeled = tuple(name for name in NAMES if name in labels.values())
    cases = [
        read_case(table, name, files[name], rows.get(name, {}), labeled, modality, listing) for name in sorted(files)
    ]
    centers = {case.center for case in cases}
    if len(centers) > 1:
        problem = f"one data set names {len(centers)} centers: {', '.join(sorted(centers))}."
        listing.add_problem("E-CENTER", table, problem, "Give each center a folder.")
    center = cases[0].center if cases else center_name(folder)
    listing.dataset = DataSet(folder, center, tuple(assign_splits(cases)), labels)


def _read_json(file: Path, listing: DataSetListing) -> dict | None:
    try:
        content = read_json(file)
        if isinstance(content, dict):
            return content
        reason = "it holds no table of keys"
    except (OSError, ValueError) as error:
        reason = str(error)
    problem = f"this file cannot be read ({reason})."
    listing.add_problem("E-DATASET-JSON", file, problem, "Write it as nnU-Net v2 asks for.")
    return None


def _read_modality(file: Path, content: dict, listing: DataSetListing) -> str:
    """What the one channel holds: "CT", "MR", or "" where each case is one of both and says which."""
    channels = content.get("channel_names")
    if not isinstance(channels, dict) or len(channels) != 1:
        problem = f"channel_names is {channels!r}."
        listing.add_problem("E-CHANNELS", file, problem, 'One channel is needed: {"0": "CT"}.')
        return "CT"
    (channel,) = channels.values()
    name = str(channel).upper()
    if name not in MODALITY_OF:
        remedy = 'Give CT or MR scans: {"0": "CT"}, {"0": "MR"}, or {"0": "CT+MR"} with a column modality in cases.tsv.'
        listing.add_problem("E-MODALITY", file, f"the channel is {channel!r}.", remedy)
    return MODALITY_OF.get(name, "CT")


def _read_situs_inversus(file: Path, own: object, listing: DataSetListing) -> tuple[str, ...]:
    """The cases that `pedseg` in dataset.json names as truly mirrored."""
    cases = own.get("situs_inversus", []) if isinstance(own, dict) else []
    if isinstance(cases, list) and all(isinstance(case, str) for case in cases):
        return tuple(cases)
    remedy = 'Write {"situs_inversus": ["CASE"]}, or leave it out.'
    listing.add_problem("E-DATASET-JSON", file, f"situs_inversus is {cases!r}, no list of cases.", remedy)
    return ()


def _read_labels(file: Path, content: dict, listing: DataSetListing) -> dict[int, str]:
    """`labels` of dataset.json -> {number: organ name, or "" for what organ_names.tsv ignores}."""
    labels = content.get("labels")
    if not isinstance(labels, dict) or not all(type(n) is int and 0 <= n <= LARGEST_LABEL for n in labels.values()):
        form = 'Write {"background": 0, "Liver": 1, …}'
        remedy = f'{form}; regions and the order {{"1": "liver"}} of nnU-Net v1 are not read.'
        listing.add_problem("E-DATASET-JSON", file, "labels is no table of names and numbers.", remedy)
        return {}
    own: dict[str, str] = {}
    table = file.with_name("organ_names.tsv")
    with collect_problems(listing.problems):
        own = read_names(table if table.is_file() else None, comments=True)
    organs: dict[int, str] = {}
    for name, number in labels.items():
        if name == "background" and number == 0:
            continue
        if name.casefold() == IGNORE:
            listing.add_problem("E-DATASET-JSON", file, *UNDECIDED)
            continue
        known = recognize(name)
        organ = own.get(name, known.name if known else None)
        if organ is None:
            near = suggest(name)
            hint = f" Did you mean {near}?" if near else ""
            remedy = f"Write a line `{name}<tab>TG-263 name` (or `{IGNORE}`) in organ_names.tsv beside it.{hint}"
            problem = f"the organ table has no {name!r} (label {number})."
            listing.add_problem("E-ORGAN-UNKNOWN", file, problem, remedy)
        elif number in organs or number == 0:
            problem = f"the number {number} of {name!r} has another meaning too."
            listing.add_problem("E-DATASET-JSON", file, problem, "Give each label a number.")
        elif organ and organ in organs.values() and name not in own:
            problem = f"{name!r} is {organ}, which another label is already."
            listing.add_problem("E-ORGAN-TWICE", file, problem, "Join them by two lines in organ_names.tsv.")
        organs[number] = organ or ""
    if not any(organs.values()):
        problem = "labels names no organ of the table."
        listing.add_problem("E-DATASET-JSON", file, problem, "Name the organs that are drawn.")
    return organs


def _pair_files(folder: Path, ending: str, listing: DataSetListing) -> dict[str, Files]:
    """Case name -> (image, label map or None, whether it lies in the test folders)."""
    pairs: dict[str, Files] = {}
    splits, importing = listed_splits(folder), cases_being_imported(folder)
    unlabeled = {name for name, split in splits.items() if split == UNLABELED}
    for tail in ("Tr", "Ts"):
        # Of a case that is being imported, only the files count that the table lists from before.
        hidden = {name for name in importing if name not in splits or tail != folder_suffix(splits[name])}
        images = _list_files(folder / f"images{tail}", f"_0000{ending}", ending, listing, hidden)
        labels = _list_files(folder / f"labels{tail}", ending, ending, listing, hidden | (importing & unlabeled))
        for name in sorted(labels.keys() - images.keys()):
            remedy = f"Add images{tail}/{name}_0000{ending} or remove it."
            listing.add_problem("E-IMAGE-MISSING", labels[name], "this label map has no image.", remedy)
        for name, image in images.items():
            if name in pairs:
                problem = f"the case {name} also lies in imagesTr."
                listing.add_problem("E-CASE-TWICE", image, problem, "Remove one of the two.")
            elif name not in labels and name not in unlabeled and (labels or tail == "Tr"):
                remedy = f"Add labels{tail}/{name}{ending} or remove it."
                listing.add_problem("E-LABEL-MISSING", image, "this image has no label map.", remedy)
            pairs.setdefault(name, (image, labels.get(name), tail == "Ts"))
    if not pairs:
        remedy = f"Add imagesTr/CASE_0000{ending}."
        listing.add_problem("E-NO-CASE", folder, "there is no image in imagesTr or imagesTs.", remedy)
    return pairs


def _list_files(folder: Path, suffix: str, ending: str, listing: DataSetListing, hidden: set[str]) -> dict[str, Path]:
    """Case name -> file, for the files of one folder; hidden files and those of an import under way do not count."""
    files = {}
    for file in sorted(folder.glob("[!.]*")):
        name = file.name.removesuffix(suffix)
        if name in hidden:
            continue
        if name and name != file.name:
            files[name] = file
        elif is_nifti_name(file):
            remedy = f"Name images CASE_0000{ending} and label maps CASE{ending}; one channel a case."
            listing.add_problem("E-CASE-NAME", file, f"the name does not end in {suffix}.", remedy)
    return files
