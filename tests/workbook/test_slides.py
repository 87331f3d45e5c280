"""Slides of the lecture: one file each, nothing from outside, and every slide fits the screen in light and dark."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from pedseg.errors import PedsegInputError
from pedseg.viewer import browser
from pedseg.workbook import slides as lecture
from pedseg.workbook.build_notebooks import build_notebook, read_chapter

LECTURED = ["01", "05", "07", "10"]
SCREEN = {"width": 1280, "height": 720}
REVEAL = {  # reveal.js 6.0.2 as npm has it
    "reveal.js": "aa1bbbf2617b23a623b23612cb3c5bdb63de512e652bf20fcfa832b045d37844",
    "reveal.css": "615ee850cbbb98a0f688b60ed37b21819a3f54c9f3e6f20e33e63693ab74a0c0",
}
TINY = """# %% [markdown]
# # 01 · Tiny
#
# *1 minute · students*
#
# **You will be able to**
# - see,
# - say.
#
# Then something else.

# %%
from pedseg.workbook import charts, figures

bars = charts.bars({"a": 1, "b": 2}, x="number")

# %% [markdown] lecture
# ## Two bars
#
# One is longer.
#
# > **Question.** Which?

# %% slide
figures.show(bars, "Bar b is twice as long as bar a.")

# %% slide
figures.show(bars, "No lecture cell asked for this picture.")

# %% [markdown]
# The end.

# %%
raise RuntimeError("what comes after the last slide does not run")
"""


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as program:
        yield program


def look(chromium, file: Path, scheme: str) -> list[dict]:
    """Every slide as the screen shows it: what lies outside of it, and its pictures. No request may leave the file."""
    page, outside = chromium.new_page(viewport=SCREEN, color_scheme=scheme), []
    page.on("request", lambda request: outside.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    shown = []
    for number in range(page.evaluate("Reveal.getTotalSlides()")):
        page.evaluate(f"Reveal.slide({number})")
        page.wait_for_function(f"Reveal.getIndices().h === {number}")
        page.wait_for_timeout(200)
        shown.append(page.evaluate(MEASURE))
    assert [url for url in outside if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
    page.close()
    return shown


MEASURE = """() => {
  const slide = Reveal.getCurrentSlide(), all = [...slide.querySelectorAll('*')];
  const boxes = all.map(e => [e.tagName, e.getBoundingClientRect()]).filter(([_, b]) => b.width && b.height);
  const over = ([_, b]) => b.left < -1 || b.top < -1 || b.right > innerWidth + 1 || b.bottom > innerHeight + 1;
  return {
    text: slide.innerText, outside: boxes.filter(over).map(([tag]) => tag), boxes: boxes.length,
    scrolls: slide.scrollHeight > slide.clientHeight + 1 || slide.scrollWidth > slide.clientWidth + 1,
    ink: getComputedStyle(slide.querySelector('h1, h2')).color, paper: getComputedStyle(document.body).backgroundColor,
    pictures: [...slide.querySelectorAll('img')].map(i => ({alt: i.alt, loaded: i.naturalWidth > 0,
      height: i.getBoundingClientRect().height})),
  };
}"""


def check(shown: list[dict]) -> None:
    """What holds for every slide."""
    for slide in shown:
        assert slide["outside"] == [] and not slide["scrolls"] and slide["boxes"] > 2, slide["text"]
        assert slide["text"].strip() and "lesson.setup" not in slide["text"] and "import " not in slide["text"]
        assert all(len(picture["alt"]) > 20 and picture["loaded"] for picture in slide["pictures"])
        assert all(picture["height"] > 250 for picture in slide["pictures"])
    for slide in shown[1:]:  # behind the title: a sentence, a picture, a question
        assert len(slide["pictures"]) == 1 and "Question." in slide["text"] and slide["text"].strip().endswith("?")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, root) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    (folder / "source").mkdir()
    (folder / "source" / "01_tiny.py").write_text(TINY)
    (file,) = lecture.write_slides(folder / "source", ["01"], folder)
    return file


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_slide_has_title_sentence_picture_and_question(chromium, tiny, scheme):
    shown = look(chromium, tiny, scheme)
    check(shown)
    assert len(shown) == 2 and shown[0]["text"].split("\n")[0] == "01 · Tiny" and "else" not in shown[0]["text"]
    assert shown[1]["text"].split("\n")[0] == "Two bars" and "One is longer." in shown[1]["text"]
    assert shown[1]["pictures"][0]["alt"] == "Bar b is twice as long as bar a."
    light = sum(map(int, re.findall(r"\d+", shown[0]["paper"])[:3])) > 384
    assert light == (scheme == "light")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """One folder for what all chapters make, so that the children are simulated once."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.slow
@pytest.mark.parametrize("number", LECTURED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
def test_the_slides_of_a_chapter_fit_the_screen(chromium, root, number, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path if number == "07" else runs))  # one starts with an empty folder
    (file,) = lecture.write_slides(root / "notebooks" / "source", [number], tmp_path)
    shown = look(chromium, file, "light")
    check(shown)
    assert len(shown) >= 3


def test_these_chapters_have_slides(root):
    assert lecture.lectured_chapters(root / "notebooks" / "source") == LECTURED


def test_every_lecture_cell_gets_its_picture(root):
    """A `lecture` cell holds a picture or is followed by a `slide` cell before the next one."""
    for number in LECTURED:
        (source,) = (root / "notebooks" / "source").glob(f"{number}_*.py")
        cells = json.loads(build_notebook(source.stem, read_chapter(source), lecture=True))["cells"]
        tags = [set(cell["metadata"].get("tags", [])) & {"lecture", "slide"} for cell in cells]
        kinds = [(tag.pop(), "".join(cell["source"])) for tag, cell in zip(tags, cells, strict=True) if tag]
        for (kind, text), (following, _) in zip(kinds, [*kinds[1:], ("", "")], strict=True):
            assert kind == "slide" or "](../docs/" in text or following == "slide", text
            assert kind == "slide" or ("> **Question.** " in text and re.match(r"## .+\n\n.+", text)), text


def test_no_notebook_holds_what_is_for_slides(root):
    for notebook in (root / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        assert not any("lecture" in cell["metadata"].get("tags", []) for cell in cells)


def test_a_chapter_without_slides_is_refused(root, tmp_path):
    for number, said in (("04", "no slides"), ("77", "no such chapter")):
        with pytest.raises(PedsegInputError, match=said):
            list(lecture.write_slides(root / "notebooks" / "source", [number], tmp_path))


def test_reveal_is_the_one_of_npm():
    for name, digest in REVEAL.items():
        content = (lecture.HERE / "reveal" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    assert "Permission is hereby granted" in (lecture.HERE / "reveal" / "LICENSE").read_text("utf-8")
