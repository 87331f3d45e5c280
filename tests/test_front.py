"""The front page tells what is there: chapters and doors as the notebooks state them, links that lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

DOOR = re.compile(r"^\| \*\*(?P<door>\w+)\*\* \| (?P<wish>[^|]+) \|(?: `[^|]+` \|)? (?P<way>[^|]+) \|$", re.MULTILINE)
CHAPTER = re.compile(
    r"^\| \[(?P<title>\d\d [^]]+)\]\[(?P<key>\d\d)\] \| (?P<question>[^|]+) \| (?P<minutes>\d+) \|$", re.MULTILINE
)
TARGET = re.compile(r"^\[(?P<key>\d\d)\]: (?P<target>\S+)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)(?P<target>[^)#\s]+)[^)]*\)|src=\"(?P<picture>[^\"]+)\"")
TOLD_IN = ("docs/commands.md",)  # made from the parser, see CONTRIBUTING.md
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "data_samples/README.md")


def prose(source: Path) -> str:
    """The text of a notebook's markdown cells."""
    lines = source.read_text(encoding="utf-8").splitlines()
    return "\n".join(line[2:] for line in lines if line.startswith("# ") and not line.startswith("# %%"))


@pytest.fixture(scope="module")
def sources(root) -> list[Path]:
    return sorted((root / "notebooks" / "source").glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="module")
def readme(root) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def start_here(sources) -> str:
    return prose(sources[0])


@pytest.fixture(scope="module")
def first_cells(sources) -> dict[str, tuple[str, int, str]]:
    """Number -> title, minutes and readers, as the first cell of each notebook states them."""
    cells = {}
    for source in sources:
        first = prose(source).split("You will be able to")[0]
        number, title = re.search(r"^# (\d\d) · (.+)$", first, re.MULTILINE).groups()
        minutes, readers = re.search(r"^\*(\d+) minutes · ([^*·]+)", first, re.MULTILINE).groups()
        cells[number] = (title, int(minutes), readers)
    return cells


def chapters(text: str) -> list[tuple[str, str, int]]:
    return [(row["title"], row["question"], int(row["minutes"])) for row in CHAPTER.finditer(text)]


def doors(text: str) -> dict[str, tuple[str, str]]:
    return {row["door"]: (row["wish"], row["way"]) for row in DOOR.finditer(text)}


def numbers(way: str) -> list[str]:
    """The chapters of a way: those listed, and for `01 to 13` all in between."""
    if span := re.search(r"\b(\d\d) to (\d\d)\b", way):
        return [f"{number:02d}" for number in range(int(span[1]), int(span[2]) + 1)]
    return re.findall(r"\b\d\d\b", way)


def test_the_readme_is_short(readme):
    assert len(readme.splitlines()) <= 120


def test_the_table_of_chapters_is_that_of_the_first_cells(readme, first_cells):
    stated = [(f"{number} {title}", minutes) for number, (title, minutes, _) in first_cells.items()]
    assert [(title, minutes) for title, _, minutes in chapters(readme)] == stated


def test_notebook_00_has_the_same_table(readme, start_here):
    assert chapters(start_here) == chapters(readme)[1:]  # all but itself


def test_every_chapter_leads_to_its_notebook(readme, start_here, sources):
    files = {source.name[:2]: f"{source.stem}.ipynb" for source in sources}
    assert dict(TARGET.findall(readme)) == {number: f"notebooks/{file}" for number, file in files.items()}
    assert dict(TARGET.findall(start_here)) == {number: file for number, file in files.items() if number != "00"}
    for text in (readme, start_here):
        assert all(row["title"].startswith(row["key"]) for row in CHAPTER.finditer(text))


def test_notebook_00_has_the_same_doors(readme, start_here):
    assert [*doors(readme)] == ["student", "clinician", "lecturer"]
    assert doors(start_here) == doors(readme)


def test_every_door_leads_to_chapters_for_its_reader(readme, first_cells):
    for door, (_, way) in doors(readme).items():
        for number in numbers(way):
            readers = first_cells[number][2]
            assert f"{door}s" in readers, f"{door}: {number} is for {readers}"


def test_researchers_are_sent_to_the_same_chapters_for_researchers(readme, start_here, first_cells):
    ways = [numbers(re.search(r"\*\*Researchers\*\*.*?\.", text, re.DOTALL)[0]) for text in (readme, start_here)]
    assert ways[0] == ways[1] != []
    assert all("researchers" in first_cells[number][2] for number in ways[0])


def test_the_student_reads_everything(readme, first_cells):
    assert numbers(doors(readme)["student"][1]) == [number for number in first_cells if number != "00"]


