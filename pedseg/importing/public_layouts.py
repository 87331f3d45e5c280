"""Scans that others have made ready: NIfTI, nnU-Net raw, TotalSegmentator v2, AMOS22, datalists of MSD and MONAI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from pedseg import tables
from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_labels, refuse_other_grid, whole_numbers
from pedseg.datasets.nnunet import UNDECIDED
from pedseg.datasets.reading import is_data_set, list_cases
from pedseg.datasets.totalsegmentator import SCANS, is_totalsegmentator
from pedseg.dicom.dicom_files import find_dicom_files
from pedseg.errors import InputProblem, input_error
from pedseg.importing.dicom_folders import list_dicom_scans
from pedseg.importing.scan_sources import ImportOptions, LoadedScan, ScanSource, merge_masks, read_clean_nifti
from pedseg.organ_names import IGNORE, NameMapping, map_roi_names
from pedseg.organs import recognize
from pedseg.scan import is_nifti_name, nifti_stem, read_nifti, to_ras

# Formats of scans that are not read, by the ending of their names.
FOREIGN = {".nrrd": "NRRD", ".nhdr": "NRRD", ".mha": "MetaImage", ".mhd": "MetaImage", ".hdr": "a pair of files"}
RESAVE = "Save it as .nii.gz in 3D Slicer, or by SimpleITK: `WriteImage(ReadImage('IN'), 'OUT.nii.gz')`."
PUBLIC_ID = re.compile(r"s\d{4}|amos_\d{4}")  # names that scans have in public collections
FIRST_MR_OF_AMOS = 500
LISTS = {"training": "", "validation": "validation", "testing": "test", "test": "test"}


def list_scans(source: Path, options: ImportOptions) -> tuple[list[ScanSource], list[InputProblem], list[str]]:
    """The scans of a source in any known layout, what is wrong with others, and what was left out on purpose."""
    if source.suffix == ".json" and source.is_file():
        return _list_datalist(source, options)
    foreign = check_formats(source)
    folder = (source.parent if source.name in SCANS else source).resolve()
    if (folder / "segmentations").is_dir() and any((folder / name).is_file() for name in SCANS):
        _refuse_options(source, options, "Rename the masks.")
        return (*_list_dataset(folder.parent, silver=True, only=folder), [])
    content = source / "dataset.json"
    if content.is_file() and _is_datalist(content):
        return _list_datalist(content, options)
    if content.is_file():
        _refuse_options(source, options, "Put the table of names beside dataset.json, as organ_names.tsv.")
        return (*_list_dataset(source), [])
    if is_totalsegmentator(source):
        _refuse_options(source, options, "Rename the masks.")
        return (*_list_dataset(source, silver=True), [])
    files = [file for file in [source, *sorted(source.glob("[!.]*"))] if is_nifti_name(file) and file.is_file()]
    if files:
        images = files[0].resolve().parent
        labels = images.with_name(images.name.replace("images", "labels"))
        beside = [f"contours in {labels}: name the folder above"] if labels != images and labels.is_dir() else []
        _refuse_options(source, options, "Leave it out: scans without contours have nothing to name.")
        below = sum(is_nifti_name(file) for file in source.glob("[!.]*/**/[!.]*"))
        if below and not beside:
            beside = [f"{below} NIfTI file(s) in subfolders: import each folder by itself"]
        return [_nifti(file) for file in files], foreign, beside
    scans, problems, left_out = list_dicom_scans(source, options)
    return scans, problems + foreign, left_out


def _refuse_options(source: Path, options: ImportOptions, remedy: str) -> None:
    """Refuse options that change nothing in a source that says itself how it is to be read."""
    changed = [name for name, value in asdict(options).items() if value]
    if changed:
        option = changed[0].replace("_", "-").replace("repairs", "repair")
        raise input_error("E-OPTION", source, f"--{option} changes nothing in such a source.", remedy)


def needs_import(source: Path) -> bool:
    """Whether scans lie in a layout that must be imported: neither a data set nor a folder of them."""
    content = source / "dataset.json"
    if content.is_file():
        return _is_datalist(content)
    return not is_data_set(source) and not any(map(is_data_set, source.glob("[!.]*/")))


def check_formats(source: Path) -> list[InputProblem]:
    """The scans of a source in formats that are not read; refused if it holds NIfTI and DICOM, perhaps of one scan."""
    files = [path for path in sorted([source, *source.rglob("[!.]*")]) if path.is_file()]
    candidates = [file for file in files if is_nifti_name(file) or file.suffix.lower() in FOREIGN]
    dicom = {file.path: file for file in find_dicom_files(source)[0]} if candidates else {}
    nifti, foreign = [file for file in candidates if is_nifti_name(file) and file not in dicom], []
    if nifti and dicom:
        problem = (
            f"it holds NIfTI ({nifti[0].relative_to(source)}) and DICOM ({next(iter(dicom)).relative_to(source)})."
        )
        raise input_error("E-SOURCE-MIXED", source, problem, "Give each a folder, and name one of them.")
    for file in sorted({*candidates} - {*nifti, *dicom}):
        foreign.append(InputProblem("E-NOT-NIFTI", str(file), f"{FOREIGN[file.suffix.lower()]} is not read.", RESAVE))
    return foreign


def _is_datalist(file: Path) -> bool:
    """Whether a dataset.json lists its scans, as MSD and AMOS22 do; that of nnU-Net v2 names its channels."""
    try:
        content = tables.read_json(file)
        return "training" in content and "channel_names" not in content
    except (OSError, ValueError, TypeError):
        return False


def _nifti(file: Path) -> ScanSource:
    """A scan without contours."""
    return ScanSource(file, str(file.resolve()), str(file.resolve()), lambda: read_clean_nifti(file))


def _list_dataset(
    folder: Path, silver: bool = False, only: Path | None = None
) -> tuple[list[ScanSource], list[InputProblem]]:
    """The cases of nnU-Net v2 raw, or of TotalSegmentator v2, whose contours a program drew; `only` one of its folders.

    What is wrong with a table is wrong with all its cases: none of them is a scan to import.
    """
    listing = list_cases(folder)
    cases = [case for case in listing.dataset.cases if only in (None, case.image_file.parent)]
    problems = [problem for problem in listing.problems if problem.code != "E-TOO-FEW"]
    named = {Path(problem.file) for problem in problems}
    bad_tables = {file for file in named if file == folder or file.suffix in (".json", ".tsv", ".csv")}
    problems = [problem for problem in problems if not only or Path(problem.file) in {only, *bad_tables}]
    refused = {file.name for file in named}
    sound = [c for c in cases if not bad_tables and not refused & {c.image_file.name, Path(c.label_file or "").name}]
    return [_case(listing.dataset, case, silver) for case in sound], problems


def _case(dataset: DataSet, case: Case, silver: bool) -> ScanSource:
    def load() -> LoadedScan:
        loaded = read_clean_nifti(case.image_file)
        labels = load_labels(dataset, case) if case.label_file else None
        automatic = case.annotated if silver else case.silver
        manual = tuple(name for name in case.annotated if name not in automatic)
        kept = ("age_months", "sex", "posture", "tumor", "months_since_surgery", "phase", "modality", "sequence")
        attributes = {name: getattr(case, name) for name in kept}
        ras = to_ras(loaded.image)
        return replace(loaded, image=ras, labels=labels, manual=manual, silver=automatic, attributes=attributes)

    public_id = case.name if PUBLIC_ID.fullmatch(case.name) else ""
    patient = f"{dataset.folder.resolve()} {case.patient}"
    return ScanSource(case.image_file, patient, case.name, load, case.split, public_id, case.label_file is not None)


def _list_datalist(file: Path, options: ImportOptions) -> tuple[list[ScanSource], list[InputProblem], list[str]]:
    """A list of images and label maps in JSON, as the decathlon (MSD), AMOS22 and MONAI write it."""
    unused = replace(options, names=None, repairs=tuple(word for word in options.repairs if word != "overlaps"))
    _refuse_options(file, unused, "Leave it out: a list has names and overlaps only.")
    own = dict(options.names or {})
    form = '{"labels": {"0": "background", "1": "liver"}, "training": [{"image": "a.nii.gz", "label": "b.nii.gz"}]}'
    try:
        content = tables.read_json(file)
        lists = {name: list(content.get(name) or []) for name in LISTS}
        labels = _label_names(content.get("labels")) or _label_names({name: name for name in own if name.isdecimal()})
        entries = [(split, *_entry(file.parent, item)) for name, split in LISTS.items() for item in lists[name]]
        tables.unique(dict.fromkeys((str(label), image.resolve()) for _, image, label in entries if label))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        problem = f"it is no list of scans ({str(error)[:200]})."
        raise input_error("E-DATALIST", file, problem, f"Write {form}.") from error
    if not entries:
        raise input_error("E-DATALIST", file, "it lists no scan.", f"Write {form}.")
    mapping = map_roi_names(labels.values(), own, file)
    if not mapping.organs and any(label for _, _, label in entries):
        left_out = "; ".join(mapping.messages())
        problem = f"it does not say which organ a number of its label maps is{left_out and f' ({left_out})'}."
        remedy = f"Write {form}. Or give --names with lines of number, tab, organ."
        raise input_error("E-DATALIST", file, problem, remedy)
    datalist = _Datalist(labels, mapping, content.get("modality"), options)
    unknown = [f"the list {name!r}" for name, items in content.items() if name not in LISTS and _lists_scans(items)]
    return [datalist.source(*entry) for entry in entries], [], [*unknown, *mapping.messages()]


def _lists_scans(items: object) -> bool:
    """Whether an entry of a list is one of scans, under a name that nobody knows."""
    return isinstance(items, list) and any("image" in item for item in items if isinstance(item, Mapping))


def _label_names(labels: object) -> dict[int, str]:
    """Number -> name, from `{"1": "liver"}` (MSD) or `{"liver": 1}` (nnU-Net v2); background left out."""
    if not isinstance(labels, Mapping):
        return {}
    by_number = all(str(key).isdecimal() for key in labels)
    names = tables.one_to_one((int(a), str(b)) if by_number else (int(str(b)), str(a)) for a, b in labels.items())
    if any(name.casefold() == IGNORE for name in names.values()):
        raise ValueError(UNDECIDED[0])
    if recognize(names.pop(0, "")):
        raise ValueError("label 0 is background, and no organ")
    return names


def _entry(folder: Path, item: object) -> tuple[Path, Path | None]:
    """Image and label map of one entry; a list may not reach out of its own folder."""
    entry = {"image": item} if isinstance(item, str) else dict(item)  # type: ignore[call-overload]
    image, *others = [entry["image"]] if isinstance(entry["image"], str) else entry["image"]
    if others:
        raise ValueError(f"{image!r} has more than one channel")
    paths = [image, entry["label"]] if entry.get("label") else [image]
    for path in paths:
        if PurePosixPath(path).is_absolute() or Path(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"the path {path!r} leads out of its folder")
    files = [folder / path for path in paths]
    return files[0], files[1] if len(files) > 1 else None


@dataclass(frozen=True)
class _Datalist:
    """What a list says of all its scans."""

    labels: Mapping[int, str]
    mapping: NameMapping
    modality: object
    options: ImportOptions

    def source(self, split: str, image: Path, label: Path | None) -> ScanSource:
        """One scan of the list."""
        name = nifti_stem(image)
        public_id = name if PUBLIC_ID.fullmatch(name) else ""
        place = str(image.resolve())
        return ScanSource(image, place, name, lambda: self.load(image, label), split, public_id, label is not None)

    def attributes(self, image: Path) -> dict[str, str]:
        """CT or MR: AMOS22 tells by its number, other lists say `"modality": {"0": "MRI"}`."""
        amos = re.fullmatch(r"amos_(\d{4})\.nii(\.gz)?", image.name)
        stated = self.modality.values() if isinstance(self.modality, Mapping) else ()
        mr = int(amos[1]) >= FIRST_MR_OF_AMOS if amos else {str(word).upper()[:2] for word in stated} == {"MR"}
        return {"modality": "MR", "sequence": "other"} if mr else {}

    def load(self, image: Path, label: Path | None) -> LoadedScan:
        """Image and label map of one scan, with its organs by their TG-263 names."""
        loaded = replace(read_clean_nifti(image), attributes=self.attributes(image))
        if label is None:
            return loaded
        label_map = read_nifti(label)
        refuse_other_grid(label, label_map, loaded.image)
        numbers = whole_numbers(label_map.voxels, label)
        unknown = sorted({*np.unique(numbers).tolist()} - {0, *self.labels})
        if unknown:
            problem = f"the list does not name the label(s) {unknown[:8]}."
            raise input_error("E-LABEL-VALUES", label, problem, "Name them in the list, or redraw the map.")
        masks = {name: mask if (mask := numbers == number).any() else None for number, name in self.labels.items()}
        labels, manual, overlaps = merge_masks(masks, self.mapping, loaded.image, label, self.options.repairs)
        return replace(loaded, labels=labels, manual=manual, notes=(*loaded.notes, *overlaps))
