"""A federation through a mailbox, every member a process of its own: the same weights as in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from pedseg.learning.network import sha256_of
from pedseg.learning.training import load_weights


@pytest.mark.slow
def test_three_centers_through_a_folder_give_the_same_bits(programs, tmp_path: Path, expected: list[str]) -> None:
    played = programs(tmp_path / "box")
    played.start()
    played.wait()
    assert played.digest() == expected[-1]
    for name in ("coordinator", "Aa", "Bb", "Cc"):  # every hospital leaves with the model
        weights, _, metadata = load_weights(played.work / name / "federated.safetensors")
        assert sha256_of(weights) == metadata["sha256"] == expected[-1]
    assert "E-" not in "".join(map(played.said, played.commands))
