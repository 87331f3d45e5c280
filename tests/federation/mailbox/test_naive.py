"""The naive mailbox is as bad as the lesson says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pedseg.federation.mailbox.naive import NaiveMailbox, flip

WEIGHTS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([0.25], np.float32)}


@pytest.fixture
def naive(tmp_path: Path) -> NaiveMailbox:
    box = NaiveMailbox(tmp_path / "box", {name: array.shape for name, array in WEIGHTS.items()})
    box.put("round1_Aa", WEIGHTS)
    return box


def test_a_whole_file_is_read_as_it_was_written(naive: NaiveMailbox) -> None:
    assert naive.names() == ["round1_Aa"] and naive.is_there("round1")
    assert all(np.array_equal(naive.get("round1_Aa")[name], array) for name, array in WEIGHTS.items())


def test_half_a_file_counts_as_there_and_ends_in_zeros(naive: NaiveMailbox) -> None:
    naive.put("round1_Bb", WEIGHTS, arrived=0.5)
    assert naive.is_there("round1_Bb")
    got = naive.get("round1_Bb")
    assert np.count_nonzero(got["a"]) == 2 and got["b"][0] == 0


def test_copies_flips_and_losses_go_unnoticed(naive: NaiveMailbox) -> None:
    naive.copy("round1_Aa", "round2_Bb")
    naive.flip("round2_Bb", byte=-1)
    assert naive.get("round2_Bb")["b"][0] == pytest.approx(8.507059e37)
    naive.lose()
    assert naive.names() == []


def test_a_flip_is_its_own_inverse(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    flip(file, 1)
    assert file.read_bytes() == b"a\x22c"
    flip(file, 1)
    assert file.read_bytes() == b"abc"
