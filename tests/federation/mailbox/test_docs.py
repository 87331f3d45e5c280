"""docs/mailbox.md is run from its own text: keys, policy, federation, status, and the score at home."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pedseg import processes
from pedseg.federation.center_policy import read_policy


@pytest.fixture
def text(root: Path) -> str:
    return (root / "docs" / "mailbox.md").read_text(encoding="utf-8")


def test_the_documented_policy_is_one(text: str, tmp_path: Path) -> None:
    (policy,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "policy.toml").write_text(policy)
    read = read_policy(tmp_path / "policy.toml")
    assert read.max_steps == 2000 and read.approve_plans


class Office:
    """A folder of one member, in which the documented commands are typed."""

    def __init__(self, root: Path, folder: Path, box: Path, data: Path) -> None:
        self.folder, self.box, self.data = folder, box, data
        folder.mkdir()
        self.env = {
            **os.environ,
            "PATH": processes.prepend_path(Path(sys.executable).parent, "PATH"),
            "PYTHONPATH": processes.prepend_path(root, "PYTHONPATH"),
            "OMP_NUM_THREADS": "1",
        }

    def words(self, command: str, more: str = "") -> list[str]:
        own = {"Polder": self.folder.name} if self.folder.name != "coordinator" else {}
        for old, new in {
            "https://cloud.example/federation": str(self.box), "Dataset901_Polder": str(self.data), **own,
            "--rounds 10 --center": "--rounds 1 --local-steps 1 --center",
        }.items():  # fmt: skip
            command = command.replace(old, new)
        return ["bash", "-ec", f"exec {command.strip()} {more}"]

    def type(self, command: str) -> str:
        done = subprocess.run(
            self.words(command), cwd=self.folder, env=self.env, capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def typed(self, command: str, more: str = "") -> Iterator[subprocess.Popen]:
        log = self.folder / "said.txt"
        with processes.running(self.words(command, more), log, env=self.env, folder=self.folder) as process:
            yield process

    def said(self) -> str:
        return (self.folder / "said.txt").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_a_federation_by_the_documented_commands(text: str, root: Path, hospitals: Path, tmp_path: Path) -> None:
    own_keys, center_keys, coordinate, join, score = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    (policy,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    folders = [hospitals, *sorted(hospitals.iterdir())]
    names = ("coordinator", "Polder", "Neckar")
    coordinator, *centers = (
        Office(root, tmp_path / name, tmp_path / "box", data) for name, data in zip(names, folders, strict=True)
    )
    for office in (coordinator, *centers):
        office.type(own_keys if office is coordinator else center_keys)
    for office in centers:
        shutil.copy(office.folder / f"keys/{office.folder.name}.public.json", coordinator.folder / "keys")
        shutil.copy(coordinator.folder / "keys/coordinator.public.json", office.folder / "keys")
        assert set(office.type(center_keys).splitlines()) <= set(coordinator.type(own_keys).splitlines())
        (office.folder / "policy.toml").write_text(policy.replace("min-cases = 5 ", "min-cases = 1 "))
    with ExitStack() as stack:
        leader = stack.enter_context(coordinator.typed(coordinate, "--poll 0.5"))
        running = [stack.enter_context(office.typed(join, "--poll 0.5")) for office in centers]
        until = time.monotonic() + 600
        while not all("E-PLAN-NEW" in office.said() for office in centers) and time.monotonic() < until:
            assert leader.poll() is None, coordinator.said()
            time.sleep(0.2)
        for office, process in zip(centers, running, strict=True):
            digest = re.search(r"--approved-plan ([0-9a-f]+)", office.said())
            assert digest, office.said() + coordinator.said()
            process.kill()
            process.wait()
            stack.enter_context(office.typed(join, f"--poll 0.5 --approved-plan {digest[1]}"))
        assert leader.wait(600) == 0, coordinator.said()
        while not all((o.folder / f"runs/join/{o.folder.name}/federated.safetensors").is_file() for o in centers):
            assert time.monotonic() < until + 200
            time.sleep(0.2)
    assert "round 1 of 1: loss" in coordinator.type("pedseg status runs/federation --html run.html")
    assert "federated" in centers[0].type(score)
