"""De-identification: pseudonyms of patients, and the few attributes of a DICOM header that enter a data set.

Stricter than the profiles of DICOM PS3.15 Annex E, which list what is removed: here is listed what is retained, and
everything else stays behind. Of a header pass the age in months, the sex, the posture and the voxels' place; the
patient becomes a keyed hash (HMAC). The key stays with the center: whoever has it can find the patient again.
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

from pedseg.dicom.dicom_files import dicom_errors
from pedseg.errors import InputProblem, input_error
from pedseg.files import staged_file

POSTURES = {"S": "supine", "P": "prone", "DL": "left side", "DR": "right side"}  # behind HF or FF in PatientPosition
# Value representations in which a person can have been named, and elements of these kinds that name nobody.
NAMING_VRS = ("PN", "LO", "SH", "LT", "ST", "UT", "UC", "DA", "DT", "TM", "UI", "AE", "UN", "AS")
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
        key = f"{secrets.token_hex(32)}\n".encode()
        with contextlib.suppress(FileExistsError), staged_file(file, key, mode=0o600) as part:
            os.link(part, file)  # unlike a renaming it spares the key that another import has made meanwhile
    text = file.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        remedy = "Restore it; with another key, patients get new names."
        raise input_error("E-KEY", file, "this is no key of a center.", remedy)
    return bytes.fromhex(text)


def pseudonym(key: bytes, *identity: str) -> str:
    """Ten hexadecimal digits that stand for a patient or a scan; the same for the same key, and not to be undone."""
    return hmac.new(key, "\0".join(identity).encode(), hashlib.sha256).hexdigest()[:10]


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


def retained_attributes(file: Path, header: Any) -> dict[str, Any]:
    """All that passes from a header into `cases.tsv`: age in months, sex (F, M or "") and posture."""
    with dicom_errors(file):
        sex, position = (str(header.get(keyword) or "").strip() for keyword in ("PatientSex", "PatientPosition"))
        posture = POSTURES.get(position[2:], "") if position[:2] in ("HF", "FF") else ""
        return {"age_months": age_months(header), "sex": sex if sex in ("F", "M") else "", "posture": posture}


def refuse_burned_in_annotation(file: Path, header: Any) -> None:
    """Names that are painted into the voxels cannot be taken out by leaving headers behind."""
    if str(header.get("BurnedInAnnotation") or "").upper() == "YES":
        remedy = "Export the series without annotations, or take it out of the folder."
        raise input_error("E-PHI", file, "its header says that text is painted into the picture.", remedy)


def identifiers(header: Any, *, of_the_patient: bool = False) -> set[str]:
    """Every text of three and more letters in a header by which a person or a visit could be found.

    With `of_the_patient` only what stands in the patient's own part of the header (group 0010) and in names.
    """
    texts: set[str] = set()
    for element in header.iterall():
        if element.VR not in NAMING_VRS or element.keyword in HARMLESS or not element.value:
            continue
        if of_the_patient and element.tag.group != 0x0010:
            continue
        values = element.value if isinstance(element.value, (list, tuple)) or element.VM > 1 else [element.value]
        for value in values:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            texts |= {part.strip("\0 ") for part in (text, *re.split(r"[\^=\s]+", text))}
    return {text for text in texts if len(text) >= 3}


def find_leaks(file: Path, texts: Iterable[str], secret: Iterable[str]) -> Iterator[InputProblem]:
    """A last look before anything is written: what the user says of the scans may not name the patient."""
    words = {word for text in texts for word in (text.casefold(), *re.split(r"\W+", text.casefold()))}
    leaked = [word for word in secret if word.casefold() in words]
    if leaked:
        problem = f"{len(leaked)} word(s) of the patient's data stand in what was said of the scans."
        yield InputProblem("E-PHI", str(file), problem, "Choose other words for center, origin and license.")
