"""Local steps that fit a time: counted by hand, measured once, refused where there is no room."""

import json
from dataclasses import replace

import pytest

from pedseg.datasets.reading import read_centers
from pedseg.errors import PedsegInputError
from pedseg.evaluation import time_budget
from pedseg.evaluation.config import StudyConfig
from pedseg.evaluation.study import run_study
from pedseg.evaluation.study_training import plan_of
from pedseg.evaluation.time_budget import Workload, with_local_steps, workload
from pedseg.federation.config import FederationConfig
from pedseg.resources import parallel_jobs


@pytest.fixture
def config():
    return StudyConfig(FederationConfig(rounds=2), seeds=1, minutes=1)


def test_two_hospitals_counted_by_hand(config):
    """3 kinds of training × 2 centers × 2 rounds; 3 × 2 rounds × 2 validation cases; 4 models on 2 test cases."""
    assert workload(config, 2, 2, 2) == Workload(steps=12, validations=12, tests=8)
    assert workload(replace(config, seeds=3), 2, 2, 2) == Workload(steps=36, validations=36, tests=24)


def test_the_minutes_are_filled_and_the_decision_is_kept(hospitals, config, tmp_path, monkeypatch):
    datasets = read_centers(hospitals)
    plan = plan_of(datasets, config.federation)
    monkeypatch.setattr(time_budget, "parallel_jobs", lambda: 2)
    monkeypatch.setattr(time_budget, "_seconds", lambda *_: (0.25, 0.5))  # a step, a prediction
    fitted = with_local_steps(config, datasets, plan, tmp_path)
    assert fitted.federation.local_steps == 36  # 2 x 60 s, less 20 x 0.5 s, by 12 x 0.25 s
    monkeypatch.setattr(time_budget, "_seconds", lambda *_: (99.0, 99.0))
    assert with_local_steps(config, datasets, plan, tmp_path) == fitted
    with pytest.raises(PedsegInputError, match=r"one step a round: here that takes 26\.4"):
        with_local_steps(replace(config, minutes=2), datasets, plan, tmp_path)


def test_a_study_measures_this_machine(hospitals, config, tmp_path):
    next(p for p in run_study(hospitals, tmp_path, config) if (tmp_path / time_budget.FILE).exists())
    decided = json.loads((tmp_path / time_budget.FILE).read_text())
    spent = 12 * decided["local_steps"] * decided["seconds a step"] + 20 * decided["seconds a prediction"]
    assert 0 < spent <= 60 * parallel_jobs()
    assert decided["local_steps"] >= 1


def test_minutes_and_steps_are_not_both_given(hospitals, tmp_path):
    config = StudyConfig(FederationConfig(local_steps=7), minutes=3)
    with pytest.raises(PedsegInputError, match="3 minutes and 7 local steps"):
        next(iter(run_study(hospitals, tmp_path, config)))
