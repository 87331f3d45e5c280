"""Grading a class: what handed-in notebooks hold, what the sandbox lets them do, and what becomes of each copy."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pedseg.errors import PedsegInputError
from pedseg.workbook import answer_records, lesson
from pedseg.workbook.answer_records import AnswerRecord, Unreadable, decode, encode
from pedseg.workbook.build_notebooks import build_notebook
from pedseg.workbook.exercise_checks import load_exercises
from pedseg.workbook.grading import sandbox
from pedseg.workbook.grading.execution import Execution
from pedseg.workbook.grading.feedback import feedback_page, grades_csv, write_grades
from pedseg.workbook.grading.grade import GradedCopy, grade_folder
from pedseg.workbook.grading.submissions import Submission, load_chapters, read_submissions
from pedseg.workbook.grading.verdicts import Verdict, judge, verdicts

NAME = "01_tiny"
SOURCE = """# %% [markdown]
# # 01 · Tiny
#
# *1 minute · students*

# %%
from pedseg.workbook import lesson

home, away = 0.875, 0.75

# %% exercise
drop = home - away  # answer
drop = lesson.check("drop", drop, home=home, away=away)

# %% [markdown] answer
# Half of it.

# %%
double = 2 * drop

# %% exercise
voxel_ml = 2 * 2 * 5 / 1000  # answer
voxel_ml = lesson.check("voxel volume", voxel_ml, spacing_mm=(2.0, 2.0, 5.0))

# %% [markdown] answer
# Cubes.

# %% exercise
side = "right"  # answer
side = lesson.check("side of the liver", side)

