"""A public collection fetched from an S3 server on this machine: said first, whole, resumed, and never a wrong byte."""

from __future__ import annotations

import csv
import importlib.util
import urllib.request
from pathlib import Path

import duckdb
import pytest
from archive import body, roi_rings, write_series, write_structures

from pedseg.__main__ import main
from pedseg.dicom.ct_series import LPS_TO_RAS, read_ct
from pedseg.errors import PedsegInputError
from pedseg.importing import download

SERVERS = Path(__file__).parents[1] / "federation" / "servers.py"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """(server, index): two children of the table, as small as can be, in a bucket that anybody may read."""
    spec = importlib.util.spec_from_file_location("servers", SERVERS)
    servers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(servers)
    folder = tmp_path_factory.mktemp("archive")
    server = servers.s3(folder)
    try:
        server.start()
        yield server, fill(server, servers, folder)
    finally:
        server.kill()


def fill(server, servers, folder: Path) -> Path:
    """Put two children into the archive; gives back the index that lists them."""
    servers.make_bucket(server, "idc-open-data")
    rows = []
    with download.CHILDREN.open(newline="") as stream:
        children = list(csv.DictReader(stream, delimiter="\t"))[:2]
    for child in children:
        rows += put_child(server, folder, child)
    kinds = {"series_size_MB": "DOUBLE", "instanceCount": "BIGINT"}
    columns = ", ".join(f"{name} {kinds.get(name, 'VARCHAR')}" for name in download.COLUMNS)
    with duckdb.connect() as connection:
        connection.execute(f"create table series ({columns})")
        connection.executemany(f"insert into series values ({', '.join('?' * len(download.COLUMNS))})", rows)
        connection.execute(f"copy series to '{folder / 'index.parquet'}' (format parquet)")
    return folder / "index.parquet"


def put_child(server, folder: Path, child: dict[str, str]) -> list[tuple]:
    """Upload one child; gives back the rows of the index."""
    place = folder / child["patient"]
    uids = ("1.2.3", child["ct"], "1.2.4")
    files = write_series(place / "ct", body((24, 20, 4)), spacing_mm=(8, 8, 8), uids=uids, PatientID=child["patient"])
    ct = read_ct(place / "ct")
    rings = roi_rings(ct.scan.voxels > 300, LPS_TO_RAS @ ct.scan.affine)
    drawn = write_structures(place / "rs.dcm", {"spinal-canal": rings}, files[0], SeriesInstanceUID=child["rtstruct"])
    rows = []
    for kind, modality, series in (("ct", "CT", files), ("rtstruct", "RTSTRUCT", [drawn])):
        for file in series:
            url = f"{server.url}/idc-open-data/uuid-{child[kind][-6:]}/{file.name}"
            request = urllib.request.Request(url, data=file.read_bytes(), method="PUT")
            request.add_header("Content-Type", "application/dicom")
            request.add_header("x-amz-acl", "public-read")
            urllib.request.urlopen(request, timeout=60).close()
        size = sum(file.stat().st_size for file in series) / 1e6
        rows.append((child[kind], child["patient"], modality, len(series), size, "CC BY 4.0", "10.7937/tcia.x0h0-1706",
                     "idc-open-data", f"uuid-{child[kind][-6:]}"))  # fmt: skip
    return rows


@pytest.fixture
def local(archive, monkeypatch):
    server, index = archive
    monkeypatch.setenv(download.ENDPOINT, server.url)
    import idc_index_data

    monkeypatch.setattr(idc_index_data, "IDC_INDEX_PARQUET_FILEPATH", index)
    return server


def test_size_and_license_come_before_the_first_byte(local, tmp_path, capsys):
    assert main(["fetch", "--to", str(tmp_path / "raw")]) == 0
    output = capsys.readouterr().out
    assert "2 children, 10 files, 0 MB; license CC BY 4.0; doi 10.7937/tcia.x0h0-1706" in output
    assert "nothing was fetched yet" in output
    assert not (tmp_path / "raw").exists()


def test_what_is_fetched_is_whole_and_can_be_imported(local, tmp_path, capsys):
    assert main(["fetch", "--to", str(tmp_path / "raw"), "--yes"]) == 0
    assert len([*(tmp_path / "raw").rglob("*.dcm")]) == 10
    arguments = ["import", str(tmp_path / "raw"), "--to", str(tmp_path / "ds"), "--center", "Tcia"]
    assert main([*arguments, "--key", str(tmp_path / "key"), "--license", "CC BY 4.0"]) == 0
    assert capsys.readouterr().out.count("1 organs: SpinalCanal") == 2


def test_it_goes_on_where_it_was_and_mends_what_is_damaged(local, tmp_path, monkeypatch):
    series = download.look_up(2)
    progress = download.fetch(series, tmp_path)
    next(progress)
    progress.close()
    files = sorted(tmp_path.rglob("*.dcm"))
    assert files
    files[0].write_bytes(files[0].read_bytes()[:-1] + b"x")
    for file in files[2:]:
        file.unlink()
    times = {file: file.stat().st_mtime_ns for file in files[:2]}
    done = list(download.fetch(series, tmp_path))
    assert len([*tmp_path.rglob("*.dcm")]) == 10
    assert done[-1][0] == done[-1][1] == sum(file.stat().st_size for file in tmp_path.rglob("*.dcm"))
    changed = [file for file, when in times.items() if file.stat().st_mtime_ns != when]
    assert changed == files[:1]
    assert not [*tmp_path.rglob("*.part")]


def test_bytes_that_are_not_the_archives_are_refused(local, tmp_path, monkeypatch):
    monkeypatch.setattr(download.hashlib, "md5", lambda content, **options: __import__("hashlib").sha1(content))
    with pytest.raises(PedsegInputError, match="E-CHECKSUM"):
        list(download.fetch(download.look_up(1), tmp_path))
    assert not [*tmp_path.rglob("*.dcm")]


def test_an_archive_that_is_away_is_said(archive, monkeypatch, tmp_path):
    _, index = archive
    monkeypatch.setenv(download.ENDPOINT, "http://127.0.0.1:9")
    series = download.look_up(1, index)
    with pytest.raises(PedsegInputError, match="E-ARCHIVE"):
        list(download.fetch(series, tmp_path))
    with pytest.raises(PedsegInputError, match="Update idc-index"):
        download.look_up(5, index)


def test_the_real_index_knows_the_five_children():
    """Offline: the index comes with the package idc-index-data."""
    series = download.look_up(5)
    assert download.summary(series) == "5 children, 508 files, 302 MB; license CC BY 4.0; doi 10.7937/tcia.x0h0-1706"
