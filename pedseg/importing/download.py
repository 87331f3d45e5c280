"""Download a few children of a public collection (TCIA, Imaging Data Commons): size and license, then the files.

The collection is Pediatric-CT-SEG (Jordan et al. 2022, doi 10.7937/TCIA.X0H0-1706, CC BY 4.0) in the Imaging Data
Commons. Which children is fixed in a table beside this file, one of each age, so that everybody gets the same ones.
Where their series lie is looked up in the index that the package idc-index brings; no account is needed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pedseg.errors import import_errors, input_error
from pedseg.files import write_atomically
from pedseg.tables import read_rows

CHILDREN = Path(__file__).with_name("pediatric_ct_seg.tsv")
ENDPOINT = "PEDSEG_IDC_ENDPOINT"  # another S3 server that mirrors the archive
COLUMNS = (  # of the index, in the order of the fields of RemoteSeries
    "SeriesInstanceUID PatientID Modality instanceCount series_size_MB license_short_name source_DOI aws_bucket "
    "crdc_series_uuid"
).split()
CONNECTIONS = 6


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
    uids = [row[kind] for row in read_rows(CHILDREN, "ct")[:children] for kind in ("ct", "rtstruct")]
    known = {series.uid: series for series in _query(uids, index)}
    missing = [uid for uid in uids if uid not in known]
    if missing:
        problem = f"the index of the archive has no series {missing[0]} ({len(missing)} of {len(uids)} are missing)."
        remedy = "Update idc-index: pip install --upgrade idc-index-data."
        raise input_error("E-ARCHIVE", CHILDREN.name, problem, remedy)
    return [known[uid] for uid in uids]


def _query(uids: Sequence[str], index: Path | None) -> Iterator[RemoteSeries]:
    with import_errors():
        import duckdb
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH
    query = f"select {', '.join(COLUMNS)} from read_parquet(?) where list_contains(?, SeriesInstanceUID)"
    with duckdb.connect() as connection:
        for row in connection.execute(query, [str(index or IDC_INDEX_PARQUET_FILEPATH), list(uids)]).fetchall():
            yield RemoteSeries(*row)


def summary(series: Sequence[RemoteSeries]) -> str:
    """What a download would bring, in one line."""
    megabytes, files = sum(member.megabytes for member in series), sum(member.files for member in series)
    children = len({member.patient for member in series})
    licenses = ", ".join(sorted({member.license for member in series}))
    dois = ", ".join(sorted({member.doi for member in series}))
    return f"{children} children, {files} files, {megabytes:.0f} MB; license {licenses}; doi {dois}"


def fetch(series: Sequence[RemoteSeries], to: Path) -> Iterator[tuple[int, int]]:
    """Download what is not there yet; a generator of (bytes done, bytes in all).

    Every file is compared with the checksum that the archive keeps of it and appears whole. Call it again after an
    interruption: files that are there and whole are not fetched twice.
    """
    jobs = [(store, entry, to / member.folder) for member in series for store, entry in _list_files(member)]
    total = sum(entry["size"] for _, entry, _ in jobs)
    done = 0
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        for size in pool.map(lambda job: _fetch_file(*job), jobs):
            done += size
            yield done, total
    finally:
        pool.shutdown(cancel_futures=True)  # who stops here does not wait for all the others


def _list_files(series: RemoteSeries) -> list[tuple[Any, Any]]:
    """The files of a series as the archive lists them; refused if some are missing there."""
    store = _store(series.bucket)
    try:
        entries = [entry for page in store.list(f"{series.prefix}/") for entry in page]
    except Exception as error:
        raise _unavailable(series.bucket, error) from error
    if len(entries) != series.files:
        problem = f"{series.folder} should have {series.files} files, the archive lists {len(entries)}."
        raise input_error("E-ARCHIVE", series.prefix, problem, "Try again later, or update idc-index-data.")
    return [(store, entry) for entry in entries]


def _store(bucket: str) -> Any:
    """The archive's bucket, read without an account."""
    with import_errors():
        from obstore.store import S3Store
    mirror = os.environ.get(ENDPOINT, "")
    options: Any = {"allow_http": mirror.startswith("http:")}
    place: Any = {"endpoint": mirror, "client_options": options} if mirror else {}
    return S3Store(bucket, skip_signature=True, region="us-east-1", **place)


def _fetch_file(store: Any, entry: Any, folder: Path) -> int:
    """One file, unless it is there; its size and, where the archive states it, its MD5 must agree."""
    file = folder / Path(entry["path"]).name
    stated = str(entry.get("e_tag") or "").strip('"')
    if not file.is_file() or not _is_whole(file.read_bytes(), entry["size"], stated):
        try:
            content = bytes(store.get(entry["path"]).bytes())
        except Exception as error:
            raise _unavailable(str(file), error) from error
        if not _is_whole(content, entry["size"], stated):
            problem = "what arrived is not what the archive's checksum says."
            raise input_error("E-CHECKSUM", file, problem, "Try again; if it stays so, ask the archive.")
        write_atomically(file, content)
    return entry["size"]


def _is_whole(content: bytes, size: int, stated: str) -> bool:
    """A checksum with a hyphen is that of an upload in parts and says nothing of the whole."""
    if len(content) != size:
        return False
    return "-" in stated or not stated or hashlib.md5(content, usedforsecurity=False).hexdigest() == stated


def _unavailable(what: str, error: Exception) -> Exception:
    problem = f"the archive does not answer ({str(error).splitlines()[0][:100]})."
    return input_error("E-ARCHIVE", what, problem, "Check the network and try again.")
