"""One configuration: every verb, Flower's run config and the study have the defaults of the dataclass."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from pedseg.cli.arguments import settings_from
from pedseg.cli.parser import parser
from pedseg.errors import PedsegInputError
from pedseg.evaluation.config import StudyConfig
from pedseg.federation.config import (
    OF_PROFILE,
    ORIENTATIONS,
    PROFILES,
    CenterConfig,
    FederationConfig,
    MailboxConfig,
    PrivacyConfig,
)

VERBS = {
    "study": ["study"],
    "federate": ["federate"],
    "coordinate": ["coordinate", "box"],
    "join": ["join", "box", "--center", "Aa", "--data", "Aa"],
    "keys": ["keys", "Aa"],
}
CONFIGS = (FederationConfig, StudyConfig, CenterConfig, MailboxConfig, PrivacyConfig)
NAMES = [field.name for field in fields(FederationConfig)]


def options_of(verb: str, *more: str) -> argparse.Namespace:
    return parser().parse_args([*VERBS[verb], *more])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("verb", ["study", "federate", "coordinate"])
def test_every_verb_has_the_default_of_every_setting(verb: str, profile: str, name: str) -> None:
    options = options_of(verb, "--profile", profile)
    assert name == "profile" or name not in options  # the parser holds no value of its own
    assert getattr(settings_from(options, FederationConfig), name) == getattr(FederationConfig(profile=profile), name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("profile", PROFILES)
def test_flower_has_the_default_of_every_setting(root: Path, profile: str, name: str) -> None:
    run_config = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    assert set(run_config) == {key.replace("_", "-") for key in NAMES}
    config = FederationConfig.from_run_config({**run_config, "profile": profile})
    assert getattr(config, name) == getattr(FederationConfig(profile=profile), name)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_study_trains_its_federation_as_long_as_a_federation_alone(profile: str) -> None:
    options = options_of("study", "--profile", profile)
    study = settings_from(options, StudyConfig, federation=settings_from(options, FederationConfig))
    assert study == StudyConfig(FederationConfig(profile=profile))
    assert (study.federation.rounds, study.federation.local_steps) == tuple(PROFILES[profile].values())


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("config", CONFIGS)
def test_no_parser_holds_a_default_of_a_setting(verb: str, config: type) -> None:
    given = {"data"} if verb == "join" else set()  # that option is required, and the center's own data
    assert {field.name for field in fields(config)} & set(vars(options_of(verb))) <= given


@pytest.mark.parametrize("verb", ["federate", "coordinate"])
def test_the_help_tells_the_defaults_as_they_are(verb: str) -> None:
    (verbs,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    help_ = {action.dest: str(action.help) for action in verbs.choices[verb]._actions}
    for option in fields(FederationConfig):
        if option.name in help_ and option.type != "bool" and option.default not in ("", OF_PROFILE):
            assert help_[option.name] == f"{option.metadata['help']}; default: {option.default}"


ABOVE = ("federation", "evaluation", "workbook", "viewer", "cli")  # the rooms that know of a federation


def test_no_function_has_a_default_of_a_setting_of_its_own(root: Path) -> None:
    """Of the settings whose names mean nothing else."""
    names = {option.name for config in (FederationConfig, CenterConfig, MailboxConfig) for option in fields(config)}
    names -= {"data", "out", "keys", "seed", "profile", "orientation", "strategy", "plan", "weights"}
    offenders = []
    for file in sorted(file for room in ABOVE for file in (root / "pedseg" / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                positional = [*node.args.posonlyargs, *node.args.args]
                defaults = positional[len(positional) - len(node.args.defaults) :]
                pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                defaults += [argument for argument, default in pairs if default is not None]
                offenders += [f"{file.name}: {node.name}({a.arg})" for a in defaults if a.arg in names]
    assert offenders == []


def test_every_value_that_is_given_arrives(tmp_path: Path) -> None:
    given = {
        "clipping_norm": 2.5, "noise_multiplier": 0.5, "keys": tmp_path / "k", "out": tmp_path, "profile": "clinic",
        "orientation": "none", "gin_probability": 0.25, "rounds": 3, "local_steps": 4, "seed": 5,
        "strategy": "krum", "num_malicious": 7, "max_update_norm": 8.5,
    }  # fmt: skip
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert settings_from(options_of("coordinate", *words), FederationConfig) == FederationConfig(**given)
    assert settings_from(options_of("coordinate", "--evaluate-every", "6"), FederationConfig).evaluate_every == 6


@pytest.mark.parametrize(
    "config",
    [
        FederationConfig(),
        FederationConfig(profile="clinic", out=None, orientation="augment", rounds=3, seed=9),
        FederationConfig(secure_aggregation=True, clipping_norm=3, noise_multiplier=1),
    ],
)
def test_a_run_config_brings_the_same_settings(config: FederationConfig) -> None:
    run_config = config.to_run_config()
    assert all(type(value) in (bool, int, float, str) for value in run_config.values())
    assert FederationConfig.from_run_config(json.loads(json.dumps(run_config))) == config


def test_a_profile_fills_in_what_was_not_given() -> None:
    assert {profile: set(settings) for profile, settings in PROFILES.items()} == {
        profile: {
            field.name for field in fields(FederationConfig) if field.default is OF_PROFILE and field.type == "int"
        }
        for profile in PROFILES
    }
    config = FederationConfig(profile="clinic", rounds=2)
    assert (config.rounds, config.local_steps) == (2, 1250)
    assert FederationConfig.from_run_config({"profile": "clinic", "rounds": 0, "local-steps": 7}).rounds == 200


def test_an_integer_in_a_run_config_is_the_same_run() -> None:
    assert FederationConfig(clipping_norm=1).identity() == FederationConfig(clipping_norm=1.0).identity()


def test_places_and_looks_are_no_part_of_the_identity(tmp_path: Path) -> None:
    same = FederationConfig(data=tmp_path, out=None, keys=tmp_path, keep_rounds=3, evaluate_every=1, patience=2)
    assert same.identity() == FederationConfig().identity()
    assert FederationConfig(gin_probability=0.5).identity() != same.identity()


def test_choices_are_those_of_the_plan() -> None:
    from pedseg.learning import plans

    assert set(ORIENTATIONS) == {"", *plans.ORIENTATIONS} and set(PROFILES) == set(plans.PROFILES)
    arguments = inspect.signature(plans.make_plan).parameters  # a plan without any federation
    for name in ("profile", "orientation", "gin_probability"):
        assert arguments[name].default == getattr(FederationConfig(), name)


@pytest.mark.parametrize(
    "wrong",
    [{"evaluate_every": 2, "clipping_norm": 1.0, "noise_multiplier": 1.0},
     {"profile": "big"}, {"orientation": "up"}, {"gin_probability": 1.5}, {"seed": "1"}, {"data": "runs/data"},
     {"secure_aggregation": 1}, {"clipping_norm": float("inf")}],
)  # fmt: skip
def test_what_is_no_valid_value_is_refused(wrong: dict) -> None:
    with pytest.raises(PedsegInputError, match=f"E-SETTING {next(iter(wrong)).replace('_', '-')}"):
        FederationConfig(**wrong)


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--gin-probability", "2"], ["--strategy", "magic"]])
def test_on_the_command_line_that_is_wrong_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        options_of("federate", *words)
