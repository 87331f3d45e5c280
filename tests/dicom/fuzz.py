"""Mutated scans against the readers, in a process of its own with little memory: only PedsegInputError is no fault.

python fuzz.py FOLDER KIND COUNT SEED      prints one JSON line: how many were read, refused, and every fault
"""

from __future__ import annotations

import collections
import copy
import gzip
import io
import json
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

# What stands where a number should be: of lengths in meters, of a scan as large as a house, and what is no number.
NUMBERS = [np.float32(n).tobytes() for n in (np.nan, np.inf, -np.inf, 0, -1, 5e-6, 5e-3, 10, 4000, 3e38, 1e-38)]
NUMBERS += [b"1e9 ", b"-0.5", b"NaN ", b"0.00", b".005", b"9999"]
LIMIT_BYTES = 2**30  # on top of what the interpreter and its libraries have mapped before the first input
LONGEST_SECONDS = 5.0


def mutate(sound: bytes, rng: np.random.Generator) -> bytes:
    """A few changes that files suffer: flipped bits, odd bytes, huge numbers, pieces and lines doubled or cut out."""
    data = bytearray(sound)
    for _ in range(int(rng.integers(1, 6))):
        size = len(data)
        if size < 8:
            break
        at = int(rng.integers(0, size)) if rng.random() < 0.5 else int(size * rng.random() ** 3)  # headers come first
        what = rng.integers(0, 9)
        length = int(rng.integers(1, 64))
        if what == 0:
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif what == 1:
            data[at] = int(rng.integers(0, 256))
        elif what == 2:
            data[at : at + 4] = rng.choice(
                [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"]
            )
        elif what == 3:
            del data[at : at + length]
        elif what == 4:
            data[at:at] = data[at : at + length]
        elif what == 5:
            data[at:at] = rng.bytes(length)
        elif what == 6:
            other = int(rng.integers(0, size))
            data[at : at + length] = data[other : other + length]
        elif what == 7:
            at -= at % 4
            data[at : at + 4] = NUMBERS[int(rng.integers(0, len(NUMBERS)))]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def double_line(text: bytes, number: int) -> bytes:
    """A line said twice, so that a key or a case has two meanings, or the same one twice."""
    lines = text.splitlines(keepends=True) or [b""]
    place = number // 4 % len(lines)
    return b"".join([*lines[: place + 1], *lines[place:]])


def restructure(sound: bytes, rng: np.random.Generator) -> bytes:
    """The same file, whole, with items doubled or dropped, or one value in the place of another: it lies."""
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(sound))
    for _ in range(int(rng.integers(1, 4))):
        sequences = [element.value for element in dataset.iterall() if element.VR == "SQ" and len(element.value)]
        items = sequences[int(rng.integers(len(sequences)))]
        at, what = int(rng.integers(len(items))), rng.integers(4)
        if what == 0:
            items.append(copy.deepcopy(items[at]))
        elif what == 1:
            del items[at]
        else:
            values = [element for element in dataset.iterall() if element.VR in ("IS", "US", "UI", "CS", "DS", "LO")]
            one = values[int(rng.integers(len(values)))]
            alike = [element for element in values if element.VR == one.VR]
            one.value = alike[int(rng.integers(len(alike)))].value
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def nifti(folder: Path, place: Path) -> Callable[[bytes], object]:
    from pedseg.importing.scan_sources import read_clean_nifti

    def read(data: bytes) -> object:
        place.write_bytes(gzip.compress(data, 0))
        return read_clean_nifti(place)

    return read


def packed(folder: Path, place: Path) -> Callable[[bytes], object]:
    from pedseg.scan import read_nifti

    def read(data: bytes) -> object:
        place.write_bytes(data)
        return read_nifti(place)

    return read


def ct(folder: Path, place: Path) -> Callable[[bytes], object]:
    """One slice of a series is mutated; the others are sound."""
    from pedseg.dicom.ct_series import choose_series, group_series, read_series
    from pedseg.dicom.dicom_files import read_dicom_file

    sound = [read_dicom_file(file) for file in sorted((folder / "ct").iterdir())[1:]]

    def read(data: bytes) -> object:
        place.write_bytes(data)
        file = read_dicom_file(place)
        files = [member for member in [file, *sound] if member is not None]
        return read_series(choose_series(group_series(files), place, "", files))

    return read


