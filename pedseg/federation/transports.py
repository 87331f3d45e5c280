"""How the federation's messages travel: inside this process, or through Flower's own programs on Ray.

The apps are the same on every way, and so are the weights, to the last bit.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from flwr.app import UserConfigValue

import pedseg
from pedseg.federation.apps import RESULT, center_folders, client_app, save_result
from pedseg.federation.by_mailbox import federate_by_mailbox
from pedseg.federation.checkpoints import Round, checkpoint_file, read_checkpoint
from pedseg.federation.in_process import InProcessGrid, available_cores
from pedseg.federation.rounds import DEFAULTS
from pedseg.federation.rounds import federate as play
from pedseg.findings import refuse

LOG = "superlink.log"
LOOK_SECONDS = 1.0  # between two looks at the folder of the run
ASK_SECONDS = 15.0  # between two questions about its state; each starts a `flwr` program, which costs seconds of a core
START_SECONDS = 60  # a SuperLink that does not answer by then will not
ATTEMPTS = 3
SLOW_START = "timed out during startup"  # Ray gives itself 30 seconds to start, too few on a busy machine


def federate(
    data: Path,
    out: Path,
    *,
    transport: str = "in-process",
    profile: str = "lesson",
    rounds: int | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> Iterator[Round]:
    """Train one model over the data sets under `data`, one `Round` at a time; `out`/federated.safetensors at the end.

    `transport` is `in-process`, `ray` or `mailbox`. Taken up where an earlier call with the same settings stopped.
    """
    config: dict[str, UserConfigValue] = {
        **DEFAULTS,
        "data": str(data),
        "out": str(out),
        "profile": profile,
        "seed": seed,
    }
    config |= {key: value for key, value in {"rounds": rounds, "steps-per-round": steps}.items() if value is not None}
    if transport != "in-process":
        yield from (ray_rounds(data, config, out) if transport == "ray" else federate_by_mailbox(data, out, config))
        return
    last = None
    for last in play(InProcessGrid(client_app, [{}] * len(center_folders(data)), config), config):
        yield last
    assert last is not None
    save_result(last, out)


def run_on_ray(data: Path, run_config: Mapping[str, UserConfigValue], out: Path) -> str:
    """Run the federation by `flwr run` on Flower's Ray simulation; the fingerprint of the global weights."""
    digest = ""
    for round_ in ray_rounds(data, run_config, out):
        digest = round_.sha256
    return digest


def ray_rounds(data: Path, run_config: Mapping[str, UserConfigValue], out: Path) -> Iterator[Round]:
    """The rounds of a Ray simulation as their checkpoints appear under `out`.

    A SuperLink of its own is started on a free port of this machine, with a Flower folder and a
    home of its own, and ended with the run. Nothing is installed, nothing leaves the machine.
    Raises `PedsegInputError` with the end of the log when the run fails.
    """
    if importlib.util.find_spec("ray") is None:
        raise refuse("E-NO-RAY", "ray", "Ray is not installed.", "Install the extra: pip install 'pedseg[ray]'.")
    centers = len(center_folders(data))
    out.mkdir(parents=True, exist_ok=True)
    places = {"data": data.resolve().as_posix(), "out": out.resolve().as_posix()}
    config: dict[str, UserConfigValue] = {**DEFAULTS, **run_config, **places, "centers": centers}
    with (
        tempfile.TemporaryDirectory(prefix="pedseg-ray-", ignore_cleanup_errors=True) as home,
        _superlink(Path(home)) as env,
    ):
        for _ in range(ATTEMPTS):
            before = _times(out)
            run_id = _submit(Path(home), env, config, centers)
            status = yield from _follow(run_id, env, out, before, int(config["rounds"]))
            if status == "finished:completed":
                return
            log = _call_flwr(["log", run_id, "--show"], env).stdout
            if SLOW_START not in log:
                break
    raise refuse("E-RAY-RUN", out, f"the run ended as {status}.\n{_last_lines(log)}", "Mend what the log names.")


def _follow(
    run_id: str, env: dict[str, str], out: Path, before: Mapping[str, int], rounds: int
) -> Generator[Round, None, str]:
    """Yield rounds as they come until the run has ended; gives how it ended.

    A file that was there before and has not changed belongs to an earlier run, until a later
    round is written or the run completes: then it was taken up.
    """
    done, status, asked = 0, "", time.monotonic()
    while not status.startswith("finished"):
        time.sleep(LOOK_SECONDS)
        new = {name for name, written in _times(out).items() if before.get(name) != written}
        if RESULT in new or time.monotonic() - asked > ASK_SECONDS:
            status, asked = _status(run_id, env), time.monotonic()
        whole = status == "finished:completed"
        while done < rounds and (
            whole or any(checkpoint_file(out, n).name in new for n in range(done + 1, rounds + 1))
        ):
            done += 1
            if round_ := read_checkpoint(checkpoint_file(out / "rounds", done)):
                yield round_
    return status


