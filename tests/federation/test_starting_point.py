"""A run that starts from given weights or by a given plan, and what must fit for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pedseg.__main__ import main
from pedseg.errors import PedsegInputError
from pedseg.federation.checkpoints import Round
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.learning.network import build
from pedseg.learning.plans import Plan
from pedseg.learning.weights import get_weights, load_weights, save_weights, sha256_of


def play(config: FederationConfig, **given) -> list[Round]:
    return list(train_rounds(InProcessGrid(app, [{}, {}], config.to_run_config()), config, **given))


@pytest.fixture(scope="module")
def plan(hospitals: Path) -> Plan:
    """The plan that the fingerprints lead to, but with voxels twice as high: it can be told from their own."""
    config = FederationConfig(data=hospitals, out=None, rounds=1, local_steps=1)
    (round_,) = play(config)
    x, y, z = round_.plan.spacing_mm
    return replace(round_.plan, spacing_mm=(x, y, 2 * z))


@pytest.fixture
def save(plan: Plan, tmp_path: Path) -> Callable[..., Path]:
    """Writes weights of a seed with the plan, of which some fields are others; gives the file."""

    def write(seed: int = 3, spoil: Callable[[dict], object] = lambda weights: None, **others) -> Path:
        weights = get_weights(build(plan, seed))
        spoil(weights)
        file = tmp_path / f"start_{seed}.safetensors"
        save_weights(file, weights, replace(plan, **others))
        return file

    return write


def test_a_file_of_weights_is_start_and_plan(config: FederationConfig, plan: Plan, save, tmp_path: Path) -> None:
    config = replace(config, rounds=1, out=tmp_path / "out")
    (given,) = play(replace(config, out=None), plan=plan, weights=get_weights(build(plan, 3)))
    (warm,) = play(replace(config, weights=save()))
    assert warm.plan == plan and warm.sha256 == given.sha256
    moved = tmp_path / "moved.safetensors"
    save().rename(moved)
    assert play(replace(config, weights=moved))[0].restored  # the content counts, not the place
    assert not play(replace(config, weights=save(seed=4)))[0].restored


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_plan_takes_the_place_of_the_fingerprints(
    config: FederationConfig, plan: Plan, save, tmp_path: Path, suffix: str
) -> None:
    file = save()
    if suffix == "json":
        file = tmp_path / "plan.json"
        file.write_text(plan.to_json(), encoding="utf-8")
    config = replace(config, rounds=1)
    (ours,), (expected,) = play(replace(config, plan=file)), play(config, plan=plan)
    assert ours.plan == plan and ours.sha256 == expected.sha256


def test_a_plan_beside_weights_is_the_one_that_is_trained_by(config: FederationConfig, plan: Plan, save) -> None:
    other = replace(plan, patch=(16, 16, 16))
    config = replace(config, rounds=1, weights=save(), plan=save(seed=4, patch=other.patch))
    assert play(config)[0].plan == other


def test_the_command_line_starts_from_weights(
    config: FederationConfig, save, hospitals: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["federate", "--data", str(hospitals), "--rounds", "2", "--local-steps", "2", "--seed", "7"]
    assert main([*words, "--weights", str(save()), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"sha256 {play(replace(config, weights=save()))[-1].sha256}"


@pytest.mark.parametrize(
    ("settings", "others", "problem"),
    [
        ({"profile": "clinic"}, {}, "its profile is lesson, and clinic is set"),
        ({"orientation": "none"}, {}, "its orientation is reorient, and none is set"),
        ({"gin_probability": 0.5}, {}, "its gin probability is 0.0, and 0.5 is set"),
        ({}, {"organs": ("Liver",)}, "do not have Kidney_L"),
        ({}, {"network": {"kind": "compact", "widths": [8, 16]}}, "not of the plan's network"),
        ({}, {"network": {"kind": "compact", "widths": []}}, "cannot be built"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(
    config: FederationConfig, save, settings: dict, others: dict, problem: str
) -> None:
    config = replace(config, **{"rounds": 2, "local_steps": 2, **settings}, weights=save(**others))
    with pytest.raises(PedsegInputError, match=f"E-START .*{problem}"):
        play(config)


def test_all_that_does_not_fit_is_told_at_once(config: FederationConfig, save) -> None:
    config = replace(config, orientation="none", gin_probability=0.5, weights=save())
    with pytest.raises(PedsegInputError) as caught:
        play(config)
    assert [problem.code for problem in caught.value.problems] == ["E-START", "E-START"]


def test_weights_that_are_not_finite_are_refused(config: FederationConfig, save) -> None:
    def spoil(weights: dict) -> None:
        next(iter(weights.values())).flat[0] = np.nan

    with pytest.raises(PedsegInputError, match=r"E-START .*not finite"):
        play(replace(config, weights=save(spoil=spoil)))


def test_weights_and_a_plan_of_other_organs_are_refused(config: FederationConfig, plan: Plan, save) -> None:
    other = replace(config, weights=save(), plan=save(seed=4, organs=plan.organs[::-1]))
    with pytest.raises(PedsegInputError, match=r"E-START .*start_3"):
        play(other)


def test_a_plan_for_ct_is_none_for_mr(config: FederationConfig, plan: Plan, save) -> None:
    from pedseg.federation.starting_point import starting_point
    from pedseg.learning.fingerprint import Fingerprint, OrganCount

    organs = {name: OrganCount(1, 1, 1000) for name in plan.organs}
    mr = Fingerprint((), (), organs, modalities=("MR",))
    with pytest.raises(PedsegInputError, match="it is for CT"):
        starting_point([mr], replace(config, weights=save()), None, None)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"profile": "lesson"}', "7"])
def test_what_is_no_plan_is_refused(config: FederationConfig, tmp_path: Path, content: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(content)
    with pytest.raises(PedsegInputError, match=r"E-START .*plan\.json: this is no plan"):
        play(replace(config, plan=file))
    with pytest.raises(PedsegInputError, match="E-FILE-MISSING"):
        play(replace(config, plan=tmp_path / "another.json"))


def test_a_file_and_a_caller_do_not_both_give_a_plan(config: FederationConfig, plan: Plan, save) -> None:
    with pytest.raises(PedsegInputError, match="E-SETTING plan"):
        play(replace(config, weights=save()), plan=plan)


@pytest.mark.slow
def test_a_warm_start_through_a_mailbox_has_the_same_weights(
    programs, three_hospitals: Path, save, tmp_path: Path
) -> None:
    config = FederationConfig(data=three_hospitals, out=None, rounds=2, local_steps=2, seed=7, weights=save())
    nodes = [{"data-dir": str(folder)} for folder in sorted(three_hospitals.iterdir())]
    *_, here = train_rounds(InProcessGrid(app, nodes, config.to_run_config()), config)
    played = programs(tmp_path / "box", "--weights", str(save()))
    played.start()
    played.wait()
    assert played.digest() == here.sha256
    for name in ("coordinator", "Aa", "Bb", "Cc"):
        assert sha256_of(load_weights(played.work / name / "federated.safetensors")[0]) == here.sha256
