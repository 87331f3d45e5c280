"""The capstone: what is measured shows the flaws, findings are judged by the learner's own number, and graded so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pedseg.datasets.reading import read_dataset
from pedseg.evaluation.comparisons import holm
from pedseg.evaluation.results import COLUMNS, typed_rows
from pedseg.evaluation.trained_models import find_weights, load_model
from pedseg.phantoms.flaws import FLAWS, draw_flaws, flawed_cases, make_hospital
from pedseg.workbook import capstone, lesson
from pedseg.workbook.answer_records import AnswerRecord, Unreadable
from pedseg.workbook.build_notebooks import build_notebook
from pedseg.workbook.grading import sandbox
from pedseg.workbook.grading.execution import Execution
from pedseg.workbook.grading.feedback import feedback_page
from pedseg.workbook.grading.grade import GradedCopy, grade_folder
from pedseg.workbook.grading.submissions import Submission, load_chapters, table_lines
from pedseg.workbook.grading.verdicts import verdicts

NAME = "15_capstone"
EXERCISES = lesson.exercises()
ALL = [f"delta-{number:03d}" for number in range(1, 24)]


def true_findings(number: int) -> dict[str, list[str]]:
    return flawed_cases(number, draw_flaws(number))


@pytest.fixture(autouse=True)
def gentle(monkeypatch):
    monkeypatch.delenv("PEDSEG_STRICT", raising=False)
    monkeypatch.delenv("PEDSEG_BUDGET", raising=False)


# --- measuring ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_federated_network_shows_a_mirrored_child_and_blood_the_phase(tmp_path, monkeypatch):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")  # no progress bar
    pair, few = ("mirrored sides", "wrong phase"), {"train": 3, "validation": 0, "test": 0}
    list(make_hospital(tmp_path / "Dataset903_Delta", 41, pair, few))
    model = load_model(find_weights(lesson.recorded("study"), "federated"))
    children = capstone.measure(read_dataset(tmp_path / "Dataset903_Delta"), model)
    cases = flawed_cases(41, pair, few)
    (mirrored,), (wrong,) = ([c for c in children if c["case"] in cases[flaw]] for flaw in pair)
    (sound,) = (c for c in children if c not in (mirrored, wrong))
    assert mirrored["dsc"]["Liver"] < 0.7 < 0.85 < min(sound["dsc"]["Liver"], wrong["dsc"]["Liver"])
    for child, right in ((sound, True), (wrong, False)):
        assert ((child["hu"]["A_Aorta"] > 80) == (child["phase"] == "portal venous")) is right
    assert sound["volume_ml"]["Liver"] == pytest.approx(sound["predicted_ml"]["Liver"], rel=0.1)
    assert json.loads(json.dumps(children)) == children
    assert list(capstone.stated(children)["absent"]) == [", ".join(child["absent"]) for child in children]
    lines = capstone.table(children, "dsc", ["Liver", "Pancreas"])
    assert list(lines.columns) == ["child", "Liver", "Pancreas"] and len(lines) == 3


def test_the_hospitals_of_the_audit_show_each_flaw_twice_and_nobody_gets_one_of_them():
    hospitals = capstone.recorded_hospitals()
    assert set(hospitals) == {*capstone.HIDDEN, capstone.FLAWLESS} and min(hospitals) > 99_999
    shown = [flaw for number in hospitals for flaw in capstone.hidden_flaws(number)]
    assert all(shown.count(flaw) >= 2 for flaw in FLAWS) and capstone.hidden_flaws(capstone.FLAWLESS) == []
    assert all([child["case"] for child in children] == ALL for children in hospitals.values())


def test_the_recorded_rates_count_every_hospital_for_each_flaw():
    summary = json.loads((lesson.recorded("capstone") / "summary.json").read_text("utf-8"))
    assert set(summary["rates"]) == set(FLAWS) and summary["hospitals"] == 30
    for counts in summary["rates"].values():
        assert counts["hospitals"] + counts["others"] == 30 and counts["hospitals"] >= 5
        assert counts["named"] == counts["hospitals"] and counts["alarms"] == 0  # as the chapter says


# --- comparing ----------------------------------------------------------------------------------


def rows_of(**dsc: list[float]) -> pd.DataFrame:
    """Rows of the liver under models of these names; the spleen is the same under all of them."""
    rows = []
    for model, values in dsc.items():
        for place, value in enumerate(values):
            for organ, score in (("Liver", value), ("Spleen", 0.8)):
                who = {"seed": 0, "model": model, "trained_on": "x", "tested_on": "ab"[place % 2], "organ": organ}
                rows.append({**who, "patient": f"p{place}", "case": f"c{place}", "present": True, "dsc": score})
    return typed_rows(pd.DataFrame(rows, columns=list(COLUMNS)))


def test_models_are_compared_child_by_child_over_all_hospitals():
    before = np.linspace(0.6, 0.9, 8)
    table = capstone.compare(rows_of(after=list(before + 0.03), before=list(before)), "after", "before")
    liver, spleen = table.to_dict("records")
    assert liver["organ"] == "Liver" and liver["children"] == 8
    assert liver["difference"] == pytest.approx(0.03) == pytest.approx(liver["low"]) == pytest.approx(liver["high"])
    assert (spleen["difference"], spleen["low"], spleen["high"]) == (0, 0, 0)
    assert liver["p (Holm)"] == pytest.approx(holm([2 / 2**8, 1.0])[0])
    shown = capstone.readable(table).to_dict("records")[0]
    assert (shown["difference"], shown["p (Holm)"]) == ("+0.0300", "0.016")
    assert spleen["p of equivalence (Holm)"] < 0.05 < liver["p of equivalence (Holm)"]


def test_too_few_children_have_no_interval():
    table = capstone.compare(rows_of(after=[0.9, 0.8], before=[0.8, 0.8]), "after", "before")
    assert table["low"].isna().all() and capstone.judge(*table[["low", "high"]].to_numpy()[0]) == "cannot tell"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (-0.009, 0.009, "equivalent"), (0.001, 0.009, "equivalent"), (0.001, 0.01, "better"), (0.02, 0.03, "better"),
        (-0.03, -0.001, "worse"), (-0.02, 0.005, "cannot tell"), (-0.001, 0.02, "cannot tell"), (0, 0, "equivalent"),
    ],
)  # fmt: skip
def test_what_an_interval_says(low, high, word):
    assert capstone.judge(low, high) == word


# --- findings and decisions ---------------------------------------------------------------------


def said(name: str, answer, capsys, number: int) -> str:
    key = {"hospital number": "number", "findings": "reported", "decisions": "decisions"}[name]
    lesson.check(name, answer, **({"number": number} | {key: answer}))
    return capsys.readouterr().out


@pytest.mark.parametrize("number", [0, 7, 99_999, np.int64(3)])
def test_any_number_is_right(number, capsys):
    assert said("hospital number", number, capsys, number) == "Right.\n"


@pytest.mark.parametrize("number", [-1, 100_000, 3.5, "12", None, True])
def test_what_is_no_number_is_not(number, capsys):
    assert "0 to 99999" in said("hospital number", number, capsys, number)


@pytest.mark.parametrize("number", range(15))
def test_right_findings_are_right_in_any_order_and_form(number, capsys):
    true = true_findings(number)
    backwards = {flaw: tuple(reversed(names)) for flaw, names in reversed(true.items())}
    for findings in (true, backwards, {flaw: set(names) for flaw, names in true.items()}):
        assert said("findings", findings, capsys, number) == "Right.\n"


def test_wrong_findings_are_answered_without_giving_the_right_ones_away(capsys):
    """Number 2 has mirrored sides and thick slices."""
    true = true_findings(2)
    mirrored, thick = true["mirrored sides"], true["thick slices"]
    answers = {
        "Neither": {"wrong phase": ALL, "swapped label": ALL},
        "One of the two": {"mirrored sides": mirrored, "wrong phase": thick},
        "are listed who do not": true | {"thick slices": ALL},
        "are missing": true | {"mirrored sides": mirrored[1:]},
    }
    malformed = [{"mirrored sides": mirrored}, {"mirrored": mirrored, "thick slices": thick}, {1: 2}, [], 3, None]
    told = [*answers.items(), *(("as the table spells them", findings) for findings in malformed)]
    for sentence, findings in told:
        out = said("findings", findings, capsys, 2)
        assert out.startswith("Not quite. ") and sentence in out
        assert "thick" not in out and "mirror" not in out
    assert said("findings", ..., capsys, 2).startswith("Still open") and lesson._tried == {}


def test_every_decision_that_holds_is_right_and_every_other_gets_its_reason(capsys):
    for number in range(15):
        first, second = draw_flaws(number)
        good = {first: FLAWS[first].decisions[0], second: FLAWS[second].decisions[-1]}
        assert said("decisions", good, capsys, number) == "Right.\n"
        for word in ("fix", "exclude", "accept", "ask"):
            if word not in FLAWS[first].decisions:
                assert FLAWS[first].why in said("decisions", good | {first: word}, capsys, number)
        assert "For each flaw one word" in said("decisions", good | {first: "ignore"}, capsys, number)
        for other in ({first: good[first]}, "fix", None, dict.fromkeys(FLAWS, "ask")):
            out = said("decisions", other, capsys, number)
            assert "the findings come first" in out and second not in out


# --- grading ------------------------------------------------------------------------------------

REFERENCE = {
    "hospital number": {"number": 2026},
    "findings": {"number": 2026, "reported": true_findings(2026)},
    "decisions": {"number": 2026, "decisions": {"swapped label": "fix", "unequal organ list": "fix"}},
    "gain": {"table": np.array([[0.0, 0.0, 0.0]])},
    "verdict": {"interval": [0.0, 0.0]},
}


def graded(**answers) -> dict[str, tuple[str, str]]:
    """State and judge of each exercise for answers given as (answer, given)."""
    records = {name.replace("_", " "): answer for name, answer in answers.items()}
    execution = Execution(records={name: [AnswerRecord(name, *answer, "")] for name, answer in records.items()})
    judged = verdicts(list(records), execution, REFERENCE, EXERCISES, 30)
    return {verdict.exercise: (verdict.state, verdict.judged_by) for verdict in judged}


def copy_of(number: int, findings: dict | None = None, claimed: int | None = None):
    findings = true_findings(number) if findings is None else findings
    asked = number if claimed is None else claimed
    return {
        "hospital_number": (number, {"number": number}),
        "findings": (findings, {"number": asked, "reported": findings}),
        "gain": (np.array([0.02, 0.01, 0.03]), {"table": np.array([[0.02, 0.01, 0.03], [0.0, 0.0, 0.0]])}),
        "verdict": ("better", {"interval": [0.01, 0.03]}),
    }


def test_each_copy_is_judged_by_its_own_number_and_its_own_run():
    for number in (2026, 5, 41):
        assert graded(**copy_of(number)) == {
            "hospital number": ("right", "grader"),
            "findings": ("right", "grader"),
            "gain": ("right", "notebook"),
            "verdict": ("right", "notebook"),
        }


def test_findings_for_another_number_than_the_chosen_one_earn_nothing():
    assert graded(**copy_of(5, true_findings(2026), claimed=2026))["findings"] == ("wrong", "grader")
    assert graded(**copy_of(5, true_findings(2026)))["findings"] == ("wrong", "grader")


def test_what_is_claimed_beside_the_answer_earns_nothing():
    copy = copy_of(5)
    copy["findings"] = ({"mirrored sides": ALL}, {"number": 5, "reported": true_findings(5)})
    copy["verdict"] = ("worse", copy["verdict"][1])
    assert [state for state, _ in graded(**copy).values()] == ["right", "wrong", "right", "wrong"]


@pytest.mark.parametrize("junk", [None, "x", [], {}, [["a"]], -1, 1e300, Unreadable("function")])
def test_whatever_a_copy_hands_in_it_gets_a_verdict(junk):
    for name, given in REFERENCE.items():
        for answer in (junk, 5, {"mirrored sides": ALL, "wrong phase": junk}):
            states = graded(**{name.replace(" ", "_"): (answer, dict.fromkeys(given, junk))})
            assert states[name][0] == "wrong", (name, answer)


@pytest.fixture(scope="module")
def chapter(root):
    return load_chapters(root / "notebooks" / "source")[NAME]


def test_the_feedback_page_has_the_rubric_of_the_chapter_and_of_the_guide(root, chapter):
    assert len(chapter.rubric) == 7 and chapter.rubric[0] == ("criterion", "0", "1", "2", "3")
    assert all(len(line) == 5 and all(line) for line in chapter.rubric)
    page = feedback_page(GradedCopy(Submission("a", chapter, ()), (), "finished", {}, 3.0, 100.0))
    assert "Your page" in page and all(cell in page for cell in chapter.rubric[1])
    guide = (root / "docs" / "teaching.md").read_text(encoding="utf-8")
    section = guide.split("## The capstone")[1].split("\n## ")[0]
    lines = table_lines(section)
    assert set(chapter.rubric) <= set(lines)
    for flaw in FLAWS.values():
        assert (flaw.name, flaw.found_by, ", ".join(flaw.decisions)) in lines


SHORT = """# %% [markdown]
# # 15 · Capstone
#
# *1 minute · students*

