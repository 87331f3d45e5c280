"""How a notebook answers its reader: not yet, not quite, right; and what it finds where."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from pedseg.errors import PedsegInputError
from pedseg.workbook import lesson
from pedseg.workbook.exercise_checks import Exercise, feedback, is_close

EXERCISES = {name: found for name, found in lesson.exercises().items() if isinstance(found, Exercise)}
THERE, BACK = np.arange(21.0), np.zeros(21)  # 95th percentiles 19 and 0
SWAPPED = (1, 3, 7, 8, 9, 15, 17, 19, 21)
FINDINGS = {
    "swapped label": [f"delta-{number:03d}" for number in SWAPPED],
    "unequal organ list": [f"delta-{number:03d}" for number in range(1, 24)],
}
DECISIONS = {"swapped label": "fix", "unequal organ list": "ask"}
COMPARISONS = [
    {"difference": difference, "p": p, "p_holm": p_holm}
    for difference, p, p_holm in ((0.02, 0.001, 0.01), (-0.02, 0.001, 0.01), (0.01, 0.03, 0.12), (0.01, 0.04, 0.12),
                                  (-0.01, 0.04, 0.12), (0.01, 0.5, 1.0))
]  # fmt: skip
# Exercise: what it is given, the answer worked out by hand.
BY_HAND = {
    "number of organs": ({}, 19),
    "voxel volume": ({"spacing_mm": (2.0, 2.0, 5.0)}, 0.02),
    "side of the liver": ({}, "right"),
    "normalized": ({"hu": -1000, "clip_hu": (-900, 600), "mean_hu": -100, "sd_hu": 200}, -4.0),
    "drop": ({"home": 0.9, "away": 0.8}, 0.1),
    "traffic": ({"weights": 1_000_000, "centers": 2, "rounds": 10}, 160.0),
    "paying": ({"lines": COMPARISONS}, 1),
    "recovered": ({"home": 0.9, "away": 0.7, "federated": 0.85}, 0.75),
    "surface dice": ({"there": THERE, "back": BACK, "tolerance_mm": 2}, 24 / 42),
    "false volume": ({"voxels": 1000, "spacing_mm": (3, 3, 4)}, 36.0),
    "kidney length": ({"height_cm": 100.0}, 7.202),
    "all three axes": ({"length_factor": 1.5}, 3.375),
    "voxels of a gland": ({"volume_ml": 3.0, "spacing_mm": (2, 3, 5)}, 100.0),
    "share on the surface": ({"edge": 5}, 98 / 125),
    "explained share": ({"cost": 0.03, "drop": 0.12}, 0.25),
    "pieces that stay": ({"volumes_ml": np.array([0.5, 6.5, 2.0, 20.0, 1.0]), "mean_ml": 64.0}, 2),
    "flipped bit": ({"weight": 0.25, "bit": 30}, 2.0**126),
    "objects a round": ({"centers": 10}, 21),
    "share of the weights": ({"weights": 30, "everything": 40}, 0.75),
    "pairs of masks": ({"centers": 5}, 10),
    "spin echo": ({"t1_ms": 1000.0, "t2_ms": 50.0, "density": 0.8, "tr_ms": 1000.0, "te_ms": 100.0}, 0.0684375),
    "share of air": ({"image": np.array([-3.0, -3.0, 1.0, 1.0]), "inside": np.array([0, 0, 1, 1], bool)}, 0.9),
    "who gains most": ({"gains": {"liver": 0.02, "spleen": 0.3, "pancreas": 0.1}}, "spleen"),
    "false spacing": ({"places_mm": np.array([0.0, 2.0, 4.0, 10.0, 12.0])}, 3.0),
    "seconds to guess": ({"digits": 7, "per_second": 1e6}, 10.0),
    "area through the centers": ({"edge": 4}, 9 / 16),
    "empty contour": ({}, "unknown"),
    "hospital number": ({"number": 5}, 5),
    "findings": ({"number": 2026, "reported": FINDINGS}, FINDINGS),
    "decisions": ({"number": 2026, "decisions": DECISIONS}, DECISIONS),
    "gain": ({"table": np.array([[0.001, -0.01, 0.01], [-0.02, -0.03, -0.01]])}, np.array([-0.02, -0.03, -0.01])),
    "verdict": ({"interval": [0.012, 0.02]}, "better"),
}


@pytest.fixture(autouse=True)
def gentle(monkeypatch):
    monkeypatch.delenv("PEDSEG_STRICT", raising=False)


def test_every_exercise_is_worked_out_by_hand_here():
    assert set(BY_HAND) == set(EXERCISES)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_right_answer_is_right(name, capsys):
    given, answer = BY_HAND[name]
    assert lesson.check(name, answer, **given) is answer
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(
    ("name", "answer"),
    [("kidney length", 7.2), ("kidney length", np.float32(7.2)), ("spin echo", 0.068), ("surface dice", 0.57)],
)
def test_an_honest_rounding_is_right(name, answer, capsys):
    lesson.check(name, answer, **BY_HAND[name][0])
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize("name", BY_HAND)
def test_an_open_line_gets_no_hint_and_the_lesson_goes_on(name, capsys):
    given, answer = BY_HAND[name]
    assert is_close(lesson.check(name, ..., **given), answer)
    assert capsys.readouterr().out == "Still open: replace the dots with your answer.\n"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [(name, s) for name, q in EXERCISES.items() for s in q.mistakes if not q.own],  # those depend on the answer
)
def test_every_usual_mistake_gets_its_own_sentence(name, sentence, capsys):
    given, answer = BY_HAND[name]
    wrong = EXERCISES[name].mistakes[sentence](**given)
    assert is_close(lesson.check(name, wrong, **given), answer)
    assert capsys.readouterr().out == f"Not quite. {sentence}\n"


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("kidney length", 100, "too large"),
        ("kidney length", -1000, "too small"),
        ("kidney length", "long", "The answer should be a number"),
        ("kidney length", [1, 2], "The shape is (2,)"),
        ("kidney length", None, "The answer should be a number"),
        ("side of the liver", 3, "a word in quotation marks"),
        ("side of the liver", "top", "That is another word"),
        ("side of the liver", "top", f"Hint: {EXERCISES['side of the liver'].hint}"),
        ("share on the surface", 78.4, "in percent"),
        ("traffic", 16000, "too large"),  # a hundred times a number of megabytes is no percentage
        ("kidney length", 7.3, "too large"),
        ("kidney length", 7, "too small"),  # one digit: that may be anything
        ("drop", 0.1004, "too large"),
    ],
)
def test_any_other_answer_is_met_with_what_can_be_said(name, answer, said, capsys):
    given, right = BY_HAND[name]
    assert is_close(lesson.check(name, answer, **given), right)
    assert said in capsys.readouterr().out


LISTS = Exercise(lambda: np.array([0.75, 0.25]), "Two shares.")
NAMED = Exercise(lambda: {"a": np.array([2.0, 3.0]), "b": np.array(3.0)}, "Two arrays.")


@pytest.mark.parametrize(
    ("exercise", "answer", "said"),
    [
        (LISTS, [0.75, 0.5], "1 of 2 numbers differ"),
        (LISTS, [0.25, 0.75], "another order"),
        (LISTS, [75, 25], "in percent"),
        (NAMED, 3, "a dictionary of arrays"),
        (NAMED, {"a": np.array([2.0, 3.0]), "b": np.array(9.0)}, "1 of 2 arrays differ, the first is b"),
        (NAMED, {"a": np.array([2.0, 3.0])}, "1 of 2 arrays differ, the first is b"),
    ],
)
def test_arrays_and_dictionaries_are_met_with_what_can_be_said(exercise, answer, said):
    reference, problem = feedback(exercise, answer, {})
    assert said in problem and problem.endswith(f"Hint: {exercise.hint}") and is_close(reference, exercise.answer())


@pytest.mark.parametrize("place", ["notebooks", "copy"])
def test_exercises_are_found_in_the_project_and_beside_a_copied_notebook(place, tmp_path, monkeypatch):
    if place == "copy":
        shutil.copytree(lesson.root() / "notebooks" / "exercises", tmp_path / "exercises")
        monkeypatch.setattr(lesson, "root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path if place == "copy" else lesson.root() / "notebooks")
    assert set(lesson.exercises.__wrapped__()) == set(lesson.exercises())


@pytest.mark.parametrize("answer", [..., 100])
def test_strict_mode_raises(answer, monkeypatch):
    monkeypatch.setenv("PEDSEG_STRICT", "1")
    with pytest.raises(lesson.NotSolved, match="drop"):
        lesson.check("drop", answer, home=0.75, away=0.5)
    assert lesson.check("drop", 0.25, home=0.75, away=0.5) == 0.25


def test_set_up_says_its_versions_and_keeps_to_one_thread(monkeypatch, capsys):
    monkeypatch.delenv("PEDSEG_BUDGET", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    lesson.setup()
    said = capsys.readouterr().out
    assert said.startswith("Python 3.") and "torch 2." in said and said.count("\n") == 1
    assert lesson.os.environ["OMP_NUM_THREADS"] == "1"


def test_the_budget_is_said_and_kept(monkeypatch, capsys):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    lesson.setup()
    assert "Short run" in capsys.readouterr().out
    assert lesson.budget(600, test=20) == 20
    monkeypatch.setenv("PEDSEG_BUDGET", "full")
    assert lesson.budget(600, test=20) == 600


def test_training_steps_fit_the_chapters_time_on_this_machine(monkeypatch, capsys):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    assert lesson.training_steps(600, test=20) == 20
    monkeypatch.setenv("PEDSEG_BUDGET", "full")
    assert 0 < lesson.seconds_a_step() < 60
    monkeypatch.setattr(lesson, "TRAINING_SECONDS", 600.5 * lesson.seconds_a_step())
    assert lesson.training_steps(600, test=20) == 600
    assert capsys.readouterr().out == ""
    assert lesson.training_steps(600, test=20, networks=2) == 300
    assert "trains 300 steps instead of 600" in capsys.readouterr().out
    monkeypatch.setattr(lesson, "TRAINING_SECONDS", 0)
    assert lesson.training_steps(600, test=20) == 1


@pytest.mark.parametrize("place", [".", "notebooks", "notebooks/source"])
def test_the_project_is_found_from_wherever_a_notebook_runs(place, tmp_path, monkeypatch):
    for folder in ("notebooks/source", "pedseg"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / place)
    monkeypatch.delenv("PEDSEG_RUNS", raising=False)
    assert lesson.root() == tmp_path and lesson.runs() == tmp_path / "runs"


def test_what_is_made_goes_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path))
    assert lesson.runs() == tmp_path


def test_recorded_results_are_found_or_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "root", lambda: tmp_path)
    with pytest.raises(PedsegInputError, match="data_samples"):
        lesson.recorded("study")
    (tmp_path / "data_samples/results/study").mkdir(parents=True)
    assert lesson.recorded("study") == tmp_path / "data_samples/results/study"


def test_progress_hands_everything_on(monkeypatch):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    assert list(lesson.progress(iter("abc"), 3, "letters")) == ["a", "b", "c"]


def test_the_last_line_tells_time_and_memory(capsys):
    lesson.setup()
    lesson.finish()
    assert "0.0 min" in capsys.readouterr().out
