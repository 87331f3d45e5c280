"""What every test stands on: one thread, no window, no network, and where the repository lies."""

from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pedseg.datasets.writing import write_case, write_index
from pedseg.organs import organ
from pedseg.scan import Scan

# Before torch and matplotlib are imported: equal sums on every machine, and no window.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side (pytest-xdist), files with most slow tests come first, so that no worker waits for the last one."""
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return ROOT


@pytest.fixture(autouse=True)
def stay_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every TCP connection that would leave this machine."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM:
            host = str(address[0])  # type: ignore[index]
            if host not in ("localhost", "::1") and not host.startswith("127."):
                raise OSError(f"A test tried to reach {host}: tests stay on this machine.")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


ORGANS = ("Liver", "Spleen", "Kidney_L")


def make_tiny_case(seed: int, contrast_hu: float) -> tuple[Scan, Scan]:
    """A body of 24³ voxels of 6 mm with three boxes for organs; the contrast differs by hospital."""
    rng = np.random.default_rng(seed)
    voxels = np.full((24, 24, 24), -1000.0)
    labels = np.zeros(voxels.shape, dtype=np.uint8)
    voxels[3:21, 3:21, 1:23] = 20
    for place, name in zip(((12, 8, 8), (4, 8, 8), (4, 14, 4)), ORGANS, strict=True):
        low = np.array(place) + rng.integers(0, 3, 3)
        box = tuple(slice(a, a + 5) for a in low)
        labels[box], voxels[box] = organ(name).id, contrast_hu + 30 * ORGANS.index(name)
    voxels += rng.normal(0, 10, voxels.shape)
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    return Scan(voxels.astype(np.int16), affine), Scan(labels, affine)


@pytest.fixture(scope="session")
def tiny_case():
    """The maker of tiny cases: (seed, contrast_hu) to image and labels."""
    return make_tiny_case


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data sets of Aa (3 training cases) and Bb (2), one validation and one test case each."""
    data = tmp_path_factory.mktemp("hospitals")
    for number, (center, train, contrast_hu) in enumerate((("Aa", 3, 60.0), ("Bb", 2, 140.0))):
        folder = data / f"Dataset90{number}_{center}"
        for place, split in enumerate([*["train"] * train, "validation", "test"]):
            image, labels = make_tiny_case(100 * number + place, contrast_hu)
            name = f"{center}-{place}"
            write_case(folder, name, image, labels, patient=name, center=center, split=split, manual=ORGANS)
        write_index(folder, center=center)
    return data
