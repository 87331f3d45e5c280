"""Flower's simulation on Ray: every center of a federation is a Ray actor, on this machine or on a Ray cluster."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pedseg.errors import input_error
from pedseg.federation.checkpoints import Round
from pedseg.federation.config import FederationConfig
from pedseg.federation.deployment import flower_programs
from pedseg.resources import available_cores

ATTEMPTS = 3
SLOW_START = "timed out during startup"  # Ray gives itself 30 seconds to start, too few on a busy machine


def ray_rounds(config: FederationConfig) -> Iterator[Round]:
    """The rounds of a Ray simulation as their checkpoints appear under `config.out`.

    A SuperLink of its own is started on a free port of this machine, with a Flower folder and a
    home of its own, and ended with the run. Nothing is installed, nothing leaves the machine.
    Raises `PedsegInputError` with the end of the log when the run fails.
    """
    if importlib.util.find_spec("ray") is None:
        raise input_error("E-NO-RAY", "ray", "Ray is not installed.", "Install the extra: pip install 'pedseg[ray]'.")
    config, out = flower_programs.with_full_paths(config), config.output_folder()
    centers = config.min_available_centers
    cores = min(centers, available_cores())
    size = f"num-supernodes={centers} client-resources-num-cpus=1 init-args-num-cpus={cores}"
    with (
        tempfile.TemporaryDirectory(prefix="pedseg-ray-", ignore_cleanup_errors=True) as home,
        _superlink(Path(home)) as env,
    ):
        yielded: set[int] = set()
        for _ in range(ATTEMPTS):
            before = flower_programs.modification_times(out)
            run_id = flower_programs.submit(Path(home), config, env, "--federation-config", size)
            status = yield from flower_programs.follow_run(run_id, env, out, before, config.rounds, yielded)
            if status == flower_programs.COMPLETED:
                return
            log = flower_programs.log_of(run_id, env)
            if SLOW_START not in log:
                break
    problem = f"the run ended as {status}.\n{flower_programs.last_lines(log)}"
    raise input_error("E-RAY-RUN", out, problem, flower_programs.REMEDY)


@contextmanager
def _superlink(home: Path) -> Iterator[dict[str, str]]:
    """A SuperLink for simulations; gives the environment in which `flwr` finds it."""
    (home / "ray_bootstrap_config.yaml").write_text("provider: {type: local}\n")  # else Ray asks for a cloud's metadata
    options = ["--insecure", "--simulation", "--isolation", "subprocess"]
    with flower_programs.superlink(home, options, insecure=True) as (env, _):
        yield env
