"""The shortest federations of tiny hospitals, and the programs that play them through a mailbox."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from pedseg.datasets.writing import write_case, write_index
from pedseg.federation import transports
from pedseg.federation.config import FederationConfig, MailboxConfig
from pedseg.federation.keys import COORDINATOR, make_keys, write_keys
from pedseg.federation.mailbox.remote_stores import PASSWORD, USER

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("Aa", "Bb", "Cc")
SHORT = {"rounds": 2, "local_steps": 2, "seed": 7}


def load_module(file: Path) -> ModuleType:
    """A Python file that is in no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Demo = load_module(ROOT / "notebooks" / "mailbox_demo.py").Demo


@pytest.fixture(scope="session")
def keys_of(tmp_path_factory) -> Callable[..., Path]:
    """Makes a folder with new keys of the named centers, private and public."""

    def write(*names: str) -> Path:
        folder = tmp_path_factory.mktemp("keys")
        for name in names:
            write_keys(folder, make_keys(name))
        return folder

    return write


@pytest.fixture(scope="session")
def servers() -> ModuleType:
    """The file `servers.py` beside this one."""
    return load_module(Path(__file__).with_name("servers.py"))


@pytest.fixture(scope="session")
def attribute_inference() -> ModuleType:
    """The functions of chapter 13 for attribute inference."""
    return load_module(ROOT / "notebooks" / "attribute_inference.py")


@pytest.fixture
def config(hospitals: Path) -> FederationConfig:
    """The shortest federation: two rounds of two steps, which writes nothing."""
    return FederationConfig(data=hospitals, out=None, **SHORT)


@pytest.fixture(scope="session")
def three_hospitals(tmp_path_factory: pytest.TempPathFactory, tiny_case) -> Path:
    """Data sets of Aa (3 training cases), Bb (2) and Cc (2), with a validation and a test case each."""
    data = tmp_path_factory.mktemp("three")
    for number, (center, train, contrast_hu) in enumerate(zip(NAMES, (3, 2, 2), (60.0, 140.0, 100.0), strict=True)):
        folder = data / f"Dataset90{number}_{center}"
        for place, part in enumerate([*["train"] * train, "validation", "test"]):
            image, labels = tiny_case(100 * number + place, contrast_hu)
            name = f"{center}-{place}"
            manual = ("Liver", "Spleen", "Kidney_L")
            write_case(folder, name, image, labels, patient=name, center=center, split=part, manual=manual)
        write_index(folder, center=center)
    return data


