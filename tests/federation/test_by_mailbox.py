"""A federation through a mailbox, every member a process of its own: the same weights as in one process."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from pedseg.federation import transports
from pedseg.learning.network import sha256_of
from pedseg.learning.training import load_weights

LONG = {"rounds": 8, "steps": 2, "seed": 7}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "webdav", "s3"])
def test_three_centers_give_the_same_bits_on_every_storage(
    kind: str, programs, storage, tmp_path: Path, expected: list[str]
) -> None:
    url, environment, _ = storage(kind)
    played = programs(url, "--evaluate-every", "3", environment=environment)
    played.start()
    played.wait()
    assert played.digest() == expected[-1]
    for name in ("coordinator", "Aa", "Bb", "Cc"):  # every hospital leaves with the model
        weights, _, metadata = load_weights(played.work / name / "federated.safetensors")
        assert sha256_of(weights) == metadata["sha256"] == expected[-1]
    assert "E-" not in "".join(map(played.said, played.commands))


@pytest.mark.slow
@pytest.mark.timeout(0 if "PEDSEG_KILLS" in os.environ else 900)
def test_kills_at_any_moment_change_nothing(programs, storage, three_hospitals: Path, tmp_path: Path) -> None:
    """Coordinator, centers and WebDAV server are killed at random moments and begun again at once.

    PEDSEG_KILLS says how many (default 8), PEDSEG_KILLS_SEED which; where they struck is noted beside the programs.
    """
    seed = os.environ.get("PEDSEG_KILLS_SEED", "3")
    random, left = Random(seed), int(os.environ.get("PEDSEG_KILLS", "8"))
    expected = [one.sha256 for one in transports.federate(three_hospitals, tmp_path / "here", **LONG)][-1]
    url, environment, server = storage("webdav")
    struck: Counter = Counter()
    while left:
        played = programs(f"{url}/{left}", "--rounds", str(LONG["rounds"]), environment=environment)
        played.start()
        while left and not played.has_ended("coordinator"):
            time.sleep(random.uniform(0.1, 6.0))
            victim = random.choice([*played.commands, "server"])
            if victim == "server":
                server.kill()
                time.sleep(random.uniform(0.0, 1.0))
                server.start()
            elif played.has_ended(victim):
                continue
            else:
                played.kill(victim)
                played.start(victim)
            struck[victim, played.rounds_done()] += 1
            left -= 1
        played.wait()
        assert played.digest() == expected, (seed, left)
        for name in played.commands:
            weights, _, _ = load_weights(played.work / name / "federated.safetensors")
            assert sha256_of(weights) == expected, (name, seed, left)
    (tmp_path / "kills.txt").write_text(
        "\n".join(f"{n} x {who} after round {r}" for (who, r), n in sorted(struck.items()))
    )
