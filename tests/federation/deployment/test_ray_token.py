"""Ray runs what it is sent: with our environment only from those who have the run's token."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest

from pedseg.federation.deployment import flower_programs

HEAD = """
import ray, sys
begun = ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
print(begun.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""
CLIENT = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False)
print(ray.get(ray.remote(lambda: "ran").remote()))
"""


def said_to(address: str, environment: Mapping[str, str]) -> str:
    """What a program prints that asks Ray to run a function."""
    command = [sys.executable, "-c", CLIENT, address]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_ray_runs_nothing_for_those_without_the_token(tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("ray")
    home = tmp_path_factory.mktemp("r")
    ours = flower_programs.environment(home)
    without = {key: value for key, value in ours.items() if not key.startswith("RAY_AUTH")}
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD], env=ours, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with head:
        assert head.stdin and head.stdout
        try:
            address = head.stdout.readline().strip()
            assert ":" in address
            assert said_to(address, ours).startswith("ran")
            answer = said_to(address, without)
            assert "ran" not in answer.split() and "InvalidAuthToken" in answer
        finally:
            head.stdin.close()
            head.wait(60)
