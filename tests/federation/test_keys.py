"""Keys on disk: made once, read back, private to their owner, and told apart by their fingerprint."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from pedseg.__main__ import main
from pedseg.errors import PedsegInputError
from pedseg.federation.keys import known_centers, make_keys, own_keys, read_member, read_own, write_keys


def test_keys_are_read_back_as_they_were_made(tmp_path: Path) -> None:
    made = make_keys("Aa")
    private, public = write_keys(tmp_path, made)
    signed = read_own(tmp_path, "Aa").signing.sign(b"text")
    read_member(tmp_path, "Aa").signing.verify(signed, b"text")
    assert read_member(tmp_path, "Aa").fingerprint == made.member.fingerprint
    assert json.loads(public.read_text())["name"] == "Aa"
    assert json.loads(private.read_text())["signing"] not in public.read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_the_private_file_is_for_its_owner_only(tmp_path: Path) -> None:
    private, _ = write_keys(tmp_path, make_keys("Aa"))
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    private, _ = write_keys(tmp_path, make_keys("Aa"))
    before = private.read_bytes()
    with pytest.raises(PedsegInputError, match="E-KEY-EXISTS"):
        write_keys(tmp_path, make_keys("Aa"))
    assert private.read_bytes() == before


def test_the_fingerprint_depends_on_name_and_both_keys() -> None:
    first, other = make_keys("Aa").member, make_keys("Aa").member
    mixed = [
        type(first)(name, s, x)
        for name in ("Aa", "Ab")
        for s in (first.signing, other.signing)
        for x in (first.sealing, other.sealing)
    ]
    fingerprints = {member.fingerprint for member in mixed}
    assert len(fingerprints) == 8
    assert all(len(text.split()) == 8 and text.replace(" ", "").isdigit() for text in fingerprints)


@pytest.mark.parametrize("name", ["", "a/b", "..", "ä", "a" * 41, "-a", "a.b", "a b"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(PedsegInputError, match="E-KEY-NAME"):
        make_keys(name)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"name": "Aa", "signing": "AAAA", "sealing": "AAAA"}', "\x00"])
def test_damaged_key_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "Aa.public.json").write_text(content)
    (tmp_path / "Aa.private.json").write_text(content)
    for read in (read_member, read_own):
        with pytest.raises(PedsegInputError, match="E-KEY-FILE"):
            read(tmp_path, "Aa")


def test_a_public_file_under_another_name_is_refused(tmp_path: Path) -> None:
    _, public = write_keys(tmp_path, make_keys("Aa"))
    public.rename(tmp_path / "Bb.public.json")
    with pytest.raises(PedsegInputError, match="that of Aa"):
        read_member(tmp_path, "Bb")


def test_missing_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(PedsegInputError, match="pedseg keys"):
        read_own(tmp_path, "Aa")


def test_the_verb_makes_keys_once_and_prints_the_fingerprints(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["keys", "coordinator", "--keys", str(tmp_path)]) == 0
    assert main(["keys", "Aa", "--keys", str(tmp_path)]) == 0
    first = capsys.readouterr().out
    assert "keep to yourself" in first and read_member(tmp_path, "Aa").fingerprint in first
    assert main(["keys", "Aa", "--keys", str(tmp_path)]) == 0
    again = capsys.readouterr().out
    assert "keep" not in again and again.count("\n") == 2
    assert known_centers(tmp_path) == ["Aa"]


def test_a_public_file_that_was_not_written_any_more_is_written_the_next_time(tmp_path: Path) -> None:
    _, public = write_keys(tmp_path, make_keys("Aa"))
    before = public.read_bytes()
    public.unlink()
    assert main(["keys", "Aa", "--keys", str(tmp_path)]) == 0
    assert public.read_bytes() == before


def test_nobody_makes_keys_in_the_name_of_somebody_else(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, make_keys("Aa"))
    private.unlink()  # as at everybody who got Aa's public file
    before = public.read_bytes()
    with pytest.raises(PedsegInputError, match="E-KEY-MISSING"):
        own_keys(tmp_path, "Aa")
    assert main(["keys", "Aa", "--keys", str(tmp_path)]) == 0
    assert public.read_bytes() == before and not private.exists()


def test_a_half_written_private_file_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", power_cut)
    with pytest.raises(KeyboardInterrupt):
        write_keys(tmp_path, make_keys("Aa"))
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    write_keys(tmp_path, make_keys("Aa"))
