"""De-identification: pseudonyms of patients, and the few attributes of a DICOM header that enter a data set.

Stricter than the profiles of DICOM PS3.15 Annex E, which list what is removed: here is listed what is retained, and
everything else stays behind. Of a header pass the age in months, the sex, the posture and the voxels' place; the
patient becomes a keyed hash (HMAC). The key stays with the center: whoever has it can find the patient again.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pedseg.dicom.dicom_files import DicomFile, dicom_errors
from pedseg.errors import InputProblem, input_error
from pedseg.files import write_new

POSTURES = {"S": "supine", "P": "prone", "DL": "left side", "DR": "right side"}  # behind HF or FF in PatientPosition
# Value representations in which a person can have been named, and elements of these kinds that name nobody.
NAMING_VRS = ("PN", "LO", "SH", "LT", "ST", "UT", "UC", "DA", "DT", "TM", "UI", "AE", "UN", "AS")
HARMLESS = frozenset(
    "SOPClassUID MediaStorageSOPClassUID TransferSyntaxUID ReferencedSOPClassUID RescaleType ConvolutionKernel "
    "PatientAge Manufacturer ManufacturerModelName SoftwareVersions ScanOptions FilterType CodeMeaning CodeValue "
    "CodingSchemeDesignator ImplementationVersionName ImplementationClassUID".split()
)

OLDEST_MONTHS = 120 * 12
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
WORD_ENDS = re.compile(r"[\W_]+|(?<=\D)(?=\d)|(?<=\d)(?=\D)")
CAMEL_CASE = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-ZÄÖÜ])")  # between the words of `ZentrumDoe`


def read_key(file: Path, dataset: Path, *, make: bool = True) -> bytes:
    """The center's secret for case names, made at its first use; it may not lie in the data set that it protects.

    Without `make` a key that is not there yet is a passing one: the name of its file may be that of a patient.
    """
    if dataset.resolve() in file.resolve().parents:
        remedy = "Keep the key elsewhere; it is what turns case names back into patients."
        raise input_error("E-KEY", file, "this key would lie within the data set.", remedy)
    if not file.exists() and not make:
        return secrets.token_bytes(32)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another import has made the key meanwhile
            write_new(file, f"{secrets.token_hex(32)}\n".encode(), mode=0o600)
    text = file.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        remedy = "Restore it; with another key, patients get new names."
        raise input_error("E-KEY", file, "this is no key of a center.", remedy)
    return bytes.fromhex(text)


def pseudonym(key: bytes, *identity: str) -> str:
    """Ten hexadecimal digits that stand for a patient or a scan; the same for the same key, and not to be undone."""
    return hmac.new(key, "\0".join(identity).encode(), hashlib.sha256).hexdigest()[:10]


def age_months(header: Any) -> int | None:
    """The age at the scan in whole months: from the dates, else from the age as stated; None where they disagree."""
    ages = _ages_months(header)
    return None if ages_disagree(header) else next(iter(ages), None)


def ages_disagree(header: Any) -> bool:
    """Whether the age by the dates and the age as stated differ by more than days and months left out can explain."""
    ages = _ages_months(header)
    return max(ages, default=0) - min(ages, default=0) > 24


def _ages_months(header: Any) -> list[int]:
    """The age by the dates and as stated, as far as they are given; over 120 years stand for an unknown date."""
    ages = []
    born, scanned = (str(header.get(k) or "") for k in ("PatientBirthDate", "StudyDate"))
    if re.fullmatch(r"\d{8}", born) and re.fullmatch(r"\d{8}", scanned) and born <= scanned:
        months = (int(scanned[:4]) - int(born[:4])) * 12 + int(scanned[4:6]) - int(born[4:6])
        ages.append(max(0, months - (scanned[6:] < born[6:])))
    stated = re.fullmatch(r"(\d{3})([DWMY])", str(header.get("PatientAge") or "").strip())
    if stated:
        ages.append(int(int(stated[1]) * {"D": 12 / 365.25, "W": 84 / 365.25, "M": 1, "Y": 12}[stated[2]]))
    return [months for months in ages if months <= OLDEST_MONTHS]


def retained_attributes(file: Path, header: Any) -> dict[str, Any]:
    """All that passes from a header into `cases.tsv`: age in months, sex (F, M or "") and posture."""
    with dicom_errors(file):
        sex, position = (str(header.get(keyword) or "").strip() for keyword in ("PatientSex", "PatientPosition"))
        posture = POSTURES.get(position[2:], "") if position[:2] in ("HF", "FF") else ""
        return {"age_months": age_months(header), "sex": sex if sex in ("F", "M") else "", "posture": posture}


def refuse_burned_in_annotation(files: Iterable[DicomFile]) -> None:
    """Names that are painted into the voxels, of one slice or of all, cannot be taken out by leaving headers behind."""
    painted = [file.path for file in files if file.text("BurnedInAnnotation").upper() == "YES"]
    if painted:
        problem = f"{len(painted)} file(s) say that text is painted into the picture."
        remedy = "Export the series without annotations, or take it out of the folder."
        raise input_error("E-PHI", painted[0], problem, remedy)


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
    """A last look before anything is written: what the user says of the scans may not name the patient.

    Names count as whole words, numbers of four and more characters wherever they stand, also a part of five digits.
    """
    said = [_spelled_out(form) for text in texts for form in (text, CAMEL_CASE.sub(" ", text))]
    words = {word for text in said for word in (text, *WORD_ENDS.split(text))}
    names = {_spelled_out(word) for word in secret}
    parts = {part for name in names for part in (name, *re.findall(r"\d{5,}", name))}
    numbers = {part for part in parts if len(part) > 3 and re.search(r"\d", part)}
    leaked = (names & words) | {number for number in numbers if any(number in text for text in said)}
    if leaked:
        problem = f"{len(leaked)} word(s) of the patient's data stand in what was said of the scans."
        yield InputProblem("E-PHI", str(file), problem, "Choose other words for center, origin, license and data set.")


def _spelled_out(text: str) -> str:
    """Lower case without umlauts and accents: `Müller` and `Mueller` are one name."""
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFC", text).casefold().translate(UMLAUTS))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
