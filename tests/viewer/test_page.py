"""The reading room as a page, in a real browser: what one does there changes pixels and text, and nothing leaves."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from pedseg.viewer import browser
from pedseg.viewer.browser import crosshair_voxel
from pedseg.viewer.failure_list import list_failures
from pedseg.workbook import lesson

pytestmark = pytest.mark.slow
SLICES = ".pedseg-slices"
AXE = (Path(__file__).parent / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def opened(chromium, voila):
    page, outside = browser.open_page(chromium, voila)
    browser.wait_until_drawn(page)
    yield page, outside
    page.close()


@pytest.fixture
def page(opened):
    return opened[0]


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """The share of pixels that differ, without the rim, where the focus is shown."""
    return float((np.abs(before - after)[4:-4, 4:-4].max(axis=2) > 12).mean())


def click_slices(page, x: float, y: float) -> None:
    """Click the slices at a share of their width and height."""
    box = page.locator(SLICES).bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def description(page) -> str:
    return page.locator(".pedseg-info").first.inner_text()


def test_it_opens_with_scan_contours_organs_and_surfaces(page, keep):
    slices = keep(page, "voila-open", SLICES)
    assert (slices.max(axis=2) > 40).mean() > 0.2
    assert len(np.unique(slices.reshape(-1, 3), axis=0)) > 300
    assert "truth:" in description(page) and "federated:" in description(page)
    page.locator(".k3d-target canvas").nth(1).wait_for()


def test_the_wheel_leafs_and_the_words_follow(page, keep):
    before, was, text = keep(page, "voila-before-scroll", SLICES), crosshair_voxel(page), description(page)
    box = page.locator(SLICES).bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.wheel(0, 300)
    page.wait_for_function(f"document.querySelector('{SLICES}').dataset.voxel !== '{' '.join(map(str, was))}'")
    after = keep(page, "voila-scroll", SLICES)
    assert changed(before, after) > 0.02
    assert crosshair_voxel(page)[2] != was[2] and crosshair_voxel(page)[:2] == was[:2]
    assert description(page) != text


def tab(page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def test_an_organ_is_switched_off_and_on(page, keep):
    tab(page, "Organs")
    before = keep(page, "voila-liver-on", SLICES)
    box = page.get_by_role("checkbox", name="liver")
    box.uncheck()
    page.wait_for_timeout(600)
    without = keep(page, "voila-liver-off", SLICES)
    assert 0.002 < changed(before, without) < 0.3
    box.check()
    page.wait_for_timeout(600)
    assert changed(before, keep(page, "voila-liver-on-again", SLICES)) < 0.001


def test_a_click_picks_the_organ_and_the_table_says_how_well_it_is_drawn(page, keep):
    for x in (0.15, 0.18, 0.2, 0.22, 0.25):  # the right half of the axial slice: one of these is in the liver
        click_slices(page, x, 0.5)
        page.wait_for_timeout(400)
        if "truth: liver" in description(page):
            break
    assert "truth: liver" in description(page) and "mm inside the true border" in description(page)
    box = page.locator(SLICES).bounding_box()
    page.mouse.move(box["x"] + 0.02 * box["width"], box["y"] + 0.3 * box["height"])
    page.wait_for_function("document.querySelector('.pedseg-pointer')?.innerText.includes('truth: no organ')")
    table = page.get_by_role("table", name="Organs: A: truth · B: federated").inner_text()
    assert "A mL" in table and "HD95" in table
    keep(page, "voila-pick")


def test_surfaces_turn_together_and_show_the_distance_to_the_truth(page, keep):
    left, right = (page.locator(".k3d-target canvas").nth(k).bounding_box() for k in (0, 1))

    def pictures(name: str) -> list[np.ndarray]:
        whole = keep(page, name)
        boxes = [[round(plot[k]) for k in ("x", "y", "width", "height")] for plot in (left, right)]
        return [whole[y : y + h, x : x + w] for x, y, w, h in boxes]

    before = pictures("voila-3d")
    page.mouse.move(left["x"] + 0.5 * left["width"], left["y"] + 0.5 * left["height"])
    page.mouse.down()
    page.mouse.move(left["x"] + 0.8 * left["width"], left["y"] + 0.55 * left["height"], steps=8)
    page.mouse.up()
    page.wait_for_timeout(800)
    after = pictures("voila-3d-turned")
    assert changed(before[0], after[0]) > 0.03 and changed(before[1], after[1]) > 0.03
    page.get_by_role("button", name="distance to A").click()
    page.wait_for_timeout(800)
    colored = pictures("voila-3d-distance")
    assert changed(after[1], colored[1]) > 0.03
    assert page.get_by_text("mm beyond").is_visible()
    page.get_by_role("button", name="organ colors").click()


def test_a_click_on_a_surface_takes_the_slices_there(page, keep):
    was, text = " ".join(map(str, crosshair_voxel(page))), description(page)
    box = page.locator(".k3d-target canvas").first.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_function(f"document.querySelector('{SLICES}').dataset.voxel !== '{was}'")
    page.wait_for_timeout(400)
    keep(page, "voila-3d-picked")
    assert description(page) != text and re.search(r"\b[0-3] mm inside the true border", description(page))


def test_dose_and_score_are_read_on_the_page(page, keep):
    tab(page, "Dose")
    page.get_by_text("Dose in Gy").wait_for()
    keep(page, "voila-dose")
    assert page.locator("img[alt^='Dose-volume histogram']").count() == 1
    tab(page, "Score")
    page.locator("input[placeholder=reader]").fill("Reader A")
    page.locator("input[placeholder=reader]").press("Tab")
    click_slices(page, 0.25, 0.5)
    page.keyboard.press("4")
    page.get_by_text("Saved: liver, 4.").wait_for()
    keep(page, "voila-score")


def test_a_failure_is_opened_where_it_happened(page, keep):
    """From the map to a list, from a line to its place; the address names it."""
    tab(page, "Failures")
    keep(page, "voila-failure-map")
    cell = page.locator(".pedseg-map button:not(:disabled)").first
    assert re.fullmatch(r"[\w ]+, [\w ]+, children of \w+: \d+ failed", cell.get_attribute("aria-label"))
    cell.click()
    lines = page.locator("select[title='list to choose from']:visible").first
    lines.wait_for()
    assert lines.locator("option").count() == int(cell.get_attribute("aria-label").rpartition(": ")[2].split()[0])
    before, text = keep(page, "voila-before-failure"), description(page)
    page.get_by_role("button", name="next (N)").click()
    page.wait_for_function(f"document.querySelector('.pedseg-crosshair').innerText !== {text!r}")
    page.wait_for_timeout(1500)
    assert changed(before, keep(page, "voila-failure")) > 0.05
    assert "times as often" in page.locator(".pedseg-info").filter(has_text="draws").first.inner_text()
    assert re.search(r"#failure=\w+-\d+b?%2F", page.url)


def test_an_address_opens_its_failure(chromium, voila, keep):
    first = list_failures(lesson.recorded("study"))[0]
    page, _ = browser.open_page(chromium, f"{voila}#{first.fragment}")
    browser.wait_until_drawn(page)
    page.get_by_text(first.failures[0].sentence[:60]).first.wait_for(timeout=60_000)  # its tab is in front
    keep(page, "voila-linked-failure")
    assert page.locator("select[title='patient'] option:checked").inner_text().startswith(first.case_key.case)
    page.close()


def test_two_models_are_stepped_through_the_largest_difference_first(page, keep):
    page.locator("select[title='C, dotted']").select_option(label="federated")
    tab(page, "Differences")
    page.wait_for_function("document.body.innerText.includes('places,')")
    before = crosshair_voxel(page)
    page.get_by_role("button", name="next smaller").click()
    page.wait_for_function(f"document.querySelector('{SLICES}').dataset.voxel !== '{' '.join(map(str, before))}'")
    sizes = [
        float(text.split()[1])
        for text in page.locator(".widget-select select").nth(1).inner_text().splitlines()
        if text
    ]
    assert len(sizes) > 3 and sizes == sorted(sizes, reverse=True)
    keep(page, "voila-two-models")


def numbers(page) -> str:
    return page.locator(".pedseg-info").filter(has_text="changed:").inner_text()


def test_what_is_drawn_changes_the_dsc_and_is_kept(page, keep, runs):
    tab(page, "Correct")
    page.get_by_role("button", name="draw (D)").click()
    page.get_by_text("changed:").wait_for()
    page.wait_for_selector(f"{SLICES}[data-pen=brush]")
    before, text = keep(page, "voila-before-drawing", SLICES), numbers(page)
    box = page.locator(SLICES).bounding_box()
    x, y = box["x"] + 0.3 * box["width"], box["y"] + 0.35 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    for right, down in ((60, 0), (60, 60), (0, 60), (0, 0)):
        page.mouse.move(x + right, y + down, steps=6)
    page.mouse.up()
    page.wait_for_function(f"!document.body.innerText.includes({text!r})")
    after = keep(page, "voila-drawing", SLICES)
    assert changed(before, after) > 0.01 and "DSC" in numbers(page) and numbers(page) != text
    assert len(list((runs / "drafts").glob("*_study/*.npz"))) == 1  # an own patient has a folder of its own
    page.keyboard.press("Control+z")
    page.wait_for_function(f"document.body.innerText.includes({text!r})")
    page.keyboard.press("Control+y")
    page.wait_for_function(f"!document.body.innerText.includes({text!r})")
    page.get_by_role("button", name="draw (D)").click()


def test_a_window_is_dragged_and_said_and_the_wheel_zooms_with_control_alone(page, keep):
    box, was = page.locator(SLICES).bounding_box(), crosshair_voxel(page)
    x, y = box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"]
    before = keep(page, "voila-before-zoom", SLICES)
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    for _ in range(4):
        page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    assert changed(before, keep(page, "voila-zoom", SLICES)) > 0.1 and crosshair_voxel(page) == was
    page.mouse.down(button="right")
    page.mouse.move(x + 50, y, steps=4)
    page.mouse.up(button="right")
    page.wait_for_function("!document.body.innerText.includes('−160 – 240')")
    assert page.locator(".widget-toggle-buttons .mod-active:text('soft tissue')").count() == 0
    page.get_by_role("button", name="reset view").click()
    page.wait_for_selector(".mod-active:text('soft tissue')")
    assert changed(before, keep(page, "voila-reset", SLICES)) < 0.01


def test_a_beside_b_and_the_keyboard(page, keep):
    tab(page, "Organs")  # where the digits choose windows
    before = keep(page, "voila-planes", SLICES)
    page.locator("select[title='arrangement of the slices']").select_option(label="A beside B")
    page.wait_for_timeout(500)
    assert changed(before, keep(page, "voila-beside", SLICES)) > 0.05
    click_slices(page, 0.25, 0.4)
    page.keyboard.press("3")
    page.wait_for_selector(".mod-active:text('bone')")
    was = crosshair_voxel(page)
    page.keyboard.press("PageUp")
    page.wait_for_timeout(500)
    assert crosshair_voxel(page)[2] == was[2] + 5
    keep(page, "voila-keyboard")


def test_screen_readers_find_a_name_and_a_state_for_everything(page):
    """Nothing serious by axe-core, on each tab, on a phone and on a laptop; and nothing is cut off.

    A large screen shows two tabs: more pixels change nothing of what axe-core checks, and take long to draw.
    """
    page.evaluate(AXE)
    tabs = ("Organs", "Failures", "Differences", "Correct", "Dose", "Score", "Files", "Keys")
    for width, height, names in ((390, 844, tabs), (1280, 800, tabs), (3840, 2160, (tabs[0], tabs[-1]))):
        page.set_viewport_size({"width": width, "height": height})
        for name in names:
            tab(page, name)
            page.wait_for_timeout(150)
            results = page.evaluate("axe.run('.pedseg-room', {resultTypes: ['violations']})")
            serious = [(v["id"], v["nodes"][0]["html"]) for v in results["violations"] if v["impact"] in SERIOUS]
            assert serious == [], (width, name)
        assert page.evaluate("document.querySelector('.pedseg-room').scrollWidth") <= width
        assert page.locator(SLICES).bounding_box()["height"] >= 0.4 * height
    page.set_viewport_size({"width": 1280, "height": 800})


def kernels() -> set[int]:
    """The kernels that run, by process id."""
    running = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if "ipykernel_launcher" in " ".join(process.cmdline()):
                running.add(process.pid)
    return running


def test_a_kernel_ends_with_its_tab(chromium, voila):
    before = kernels()
    page, _ = browser.open_page(chromium, voila)
    for leave in (page.reload, lambda: page.goto("about:blank")):
        page.wait_for_selector(f"{SLICES}[data-drawn]")
        own = kernels() - before
        assert len(own) == 1
        leave()
        for _ in range(120):
            if not own & kernels():
                break
            page.wait_for_timeout(500)
        assert not own & kernels()
    page.close()


def test_when_the_kernel_dies_the_page_says_so_and_still_leafs(chromium, voila, keep):
    before = kernels()
    page, _ = browser.open_page(chromium, voila)
    browser.wait_until_drawn(page)
    (own,) = kernels() - before
    psutil.Process(own).kill()
    page.get_by_text("The program behind this page has stopped").wait_for(timeout=30_000)
    was = crosshair_voxel(page)
    click_slices(page, 0.25, 0.5)
    page.keyboard.press("ArrowUp")
    page.wait_for_function(f"document.querySelector('{SLICES}').dataset.voxel !== '{' '.join(map(str, was))}'")
    assert "Traceback" not in page.inner_text("body")
    assert page.locator("select[title='center']").is_disabled()  # it would say one child and show another
    keep(page, "voila-dead-kernel")
    page.close()


def test_nothing_asked_for_anything_outside_this_machine(opened):
    assert opened[1] == []
