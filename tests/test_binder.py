"""Binder builds what was tested: the environment file says the same as pyproject.toml, and repo2docker takes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NAMED_BY_THE_USER = {"jupyterlab", "torch", "monai", "flwr", "itkwidgets", "nibabel", "ipywidgets", "matplotlib"}


def conda_lines(root: Path) -> list[str]:
    lines = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    return [line for line in lines if isinstance(line, str)]


def pip_lines(root: Path) -> list[str]:
    lines = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    return next(line["pip"] for line in lines if isinstance(line, dict))


def packages(root: Path) -> dict[str, Requirement]:
    """Every package of environment.yml but Python and pip, by its canonical name."""
    lines = [line for line in conda_lines(root) if not re.match(r"(python|pip)\b", line)]
    lines += [line for line in pip_lines(root) if not line.startswith("-")]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


OF_CUDA = ("cuda-", "nvidia-", "triton")


def pins(root: Path) -> dict[str, str]:
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_every_package_the_user_named_is_there(root):
    assert packages(root).keys() >= NAMED_BY_THE_USER


def test_ranges_are_those_of_pyproject(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["viewer3d"]
    lines += project["optional-dependencies"]["dicom"]
    assert packages(root) == {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def test_python_is_written_as_binder_reads_it(root):
    assert "python=3.11" in conda_lines(root)


def test_torch_comes_without_cuda(root):
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in pip_lines(root)
    assert "torch.version.cuda is None" in (root / "postBuild").read_text()


def test_nothing_local_in_the_pip_list(root):
    # A line like `-e .` or `-r file` makes Binder install torch anew for every commit.
    assert [line for line in pip_lines(root) if re.match(r"(-e|-r|-c|\.|/)", line)] == []


def test_the_pip_list_resolves_at_the_pins(root):
    """Walk from environment.yml through what the installed packages ask for: every pin satisfies every wish."""
    pinned, unmet, seen = pins(root), [], set()
    queue = [(wish, "environment.yml") for wish in packages(root).values()]
    while queue:
        wish, asker = queue.pop()
        name = canonicalize_name(wish.name)
        if name not in pinned or not wish.specifier.contains(pinned[name], prereleases=True):
            unmet.append(f"{asker} asks for {wish}, constraints.txt has {pinned.get(name)}")
        for extra in {"", *wish.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                queue += [(Requirement(line), name) for line in asked_for(name, extra)]
    assert unmet == []
    assert len(seen) > 100


def asked_for(name: str, extra: str) -> list[str]:
    """What an installed package asks for on this machine, without the condition.

    What CUDA asks for has no pin, where torch comes with it: on Binder it does not.
    """
    import_options = [Requirement(line) for line in requires(name) or []]
    wanted = [w for w in import_options if w.marker is None or w.marker.evaluate({"extra": extra})]
    for wish in wanted:
        wish.marker = None
    return [str(wish) for wish in wanted if not (name == "torch" and wish.name.startswith(OF_CUDA))]


def test_constraints_hold_versions_and_nothing_else(root):
    for name, version in pins(root).items():
        assert re.fullmatch(r"[0-9][0-9a-z.!]*", version), f"{name}=={version}"


@pytest.mark.slow
@pytest.mark.xfail(sys.platform == "win32", reason="repo2docker does not run on Windows", strict=False)
def test_repo2docker_takes_the_repository(root, tmp_path):
    copy = tmp_path / "pedseg"
    names = ("environment.yml", "postBuild", "start", "pyproject.toml", "README.md")
    copy.mkdir()
    for name in names:
        shutil.copy(root / name, copy / name)
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(copy)]
    alone = {**os.environ, "HOME": str(tmp_path)}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, env=alone)
    assert answer.returncode == 0, answer.stderr[-2000:]
    text = answer.stdout + answer.stderr
    assert "Building conda environment for python=3.11" in text
    listed, whole = (re.search(rf"COPY --chown=\S+ {what} ", text) for what in ("src/environment.yml", "src/"))
    assert listed and whole and listed.start() < whole.start()  # the heavy layer outlives changes of the rest
    assert "RUN ./postBuild" in text
    assert "/start" in text
