"""Exercises of chapter 15, A third hospital joins."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from pedseg.phantoms.flaws import DECISIONS, FLAWS, draw_flaws, flawed_cases
from pedseg.workbook import capstone
from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise

DEFAULT, LARGEST = 2026, 99_999


def _number(number):
    """The learner's own number if it is one, else the default."""
    whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    return number if whole and 0 <= number <= LARGEST else DEFAULT


def _drawn(number):
    return draw_flaws(_number(number))


def _true_findings(number):
    return flawed_cases(_number(number), _drawn(number), capstone.patients())


def _as_sets(reported):
    """Findings with their cases as sets; None for what is no dictionary of lists."""
    if not isinstance(reported, Mapping):
        return None
    try:
        return {defect: {str(case) for case in cases} for defect, cases in reported.items()}
    except TypeError:
        return None


def _findings(number, reported):
    """What is true; the learner's own findings where only their order is another."""
    true = _true_findings(number)
    return reported if _as_sets(reported) == _as_sets(true) else true


def _shared(number, reported):
    """How many of the named flaws are there; None for what is no dictionary of two flaws."""
    named = _as_sets(reported)
    if named is None or len(named) != 2 or named.keys() - FLAWS.keys():
        return None
    return len(named.keys() & set(_drawn(number)))


def _if(condition, key):
    """A mistake that an answer makes if the condition holds; `key` is what the answer itself is given as."""
    return lambda **given: given[key] if condition(**given) else _NO_ANSWER


_NO_ANSWER = "an answer that nobody gives"


def _wrong_cases(direction, number, reported):
    """Both flaws are right, and children are missing (-1) or too many (1) in the first list that is wrong."""
    if _shared(number, reported) != 2:
        return False
    named, true = _as_sets(reported), _as_sets(_true_findings(number))
    wrong = next((defect for defect in true if named[defect] != true[defect]), None)
    return wrong is not None and bool(named[wrong] - true[wrong]) is (direction > 0)


def _decisions(number, decisions):
    """The learner's decisions if each holds; else the best ones."""
    best = {defect: FLAWS[defect].decisions[0] for defect in _drawn(number)}
    return decisions if _all_hold(number, decisions) else best


def _all_hold(number, decisions):
    if not isinstance(decisions, Mapping) or set(decisions) != set(_drawn(number)):
        return False
    return all(decision in FLAWS[defect].decisions for defect, decision in decisions.items())


def _does_not_hold(defect, number, decisions):
    """Whether this flaw is there and the decision on it does not hold."""
    if not isinstance(decisions, Mapping) or defect not in _drawn(number):
        return False
    return decisions.get(defect) in DECISIONS and decisions[defect] not in FLAWS[defect].decisions


def audit(children):
    """The names of the flaws in a hospital's measurements."""
    named = []
    upright = [child for child in children if child["dsc"]["Liver"] > 0.7]
    if len(upright) < len(children):
        named.append("mirrored sides")
    if any((child["hu"]["A_Aorta"] > 80) != (child["phase"] == "portal venous") for child in upright):
        named.append("wrong phase")
    if any(child["x_mm"]["Lung_L"] > child["x_mm"]["Lung_R"] for child in children):
        named.append("swapped label")
    if any(child["slice_mm"] > 6 for child in children):
        named.append("thick slices")
    bowel = "Bowel^Stomach"
    if np.median([child["volume_ml"][bowel] / child["predicted_ml"][bowel] for child in children]) < 0.88:
        named.append("contouring habit")
    if set.intersection(*(set(child["absent"]) for child in children)):
        named.append("unequal organ list")
    return named


def _or(defect, condition):
    """The audit, with a further rule for one flaw that is wrong."""
    return lambda children: sorted({*audit(children), *([defect] if condition(children) else [])})


def _hospital(number):
    flaws = sorted(capstone.hidden_flaws(number))
    says = " and ".join(flaws) or "an empty list: nothing is wrong here"
    return Check(
        f"hospital {number}",
        lambda: (capstone.recorded_hospitals()[number],),
        flaws,
        says,
        measure=lambda function, children: sorted(function(children)),
    )


