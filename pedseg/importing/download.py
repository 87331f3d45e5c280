"""A few children of a public collection, from the archive that keeps it: size and license first, then file by file.

The collection is Pediatric-CT-SEG (Jordan et al. 2022, doi 10.7937/TCIA.X0H0-1706, CC BY 4.0) in the Imaging Data
Commons. Which children is fixed in a table beside this file, one of each age, so that everybody gets the same ones.
Where their series lie is looked up in the index that the package idc-index brings; no account is needed.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pedseg.errors import input_error
from pedseg.files import write_atomically

CHILDREN = Path(__file__).with_name("pediatric_ct_seg.tsv")
ENDPOINT = "PEDSEG_IDC_ENDPOINT"  # another S3 server that mirrors the archive
FIELDS = ("SeriesInstanceUID", "PatientID", "Modality", "instanceCount", "series_size_MB", "license_short_name",
          "source_DOI", "aws_bucket", "crdc_series_uuid")  # fmt: skip
AT_ONCE = 6


@dataclass(frozen=True)
class RemoteSeries:
    """One series of the archive: whose it is, how large, under which license, and where its files lie."""

    uid: str
    patient: str
    modality: str
    files: int
    megabytes: float
    license: str
    doi: str
    bucket: str
    prefix: str

    @property
    def folder(self) -> str:
        """Where its files go: PATIENT/CT, PATIENT/RTSTRUCT."""
        return f"{self.patient}/{self.modality}"


def look_up(children: int, index: Path | None = None) -> list[RemoteSeries]:
    """The series of the first children of the table; `index` is a parquet file, by default that of idc-index."""
    with CHILDREN.open(newline="", encoding="utf-8") as stream:
        chosen = list(csv.DictReader(stream, delimiter="\t"))[:children]
    uids = [row[kind] for row in chosen for kind in ("ct", "rtstruct")]
    found = {one.uid: one for one in _query(uids, index)}
    lost = [uid for uid in uids if uid not in found]
    if lost:
        told = f"the index of the archive has no series {lost[0]} ({len(lost)} of {len(uids)} are missing)."
        raise input_error("E-ARCHIVE", CHILDREN.name, told, "Update idc-index: pip install --upgrade idc-index-data.")
    return [found[uid] for uid in uids]


def _query(uids: Sequence[str], index: Path | None) -> Iterator[RemoteSeries]:
    try:
        import duckdb
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH
    except ImportError as error:
        raise input_error("E-NOT-INSTALLED", "idc-index", "it is not here.", "pip install 'pedseg[fetch]'.") from error
    fields = ", ".join(FIELDS)
    asked = f"select {fields} from read_parquet(?) where list_contains(?, SeriesInstanceUID)"
    with duckdb.connect() as connection:
        for row in connection.execute(asked, [str(index or IDC_INDEX_PARQUET_FILEPATH), list(uids)]).fetchall():
            yield RemoteSeries(*row)


def summary(series: Sequence[RemoteSeries]) -> str:
    """What a download would bring, in one line."""
    size = sum(one.megabytes for one in series)
    children, files = len({one.patient for one in series}), sum(one.files for one in series)
    licenses = ", ".join(sorted({one.license for one in series}))
    dois = ", ".join(sorted({one.doi for one in series}))
    return f"{children} children, {files} files, {size:.0f} MB; license {licenses}; doi {dois}"


def fetch(series: Sequence[RemoteSeries], to: Path) -> Iterator[tuple[int, int]]:
    """Download what is not there yet; a generator of (bytes done, bytes in all).

    Every file is compared with the checksum that the archive keeps of it and appears whole. Call it again after an
    interruption: files that are there and whole are not fetched twice.
    """
    jobs = [(store, entry, to / one.folder) for one in series for store, entry in _listed(one)]
    total = sum(entry["size"] for _, entry, _ in jobs)
    done = 0
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for size in pool.map(lambda job: _fetch_one(*job), jobs):
            done += size
            yield done, total
    finally:
        pool.shutdown(cancel_futures=True)  # who stops here does not wait for all the others


def _listed(one: RemoteSeries) -> list[tuple[Any, Any]]:
    """The files of a series as the archive lists them; refused if some are missing there."""
    store = _store(one.bucket)
    try:
        entries = [entry for page in store.list(f"{one.prefix}/") for entry in page]
    except Exception as error:
        raise _away(one.bucket, error) from error
    if len(entries) != one.files:
        told = f"{one.folder} should have {one.files} files, the archive lists {len(entries)}."
        raise input_error("E-ARCHIVE", one.prefix, told, "Try again later, or update idc-index-data.")
    return [(store, entry) for entry in entries]


def _store(bucket: str) -> Any:
    """The archive's bucket, read without an account."""
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise input_error("E-NOT-INSTALLED", "obstore", "it is not here.", "pip install 'pedseg[fetch]'.") from error
    place = os.environ.get(ENDPOINT, "")
    options: Any = {"allow_http": place.startswith("http:")}
    if place:
        return S3Store(bucket, endpoint=place, skip_signature=True, region="us-east-1", client_options=options)
    return S3Store(bucket, skip_signature=True, region="us-east-1")


def _fetch_one(store: Any, entry: Any, folder: Path) -> int:
    """One file, unless it is there; its size and, where the archive states it, its MD5 must agree."""
    file = folder / Path(entry["path"]).name
    stated = str(entry.get("e_tag") or "").strip('"')
    if not file.is_file() or not _is_whole(file.read_bytes(), entry["size"], stated):
        try:
            content = bytes(store.get(entry["path"]).bytes())
        except Exception as error:
            raise _away(str(file), error) from error
        if not _is_whole(content, entry["size"], stated):
            told = "what arrived is not what the archive's checksum says."
            raise input_error("E-CHECKSUM", file, told, "Try again; if it stays so, ask the archive.")
        write_atomically(file, content)
    return entry["size"]


def _is_whole(content: bytes, size: int, stated: str) -> bool:
    """A checksum with a hyphen is that of an upload in parts and says nothing of the whole."""
    if len(content) != size:
        return False
    return "-" in stated or not stated or hashlib.md5(content, usedforsecurity=False).hexdigest() == stated


def _away(what: str, error: Exception) -> Exception:
    reason = str(error).splitlines()[0][:100]
    return input_error(
        "E-ARCHIVE", what, f"the archive does not answer ({reason}).", "Check the network and try again."
    )