# %% [markdown] answer
# Right.
"""
EXERCISES = lesson.exercises()
NAMES = ["drop", "voxel volume", "side of the liver"]
GIVEN = {"home": 0.875, "away": 0.75}


@pytest.fixture(scope="module")
def course(tmp_path_factory, root) -> Path:
    """A course of one chapter of a few lines, with exercises of chapter 01."""
    folder = tmp_path_factory.mktemp("course") / "notebooks"
    (folder / "source").mkdir(parents=True)
    (folder / "source" / f"{NAME}.py").write_text(SOURCE)
    shutil.copytree(root / "notebooks" / "exercises", folder / "exercises")
    return folder


@pytest.fixture(scope="module")
def chapter(course):
    return load_chapters(course / "source")[NAME]


def handed_in(*, solved: bool = True, **replaced: str) -> str:
    """A copy of the tiny chapter, with the code of some exercises (`drop="..."`) replaced or put before."""
    notebook = json.loads(build_notebook(NAME, SOURCE, solved=solved))
    for exercise, code in replaced.items():
        for cell in notebook["cells"]:
            source = "".join(cell["source"])
            if f'"{exercise.replace("_", " ")}"' in source and cell["cell_type"] == "code":
                cell["source"] = code + source if code.endswith("\n") else code
    return json.dumps(notebook)


def submission(folder: Path, course: Path, text: str, name: str = NAME) -> Submission:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.ipynb").write_text(text)
    return next(s for s in read_submissions(folder, load_chapters(course / "source")) if s.name == name)


# --- records ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        ..., None, True, 3, 7.25, "right", np.float32(0.1), np.arange(6.0).reshape(2, 3), [1, "a"],
        {"a": np.array([1.0, 2.0]), "b": [np.array(4)]}, np.array([True, False]),
    ],
)  # fmt: skip
def test_a_value_survives_the_way_to_the_grader(value):
    arrived = decode(json.loads(json.dumps(encode(value))))
    if isinstance(value, dict):
        assert set(arrived) == set(value) and np.array_equal(arrived["a"], value["a"])
    elif isinstance(value, np.ndarray):
        assert np.array_equal(arrived, value) and arrived.dtype == value.dtype
    else:
        assert arrived == value and (arrived is value or value is not ...)


def test_what_is_no_value_is_named_and_nothing_is_unpickled():
    assert decode(encode(len)) == Unreadable("builtin_function_or_method")
    assert decode(encode([object()])) == [Unreadable("object")]
    assert decode(encode(np.array([None, {}]))) == Unreadable("ndarray")


@pytest.mark.parametrize(
    "message",
    [
        None, {}, {"name": "a"}, {"name": "a", "answer": 3, "given": {}, "problem": ""},
        {"name": "a", "answer": {"plain": {}}, "given": {"map": []}, "problem": ""},
        {"name": "a", "answer": {"npy": "AAAA"}, "given": {"map": []}, "problem": ""},
        {"name": "a", "answer": {"open": 1, "plain": 2}, "given": {"map": []}, "problem": ""},
    ],
)  # fmt: skip
def test_a_message_that_is_no_record_is_none(message):
    assert answer_records.read(message) is None


def test_nothing_is_sent_unless_somebody_grades(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda *bundle, **_: sent.append(bundle))
    monkeypatch.delenv(answer_records.VARIABLE, raising=False)
    lesson.check("drop", 0.125, **GIVEN)
    assert sent == []
    monkeypatch.setenv(answer_records.VARIABLE, "1")
    lesson.check("drop", 0.5, **GIVEN)
    record = answer_records.read(sent[0][0][answer_records.MIME])
    assert (record.name, record.answer, dict(record.given)) == ("drop", 0.5, GIVEN)
    assert "too large" in record.problem


# --- what is handed in --------------------------------------------------------------------------


def test_a_chapter_is_known_by_its_cells_or_its_number(tmp_path, course):
    assert submission(tmp_path, course, handed_in(), "Ann_Example").chapter.name == NAME
    assert submission(tmp_path, course, '{"cells": []}', "ann_01_tiny").chapter.name == NAME
    assert "none of the chapters" in submission(tmp_path, course, '{"cells": []}', "essay").problem


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', '{"cells": [{}]}', handed_in()[:400], "\x00\xff"])
def test_a_file_that_is_no_notebook_is_said_to_be_none(text, tmp_path, course):
    assert "not a notebook" in submission(tmp_path, course, text).problem


def test_subfolders_are_read_and_checkpoints_are_not(tmp_path, course):
    for folder in ("Ann", "Bo/.ipynb_checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{NAME}.ipynb").write_text(handed_in())
    assert [s.name for s in read_submissions(tmp_path, load_chapters(course / "source"))] == [f"Ann/{NAME}"]


def test_a_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(PedsegInputError, match="no notebook"):
        read_submissions(tmp_path, {})


def sources(copy: Submission) -> list[str]:
    return [step.source for step in copy.steps()]


def test_the_chapters_own_cells_run_as_the_chapter_has_them(tmp_path, course, chapter):
    notebook = json.loads(handed_in())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code[0]["source"] = "home, away = 0, 0"  # spoiled
    notebook["cells"].remove(code[2])  # deleted: below = ...
    copy = submission(tmp_path, course, json.dumps(notebook))
    assert sources(copy) == [cell.solved for cell in chapter.cells]


def test_cells_of_ones_own_stay_where_they_stood_also_without_ids(tmp_path, course, chapter):
    notebook = json.loads(handed_in(drop='import math\nx = 1\nlesson.check("drop", x)'))
    own = {"cell_type": "code", "source": "half = home / 2", "metadata": {}, "outputs": []}
    place = next(n for n, cell in enumerate(notebook["cells"]) if "import math" in "".join(cell["source"]))
    notebook["cells"].insert(place, own)
    for cell in notebook["cells"]:
        cell.pop("id", None)  # as Colab may leave it
    run = sources(submission(tmp_path, course, json.dumps(notebook)))
    assert run[0] == chapter.cells[0].source and run[1] == "half = home / 2" and run[2].startswith("import math")
    assert len(run) == 6


def test_a_deleted_exercise_is_run_solved_and_counts_as_open(tmp_path, course, chapter):
    notebook = json.loads(handed_in())
    notebook["cells"] = [cell for cell in notebook["cells"] if '"voxel volume"' not in "".join(cell["source"])]
    copy = submission(tmp_path, course, json.dumps(notebook))
    assert sources(copy) == [cell.solved for cell in chapter.cells]
    assert [step.exercise for step in copy.steps()] == ["", "drop", "", "", "side of the liver"]


# --- verdicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "given", "state", "said"),
    [
        (0.125, GIVEN, "right", ""),
        (np.float64(0.125), GIVEN, "right", ""),
        (..., GIVEN, "open", "Not yet"),
        (0.5, GIVEN, "wrong", "too large"),
        (-0.125, GIVEN, "wrong", "Swap the sign"),
        (0, {"home": 0, "away": 0}, "wrong", "home, away"),  # right for a question that was not asked
        (0.125, {}, "wrong", "home, away"),
        (Unreadable("function"), GIVEN, "wrong", "no value"),
        ({"a": [[1], [1, 2]]}, GIVEN, "wrong", "a number"),
    ],
)
def test_an_answer_is_judged_by_what_the_chapter_gives(answer, given, state, said):
    record = AnswerRecord("drop", answer, given, "")  # the notebook says that all is right
    verdict = judge(record, EXERCISES["drop"], GIVEN)
    assert verdict.state == state and said in verdict.sentence and verdict.judged_by == "grader"


def test_what_the_notebook_says_against_itself_does_not_count_either():
    record = AnswerRecord("drop", 0.125, GIVEN, "Not quite.")
    assert judge(record, EXERCISES["drop"], GIVEN).state == "right"


@pytest.mark.parametrize(
    ("problem", "state"),
    [("", "right"), ("Not quite. It changes its inputs.", "wrong"), ("Still open: write it.", "open")],
)
def test_what_is_no_value_is_judged_by_the_notebook_and_says_so(problem, state):
    record = AnswerRecord("fedavg", Unreadable("function"), {}, problem)
    verdict = judge(record, object(), {})
    assert verdict.state == state and (verdict.judged_by == "notebook" or state == "open")


def test_the_first_record_counts(course):
    """`check` returns the right answer: who hands that in again has answered nothing."""
    open_, right = (AnswerRecord("drop", answer, GIVEN, "") for answer in (..., 0.125))
    execution = Execution(records={"drop": [open_, right]})
    (verdict,) = verdicts(["drop"], execution, {"drop": GIVEN}, EXERCISES, 30)
    assert verdict.state == "open"


def test_earlier_answers_may_be_rounded():
    record = AnswerRecord("all three axes", 3.375, {"length_factor": 1.5004}, "")
    assert judge(record, EXERCISES["all three axes"], {"length_factor": 1.5}).state == "right"


@pytest.mark.parametrize(
    ("execution", "state", "said"),
    [
        (Execution(errors={"a": "ValueError: no"}, reached={"a"}), "wrong", "ValueError: no"),
        (Execution(errors={"a": "KeyboardInterrupt: "}, reached={"a"}), "wrong", "longer than 30 s"),
        (Execution(reached={"a"}), "open", "lesson.check"),
        (Execution(), "open", "not in the notebook"),
        (Execution(reached={"a"}, ended="memory"), "wrong", "too much memory"),
        (Execution(ended="time"), "open", "Not reached"),
    ],
)
def test_without_a_record_the_reason_is_said(execution, state, said):
    (verdict,) = verdicts(["a"], execution, {}, {}, 30)
    assert verdict.state == state and said in verdict.sentence


# --- what is left -------------------------------------------------------------------------------


def test_the_csv_has_a_line_a_copy_and_a_column_an_exercise(tmp_path, course):
    copies = [
        GradedCopy(submission(tmp_path, course, handed_in(), name), (Verdict("drop", state, ""),), "finished")
        for name, state in (("b", "right"), ("=1+1", "wrong"))
    ]
    lines = list(csv.DictReader(io.StringIO(grades_csv(copies))))
    assert [line["copy"] for line in lines] == ["'=1+1", "b"]  # by name; no formula
    assert [(line["right"], line["exercises"], line["drop"]) for line in lines] == [
        ("0", "1", "wrong"),
        ("1", "1", "right"),
    ]


def test_the_page_says_what_is_wrong_and_runs_nothing_of_the_learners(tmp_path, course):
    evil = '"</code><script>alert(1)</script>"\nlesson.check("side of the liver", 3)'
    copy = submission(tmp_path, course, handed_in(side_of_the_liver=evil))
    verdict = Verdict("side of the liver", "wrong", "<b>NameError</b>")
    page = feedback_page(GradedCopy(copy, (verdict,), "time", {"": "x"}, 3.0, 100.0))
    assert "<script" not in page and "&lt;script&gt;" in page and "&lt;b&gt;NameError" in page
    assert "0 of 1 exercises are right" in page.replace("\n", " ") and "took too long" in page
    assert "default-src 'none'" in page and "http://" not in page and "https://" not in page


def test_files_of_subfolders_get_pages_of_their_own(tmp_path, course):
    copies = [GradedCopy(Submission(name, None, (), "It is none.")) for name in ("Ann/01", "Bo/01")]
    files = write_grades(copies, tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        "grades.csv", "feedback/Ann/01.html", "feedback/Bo/01.html"
    ]  # fmt: skip
    assert "Not graded" in files[1].read_text("utf-8")


# --- the sandbox --------------------------------------------------------------------------------

needs_sandbox = pytest.mark.skipif(bool(sandbox.missing()), reason=f"no sandbox: {sandbox.missing()}")
PROBE = """
import json, os, socket, subprocess, sys
def attempt(action):
    try:
        return str(action())
    except OSError as error:
        return type(error).__name__ + " " + str(error.errno)
