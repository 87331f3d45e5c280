"""The reading room as a page, in a real browser: what one does there changes pixels and words, and nothing leaves."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.viewing import browser

pytestmark = pytest.mark.slow
SLICES = ".pedseg-slices"


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
    """The share of pixels that differ."""
    return float((np.abs(before - after).max(axis=2) > 12).mean())


def click_slices(page, x: float, y: float) -> None:
    """Click the slices at a share of their width and height."""
    box = page.locator(SLICES).bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def voxel(page) -> list[int]:
    return [int(v) for v in page.locator(SLICES).get_attribute("data-voxel").split()]


def words(page) -> str:
    return page.locator(".pedseg-words").first.inner_text()


def test_it_opens_with_scan_contours_organs_and_surfaces(page, keep):
    slices = keep(page, "voila-open", SLICES)
    assert (slices.max(axis=2) > 40).mean() > 0.2
    assert len(np.unique(slices.reshape(-1, 3), axis=0)) > 300
    assert "truth:" in words(page) and "federated:" in words(page)
    assert page.locator("canvas").count() >= 4


def test_the_wheel_leafs_and_the_words_follow(page, keep):
    before, was, said = keep(page, "voila-before-scroll", SLICES), voxel(page), words(page)
    box = page.locator(SLICES).bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.wheel(0, 300)
    page.wait_for_function(f"document.querySelector('{SLICES}').dataset.voxel !== '{' '.join(map(str, was))}'")
    after = keep(page, "voila-scroll", SLICES)
    assert changed(before, after) > 0.02
    assert voxel(page)[2] != was[2] and voxel(page)[:2] == was[:2]
    assert words(page) != said


def test_nothing_asked_for_anything_outside_this_machine(opened):
    assert opened[1] == []
