"""The reading room on a phone of 390 pixels: fingers scroll, window, measure, zoom, draw, and reach every control."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.viewer import browser
from pedseg.viewer.browser import crosshair_voxel

pytestmark = pytest.mark.slow
SLICES = ".pedseg-slices"
WIDTH, HEIGHT = 390, 844
TABS = ("Organs", "Failures", "Differences", "Correct", "Dose", "Score", "Files", "Keys")
# Every control that is shown, and what of it lies beyond the screen once it is scrolled to.
CONTROLS = """tab => [...document.querySelectorAll('.pedseg-room button, .pedseg-room select, .pedseg-room input')]
  .filter((e) => e.offsetParent && e.getClientRects().length)
  .map((e) => {
    e.scrollIntoView({ block: 'center', inline: 'center' });
    const box = e.getBoundingClientRect();
    const seen = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    const fits = box.left >= -1 && box.right <= innerWidth + 1 && box.width >= 12 && box.height >= 12;
    const free = e.disabled || seen === e || e.contains(seen) || seen?.contains(e);
    return fits && free ? '' : `${tab}: ${e.title || e.textContent || e.className}`;
  }).filter(Boolean)"""


class Fingers:
    """Fingers on a page, by the browser's own protocol: Playwright's touch screen only taps."""

    def __init__(self, page) -> None:
        self.page, self.protocol = page, page.context.new_cdp_session(page)
        self.start()

    def start(self) -> None:
        """The place of the slices on the screen, once they lie wholly on it."""
        self.page.locator(SLICES).evaluate("e => e.scrollIntoView()")
        box = self.page.locator(SLICES).bounding_box()
        self.x, self.y = box["x"] + 0.5 * box["width"], box["y"] + 0.28 * box["height"]  # middle of the axial slice

    def _send(self, kind: str, points: np.ndarray) -> None:
        touching = [{"x": float(x), "y": float(y), "id": k} for k, (x, y) in enumerate(points)]
        self.protocol.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": touching})

    def move(self, *ways: tuple[float, float, float, float]) -> None:
        """One finger a way: from here to there, in pixels right and down from the middle of the axial slice."""
        ends = np.array(ways).reshape(-1, 2, 2) + np.array((self.x, self.y))
        for k in range(len(ends)):  # one after the other, as hands do
            self._send("Start", ends[: k + 1, 0])
        for share in np.linspace(0.1, 1, 10):
            self._send("Move", ends[:, 0] + share * (ends[:, 1] - ends[:, 0]))
        self._send("End", np.empty((0, 2)))
        self.page.wait_for_timeout(400)


@pytest.fixture(scope="module")
def page(chromium, voila):
    size = {"width": WIDTH, "height": HEIGHT}
    page, outside = browser.open_page(
        chromium, voila, viewport=size, has_touch=True, is_mobile=True, device_scale_factor=2
    )
    browser.wait_until_drawn(page)
    yield page
    assert outside == []
    page.close()


@pytest.fixture
def fingers(page) -> Fingers:
    return Fingers(page)


def window(page) -> str:
    return page.locator(".widget-readout").first.inner_text()


def choose(page, mode: str) -> None:
    page.locator("select[title='what the right mouse button, or a finger, does']").select_option(
        label=f"right drag, finger: {mode}"
    )
    page.wait_for_timeout(400)


def changed(before: np.ndarray, after: np.ndarray) -> float:
    return float((np.abs(before - after)[4:-4, 4:-4].max(axis=2) > 12).mean())


def test_a_tap_moves_the_crosshair_and_a_finger_scrolls(page, fingers):
    page.touchscreen.tap(fingers.x + 60, fingers.y + 20)
    page.wait_for_timeout(400)
    was, hu = crosshair_voxel(page), window(page)
    fingers.move((0, 0, 4, 60))
    assert (
        crosshair_voxel(page)[:2] == was[:2] and was[2] - 14 <= crosshair_voxel(page)[2] <= was[2] - 4
    )  # downward, as the wheel
    fingers.move((0, 60, 4, 0))
    assert abs(crosshair_voxel(page)[2] - was[2]) <= 1 and window(page) == hu
    coronal = crosshair_voxel(page)[1]
    for _ in range(4):  # while the page still scrolls, the slider is no longer where it was, and the tap misses it
        slider = page.locator(".widget-hslider:has-text('coronal') .noUi-base").bounding_box()
        assert slider["width"] > 150
        page.touchscreen.tap(slider["x"] + 0.2 * slider["width"], slider["y"] + slider["height"] / 2)
        page.wait_for_timeout(1500)
        if crosshair_voxel(page)[1] != coronal:
            break
    page.wait_for_function(f"document.querySelector('{SLICES}').dataset.voxel.split(' ')[1] !== '{coronal}'")


def test_a_finger_windows_and_the_page_says_so(page, fingers):
    choose(page, "window")
    fingers.start()
    was, hu = crosshair_voxel(page), window(page)
    fingers.move((0, 0, 60, 0))
    page.wait_for_function(f"document.querySelector('.widget-readout').innerText !== '{hu}'")
    assert crosshair_voxel(page) == was
    page.get_by_role("button", name="soft tissue").tap()
    page.wait_for_selector(".mod-active:text('soft tissue')")


def test_a_finger_measures_and_moves(page, fingers, keep):
    before, was = keep(page, "phone-before-measuring", SLICES), crosshair_voxel(page)
    choose(page, "measure")
    fingers.start()
    fingers.move((-60, 0, 60, 10))
    measured = keep(page, "phone-measured", SLICES)
    yellow = (measured[..., 0] > 200) & (measured[..., 1] > 180) & (measured[..., 2] < 140)
    assert changed(before, measured) > 0.002 and yellow.sum() > 200 and crosshair_voxel(page) == was
    choose(page, "move")
    fingers.start()
    fingers.move((0, 0, 70, 30))
    assert changed(measured, keep(page, "phone-moved", SLICES)) > 0.1
    page.get_by_role("button", name="reset view").tap()
    assert changed(before, keep(page, "phone-reset", SLICES)) < 0.01


def test_two_fingers_zoom_the_slice_and_not_the_page(page, fingers, keep):
    before, was = keep(page, "phone-before-pinch", SLICES), crosshair_voxel(page)
    fingers.move((-20, 0, -90, 0), (20, 0, 90, 0))
    zoomed = keep(page, "phone-pinched", SLICES)
    assert changed(before, zoomed) > 0.15 and crosshair_voxel(page) == was
    assert page.evaluate("[visualViewport.scale, document.documentElement.scrollWidth]") == [1, WIDTH]
    fingers.move((-40, 0, -10, 40), (40, 0, 70, 40))  # together: the picture moves along
    assert changed(zoomed, keep(page, "phone-pinch-moved", SLICES)) > 0.1
    page.get_by_role("button", name="reset view").tap()
    assert changed(before, keep(page, "phone-pinch-reset", SLICES)) < 0.01


def test_a_finger_draws(page, fingers, keep):
    page.get_by_role("tab", name="Correct").tap()
    page.get_by_role("button", name="draw (D)").tap()
    page.get_by_text("changed: +0.0 −0.0 mL").wait_for()
    page.wait_for_selector(f"{SLICES}[data-pen=brush]")
    fingers.start()
    fingers.move((0, -10, 40, 20))
    page.get_by_text("changed: +0.0 −0.0 mL").wait_for(state="detached")
    keep(page, "phone-drawn", SLICES)
    page.get_by_role("button", name="undo (U)").tap()
    page.get_by_text("changed: +0.0 −0.0 mL").wait_for()
    page.get_by_role("button", name="draw (D)").tap()


def test_every_control_of_every_tab_is_reached(page, keep):
    for name in TABS:
        page.get_by_role("tab", name=name).tap()
        page.wait_for_timeout(300)
        if name == "Failures":
            page.get_by_role("button", name="list").tap()
            page.get_by_role("button", name="next (N)").tap()
            page.get_by_text("link to this failure").wait_for()
        assert page.evaluate(CONTROLS, name) == []
        assert page.evaluate("document.querySelector('.pedseg-room').scrollWidth") <= WIDTH
        keep(page, f"phone-{name.lower()}")


def test_the_page_scrolls_under_a_finger_beside_the_slices(page, fingers):
    page.locator(".pedseg-room").evaluate("e => e.scrollIntoView()")
    fingers.x, fingers.y = 330, 30
    fingers.move((0, 200, 0, 0))
    assert page.locator(".pedseg-room").bounding_box()["y"] < -100
