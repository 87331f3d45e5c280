"""The field's terms: no module, function, class, argument or variable goes by a name that was retired."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# The names of the first version; CHANGELOG.md says what became of each.
RETIRED_MODULES = frozenset(
    """
    patients exchange viewing commands light_box desk solids verbs words drawing testing jobs records causes misplaced
    sweep retest asking settings terms averaging letters answers envelopes tabletop end_to_end exam judging questions
    findings sampling practice posture weave
    """.split()
)
RETIRED = frozenset(
    """
    fold unfold Arm arm arms story tell told one each found more drawn guess crumbs smallest_ml on_its_back untilt
    by_its_body whole_body habits ContouringHabits grow Appointment appointment appointments keep_appointment
    draw_patient Place Away in_turn stamp Circle occasion ledger Ledger take_up flaw silent not_worse keep_low
    give_back carefully Chance strangers understand Meaning Wishes wishes Finding finding findings refuse weave rooms
    sweep retest verbs one_phase more_patients largest_update hostile masks_only smallest_ml light_box desk
    """.split()
)


def names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that a file defines: functions, classes, arguments, variables, attributes, aliases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


def sources(root: Path) -> list[Path]:
    return [
        file
        for folder in ("pedseg", "benchmarks", "data_samples", "notebooks")
        for file in (root / folder).rglob("*.py")
        if not any(part.startswith(".") for part in file.relative_to(root).parts)  # another program's environment
    ]


def test_no_retired_name_is_left(root):
    left = []
    for file in sources(root):
        place = file.relative_to(root).as_posix()
        left += [
            f"{place}: the file" for part in file.relative_to(root).with_suffix("").parts if part in RETIRED_MODULES
        ]
        tree = ast.parse(file.read_text(encoding="utf-8"))
        left += [f"{place}:{line}: {name}" for name, line in names(tree) if name in RETIRED]
    assert left == []


@pytest.mark.parametrize(
    "text", ["def grow(): ...", "one = 1", "class Arm: ...", "def f(told): ...", "self.story = 1", "import a as desk"]
)
def test_a_retired_name_is_seen(text):
    assert [name for name, _ in names(ast.parse(text)) if name in RETIRED]


def test_a_name_of_a_library_may_be_called():
    assert [name for name, _ in names(ast.parse("re.findall(x).found(title=1)"))] == []
