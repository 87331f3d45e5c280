"""The site in a real browser: no request leaves this machine, every image has an alt text, the exhibit can be used."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

import numpy as np
import pytest

from pedseg import processes
from pedseg.site.build import Site, build
from pedseg.viewer import browser, serving

pytestmark = pytest.mark.slow
LARGEST_EXHIBIT = 25e6  # bytes
STUDY_CASES = 66
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def built(root, tmp_path_factory) -> tuple[Site, list[str]]:
    """A site with the outputs of one chapter and two children of each center; with what building it said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GITHUB_REPOSITORY", raising=False)
        site = Site(root, tmp_path_factory.mktemp("site"), run=("01",), exhibited=2)
        return site, list(build(site))


@pytest.fixture(scope="module")
def address(built, tmp_path_factory) -> Iterator[str]:
    """The address of a plain static server in front of it."""
    port, log = processes.free_port(), tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "http.server", str(port), "--bind", processes.HOST]
    command += ["--directory", str(built[0].html)]
    with serving.running(command, port, env=dict(os.environ), log=log) as served:
        yield served


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    with browser.chromium() as program:
        yield program


def pages_of(site: Site) -> list[str]:
    """All pages; the theme keeps a template of its own among the static files."""
    names = (file.relative_to(site.html).as_posix() for file in site.html.rglob("*.html"))
    return sorted(name for name in names if not name.startswith("_static/"))


def load(chromium, url: str):
    """A page that has loaded, and the addresses outside this machine that it asked for."""
    page, outside = browser.open_page(chromium, url)
    page.wait_for_load_state("load")
    return page, outside


def test_sphinx_has_nothing_to_complain_about(built):
    site, lines = built
    told = [line for line in lines if not line.startswith("01_reading")]
    assert told == [str(site.html / "index.html")]


def test_every_page_stays_on_this_machine_and_every_image_speaks(built, address, chromium):
    names = pages_of(built[0])
    assert len(names) > 40 and {"index.html", "exhibit.html", "search.html"} <= {*names}
    page, outside = browser.open_page(chromium, "about:blank")
    images = 0
    for name in names:
        page.goto(address + name)
        assert outside == [], name
        alts = page.eval_on_selector_all("img", "images => images.map(image => image.alt)")
        assert all(alt.strip() for alt in alts), name
        images += len(alts)
    page.close()
    assert images > 10


def test_every_link_inside_leads_somewhere(built):
    html, dead = built[0].html, []
    for name in pages_of(built[0]):
        text = (html / name).read_text("utf-8")
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            path = unquote(urldefrag(target)[0]).partition("?")[0]
            if path and not re.match(r"[a-z]+:|//", path) and not (html / name).parent.joinpath(path).exists():
                dead.append(f"{name}: {target}")
    assert dead == []


def test_a_chapter_has_pictures_folded_answers_and_its_neighbors(built, address, chromium):
    page, _ = load(chromium, address + "notebooks/01_reading_a_childs_ct.html")
    assert page.locator(".cell_output img").count() >= 8
    answers = page.locator("details", has_text="Answer")
    assert answers.count() >= 3
    assert not answers.first.locator("pre").is_visible()
    answers.first.locator("summary").click()
    assert answers.first.locator("pre").is_visible()
    assert "02" in page.locator(".prev-next-area .right-next").inner_text()
    links = page.locator(".run-links a").all_inner_texts()
    assert links == ["on Binder", "on Colab", "on your computer"]
    page.close()


def test_search_finds_a_term(address, chromium):
    page, outside = browser.open_page(chromium, address + "search.html?q=Hounsfield")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results").inner_text()
    assert "Reading a child" in found and outside == []
    page.close()


def test_dark_mode_leaves_gray_values_alone(address, chromium):
    page, _ = load(chromium, address + "notebooks/01_reading_a_childs_ct.html")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    look = "element => [getComputedStyle(element).filter, getComputedStyle(document.body).backgroundColor]"
    image_filter, background = page.locator(".cell_output img").first.evaluate(look)
    assert image_filter == "none"
    assert sum(int(value) for value in re.findall(r"\d+", background)[:3]) < 150
    page.close()


def test_formulas_are_drawn_without_a_script(built, root, tmp_path):
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    from pedseg.site.build import HERE

    (tmp_path / "index.md").write_text(
        "# F\n\nInline $\\epsilon$ and\n\n$$\\mathrm{DSC} = \\frac{2|A \\cap B|}{|A| + |B|}$$\n"
    )
    with docutils_namespace():
        Sphinx(tmp_path, HERE, tmp_path / "out", tmp_path / "trees", "html", status=None, warning=None).build()
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert text.count("<math") == 2 and "<mfrac>" in text and not re.search("<script[^>]*mathjax", text, re.IGNORECASE)


def test_the_exhibit_is_small(built):
    folder = built[0].html / "exhibit"
    patients = [sum(file.stat().st_size for file in case.glob("*")) for case in folder.iterdir() if case.is_dir()]
    others = sum(file.stat().st_size for file in folder.glob("*.*") if file.name != "exhibit.json")
    assert len(patients) == 4
    assert others + STUDY_CASES * float(np.mean(patients)) + 6e5 < LARGEST_EXHIBIT  # and the JSON of all patients


