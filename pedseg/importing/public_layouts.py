"""Scans that others have made ready: NIfTI, nnU-Net raw, TotalSegmentator v2, AMOS22, lists of MSD and MONAI."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from pedseg.datasets.cases import Case, DataSet
from pedseg.datasets.loading import load_labels, refuse_other_grid, whole_numbers
from pedseg.datasets.reading import list_cases
from pedseg.datasets.totalsegmentator import is_totalsegmentator
from pedseg.errors import InputProblem, input_error
from pedseg.importing.dicom_folders import ImportOptions, survey_dicom
from pedseg.importing.incoming import Incoming, Loaded, clean, join
from pedseg.organ_names import NameMapping, map_roi_names
from pedseg.scan import read_nifti, to_ras

NIFTI = (".nii", ".nii.gz")
PUBLIC_ID = re.compile(r"s\d{4}|amos_\d{4}")  # names under which everybody finds a scan again
FIRST_MR_OF_AMOS = 500
LISTS = {"training": "train", "validation": "validation", "testing": "test", "test": "test"}


def survey_source(source: Path, options: ImportOptions) -> tuple[list[Incoming], list[InputProblem], list[str]]:
    """The scans of a source in any known layout, what is wrong with others, and what was left out on purpose."""
    if source.name.endswith(NIFTI):
        return [_nifti(source)], [], []
    if source.suffix == ".json" and source.is_file():
        return _datalist(source, options)
    about = source / "dataset.json"
    if about.is_file():
        return _datalist(about, options) if "training" in _keys(about) else (*_dataset(source), [])
    if is_totalsegmentator(source):
        return (*_dataset(source, silver=True), [])
    files = sorted(file for file in source.glob("[!.]*") if file.name.endswith(NIFTI))
    if files:
        return [_nifti(file) for file in files], [], []
    return (*survey_dicom(source, options), [])


def _keys(file: Path) -> set[str]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {*content} - ({"training"} if "channel_names" in content else set())
    except (OSError, ValueError, TypeError, RecursionError):
        return set()


def _nifti(file: Path) -> Incoming:
    """A scan without contours."""

    def load() -> Loaded:
        image, repairs, notes = clean(read_nifti(file), file)
        return Loaded(image, None, notes=tuple(notes), repairs=tuple(repairs), told=tuple(notes))

    return Incoming(file, str(file.resolve()), str(file.resolve()), load)


def _dataset(folder: Path, silver: bool = False) -> tuple[list[Incoming], list[InputProblem]]:
    """The cases of nnU-Net v2 raw, or of TotalSegmentator v2, whose contours a program drew."""
    found = list_cases(folder)
    problems = [problem for problem in found.problems if problem.code != "E-TOO-FEW"]
    return [_case(found.dataset, case, silver) for case in found.dataset.cases], problems


def _case(dataset: DataSet, case: Case, silver: bool) -> Incoming:
    def load() -> Loaded:
        image, repairs, notes = clean(read_nifti(case.image_file), case.image_file)
        labels = load_labels(dataset, case) if case.label_file else None
        machine = case.annotated if silver else case.silver
        manual = tuple(name for name in case.annotated if name not in machine)
        about = {"age_months": case.age_months, "sex": case.sex, "posture": case.posture}
        more = {"tumor": case.tumor, "months_since_surgery": case.months_since_surgery, "phase": case.phase}
        more |= {"modality": case.modality, "sequence": case.sequence}
        return Loaded(to_ras(image), labels, manual, machine, about | more, tuple(notes), tuple(repairs), tuple(notes))

    public = case.name if PUBLIC_ID.fullmatch(case.name) else ""
    patient = f"{dataset.center} {case.patient}" if public else f"{dataset.folder.resolve()} {case.patient}"
    split = case.split if case.label_file else "train"
    return Incoming(case.image_file, patient, case.name, load, split, public, case.label_file is not None)


def _datalist(file: Path, options: ImportOptions) -> tuple[list[Incoming], list[InputProblem], list[str]]:
    """A list of images and label maps in JSON, as the decathlon (MSD), AMOS22 and MONAI write it."""
    again = (
        'Write {"labels": {"0": "background", "1": "liver"}, "training": [{"image": "a.nii.gz", "label": "b.nii.gz"}]}.'
    )
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        lists = {name: list(content.get(name) or []) for name in LISTS}
        labels = _label_names(content.get("labels"))
        entries = [(split, *_entry(file.parent, item)) for name, split in LISTS.items() for item in lists[name]]
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise input_error("E-DATALIST", file, f"it is no list of scans ({str(error)[:80]}).", again) from error
    if not entries:
        raise input_error("E-DATALIST", file, "it lists no scan.", again)
    own = dict(options.names or {})
    labels = labels or {int(name): name for name in own if name.isdecimal()}
    meaning = map_roi_names(labels.values(), own, file)
    if not meaning.organs and any(label for _, _, label in entries):
        found = "it does not say which organ a number of its label maps is."
        raise input_error("E-DATALIST", file, found, f"{again} Or give --names with lines of number, tab, organ.")
    told = meaning.lines()
    found_scans = []
    for split, image, label in entries:
        about = _modality(image, content.get("modality"))
        found_scans.append(_listed(file, split, image, label, labels, meaning, options, about))
    return found_scans, [], told


def _modality(image: Path, said: object) -> dict[str, str]:
    """CT or MR: AMOS22 tells by its number, other lists say `"modality": {"0": "MRI"}`."""
    amos = re.fullmatch(r"amos_(\d{4})\.nii(\.gz)?", image.name)
    words = {str(word).upper()[:2] for word in said.values()} if isinstance(said, Mapping) else set()
    mr = int(amos[1]) >= FIRST_MR_OF_AMOS if amos else words == {"MR"}
    return {"modality": "MR", "sequence": "other"} if mr else {}


def _label_names(labels: object) -> dict[int, str]:
    """Number -> name, from `{"1": "liver"}` (MSD) or `{"liver": 1}` (nnU-Net v2); background left out."""
    if not isinstance(labels, Mapping):
        return {}
    turned = all(str(key).isdecimal() for key in labels)
    pairs = [(int(a), str(b)) if turned else (int(b), str(a)) for a, b in labels.items()]
    return {number: name for number, name in pairs if number != 0}


def _entry(folder: Path, item: object) -> tuple[Path, Path | None]:
    """Image and label map of one entry; a list may not reach out of its own folder."""
    said = {"image": item} if isinstance(item, str) else dict(item)  # type: ignore[call-overload]
    image = said["image"] if isinstance(said["image"], str) else said["image"][0]
    paths = [image, said["label"]] if said.get("label") else [image]
    for path in paths:
        if PurePosixPath(path).is_absolute() or Path(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"the path {path!r} leads out of its folder")
    there = [folder / path for path in paths]
    return there[0], there[1] if len(there) > 1 else None


def _listed(
    file: Path, split: str, image: Path, label: Path | None, names: Mapping[int, str], meaning: NameMapping,
    options: ImportOptions, about: Mapping[str, str],
) -> Incoming:  # fmt: skip
    def load() -> Loaded:
        scan, repairs, notes = clean(read_nifti(image), image)
        if label is None:
            return Loaded(scan, None, about=about, notes=tuple(notes), repairs=tuple(repairs), told=tuple(notes))
        case = Case(image.name, "", "", split, image, label)
        drawn = read_nifti(label)
        refuse_other_grid(case, drawn, scan)
        numbers = whole_numbers(drawn.voxels, label)
        strange = sorted({*np.unique(numbers).tolist()} - {0, *names})
        if strange:
            found = f"the list does not name the label(s) {strange[:8]}."
            raise input_error("E-LABEL-VALUES", label, found, "Name them in the list, or redraw the map.")
        masks = {name: numbers == number for number, name in names.items()}
        labels, overlaps = join(masks, meaning, scan, label, allowed="overlaps" in options.repairs)
        said = (*notes, *overlaps), tuple(repairs), tuple(notes)
        return Loaded(scan, labels, tuple(meaning.organs), (), about, *said)

    name = image.name.removesuffix(".gz").removesuffix(".nii")
    public = name if PUBLIC_ID.fullmatch(name) else ""
    return Incoming(image, public or str(image.resolve()), name, load, split, public, label is not None)