@pytest.fixture(scope="session")
def expected(three_hospitals: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The SHA-256 of the global weights after each round of `SHORT`, trained in this process."""
    config = FederationConfig(data=three_hospitals, out=tmp_path_factory.mktemp("expected"), **SHORT)
    return [round_.sha256 for round_ in transports.federate(config)]


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys of the coordinator and of three centers, as if all had exchanged them."""
    folder = tmp_path_factory.mktemp("keys")
    for name in (COORDINATOR, *NAMES):
        write_keys(folder, make_keys(name))
    return folder


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system as a share over SMB: it has no hard links."""

    def no_link(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", no_link)


class Programs:
    """`pedseg coordinate` and `pedseg join` as processes on one mailbox; each can be killed and begun again."""

    def __init__(
        self, url: str, data: Path, keys: Path, work: Path, options: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.url, self.work = url, work
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.environment = {**os.environ, **own, **environment}
        common = ["--keys", str(keys), "--poll", "0.3"]
        short = [word for key, value in SHORT.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        self.commands = {
            COORDINATOR: ["coordinate", url, "--out", str(work / COORDINATOR), *short, *common, *options],
            **{
                name: [
                    "join",
                    url,
                    "--center",
                    name,
                    "--data",
                    str(folder),
                    "--state",
                    str(work / name),
                    *common,
                    "--min-score-cases",
                    "1",
                ]
                for name, folder in zip(NAMES, sorted(data.iterdir()), strict=True)
            },
        }
        self.running: dict[str, subprocess.Popen] = {}
        self.prefixes: dict[str, list[str]] = {}  # what stands before a program's command

    def start(self, *names: str) -> None:
        """Begin the named programs, or all."""
        for name in names or self.commands:
            with (self.work / f"{name}.txt").open("ab") as output:
                self.running[name] = subprocess.Popen(
                    [*self.prefixes.get(name, ()), sys.executable, "-m", "pedseg", *self.commands[name]],
                    stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.environment,
                )  # fmt: skip

    def kill(self, name: str) -> None:
        """End a program as a power cut would."""
        self.running[name].kill()
        self.running.pop(name).wait()

    def wait(self, *names: str, seconds: float = 120) -> None:
        """Wait until the named programs, or all, have ended well."""
        for name in names or list(self.running):
            assert self.running[name].wait(seconds) == 0, self.said(name)

    def has_ended(self, name: str) -> bool:
        """Whether a program ran to its end."""
        code = self.running[name].poll()
        assert code in (None, 0), self.said(name)
        return code == 0

    def rounds_done(self) -> int:
        """How many rounds the coordinator has on disk."""
        return len(list((self.work / COORDINATOR / "rounds").glob("round_*.safetensors")))

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
    """A maker of `Programs`: (url, *options, environment=…); what still runs is ended with the test."""
    made: list[Programs] = []

    def make(url: str | Path, *options: str, environment: Mapping[str, str] = MappingProxyType({})) -> Programs:
        work = tmp_path / f"work{len(made)}"
        work.mkdir()
        made.append(Programs(str(url), three_hospitals, key_folder, work, options, environment))
        return made[-1]

    yield make
    for member in made:
        member.end()


@pytest.fixture
def storage(servers: ModuleType, tmp_path: Path) -> Iterator:
    """A maker of mailboxes: kind to address, what programs need in their environment, and the server or None."""
    started: list = []

    def make(kind: str) -> tuple[str, dict[str, str], Any]:
        if kind == "folder":
            return str(tmp_path / "box"), {}, None
        if kind == "webdav":
            server = servers.webdav(tmp_path, users={servers.USER: servers.PASSWORD})
            environment = {USER: servers.USER, PASSWORD: servers.PASSWORD}
            address = server.url
        else:
            server = servers.s3(tmp_path)
            address, environment = "s3://box/federation", servers.s3_environment(server)
        server.start()
        started.append(server)
        if kind == "s3":
            servers.make_bucket(server, "box")
        return address, environment, server

    yield make
    for server in started:
        server.kill()


class Federation(Demo):  # type: ignore[misc, valid-type]
    """A coordinator and the centers Aa and Bb, with a model of five equal weights."""

    def __init__(self, folder: Path, expires_seconds: float = 3600.0, **mailbox) -> None:
        config = MailboxConfig(poll=0.05, **mailbox)
        super().__init__(folder / "demo", ("Aa", "Bb"), config=config, expires_seconds=expires_seconds)

    def messages(self, round_: int, weights: Any = 0.0) -> list[Message]:
        return super().messages(round_, {"w": np.full(5, weights, dtype=np.float32)})

    def push(self, round_: int, value: float = 0.0) -> list[str]:
        return self.send(round_, value)  # type: ignore[arg-type]

    def poll(self, *names: str) -> list[str]:  # type: ignore[override]
        """Let centers poll once; what they refused, by code."""
        return [problem.code for problem in super().poll(*names)]

    def read(self, ids: list[str]) -> dict[int, float]:
        """The first weight of each reply that is there, by node."""
        replies = self.grid.pull_messages(ids)
        return {r.metadata.src_node_id: float(r.content.array_records["arrays"]["w"].numpy()[0]) for r in replies}

    def refused(self) -> list[str]:
        """What the coordinator refused, by code."""
        return [problem.code for problem in self.grid.refused]

    def play(self, round_: int, value: float = 0.0) -> dict[int, float]:
        """A whole undisturbed round."""
        ids = self.push(round_, value)
        self.poll()
        return self.read(ids)


@pytest.fixture
def make_federation(tmp_path: Path) -> Callable[..., Federation]:
    """A maker of federations in this process, of the coordinator's options."""
    return lambda **options: Federation(tmp_path, **options)


@pytest.fixture
def federation(make_federation: Callable[..., Federation]) -> Federation:
    """A federation that waits for ever."""
    return make_federation()
