"""A whole federation through a mailbox on this machine: the coordinator here, each center in a process of its own.

On Linux the centers are forks of one process that has loaded the libraries, and share that memory.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pedseg
from pedseg import processes
from pedseg.datasets.reading import center_folders, read_dataset
from pedseg.federation.checkpoints import Round
from pedseg.federation.client_app import data_sha256
from pedseg.federation.config import FederationConfig, MailboxConfig
from pedseg.federation.mailbox.messages import REQUESTS
from pedseg.federation.mailbox.run import coordinate

END_SECONDS = 60  # a center that has not ended by then is ended
LOCAL = MailboxConfig(poll=0.5)
OUTPUT = "output.txt"


def mailbox_rounds(config: FederationConfig) -> Iterator[Round]:
    """The whole federation: a mailbox under `config.out`, and one process for each center under `config.data`."""
    folder, data_sets = config.output_folder() / "mailbox", center_folders(config.data)
    datasets = [read_dataset(data_set) for data_set in data_sets]
    names = [dataset.center for dataset in datasets]
    shutil.rmtree(folder / "store" / REQUESTS, ignore_errors=True)  # the end of an earlier run would end the centers
    commands: dict[str, list[str]] = {}
    for name, data_set in zip(names, data_sets, strict=True):
        state = folder / name
        state.mkdir(parents=True, exist_ok=True)
        member = ["--center", name, "--data", str(data_set), "--state", str(state), "--keys", str(config.keys)]
        commands[str(state)] = ["join", str(folder / "store"), *member, "--poll", str(LOCAL.poll)]
    with _running(commands, folder):
        yield from coordinate(folder / "store", config, LOCAL, names, [*map(data_sha256, datasets)])


@contextmanager
def _running(commands: Mapping[str, Sequence[str]], folder: Path) -> Iterator[None]:
    """`pedseg join` for every center, by the folder of its state; they end with the run, or with us."""
    groups = [commands] if sys.platform == "linux" else [{state: command} for state, command in commands.items()]
    env = {**os.environ, "PYTHONPATH": processes.prepend_path(Path(pedseg.__file__).parents[1], "PYTHONPATH")}
    with ExitStack() as stack:
        started = []
        for number, group in enumerate(groups):
            command = [sys.executable, "-m", __name__, json.dumps(group)]
            started.append(stack.enter_context(processes.running(command, folder / f"centers{number}.txt", env=env)))
        yield
        for process in started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)


def _join_all(commands: Mapping[str, Sequence[str]]) -> None:
    """Run each command, the first in this process and each further one in a fork of it."""
    gc.freeze()  # the collector writes to all that it looks at, and what is written is no longer shared
    (state, command), *others = commands.items()
    children = []
    for other_state, other in others:
        children.append(os.fork())
        if not children[-1]:
            try:
                os._exit(_join(other_state, other))
            finally:  # an error must not go on in what is now a second copy of this function
                os._exit(1)
    _join(state, command)
    for child in children:
        os.waitpid(child, 0)


def _join(state: str, command: Sequence[str]) -> int:
    """Run a command of pedseg with its output in the folder of its state; its exit code."""
    output = os.open(Path(state) / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    sys.argv = ["pedseg", *command]
    try:
        runpy.run_module("pedseg", run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    except Exception:
        traceback.print_exc()
    return 1


if __name__ == "__main__":
    import nibabel  # noqa: F401  # loaded once for all

    _join_all(json.loads(sys.argv[1]))
