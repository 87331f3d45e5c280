"""The shortest federations of tiny hospitals, and the programs that play them through a mailbox."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pedseg.federation import transports
from pedseg.federation.keys import COORDINATOR, make_keys, write_keys
from pedseg.patients.datasets import write_case, write_index

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("Aa", "Bb", "Cc")
SHORT = {"rounds": 3, "steps": 2, "seed": 7}


@pytest.fixture
def run_config(hospitals: Path) -> dict:
    """The shortest federation: two rounds of two steps."""
    return {"data": str(hospitals), "profile": "lesson", "rounds": 2, "steps-per-round": 2, "seed": 7, "out": ""}


@pytest.fixture(scope="session")
def three_hospitals(tmp_path_factory: pytest.TempPathFactory, tiny_case) -> Path:
    """Data sets of Aa (3 training cases), Bb (2) and Cc (2), with a validation and a test case each."""
    data = tmp_path_factory.mktemp("three")
    for number, (center, train, contrast_hu) in enumerate(zip(NAMES, (3, 2, 2), (60.0, 140.0, 100.0), strict=True)):
        folder = data / f"Dataset90{number}_{center}"
        for place, split in enumerate([*["train"] * train, "validation", "test"]):
            image, labels = tiny_case(100 * number + place, contrast_hu)
            name = f"{center}-{place}"
            manual = ("Liver", "Spleen", "Kidney_L")
            write_case(folder, name, image, labels, patient=name, center=center, split=split, manual=manual)
        write_index(folder, center=center)
    return data


@pytest.fixture(scope="session")
def expected(three_hospitals: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The fingerprints of the global weights after each round of `SHORT`, played in this process."""
    out = tmp_path_factory.mktemp("expected")
    return [round_.sha256 for round_ in transports.federate(three_hospitals, out, **SHORT)]


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys of the coordinator and of three centers, as if all had exchanged them."""
    folder = tmp_path_factory.mktemp("keys")
    for name in (COORDINATOR, *NAMES):
        write_keys(folder, make_keys(name))
    return folder


class Programs:
    """`pedseg coordinate` and `pedseg join` as processes on one mailbox; each can be killed and begun again."""

    def __init__(self, url: str, data: Path, keys: Path, work: Path, options: tuple[str, ...] = ()) -> None:
        self.url, self.work = url, work
        common = ["--keys", str(keys), "--poll", "0.3"]
        short = [word for key, value in SHORT.items() for word in (f"--{key}", str(value))]
        self.commands = {
            COORDINATOR: ["coordinate", url, "--out", str(work / COORDINATOR), *short, *common, *options],
            **{
                name: ["join", url, "--center", name, "--data", str(folder), "--state", str(work / name), *common]
                for name, folder in zip(NAMES, sorted(data.iterdir()), strict=True)
            },
        }
        self.running: dict[str, subprocess.Popen] = {}

    def start(self, *names: str) -> None:
        """Begin the named programs, or all."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        for name in names or self.commands:
            with (self.work / f"{name}.txt").open("ab") as output:
                self.running[name] = subprocess.Popen(
                    [sys.executable, "-m", "pedseg", *self.commands[name]],
                    stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
                )  # fmt: skip

    def kill(self, name: str) -> None:
        """End a program as a power cut would."""
        self.running[name].kill()
        self.running.pop(name).wait()

    def wait(self, *names: str, seconds: float = 120) -> None:
        """Wait until the named programs, or all, have ended well."""
        for name in names or list(self.running):
            assert self.running[name].wait(seconds) == 0, self.said(name)

    def said(self, name: str) -> str:
        """Everything that a program printed."""
        return (self.work / f"{name}.txt").read_text(encoding="utf-8")

    def digest(self) -> str:
        """The fingerprint that the coordinator printed last."""
        return self.said(COORDINATOR).splitlines()[-1].removeprefix("sha256 ")

    def end(self) -> None:
        """End what still runs."""
        for name in list(self.running):
            self.kill(name)


@pytest.fixture
def programs(three_hospitals: Path, key_folder: Path, tmp_path: Path) -> Iterator:
    """A maker of `Programs`: (url, *options); what still runs is ended with the test."""
    made: list[Programs] = []

    def make(url: str | Path, *options: str) -> Programs:
        work = tmp_path / f"work{len(made)}"
        work.mkdir()
        made.append(Programs(str(url), three_hospitals, key_folder, work, options))
        return made[-1]

    yield make
    for one in made:
        one.end()