# %%
from pedseg.workbook import lesson

# %% exercise
number = 2026  # answer
number = lesson.check("hospital number", number, number=number)

# %% [markdown] answer
# Any.

# %% exercise
findings = {  # answer
    "swapped label": [f"delta-{n:03d}" for n in (1, 3, 7, 8, 9, 15, 17, 19, 21)],  # answer
    "unequal organ list": [f"delta-{n:03d}" for n in range(1, 24)],  # answer
}  # answer
findings = lesson.check("findings", findings, number=number, reported=findings)

# %% [markdown] answer
# Two.
"""


@pytest.mark.slow
@pytest.mark.skipif(bool(sandbox.missing()), reason=f"no sandbox: {sandbox.missing()}")
def test_copies_with_numbers_of_their_own_are_graded(tmp_path, root):
    course, folder = tmp_path / "notebooks", tmp_path / "class"
    (course / "source").mkdir(parents=True), folder.mkdir()
    (course / "source" / f"{NAME}.py").write_text(SHORT)
    shutil.copytree(root / "notebooks" / "exercises", course / "exercises")
    own = {"right": true_findings(5), "wrong": true_findings(2026)}
    for name, findings in {**own, "empty": None}.items():
        notebook = json.loads(build_notebook(NAME, SHORT, solved=False))
        for cell in notebook["cells"] if findings else []:
            source = "".join(cell["source"]).replace("number = ...", "number = 5")
            cell["source"] = source.replace("findings = ...", f"findings = {findings}")
        Path(folder / f"{name}.ipynb").write_text(json.dumps(notebook))
    copies = {copy.submission.name: copy for copy in grade_folder(folder, notebooks=course)}
    assert {name: [verdict.state for verdict in copy.verdicts] for name, copy in copies.items()} == {
        "right": ["right", "right"],
        "wrong": ["right", "wrong"],
        "empty": ["open", "open"],
    }