def listen():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
    return "bound"
def write(path):
    with open(path, "w") as f:
        f.write("x")
    return "written"
home, other = sys.argv[1:]
print(json.dumps({
    "work": attempt(lambda: write("mine")), "tmp": attempt(lambda: write("/tmp" + "/x")),
    "usr": attempt(lambda: write("/usr/x")), "kernel": attempt(lambda: write("/proc/sys/kernel/core_pattern")),
    "home": attempt(lambda: os.listdir(home)), "other": attempt(lambda: os.listdir(other)),
    "loopback": attempt(listen), "pid": os.getpid(),
    "network": attempt(lambda: socket.create_connection(("192.0.2.1", 80), 3)),
    "disks": [name for name in os.listdir("/dev") if name not in
              ("null", "zero", "full", "random", "urandom", "shm")],
    "mount": subprocess.run(["mount", "-o", "remount,rw", "/"], capture_output=True).returncode,
    "rights": [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd"))],
    "secret": os.environ.get("PEDSEG_SECRET_OF_THE_LECTURER", "unknown"),
}))
"""


@needs_sandbox
def test_the_sandbox_shows_no_files_and_no_network(tmp_path, root, monkeypatch):
    monkeypatch.setenv("PEDSEG_SECRET_OF_THE_LECTURER", "abc")
    work, other = tmp_path / "work", tmp_path / "other"
    work.mkdir(), other.mkdir()
    program = [sys.executable, "-c", PROBE, str(Path.home() / "."), str(other)]
    command = sandbox.command(program, work, sandbox.Limits())
    answer = subprocess.run(command, env=sandbox.environment(work), capture_output=True, text=True, timeout=120)
    told = json.loads(answer.stdout)
    assert told["work"] == told["tmp"] == "written" and (work / "mine").exists() and told["loopback"] == "bound"
    assert told["usr"].endswith(" 30") and told["kernel"].split()[0] in ("OSError", "PermissionError")
    assert told["other"].startswith("FileNotFoundError") and told["pid"] == 1
    assert told["network"] == "OSError 101"  # the network is unreachable
    assert told["disks"] == [] and told["mount"] != 0
    assert set(told["rights"]) == {"0" * 16} and told["secret"] == "unknown"


def test_without_a_sandbox_nothing_runs_unless_one_says_so(tmp_path, course, monkeypatch):
    monkeypatch.setattr(sandbox, "missing", lambda: "this is Windows")
    with pytest.raises(PedsegInputError, match="this is Windows"):
        next(grade_folder(tmp_path, notebooks=course))


WRONG_VOLUME = 'voxel_ml = lesson.check("voxel volume", 1, spacing_mm=(2.0, 2.0, 5.0))'
TWICE = """drop = lesson.check("drop", ..., home=home, away=away)
drop = lesson.check("drop", drop, home=home, away=away)"""
BAD = {
    "wrong": {"voxel_volume": WRONG_VOLUME},
    "twice": {"drop": TWICE},
    "crashes": {"drop": "raise RuntimeError('oh no')\n"},
    "endless": {"drop": "while True: pass\n"},
    "eats": {"drop": "hog = []\nwhile True: hog.append(bytearray(2**24))\n"},
    "dies": {"voxel_volume": "import os\nos._exit(3)\n"},
    "prints": dict.fromkeys(("drop", "voxel_volume", "side_of_the_liver"), 'print("Right.")'),
}


@needs_sandbox
@pytest.mark.slow
def test_a_class_is_graded_and_no_copy_disturbs_another(tmp_path, course):
    """Side by side: right, empty, wrong, crashing, endless, memory-eating, dying, forging and broken copies."""
    folder = tmp_path / "class"
    folder.mkdir()
    texts = {"right": handed_in(), "also_right": handed_in(), "empty": handed_in(solved=False), "junk": "{"}
    texts |= {name: handed_in(**replaced) for name, replaced in BAD.items()}
    for name, text in texts.items():
        (folder / f"{name}_{NAME}.ipynb").write_text(text)
    limits = sandbox.Limits(memory_mib=600)
    graded = grade_folder(folder, limits=limits, notebooks=course)
    copies = {copy.submission.name.removesuffix(f"_{NAME}"): copy for copy in graded}
    states = {name: [verdict.state for verdict in copy.verdicts] for name, copy in copies.items()}
    assert states == {
        "right": ["right"] * 3,
        "also_right": ["right"] * 3,
        "empty": ["open"] * 3,
        "junk": [],
        "wrong": ["right", "wrong", "right"],
        "twice": ["open", "right", "right"],
        "crashes": ["wrong", "right", "right"],
        "endless": ["wrong", "right", "right"],
        "eats": ["wrong", "open", "open"],
        "dies": ["right", "wrong", "open"],
        "prints": ["open"] * 3,
    }
    assert copies["eats"].status == "too much memory" and copies["dies"].status == "kernel died"
    assert copies["empty"].status == "unanswered" and copies["junk"].status == "not graded"
    assert "longer than" in copies["endless"].verdicts[0].sentence
    assert "oh no" in copies["crashes"].verdicts[0].sentence


def test_the_exercises_of_every_chapter_can_be_graded(root):
    chapters, exercises = load_chapters(root / "notebooks" / "source"), load_exercises(root / "notebooks" / "exercises")
    assert {name for chapter in chapters.values() for name in chapter.exercises} == set(exercises)


FUNCTION = """# %% [markdown]
# # 02 · Function
#
# *1 minute · students*

# %%
import numpy as np
from pedseg.workbook import lesson

# %% exercise
def fedavg(updates, cases):
    total = sum(cases)  # answer
    parts = [{n: u[n] * (c / total) for n in u} for u, c in zip(updates, cases, strict=True)]  # answer
    return {name: sum(part[name] for part in parts) for name in updates[0]}  # answer


fedavg = lesson.check("fedavg", fedavg)

# %% [markdown] answer
# Weighted by cases.
"""
LYING = """from pedseg.workbook import function_checks
function_checks.first_problem = lambda *_: ""
def fedavg(updates, cases):
    return {name: sum(update[name] for update in updates) / len(updates) for name in updates[0]}
fedavg = lesson.check("fedavg", fedavg)
"""


@needs_sandbox
@pytest.mark.slow
def test_a_function_is_examined_by_the_grader_whatever_its_notebook_says(tmp_path, course):
    folder = tmp_path / "class"
    folder.mkdir()
    (course / "source" / "02_function.py").write_text(FUNCTION)
    for name, solved in (("right", True), ("empty", False), ("lying", True)):
        notebook = json.loads(build_notebook("02_function", FUNCTION, solved=solved))
        if name == "lying":
            cell = next(cell for cell in notebook["cells"] if "fedavg" in "".join(cell["source"]))
            cell["source"] = LYING
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook))
    copies = {copy.submission.name: copy for copy in grade_folder(folder, notebooks=course)}
    (course / "source" / "02_function.py").unlink()
    judged = {name: [(v.state, v.judged_by) for v in copy.verdicts] for name, copy in copies.items()}
    assert judged["right"] == [("right", "grader")] and judged["lying"] == [("wrong", "grader")]
    assert judged["empty"][0][0] == "open"
    assert "Check " in copies["lying"].verdicts[0].sentence
