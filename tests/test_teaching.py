"""The lecturer's guide adds up: 90 minutes by the minute, slides that exist, every chapter in every plan."""

from __future__ import annotations

import json
import re

import pytest

from pedseg.cli import READING_ROOM
from pedseg.workbook.build_notebooks import build_notebook, read_chapter

ROW = re.compile(
    r"^\| (?P<hour>\d):(?P<minute>\d\d) \| (?P<minutes>\d+) \| (?P<what>[^|]+) \|(?P<you>[^|]*)\|", re.MULTILINE
)


@pytest.fixture(scope="module")
def guide(root) -> str:
    return (root / "docs" / "teaching.md").read_text(encoding="utf-8")


def section(guide: str, title: str) -> str:
    return guide.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_lecture_takes_ninety_minutes_without_a_gap(guide):
    rows = [*ROW.finditer(section(guide, "90 minutes by the minute"))]
    clock = 0
    for row in rows:
        assert 60 * int(row["hour"]) + int(row["minute"]) == clock, row[0]
        clock += int(row["minutes"])
    assert clock == 90 and len(rows) > 10


def test_the_plan_shows_every_slide_behind_a_title_once(root, guide):
    plan, shown, there = section(guide, "90 minutes by the minute"), {}, {}
    chapter = ""
    for row in ROW.finditer(plan):
        chapter = row["what"][:2] if re.match(r"\d\d:", row["what"]) else chapter
        numbers = re.match(r"slides? (\d)(?: and (\d))?", row["you"].strip())
        shown.setdefault(chapter, []).extend(int(n) for n in (numbers.groups() if numbers else ()) if n)
    for number in ("01", "05", "07"):
        (source,) = (root / "notebooks" / "source").glob(f"{number}_*.py")
        cells = json.loads(build_notebook(source.stem, read_chapter(source), lecture=True))["cells"]
        slides = sum("lecture" in cell["metadata"].get("tags", []) for cell in cells)
        there[number] = list(range(2, slides + 2))
    assert {number: shown[number] for number in there} == there


def test_every_chapter_has_its_week_and_its_misconception(root, guide):
    weeks = re.findall(r"^\| \d+ \| ([\d, ]+) \|", section(guide, "A semester"), re.MULTILINE)
    chapters = [source.name[:2] for source in sorted((root / "notebooks" / "source").glob("[0-9][0-9]_*.py"))]
    assert sorted(number for week in weeks for number in week.split(", ")) == chapters
    wrong = set(re.findall(r"^\| (\d\d) \|", section(guide, "What students get wrong"), re.MULTILINE))
    assert wrong == set(chapters) - {"00", READING_ROOM.name[:2]}


def test_the_guide_is_linked_from_the_front_page(root):
    assert "](docs/teaching.md)" in (root / "README.md").read_text(encoding="utf-8")