def enhanced(folder: Path, place: Path) -> Callable[[bytes], object]:
    """All slices in one file."""
    from pedseg.dicom.ct_series import read_ct

    def read(data: bytes) -> object:
        place.write_bytes(data)
        return read_ct(place)

    return read


def rtstruct(folder: Path, place: Path) -> Callable[[bytes], object]:
    from pedseg.dicom.ct_series import read_ct
    from pedseg.dicom.rtstruct import read_rtstruct

    scan = read_ct(folder / "ct")

    def read(data: bytes) -> object:
        place.write_bytes(data)
        return dict(read_rtstruct(place, scan).masks)

    return read


def seg(folder: Path, place: Path) -> Callable[[bytes], object]:
    from pedseg.dicom.ct_series import read_ct
    from pedseg.dicom.seg import read_seg

    scan = read_ct(folder / "ct")

    def read(data: bytes) -> object:
        place.write_bytes(data)
        return read_seg(place, scan)

    return read


def table(folder: Path, place: Path) -> Callable[[bytes], object]:
    """A table or JSON of a data set: everything that names and numbers the cases and the organs."""
    from pedseg.datasets.reading import list_cases
    from pedseg.datasets.writing import written_cases
    from pedseg.errors import raise_problems

    own = shutil.copytree(folder / "data", place.with_suffix(""))
    target = own / {".json": "dataset.json", ".tsv": "cases.tsv"}[place.suffix]

    def read(data: bytes) -> object:
        target.write_bytes(data)
        raise_problems(list_cases(own).problems)
        return written_cases(own)

    return read


def names(folder: Path, place: Path) -> Callable[[bytes], object]:
    from pedseg.organ_names import read_names

    def read(data: bytes) -> object:
        place.write_bytes(data)
        return read_names(place)

    return read


KINDS = {
    "nifti": nifti, "packed": packed, "ct": ct, "enhanced": enhanced, "rtstruct": rtstruct, "seg": seg,
    "json": table, "tsv": table, "names": names,
}  # fmt: skip
LYING = ("rtstruct", "seg")  # kinds of which every second file is whole, and wrong in what it says
SOUND = {
    "nifti": "scan.nii", "packed": "scan.nii.gz", "ct": "slice.dcm", "enhanced": "enhanced.dcm", "rtstruct": "rs.dcm",
    "seg": "seg.dcm", "json": "data/dataset.json", "tsv": "data/cases.tsv", "names": "names.txt",
}  # fmt: skip


TEXTS = ("json", "tsv", "names")


def run(folder: Path, kind: str, count: int, seed: int) -> dict:
    """Read `count` mutations; the folder holds the sound file and, for DICOM, the CT beside it."""
    from pedseg.errors import PedsegInputError

    sound = (folder / SOUND[kind]).read_bytes()
    read = KINDS[kind](
        folder, folder / f"mutated-{kind}{seed}{Path(SOUND[kind]).suffix if kind != 'nifti' else '.nii.gz'}"
    )
    read(sound)  # the sound file is read, and everything is imported before memory is limited
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, used + LIMIT_BYTES))
    codes: collections.Counter[str] = collections.Counter()
    faults, slowest = [], 0.0
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        data = restructure(sound, rng) if kind in LYING and number % 2 else mutate(sound, rng)
        if kind in TEXTS and number % 2:
            data = double_line(data if number % 4 == 1 else sound, number)
        began = time.process_time()
        try:
            read(data)
            codes["read"] += 1
        except PedsegInputError as error:
            codes.update({problem.code for problem in error.problems})
        except BaseException as error:  # a fault is what the test looks for
            faults.append({"number": number, "error": repr(error)[:200], "where": traceback.format_exc()[-700:]})
        slowest = max(slowest, time.process_time() - began)
    return {
        "kind": kind,
        "count": count,
        "codes": codes,
        "faults": faults[:5],
        "fault_count": len(faults),
        "slowest": slowest,
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
