"""Cores and memory, in a container too."""

import os

import psutil
import pytest

from pedseg import resources


@pytest.mark.parametrize(("limit", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("150000 100000", 2)])
def test_a_containers_share_of_the_cores_counts(tmp_path, limit, cores):
    (tmp_path / "cpu.max").write_text(limit)
    assert resources.available_cores(tmp_path) == min(cores, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("content", [None, "max 100000", "nonsense"])
def test_without_a_limit_all_cores_of_the_process_count(tmp_path, content):
    if content:
        (tmp_path / "cpu.max").write_text(content)
    assert resources.available_cores(tmp_path) == len(os.sched_getaffinity(0))


def test_a_containers_memory_is_its_limit_less_what_cannot_be_given_back(tmp_path):
    files = {"memory.max": 300 * 2**20, "memory.current": 200 * 2**20}
    for name, size in files.items():
        (tmp_path / name).write_text(f"{size}\n")
    (tmp_path / "memory.stat").write_text(f"anon {150 * 2**20}\ninactive_file {50 * 2**20}\n")
    assert resources.available_memory_mib(tmp_path) == 150
    (tmp_path / "memory.max").write_text("max\n")
    assert abs(resources.available_memory_mib(tmp_path) - psutil.virtual_memory().available / 2**20) < 500


def test_jobs_fit_cores_and_memory(monkeypatch):
    monkeypatch.setattr(resources, "available_cores", lambda: 8)
    monkeypatch.setattr(resources, "available_memory_mib", lambda: 3 * resources.JOB_MIB + 1)
    assert resources.parallel_jobs() == 3
    monkeypatch.setattr(resources, "available_memory_mib", lambda: 10)
    assert resources.parallel_jobs() == 1
