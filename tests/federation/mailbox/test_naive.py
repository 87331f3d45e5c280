"""The naive mailbox of chapter 12 is as bad as the lesson says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

WEIGHTS = {"kernel": np.arange(9, dtype=np.float32), "bias": np.array([0.25], np.float32)}


@pytest.fixture
def naive(root: Path, tmp_path: Path) -> SimpleNamespace:
    """The functions `put` and `get` of the chapter, on a folder that holds one model."""
    (source,) = (root / "notebooks" / "source").glob("*_across_the_firewall.py")
    (code,) = re.findall(r"^def put.*?(?=^put\()", source.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    names: dict = {"np": np, "folder": tmp_path}
    exec(code, names)
    names["put"]("round1_Aa", WEIGHTS)
    return SimpleNamespace(**names)


def test_a_whole_file_is_read_as_it_was_written(naive: SimpleNamespace) -> None:
    assert [file.name for file in naive.folder.iterdir()] == ["round1_Aa"]
    assert all(np.array_equal(naive.get("round1_Aa")[name], array) for name, array in WEIGHTS.items())


def test_half_a_file_counts_as_there_and_ends_in_zeros(naive: SimpleNamespace) -> None:
    naive.put("round1_Bb", WEIGHTS, arrived=0.5)
    assert (naive.folder / "round1_Bb").exists()
    weights = naive.get("round1_Bb")
    assert np.count_nonzero(weights["kernel"]) == 4 and weights["bias"][0] == 0


def test_copies_and_flipped_bits_go_unnoticed(naive: SimpleNamespace) -> None:
    file = Path(shutil.copy(naive.folder / "round1_Aa", naive.folder / "round2_Bb"))
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1 << 6
    file.write_bytes(raw)
    assert naive.get("round2_Bb")["bias"][0] == pytest.approx(8.507059e37)
