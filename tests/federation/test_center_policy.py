"""A center's policy in its file, and what the coordinator is told of each center. Attacks: `attacks`."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from pedseg.errors import PedsegInputError
from pedseg.federation.center_policy import as_lines, read_policy
from pedseg.federation.client_app import app
from pedseg.federation.config import CenterConfig, FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds


def test_a_policy_is_read_from_a_file_and_options_come_first(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("max-steps = 100\nclipping-norm = 3\nno-scores = true\n")
    policy = read_policy(file, max_steps=50)
    assert (policy.max_steps, policy.clipping_norm, policy.no_scores) == (50, 3.0, True)
    assert len(as_lines(policy)) == len(fields(CenterConfig)) and "max-steps                50" in "\n".join(
        as_lines(policy)
    )
    for text, problem in (("max_steps = 1", "nobody knows max_steps"), ("max-steps = 'x'", "max-steps"), ("=", "TOML")):
        file.write_text(text)
        with pytest.raises(PedsegInputError, match=problem):
            read_policy(file)
    with pytest.raises(PedsegInputError, match="E-POLICY-FILE"):
        read_policy(tmp_path / "none.toml")


def test_scores_and_cases_are_told_by_center(config: FederationConfig) -> None:
    config = replace(config, rounds=1, evaluate_every=1)
    (round_,) = train_rounds(InProcessGrid(app, [{}, {}], config.to_run_config()), config)
    assert round_.cases == {"Aa": 3, "Bb": 2} and set(round_.scores) == {"Aa", "Bb"}
    assert round_.validation_dsc == pytest.approx(np.mean(list(round_.scores.values())))
