"""Nothing identifying enters a data set: what may pass is listed, and everything else stays behind.

Of a DICOM header pass the age in months, the sex, the posture and the voxels' place; the patient becomes a keyed
hash. The key stays with the center: whoever has it can find the patient again, nobody else can.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pedseg.dicom.dicom_files import reading
from pedseg.errors import InputProblem, input_error
from pedseg.files import staged_file

POSTURES = {"HFS": "supine", "FFS": "supine", "HFP": "prone", "FFP": "prone", "HFDL": "left side", "FFDL": "left side",
            "HFDR": "right side", "FFDR": "right side"}  # fmt: skip
# Kinds of elements in which a person can have been named, and elements of these kinds that name nobody.
NAMING_KINDS = ("PN", "LO", "SH", "LT", "ST", "UT", "UC", "DA", "DT", "TM", "UI", "AE", "UN", "AS")
HARMLESS = frozenset(
    "SOPClassUID MediaStorageSOPClassUID TransferSyntaxUID ReferencedSOPClassUID RescaleType ConvolutionKernel "
    "PatientAge Manufacturer ManufacturerModelName SoftwareVersions ScanOptions FilterType CodeMeaning CodeValue "
    "CodingSchemeDesignator ImplementationVersionName ImplementationClassUID".split()
)


def read_key(file: Path, dataset: Path) -> bytes:
    """The center's secret for case names, made at its first use; it may not lie in the data set that it protects."""
    if dataset.resolve() in file.resolve().parents:
        remedy = "Keep the key elsewhere; it is what turns case names back into patients."
        raise input_error("E-KEY", file, "this key would lie within the data set.", remedy)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        made = f"{secrets.token_hex(32)}\n".encode()
        with contextlib.suppress(FileExistsError), staged_file(file, made, mode=0o600) as part:
            os.link(part, file)  # unlike a renaming it spares the key that another import has made meanwhile
    text = file.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise input_error(
            "E-KEY", file, "this is no key of a center.", "Restore it; with another key, patients get new names."
        )
    return bytes.fromhex(text)


def pseudonym(key: bytes, *about: str) -> str:
    """Ten hexadecimal digits that stand for a patient or a scan; the same for the same key, and not to be undone."""
    return hmac.new(key, "\0".join(about).encode(), hashlib.sha256).hexdigest()[:10]


def age_months(header: Any) -> int | None:
    """The age at the scan in whole months: from the dates, else from the age as stated."""
    born, scanned = (str(header.get(k) or "") for k in ("PatientBirthDate", "StudyDate"))
    if re.fullmatch(r"\d{8}", born) and re.fullmatch(r"\d{8}", scanned) and born <= scanned:
        months = (int(scanned[:4]) - int(born[:4])) * 12 + int(scanned[4:6]) - int(born[4:6])
        return max(0, months - (scanned[6:] < born[6:]))
    stated = re.fullmatch(r"(\d{3})([DWMY])", str(header.get("PatientAge") or "").strip())
    if not stated:
        return None
    return int(int(stated[1]) * {"D": 12 / 365.25, "W": 84 / 365.25, "M": 1, "Y": 12}[stated[2]])


def sex(header: Any) -> str:
    """F, M, or nothing."""
    stated = str(header.get("PatientSex") or "").strip()
    return stated if stated in ("F", "M") else ""


def posture(header: Any) -> str:
    """On what the patient lay, from the position that the technician chose."""
    return POSTURES.get(str(header.get("PatientPosition") or "").strip(), "")


def who(file: Path, header: Any) -> dict[str, Any]:
    """All that passes from a header into `cases.tsv`."""
    with reading(file):
        return {"age_months": age_months(header), "sex": sex(header), "posture": posture(header)}


def burned_in(file: Path, header: Any) -> list[InputProblem]:
    """Names that are painted into the voxels cannot be taken out by leaving headers behind."""
    if str(header.get("BurnedInAnnotation") or "").upper() != "YES":
        return []
    remedy = "Export the series without annotations, or take it out of the folder."
    return [InputProblem("E-PHI", str(file), "its header says that text is painted into the picture.", remedy)]


def identifiers(header: Any, *, of_the_patient: bool = False) -> set[str]:
    """Every text of three and more letters in a header by which a person or a visit could be found.

    With `of_the_patient` only what stands in the patient's own part of the header (group 0010) and in names.
    """
    found: set[str] = set()
    for element in header.iterall():
        if element.VR not in NAMING_KINDS or element.keyword in HARMLESS or not element.value:
            continue
        if of_the_patient and element.tag.group != 0x0010:
            continue
        values = element.value if isinstance(element.value, (list, tuple)) or element.VM > 1 else [element.value]
        for value in values:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            found |= {part.strip("\0 ") for part in (text, *re.split(r"[\^=\s]+", text))}
    return {text for text in found if len(text) >= 3}


def refuse_leaks(file: Path, said: Iterable[str], secret: Iterable[str]) -> Iterator[InputProblem]:
    """A last look before anything is written: what the user says of the scans may not name the patient."""
    words = {word for text in said for word in (text.casefold(), *re.split(r"\W+", text.casefold()))}
    leaked = [word for word in secret if word.casefold() in words]
    if leaked:
        found = f"{len(leaked)} word(s) of the patient's data stand in what was said of the scans."
        yield InputProblem("E-PHI", str(file), found, "Choose other words for center, origin and license.")
