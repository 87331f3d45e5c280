"""The same weights on every transport."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pedseg.errors import PedsegInputError
from pedseg.federation import transports
from pedseg.federation.config import FederationConfig
from pedseg.federation.deployment import flower_programs, ray_simulation
from pedseg.learning.weights import load_weights, sha256_of

SHORT = {"rounds": 2, "local_steps": 2, "seed": 7}


def test_in_process_yields_rounds_and_leaves_the_model(hospitals: Path, tmp_path: Path) -> None:
    rounds = list(transports.federate(FederationConfig(data=hospitals, out=tmp_path, **SHORT)))
    assert [r.number for r in rounds] == [1, 2]
    assert sha256_of(load_weights(tmp_path / "federated.safetensors")[0]) == rounds[-1].sha256


@pytest.mark.slow
def test_every_storage_gives_the_same_weights(expected: list[str], programs, storage, servers) -> None:
    """Through a folder, WebDAV and an S3 store; Ray and a SuperLink: test_center_state.py, test_superlink_proxy.py."""
    kinds = ["folder", "webdav"] + ["s3"] * bool(servers.moto_server())
    for kind in kinds:
        url, environment, _ = storage(kind)
        played = programs(url, "--evaluate-every", "2", environment=environment)
        played.start()
        played.wait()
        assert played.digest() == expected[-1], kind
        for name in ("coordinator", "Aa", "Bb", "Cc"):  # every hospital leaves with the model
            weights, _, metadata = load_weights(played.work / name / "federated.safetensors")
            assert sha256_of(weights) == metadata["sha256"] == expected[-1], (kind, name)
        assert "E-" not in "".join(map(played.said, played.commands)), kind
    if "s3" not in kinds:
        pytest.skip("two storages gave the same weights; there is no S3 server here, see PEDSEG_MOTO_SERVER")


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A SuperLink that is none: `flwr ls` tells the states of this list, one a call."""
    states: list[str] = []

    @contextmanager
    def no_superlink(home: Path) -> Iterator[dict[str, str]]:
        yield {}

    def flwr(arguments: list[str], env: dict[str, str]) -> dict:
        if arguments[0] == "run":
            return {"success": True, "run-id": "5"}
        return {"success": True, "runs": [{"run-id": "5", "status": states.pop(0)}]}

    def log(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
        slow = " ".join(states)  # another attempt follows only if one is left
        return subprocess.CompletedProcess(
            [], 0, f"{ray_simulation.SLOW_START if slow else ''}\n\x1b[91mthe reason\n", ""
        )

    monkeypatch.setattr(flower_programs, "call_flwr", log)
    monkeypatch.setattr(flower_programs, "ASK_SECONDS", -1)
    monkeypatch.setattr(ray_simulation, "_superlink", no_superlink)
    monkeypatch.setattr(flower_programs, "flwr", flwr)
    monkeypatch.setattr(flower_programs, "LOOK_SECONDS", 0)
    return states


def test_a_failed_run_is_told_with_the_end_of_its_log(hospitals: Path, tmp_path: Path, pretended: list[str]) -> None:
    pretended += ["pending", "running", "finished:failed"]
    with pytest.raises(PedsegInputError, match="the reason"):
        list(ray_simulation.ray_rounds(FederationConfig(data=hospitals, out=tmp_path)))


def test_ray_gets_another_chance_when_it_was_too_slow_to_start(
    hospitals: Path, tmp_path: Path, pretended: list[str]
) -> None:
    pretended += ["running", "finished:failed", "running", "finished:completed"]
    assert list(ray_simulation.ray_rounds(FederationConfig(data=hospitals, out=tmp_path))) == [] and pretended == []


def test_rounds_of_an_earlier_run_are_not_taken_for_new_ones(
    hospitals: Path, tmp_path: Path, pretended: list[str]
) -> None:
    list(transports.federate(FederationConfig(data=hospitals, out=tmp_path, **SHORT)))
    pretended += ["running", "running", "finished:completed"]
    rounds = ray_simulation.ray_rounds(FederationConfig(data=hospitals, out=tmp_path, rounds=2))
    assert [r.number for r in rounds] == [1, 2] and pretended == []  # not before the run has ended


def test_without_ray_the_way_to_get_it_is_told(
    hospitals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_simulation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PedsegInputError, match=r"pedseg\[ray\]"):
        list(ray_simulation.ray_rounds(FederationConfig(data=hospitals, out=tmp_path)))