EXERCISES = {
    "hospital number": Exercise(
        answer=_number,
        hint=f"Any whole number from 0 to {LARGEST}.",
        own=("number",),
    ),
    "findings": Exercise(
        answer=_findings,
        hint="A dictionary with two entries, each the name of a flaw and a list of its children.",
        mistakes={
            "Name two flaws, as the table spells them, and for each of them its children in a list.": _if(
                lambda number, reported: _shared(number, reported) is None, "reported"
            ),
            "Neither of these two is there. What do they show that the neighbors' children do not?": _if(
                lambda **given: _shared(**given) == 0, "reported"
            ),
            "One of the two is there, the other is not. Which tool have you not used yet: the header, an overlay, "
            "HU, places, volumes, or DSC? One flaw can also look like another.": _if(
                lambda **given: _shared(**given) == 1, "reported"
            ),
            "Both flaws are there. But some children are listed who do not have theirs.": _if(
                partial(_wrong_cases, 1), "reported"
            ),
            "Both flaws are there. But some children who have one are missing.": _if(
                partial(_wrong_cases, -1), "reported"
            ),
        },
        own=("number", "reported"),
    ),
    "decisions": Exercise(
        answer=_decisions,
        hint="A dictionary with your two flaws, and for each of them one word.",
        mistakes={
            "Decide on the two flaws that are there, each by its name: the findings come first.": _if(
                lambda number, decisions: not isinstance(decisions, Mapping) or set(decisions) != set(_drawn(number)),
                "decisions",
            ),
            f"For each flaw one word: {', '.join(DECISIONS)}.": _if(
                lambda number, decisions: not set(map(str, decisions.values())) <= set(DECISIONS), "decisions"
            ),
        }
        | {
            f"{defect.name.capitalize()}: think again. {defect.why}": _if(
                partial(_does_not_hold, defect.name), "decisions"
            )
            for defect in FLAWS.values()
        },
        own=("number", "decisions"),
    ),
    "audit": FunctionExercise(
        reference=audit,
        checks=[_hospital(number) for number in (*capstone.HIDDEN, capstone.FLAWLESS)],
        hints=[
            "One `if` for each flaw. Begin with those that the header tells: `slice_mm`, and organs that are `absent` "
            "in all children.",
            "The aorta has about 35 HU without contrast agent and about 125 in the portal venous phase. A left lung "
            "lies to the left: its `x_mm` is smaller.",
            "In a mirrored child the contour of the liver lies beside the liver: its `dsc` falls. The child's other "
            "numbers are wrong, too, so leave it out where you ask for the phase.",
            "The network draws the bowel whole. Divide `volume_ml` by `predicted_ml`, child by child.",
        ],
        slips={
            "A mirrored child's aorta is not where its contour lies: ask the others for the phase.": _or(
                "wrong phase",
                lambda children: any((c["hu"]["A_Aorta"] > 80) != (c["phase"] == "portal venous") for c in children),
            ),
            "An organ that some children lack may have been removed. Which organ do all of them lack?": _or(
                "unequal organ list", lambda children: any(c["absent"] for c in children)
            ),
            "Some organs are hard to draw for any network: a low DSC of the pancreas is no mirror.": _or(
                "mirrored sides", lambda children: any(min(c["dsc"].values()) < 0.7 for c in children)
            ),
            "A small child has a small bowel: compare with what the network draws, not in milliliters.": _or(
                "contouring habit", lambda children: min(c["volume_ml"]["Bowel^Stomach"] for c in children) < 600
            ),
            "`x_mm` grows to the patient's right, so the left lung has the smaller one.": _or(
                "swapped label", lambda children: any(c["x_mm"]["Lung_L"] < c["x_mm"]["Lung_R"] for c in children)
            ),
        },
    ),
    "gain": Exercise(
        answer=lambda table: table[np.argmax(np.abs(table[:, 0]))],
        hint="The line whose difference is largest, up or down: its difference, low, and high.",
        mistakes={
            "This is the smallest difference, not the largest.": lambda table: table[np.argmin(np.abs(table[:, 0]))],
            "The sign is that of as it came minus after repair.": lambda table: -table[np.argmax(np.abs(table[:, 0]))],
        },
        measured=("table",),
    ),
    "verdict": Exercise(
        answer=lambda interval: capstone.judge(*interval),
        hint="First ask for the margin: does the whole interval lie within it? Only then ask for zero: is it included?",
        measured=("interval",),
    ),
}