def _times(out: Path) -> dict[str, int]:
    """When each checkpoint and the result were written, in nanoseconds, by file name."""
    files = [*(out / "rounds").glob("round_*.safetensors"), *out.glob(RESULT)]
    return {file.name: file.stat().st_mtime_ns for file in files}


@contextmanager
def _superlink(home: Path) -> Iterator[dict[str, str]]:
    """A SuperLink for simulations on a free port; gives the environment in which `flwr` finds it."""
    port = _free_port()
    env = _environment(home)
    (home / "flwr").mkdir()
    (home / "flwr" / "config.toml").write_text(
        f'[superlink]\ndefault = "own"\n\n[superlink.own]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    (home / "ray_bootstrap_config.yaml").write_text("provider: {type: local}\n")  # else Ray asks for a cloud's metadata
    command = ["flower-superlink", "--insecure", "--simulation", "--isolation", "subprocess", "--host", "127.0.0.1"]
    with (home / LOG).open("wb") as log:
        server = subprocess.Popen(
            [_program(command[0]), *command[1:], "--port", str(port)],
            env=env, cwd=home, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        _await_port(server, port, home)
        yield env
    finally:
        _end(server)


def _environment(home: Path) -> dict[str, str]:
    """This process's environment with private folders, without telemetry, installation or update check."""
    package = str(Path(pedseg.__file__).parents[1])
    return {
        **os.environ,
        "HOME": str(home),
        "FLWR_HOME": str(home / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_LOG_LEVEL": "INFO",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")])),
    }


def _program(name: str) -> str:
    """A program of the Python that runs us, whether or not its folder is on the PATH."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not found:
        raise refuse(
            "E-NO-RAY",
            name,
            "the program is not installed beside Python.",
            "Install the extra: pip install 'pedseg[ray]'.",
        )
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await_port(server: subprocess.Popen, port: int, home: Path) -> None:
    """Wait until the SuperLink accepts connections."""
    until = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise refuse(
        "E-RAY-START",
        "flower-superlink",
        f"it did not start.\n{_last_lines((home / LOG).read_text(errors='replace'))}",
        "Mend what the log names.",
    )


def _end(server: subprocess.Popen) -> None:
    """End the SuperLink and everything it started, first by request, after ten seconds for good.

    Its helpers open sessions of their own, so the family is taken from the process tree.
    """
    try:
        top = psutil.Process(server.pid)
        family = [*reversed(top.children(recursive=True)), top]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=10)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    with suppress(subprocess.TimeoutExpired):
        server.wait(1)


def _submit(home: Path, env: dict[str, str], config: Mapping[str, UserConfigValue], centers: int) -> str:
    """Hand an app folder of one file to the SuperLink; the number of the run."""
    app = home / "app"
    app.mkdir(exist_ok=True)
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in config.items())
    (app / "pyproject.toml").write_text(APP.format(version=pedseg.__version__, settings=settings), encoding="utf-8")
    cores = min(centers, available_cores())
    size = f"num-supernodes={centers} client-resources-num-cpus=1 init-args-num-cpus={cores}"
    answer = _flwr(["run", str(app), "--federation-config", size], env)
    if not answer.get("success"):
        raise refuse("E-RAY-START", "flwr run", f"{answer}", "Mend what the message names.")
    return str(answer["run-id"])


APP = """[project]
name = "pedseg-ray"
version = "{version}"
description = "The installed pedseg apps"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "pedseg"

[tool.flwr.app.components]
serverapp = "pedseg.federation.apps:server_app"
clientapp = "pedseg.federation.apps:client_app"

[tool.flwr.app.config]
{settings}
"""


def _status(run_id: str, env: dict[str, str]) -> str:
    """`pending`, `running`, `finished:completed`, `finished:failed` …; the exit status of `flwr run` does not tell."""
    runs = _flwr(["ls"], env).get("runs", [])
    return next((str(run["status"]) for run in runs if str(run["run-id"]) == run_id), "unknown")


def _flwr(arguments: list[str], env: dict[str, str]) -> dict:
    """What a `flwr` command says, as JSON."""
    result = _call_flwr([*arguments, "--format", "json"], env)
    start = result.stdout.find("{")
    try:
        return json.JSONDecoder().raw_decode(result.stdout[max(0, start) :])[0]
    except json.JSONDecodeError:
        return {"error-message": _last_lines(result.stdout + result.stderr)}


def _call_flwr(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run([_program("flwr"), *arguments], env=env, capture_output=True, text=True, check=False)


def _last_lines(text: str, number: int = 30) -> str:
    """The end of a log, without the colors of a terminal."""
    return "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()[-number:])
