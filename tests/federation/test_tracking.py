"""Curves for TensorBoard, read back by TensorBoard."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from pedseg.errors import PedsegInputError
from pedseg.federation import tracking
from pedseg.federation.checkpoints import Round
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds


def play(config: FederationConfig, rounds: int | None = None) -> list[Round]:
    return list(islice(train_rounds(InProcessGrid(app, [{}, {}], config.to_run_config()), config), rounds))


def test_every_round_is_read_back_once(config: FederationConfig, tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = replace(config, rounds=3, local_steps=1, evaluate_every=2, track="tensorboard", out=tmp_path)
    play(config, rounds=2)
    rounds = play(config)  # taken up: nothing twice
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()

    def curve(name: str) -> list[tuple[int, float]]:
        return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]

    assert curve("loss/mean") == [(round_.number, round_.train_loss) for round_ in rounds]
    assert curve("dsc/mean") == [(2, rounds[1].validation_dsc)] and curve("dsc/Bb") == [(2, rounds[1].scores["Bb"])]
    for center in ("Aa", "Bb"):
        for kind, values in (("loss", "losses"), ("cases", "cases"), ("norm", "norms")):
            expected = [(round_.number, getattr(round_, values)[center]) for round_ in rounds]
            assert curve(f"{kind}/{center}") == expected, kind
    hyperparameters = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"local_steps" in hyperparameters and b"evaluate_every" not in hyperparameters
    assert str(tmp_path).encode() not in b"".join(file.read_bytes() for file in (tmp_path / "tensorboard").iterdir())


def test_without_it_the_way_to_get_it_is_told(
    config: FederationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PedsegInputError, match=r"E-NO-TRACKER tensorboard.*pedseg\[track\]"):
        play(replace(config, track="tensorboard", out=tmp_path))