def test_the_lecturers_minutes_are_told_as_they_are(readme, first_cells):
    way = doors(readme)["lecturer"][1]
    told = int(re.search(r"take (\d+)", way)[1])
    assert told == sum(first_cells[number][1] for number in numbers(way))


def test_contributing_lists_the_rooms_that_are_there(root):
    listed = re.findall(r"^pedseg/(\w+)/ +\S", (root / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    folders = [path.name for path in (root / "pedseg").iterdir() if (path / "__init__.py").exists()]
    assert sorted(listed) == sorted(folders)


def pages(root: Path) -> list[Path]:
    return [root / name for name in PAGES] + sorted((root / "docs").glob("*.md"))


def test_every_link_leads_to_a_file(root):
    dead = []
    for page in pages(root):
        for link in LINK.finditer(page.read_text(encoding="utf-8")):
            target = (page.parent / (link["target"] or link["picture"])).resolve()
            if not target.exists() and target.relative_to(root).as_posix() not in TOLD_IN:
                dead.append(f"{page.relative_to(root)}: {link[0]}")
    assert dead == []


def test_no_line_is_too_long(root):
    long = []
    for page in pages(root):
        lines = page.read_text(encoding="utf-8").splitlines()
        long += [f"{page.relative_to(root)}:{n}" for n, line in enumerate(lines, 1) if len(line) > 120]
    assert long == []


def test_every_picture_says_what_it_shows(root):
    for page in pages(root):
        text = page.read_text(encoding="utf-8")
        for picture in re.findall(r"<img [^>]*>", text):
            assert len(re.search(r'alt="([^"]*)"', picture)[1]) > 40, f"{page.name}: {picture}"
        for alt in re.findall(r"!\[([^]]*)\]\(", text):
            assert len(alt) > 40, f"{page.name}: {alt}"


def test_the_glossary_is_alphabetical_and_says_each_term_once(root):
    text = (root / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\*\*([^*]+)\*\*", text, re.MULTILINE)
    keys = [term.strip("`").lower() for term in terms]
    assert keys == sorted(set(keys))
    assert len(keys) > 40


def documented(root: Path, heading: str) -> list[str]:
    """The first column of a table in docs/formats.md, name by name."""
    section = (root / "docs" / "formats.md").read_text(encoding="utf-8").split(f"\n{heading}\n")[1].split("\n#")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_column_of_a_data_set_is_documented(root):
    from pedseg.datasets.cases_table import COLUMNS

    assert documented(root, "### cases.tsv") == [*COLUMNS]


def test_every_column_of_the_results_is_documented(root):
    from pedseg.evaluation.results import COLUMNS

    assert documented(root, "## cases.csv") == [*COLUMNS]


def test_the_same_pythons_are_named_everywhere(root, readme):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [line.rsplit(" ", 1)[1] for line in project["classifiers"] if "Python :: 3." in line]
    assert named == ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "Python 3.11, 3.12, or 3.13" in readme
    assert "Python 3.11, 3.12 or 3.13" in (root / "run.py").read_text(encoding="utf-8")
    jobs = yaml.safe_load((root / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == named


def old_names(root: Path) -> list[str]:
    """Commands and options that the changelog lists as renamed, as one would type them."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    commands, options = (
        re.findall(r"^\| `([\w-]+)", text.split(f"### Renamed: {kind}")[1].split("###")[0], re.MULTILINE)
        for kind in ("commands", "options")
    )
    assert len(commands) == 4 and len(options) > 10
    return [rf"(?:run\.py|pedseg) {command}" for command in commands] + options


def test_old_names_stand_in_the_changelog_only(root):
    pattern = re.compile("(?:" + "|".join(old_names(root)) + r")(?![\w-])")
    places = [page for page in pages(root) if page.name != "CHANGELOG.md"] + [root / "run.py"]
    found = [f"{page.name}: {match[0]}" for page in places for match in pattern.finditer(page.read_text("utf-8"))]
    assert found == []


def test_the_package_says_that_it_is_typed(root):
    assert (root / "pedseg" / "py.typed").is_file()


def test_every_command_in_the_pages_can_be_typed(root):
    """Verbs and options of pedseg as README and docs write them; docs/superlink.md is about Flower's programs."""
    from pedseg.cli.parser import parser

    verbs = next(action.choices for action in parser()._actions if action.dest == "verb")
    options = {option for verb in verbs.values() for action in verb._actions for option in action.option_strings}
    unknown = []
    for page in pages(root):
        if page.name in ("CHANGELOG.md", "superlink.md"):
            continue
        text = page.read_text(encoding="utf-8")
        unknown += [(page.name, verb) for verb in re.findall(r"run\.py ([a-z]+)", text) if verb not in verbs]
        unknown += [(page.name, word) for word in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text) if word not in options]
    assert unknown == []
