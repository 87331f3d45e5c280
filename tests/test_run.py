"""run.py: what it says when it cannot go on, and when it has nothing to do."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

PIP_OFFLINE = """
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.
HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno -3] Temporary failure in name resol')'
ERROR: Could not find a version that satisfies the requirement flit_core<4,>=3.11 (from versions: none)
ERROR: No matching distribution found for flit_core<4,>=3.11
"""
UV_OFFLINE = """
  x Failed to fetch: `https://pypi.org/simple/torch/`
  |-> error sending request for url (https://pypi.org/simple/torch/)
  `-> dns error: failed to lookup address information: Name or service not known
"""
PIP_DISK = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
PIP_NO_PIN = "ERROR: No matching distribution found for monai<1.7,>=1.6"


@pytest.fixture
def run(root):
    """The script as a module of its own, without doing anything."""
    spec = importlib.util.spec_from_file_location("run_script", root / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clone(root, tmp_path):
    """A fresh clone as far as run.py looks at it, in a folder with a blank and an umlaut in its name."""
    folder = tmp_path / "Übung 1"
    folder.mkdir()
    for name in ("run.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, folder / name)
    return folder


def environment_of(clone):
    """A `.venv` that looks finished; its Python is the one that runs this test."""
    python = clone / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python.parent.mkdir(parents=True)
    python.write_text("")
    (clone / ".venv" / "pyvenv.cfg").write_text("version = 3.11.7\n")
    (clone / ".venv" / "pedseg-home").write_text(str(clone), encoding="utf-8")


def test_only_the_standard_library(root):
    tree = ast.parse((root / "run.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_an_old_python_can_read_it(root):
    ast.parse((root / "run.py").read_text(encoding="utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_python_too_old_or_too_new_is_one_sentence(root, monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", (*version, 0))
    spec = importlib.util.spec_from_file_location("run_script", root / "run.py")
    with pytest.raises(SystemExit) as stop:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert str(stop.value).startswith("pedseg needs Python 3.11, 3.12 or 3.13, and this is ")
    assert "\n" not in str(stop.value)


@pytest.mark.parametrize(
    ("log", "beginning"),
    [
        (PIP_OFFLINE, "No network:"),
        (UV_OFFLINE, "No network:"),
        (PIP_DISK, "The disk is full:"),
        (PIP_NO_PIN, "No package index that pip can see offers monai<1.7,>=1.6:"),
        ("line one\nthe last line\n\n", "the last line"),
        ("", "The set-up failed without a word."),
    ],
)
def test_a_failed_installation_is_one_sentence(run, log, beginning):
    sentence = run.reason(log)
    assert sentence.startswith(beginning)
    assert "\n" not in sentence


def test_disk_too_full_stops_before_anything_is_made(run, clone, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10e9, 9e9, 1e9))
    monkeypatch.setattr(run, "ROOT", clone)
    assert run.main(["study"]) == 1
    assert capsys.readouterr().err == "The disk is too full: the set-up needs 4 GB, and 1.0 GB are free.\n"
    assert not (clone / ".venv").exists()


def test_intel_mac_is_one_sentence(run, clone, monkeypatch, capsys):
    monkeypatch.setattr(run.sys, "platform", "darwin")
    monkeypatch.setattr(run.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(run, "ROOT", clone)
    assert run.main([]) == 1
    assert "Intel Macs" in capsys.readouterr().err


def test_no_stamp_means_set_up(run, clone):
    assert run.read_stamp(clone) == (False, set())


def test_stamp_holds_until_something_changes(run, clone):
    environment_of(clone)
    run.write_stamp(clone, {"dev", "ray"})
    assert run.read_stamp(clone) == (True, {"dev", "ray"})
    with open(clone / "constraints.txt", "a") as file:
        file.write("another==1.0\n")
    assert run.read_stamp(clone) == (False, {"dev", "ray"})


def test_stamp_falls_with_another_python(run, clone):
    environment_of(clone)
    run.write_stamp(clone, set())
    (clone / ".venv" / "pyvenv.cfg").write_text("version = 3.12.1\n")
    assert run.read_stamp(clone) == (False, set())


def test_a_moved_folder_is_set_up_anew(run, clone, tmp_path):
    environment_of(clone)
    run.write_stamp(clone, set())
    moved = clone.rename(tmp_path / "elsewhere")
    assert run.moved(moved)
    assert run.read_stamp(moved) == (False, set())


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00", b"0123 dev"])
def test_a_damaged_stamp_means_set_up(run, clone, damage):
    environment_of(clone)
    (clone / ".venv" / "pedseg-stamp").write_bytes(damage)
    assert run.read_stamp(clone)[0] is False


def test_nothing_is_done_when_the_stamp_holds(run, clone, monkeypatch):
    environment_of(clone)
    run.write_stamp(clone, {"ray"})
    monkeypatch.setattr(run, "SetUp", None)
    run.set_up(clone, {"ray"})
    with pytest.raises(TypeError):  # a part that is missing asks for a set-up
        run.set_up(clone, {"dev"})


@pytest.mark.parametrize(("left", "kept"), [("unfinished", False), (None, True)])
def test_only_a_half_made_environment_is_made_anew(run, clone, monkeypatch, left, kept):
    environment_of(clone)
    (clone / ".venv" / "mine").touch()
    if left:
        (clone / ".venv" / left).touch()
    monkeypatch.setattr(run.SetUp, "run", lambda self, command, variables=None: 0)
    run.SetUp(clone).make_environment()
    assert (clone / ".venv" / "mine").exists() is kept


def test_somebody_elses_environment_is_never_removed(run, clone, monkeypatch):
    environment_of(clone)
    for name in ("unfinished", "mine"):
        (clone / ".venv" / name).touch()
    (clone / ".venv" / "pedseg-home").unlink()
    monkeypatch.setattr(run.SetUp, "run", lambda self, command, variables=None: 0)
    run.SetUp(clone).make_environment()
    assert (clone / ".venv" / "mine").exists()


def installed_by(run, clone, monkeypatch, answers, *, uv=None, gpu=False, platform="linux"):
    """The commands of one set-up, where `answers` tells which of them succeed."""
    environment_of(clone)
    commands = []

    def pretend(self, command, variables=None):
        commands.append(" ".join(command))
        return 0 if answers(commands[-1]) else 1

    where = {"uv": uv, "nvidia-smi": "/usr/bin/nvidia-smi" if gpu else None}
    monkeypatch.setattr(run.shutil, "which", lambda name: where[name])
    monkeypatch.setattr(run.sys, "platform", platform)
    monkeypatch.setattr(run.SetUp, "run", pretend)
    setup = run.SetUp(clone)
    setup.make_environment()
    setup.install({"ray", "dev"})
    return commands


def test_torch_comes_from_a_wheel_on_this_machine_if_there_is_one(run, clone, monkeypatch):
    commands = installed_by(run, clone, monkeypatch, lambda command: True)
    assert len(commands) == 2
    assert "--no-index --no-deps torch==" in commands[0]
    assert commands[1].endswith("-c constraints.txt -e .[dev,ray]")


def test_torch_comes_from_pytorchs_cpu_index_otherwise(run, clone, monkeypatch):
    commands = installed_by(run, clone, monkeypatch, lambda command: "--no-index" not in command)
    assert len(commands) == 3
    assert f"--index-url {run.CPU_WHEELS} --no-deps torch==" in commands[1]
    assert commands[1].endswith("+cpu")


def test_an_unreachable_cpu_index_is_no_end(run, clone, monkeypatch):
    commands = installed_by(run, clone, monkeypatch, lambda command: "-e ." in command)
    assert len(commands) == 3


@pytest.mark.parametrize("kind", [{"gpu": True}, {"platform": "darwin"}])
def test_torch_is_the_indexs_own_with_a_gpu_and_on_a_mac(run, clone, monkeypatch, kind):
    commands = installed_by(run, clone, monkeypatch, lambda command: True, **kind)
    assert len(commands) == 1


def test_pip_steps_in_when_uv_cannot_see_the_pins(run, clone, monkeypatch):
    commands = installed_by(run, clone, monkeypatch, lambda command: not command.startswith("uv"), uv="uv")
    assert [command.split()[0] == "uv" for command in commands] == [True, False, True, False]


def test_uv_can_be_refused(run, clone, monkeypatch):
    monkeypatch.setenv("PEDSEG_USE_UV", "0")
    commands = installed_by(run, clone, monkeypatch, lambda command: True, uv="uv")
    assert not any(command.startswith("uv") for command in commands)


def test_two_set_ups_at_once_are_one_too_many(run, clone):
    with run.alone(clone), pytest.raises(run.SetUpError, match="Another set-up"), run.alone(clone):
        pass
    with run.alone(clone):  # and the lock is given back
        pass


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        (["study", "--data", "x"], set()),
        (["federate", "--transport", "ray"], {"ray"}),
        (["federate", "--network", "swinunetr"], {"networks"}),
        (["coordinate", "box", "--track", "tensorboard"], {"mailbox", "track"}),
        (
            ["test", "-k", "metrics"],
            {"dev", "ray", "networks", "viewer3d", "mailbox", "dicom", "fetch", "site", "track"},
        ),
        (["site"], {"site", "viewer3d", "dicom"}),
        (["viewer"], {"viewer3d", "dicom"}),
        (["viewer", "--screenshots", "docs"], {"viewer3d", "dicom", "dev"}),
        (["lab"], {"viewer3d", "dicom"}),
        (["import", "x"], {"dicom"}),
    ],
)
def test_a_verb_gets_the_parts_it_needs(run, arguments, extras):
    assert run.extras_for(arguments) == extras


@pytest.mark.parametrize(
    ("given", "passed"), [([], ["study"]), (["--seeds", "3"], ["study", "--seeds", "3"]), (["lab"], ["lab"])]
)
def test_the_default_verb_is_study(run, monkeypatch, given, passed):
    monkeypatch.setattr(run, "set_up", lambda root, extras: None)
    monkeypatch.setattr(run, "start", lambda root, arguments: arguments)
    assert run.main(given) == passed


def test_an_interruption_is_130_without_a_traceback(run, monkeypatch, capsys):
    def interrupted(root, extras):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "set_up", interrupted)
    assert run.main(["study"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_help_needs_no_set_up(clone):
    answer = subprocess.run([sys.executable, str(clone / "run.py"), "--help"], capture_output=True, text=True)
    assert answer.returncode == 0
    assert "python3 run.py test" in answer.stdout
    assert not (clone / ".venv").exists()


def test_exit_codes_and_arguments_pass_through(clone):
    (clone / "pedseg").mkdir()
    (clone / "pedseg" / "__init__.py").touch()
    (clone / "pedseg" / "__main__.py").write_text("import sys\nprint(sys.argv[1:])\nsys.exit(7)\n")
    code = (
        "import sys, pathlib, run\n"
        "run.set_up = lambda root, extras: None\n"
        "run.python_in = lambda root: pathlib.Path(sys.executable)\n"
        "sys.exit(run.main(['check', 'a b', '--debug']))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True)
    assert answer.returncode == 7
    assert answer.stdout.strip() == "['check', 'a b', '--debug']"


@pytest.mark.slow
def test_no_network_is_one_sentence(clone, tmp_path):
    (clone / "README.md").write_text("pedseg\n")
    nowhere = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PEDSEG_USE_UV": "0",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("PIP_") and "proxy" not in name.lower()
    }
    answer = subprocess.run([sys.executable, str(clone / "run.py")], capture_output=True, text=True, env=kept | nowhere)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("No network:")
    assert "Traceback" not in answer.stderr
