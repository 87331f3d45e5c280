"""Flower's own programs as child processes: SuperLink, SuperNodes and the `flwr` command.

They get folders of their own, no telemetry and no update check; they install nothing and are ended together with
everything that they started.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pedseg
from pedseg import processes
from pedseg.datasets.reading import center_folders
from pedseg.errors import input_error
from pedseg.federation.checkpoints import FINAL_MODEL, Round, checkpoint_file, read_checkpoint
from pedseg.federation.config import FederationConfig

LOG = "superlink.log"
REMEDY = "Correct what the message names."
LOOK_SECONDS = 1.0  # between two looks at the folder of the run
ASK_SECONDS = 15.0  # between two requests for its status; each starts a `flwr` program, which costs seconds of a core
START_SECONDS = 60  # a SuperLink that does not answer by then will not
LONGEST_RAY_FOLDER = 38  # of the 107 bytes that the path of a socket may have
COMPLETED = "finished:completed"
Rounds = Generator[Round, None, str]  # yields rounds and returns how the run ended


def follow_run(
    run_id: str, env: dict[str, str], out: Path, before: Mapping[str, int], rounds: int, yielded: set[int]
) -> Rounds:
    """Yield rounds as their checkpoints appear until the run has ended; returns its final status.

    A file that was there before and has not changed belongs to an earlier run, until a later
    round is written or the run completes: then it was resumed. The `yielded` rounds of an earlier attempt do not come
    again.
    """
    done, status, asked = 0, "", time.monotonic()
    while not status.startswith("finished"):
        time.sleep(LOOK_SECONDS)
        new = {name for name, written in modification_times(out).items() if before.get(name) != written}
        if FINAL_MODEL in new or time.monotonic() - asked > ASK_SECONDS:
            status, asked = status_of(run_id, env), time.monotonic()
        while done < rounds and (
            status == COMPLETED or any(checkpoint_file(out, n).name in new for n in range(done + 1, rounds + 1))
        ):
            done += 1
            if done not in yielded and (round_ := read_checkpoint(checkpoint_file(out / "rounds", done))):
                yielded.add(done)
                yield round_
    return status


def modification_times(out: Path) -> dict[str, int]:
    """When each checkpoint and the result were written, in nanoseconds, by file name."""
    files = [*(out / "rounds").glob("round_*.safetensors"), *out.glob(FINAL_MODEL)]
    return {file.name: file.stat().st_mtime_ns for file in files}


def environment(home: Path) -> dict[str, str]:
    """This process's environment with private folders, without telemetry, installation or update check."""
    return {
        **os.environ,
        "HOME": str(home),
        "FLWR_HOME": str(home / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_LOG_LEVEL": "INFO",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",  # Ray listens on all interfaces, and runs what it is sent
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        **_ray_folder(home),
        "RAY_worker_niceness": "0",
        "PYTHONUTF8": "1",
        "PATH": processes.prepend_path(Path(sys.executable).parent, "PATH"),
        "PYTHONPATH": processes.prepend_path(Path(pedseg.__file__).parents[1], "PYTHONPATH"),
    }


def _ray_folder(home: Path) -> dict[str, str]:
    """Ray's temporary files in our own folder, which goes with the run, where a socket's path may be that long."""
    return {"RAY_TMPDIR": str(home)} if len(str(home)) <= LONGEST_RAY_FOLDER else {}


def program(name: str) -> str:
    """A program of the Python that runs us, whether or not its folder is on the PATH."""
    file = shutil.which(name, path=processes.prepend_path(Path(sys.executable).parent, "PATH"))
    if not file:
        remedy = "Install pedseg again, with all that it needs."
        raise input_error("E-NO-FLOWER", name, "the program is not installed beside Python.", remedy)
    return file


@contextmanager
def superlink(home: Path, options: Sequence[str], **connection: str | bool) -> Iterator[tuple[dict[str, str], int]]:
    """A SuperLink on a free port of this machine; gives the environment in which `flwr` finds it, and its port.

    `options` are those of `flower-superlink`, `connection` is what `flwr` must know beside the address.
    """
    port, env = processes.free_port(), environment(home)
    (home / "flwr").mkdir()
    lines = {"address": f"{processes.HOST}:{port}", **connection}
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in lines.items())
    (home / "flwr" / "config.toml").write_text(f'[superlink]\ndefault = "own"\n\n[superlink.own]\n{text}\n')
    command = [program("flower-superlink"), *options, "--host", processes.HOST, "--port", str(port)]
    with processes.running(command, home / LOG, env=env, folder=home) as server:
        await_port(server, port, home)
        yield env, port


def with_full_paths(config: FederationConfig) -> FederationConfig:
    """The settings of a run for programs that work in folders of their own; the output folder is made."""
    out = config.output_folder()
    out.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Any] = {name: value.resolve() for name, value in vars(config).items() if isinstance(value, Path)}
    return replace(config, **paths, min_available_centers=len(center_folders(config.data)))


def await_port(server: subprocess.Popen, port: int, home: Path) -> None:
    """Wait until the SuperLink accepts connections."""
    if not processes.wait_until_listening(server, port, START_SECONDS):
        problem = f"it did not start.\n{last_lines((home / LOG).read_text('utf-8', 'replace'))}"
        raise input_error("E-SUPERLINK-START", "flower-superlink", problem, REMEDY)


def write_app(home: Path, config: FederationConfig) -> Path:
    """An app folder of one file, which names the installed apps and the run's settings."""
    app = home / "app"
    app.mkdir(exist_ok=True)
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in config.to_run_config().items())
    (app / "pyproject.toml").write_text(APP.format(version=pedseg.__version__, settings=settings), encoding="utf-8")
    return app


APP = """[project]
name = "pedseg-run"
version = "{version}"
description = "The installed pedseg apps"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "pedseg"

[tool.flwr.app.components]
serverapp = "pedseg.federation.server_app:app"
clientapp = "pedseg.federation.client_app:app"

[tool.flwr.app.config]
{settings}
"""


def submit(home: Path, config: FederationConfig, env: dict[str, str], *options: str) -> str:
    """Submit a run to the SuperLink by `flwr run` with these options; the id of the run."""
    answer = flwr(["run", str(write_app(home, config)), *options], env)
    if not answer.get("success"):
        raise input_error("E-FLOWER-START", "flwr run", f"{answer}", REMEDY)
    return str(answer["run-id"])


def status_of(run_id: str, env: dict[str, str]) -> str:
    """`pending`, `running`, `finished:completed`, `finished:failed` …; the exit status of `flwr run` does not tell."""
    runs = flwr(["ls"], env).get("runs", [])
    return next((str(run["status"]) for run in runs if str(run["run-id"]) == run_id), "unknown")


def flwr(arguments: list[str], env: dict[str, str]) -> dict:
    """The JSON output of a `flwr` command."""
    result = call_flwr([*arguments, "--format", "json"], env)
    start = result.stdout.find("{")
    try:
        return json.JSONDecoder().raw_decode(result.stdout[max(0, start) :])[0]
    except json.JSONDecodeError:
        return {"error-message": last_lines(result.stdout + result.stderr)}


def log_of(run_id: str, env: dict[str, str]) -> str:
    """The log of a run."""
    return call_flwr(["log", run_id, "--show"], env).stdout


def call_flwr(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [program("flwr"), *arguments], env=env, capture_output=True, encoding="utf-8", errors="replace", check=False
    )


def last_lines(text: str, number: int = 30) -> str:
    """The end of a log, without the colors of a terminal."""
    return "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()[-number:])
