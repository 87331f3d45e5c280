"""Curves of a federation for TensorBoard: loss, validation DSC, cases and norms by center and round, and the settings.

They lie in `tensorboard` under the folder of the run (`tensorboard --logdir runs/federation`). Nothing leaves the
machine. A run that is taken up writes the curves of its rounds on disk again, in the place of the old ones.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from pedseg.errors import input_error
from pedseg.federation.checkpoints import Round
from pedseg.federation.config import FederationConfig

FOLDER = "tensorboard"


def check_tracker(config: FederationConfig) -> None:
    """Raise `PedsegInputError` if the tool that shall be written for is not installed."""
    if config.track and importlib.util.find_spec(config.track) is None:
        remedy = "Install the extra: pip install 'pedseg[track]'."
        raise input_error("E-NO-TRACKER", config.track, f"{config.track} is not installed.", remedy)


def tracked(rounds: Iterator[Round], config: FederationConfig) -> Iterator[Round]:
    """The same rounds; each is written before it is yielded, if the configuration asks for that."""
    if not config.track:
        yield from rounds
        return
    from torch.utils.tensorboard import SummaryWriter  # a second that other runs do not need

    first = next(rounds)
    with SummaryWriter(str(config.output_folder() / FOLDER), purge_step=first.number) as writer:
        writer.add_hparams(_hyperparameters(config), {}, run_name=".")
        for round_ in chain([first], rounds):
            for name, value in _points(round_).items():
                writer.add_scalar(name, value, round_.number)
            writer.flush()
            yield round_


def _hyperparameters(config: FederationConfig) -> dict[str, bool | int | float | str]:
    """The settings that make the model what it is, without paths."""
    return {name: value for name, value in config.identity().items() if not isinstance(value, Path | None)}


def _points(round_: Round) -> dict[str, float]:
    """One value a curve: those of the whole federation, and of each center."""
    by_center: dict[str, Mapping[str, float]]
    by_center = {"loss": round_.losses, "dsc": round_.scores, "cases": round_.cases, "norm": round_.norms}
    points = {f"{kind}/{name}": float(v) for kind, values in by_center.items() for name, v in values.items()}
    means = {"loss/mean": round_.train_loss, "dsc/mean": round_.validation_dsc}
    return points | {name: value for name, value in means.items() if value is not None}