@pytest.fixture(scope="module")
def exhibit(address, chromium) -> Iterator:
    page, outside = browser.open_page(chromium, address + "exhibit.html")
    page.wait_for_selector("#exhibit[data-surfaces]")
    yield page, outside
    page.close()


def part(page, name: str):
    return page.locator(f"#exhibit [data-part={name}]")


def pixels(page, name: str) -> np.ndarray:
    """What a canvas shows, as the page itself sees it right after drawing."""
    import io

    from PIL import Image

    browser.wait_until_still(page)
    return np.asarray(Image.open(io.BytesIO(part(page, name).screenshot())).convert("RGB"), int)


def wait_until_idle(page) -> None:
    page.wait_for_selector("#exhibit[data-busy=false]")


def test_the_exhibit_opens_with_scan_contours_and_surfaces(exhibit):
    page, outside = exhibit
    shown = pixels(page, "slices-box")
    assert (shown.max(axis=2) > 40).mean() > 0.2
    assert ((shown.max(axis=2) - shown.min(axis=2)) > 60).mean() > 0.005  # colored lines
    for name in ("surface-truth", "surface-model"):
        assert (pixels(page, name).max(axis=2) > 60).mean() > 0.1
    assert "truth:" in part(page, "crosshair").inner_text()
    assert outside == []


def test_another_model_changes_contours_and_scores(exhibit):
    page, _ = exhibit
    before, words = pixels(page, "slices-box"), part(page, "scores").inner_text()
    part(page, "model").select_option("local_Neckar")
    wait_until_idle(page)
    assert (np.abs(pixels(page, "slices-box") - before).max(axis=2) > 12).mean() > 0.0005
    assert part(page, "scores").inner_text() != words
    assert "Neckar alone" in part(page, "scores-title").inner_text()


def test_an_organ_alone_is_shown_and_found(exhibit):
    page, _ = exhibit
    part(page, "organ").select_option(label="liver")
    assert "truth: liver" in part(page, "crosshair").inner_text()
    assert part(page, "scores").locator("tr").count() == 1
    assert "organ=1" in page.url
    part(page, "organ").select_option("nine")


def test_another_child_is_opened(exhibit):
    page, _ = exhibit
    before = pixels(page, "slices-box")
    other = part(page, "child").locator("option").last.get_attribute("value")
    part(page, "child").select_option(other)
    wait_until_idle(page)
    assert f"child={other}" in page.url
    assert (np.abs(pixels(page, "slices-box") - before).max(axis=2) > 12).mean() > 0.1


def test_failures_are_stepped_through_by_key(exhibit):
    page, _ = exhibit
    part(page, "kind").select_option("")
    count = part(page, "failures").locator("option").count()
    assert count > 5
    page.locator("h1").first.click()
    for place in (1, 2):
        page.keyboard.press("n")
        wait_until_idle(page)
        page.wait_for_function(f"document.querySelector('[data-part=count]').textContent === '{place} of {count}'")
    second = part(page, "sentence").inner_text()
    page.keyboard.press("b")
    wait_until_idle(page)
    first = part(page, "sentence").inner_text()
    assert len(first) > 30 and len(second) > 30
    assert part(page, "failures").input_value() == "0"


def test_arrow_keys_scroll_the_slices(exhibit):
    page, _ = exhibit
    box = part(page, "slices-box")
    slices = "[data-part=slices-box]"
    before = browser.crosshair_voxel(page, slices)[2]
    box.focus()
    page.keyboard.press("ArrowUp")
    assert browser.crosshair_voxel(page, slices)[2] == before + 1
    assert int(part(page, "slice").input_value()) == before + 1


def test_a_shared_address_opens_the_same(address, chromium, built):
    child = sorted(path.name for path in (built[0].html / "exhibit").iterdir() if path.is_dir())[-1]
    page, _ = browser.open_page(chromium, f"{address}exhibit.html#child={child}&model=centralized&organ=5")
    page.wait_for_selector("#exhibit[data-ready]")
    assert part(page, "child").input_value() == child
    assert part(page, "model").input_value() == "centralized"
    assert part(page, "organ").input_value() == "5"
    page.close()


@pytest.mark.parametrize("name", ["index.html", "exhibit.html", "notebooks/01_reading_a_childs_ct.html"])
def test_a_phone_shows_it_without_scrolling_sideways(address, chromium, name):
    page, _ = browser.open_page(chromium, "about:blank")
    page.set_viewport_size(PHONE)
    page.goto(address + name)
    if name.startswith("exhibit"):
        page.wait_for_selector("#exhibit[data-ready]")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.close()


def test_an_unchanged_site_is_left_alone(built):
    site, _ = built

    def stamps() -> dict[Path, int]:
        return {file: file.stat().st_mtime_ns for file in (site.html / "exhibit").rglob("*") if file.is_file()}

    before, chapter = stamps(), site.html / "notebooks" / "01_reading_a_childs_ct.html"
    written = chapter.stat().st_mtime_ns
    assert list(build(site)) == [str(site.html / "index.html")]
    assert stamps() == before and chapter.stat().st_mtime_ns == written
