"""The reading room in JupyterLab, and itkwidgets with its front end built here: both in a real browser, offline."""

from __future__ import annotations

import re
import shutil

import nbformat
import numpy as np
import pytest
from playwright.sync_api import TimeoutError

from pedseg.cli import READING_ROOM
from pedseg.viewer import browser

pytestmark = pytest.mark.slow
NOTEBOOK = READING_ROOM.name
WITH_ITK = """
from pedseg.datasets.loading import load_image, load_labels
from pedseg.viewer import itk
from pedseg.workbook import lesson

dataset = lesson.samples()[0]
case = dataset.split("test")[0]
itk.view(load_image(case), load_labels(dataset, case).voxels)
"""


STARTED = r"""
[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].some(one => /\[(\*|\d+)\]/.test(one.textContent))
|| document.querySelector('.jp-OutputArea-child') !== null
"""
# The button of itkwidgets' extension once it knows the kernel: its spinner has come and gone.
ITK_READY = "[data-jp-item-name='Run ImJoy Plugin'][style*='min-width']:not(:has(.jp-Spinner))"


def run_all_cells(page) -> None:
    """Run the notebook that JupyterLab shows; a click that gets lost while it lays out is made again.

    Only a cell's prompt (or its output, where its source is hidden) tells that it was asked to run: a kernel is busy
    while it starts, too. Where JupyterLab asks which kernel to start, the last button, which it proposes, is pressed.
    """
    button = page.locator(".jp-Dialog-footer button").last
    page.add_locator_handler(button, button.click)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    for _ in range(4):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        try:
            page.wait_for_function(STARTED, timeout=60_000)
            return
        except TimeoutError:  # the click was lost
            page.keyboard.press("Escape")
    raise AssertionError(f"JupyterLab runs no cell: {page.locator('body').inner_text()[-2000:]}")


def test_the_room_opens_in_jupyterlab_and_letters_do_not_reach_the_notebook(root, chromium, lab, keep, tmp_path):
    notebook = nbformat.read(root / "notebooks" / NOTEBOOK, as_version=4)
    del notebook.metadata["kernelspec"]  # so JupyterLab asks which kernel to start, as it may do on a busy machine
    nbformat.write(notebook, tmp_path / NOTEBOOK)
    with lab(tmp_path) as address:
        page, outside = browser.open_page(chromium, f"{address}lab/tree/{NOTEBOOK}")
        run_all_cells(page)
        page.locator(".jp-WindowedPanel-outer").first.evaluate("e => { e.scrollTop = 0; }")  # it has gone to the end
        browser.wait_until_drawn(page)
        page.locator(".pedseg-room").evaluate("e => e.scrollIntoView()")
        before = keep(page, "lab-open", ".pedseg-slices")
        assert (before.max(axis=2) > 40).mean() > 0.15
        cells = page.locator(".jp-Notebook .jp-Cell").count()
        slices = page.locator(".pedseg-slices")
        box, voxel = slices.bounding_box(), slices.get_attribute("data-voxel")
        page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.45 * box["height"])
        page.keyboard.press("ArrowUp")
        page.keyboard.press("a")  # in JupyterLab: a new cell above
        page.keyboard.press("2")  # in JupyterLab: a heading; here: the window for lungs
        page.wait_for_function(f"document.querySelector('.pedseg-slices').dataset.voxel !== '{voxel}'")
        page.wait_for_selector(".mod-active:text('lung')")
        after = keep(page, "lab-lung-window", ".pedseg-slices")
        assert (np.abs(after - before).max(axis=2) > 12).mean() > 0.1
        assert page.locator(".jp-Notebook .jp-Cell").count() == cells
        keep(page, "lab-page")
        assert outside == []
        page.close()


def test_jupyterlab_opens_without_a_prompt_and_without_a_request_outside(root, chromium, lab, keep, tmp_path):
    """As `pedseg lab` starts it for somebody who has never used it."""
    shutil.copy(root / "notebooks" / "00_start_here.ipynb", tmp_path)
    with lab(tmp_path) as address:
        page, outside = browser.open_page(chromium, "about:blank")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}lab/tree/00_start_here.ipynb")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
        page.wait_for_timeout(4000)  # JupyterLab's own prompt comes after two seconds or so
        assert "Start here" in page.locator(".jp-Notebook h1").first.inner_text()
        assert page.get_by_text("Jupyter news").count() == 0
        assert page.locator(".Toastify__toast").count() == 0
        assert page.locator(".jp-Dialog").count() == 0
        assert any("/lab/api/" in url for url in asked)
        assert [url for url in asked if "api/news" in url or "api/update" in url] == []
        assert outside == []
        keep(page, "lab-first")
        page.close()


def test_the_address_for_binder_opens_the_room_alone(root, chromium, lab, keep):
    """As Binder serves it: Voilà behind JupyterLab's server, with our template on the path."""
    query = re.search(r"`(voila/render/\S+)`", (root / "README.md").read_text("utf-8"))[1]
    with lab(root, JUPYTER_PATH=str(root / "pedseg" / "viewer")) as address:
        page, outside = browser.open_page(chromium, address + query)
        browser.wait_until_drawn(page)
        assert page.locator(".pedseg-room").bounding_box()["y"] < 60  # the text is beneath
        keep(page, "binder")
        assert outside == []
        page.close()


def test_itkwidgets_renders_with_nothing_from_the_internet(chromium, lab, keep, tmp_path, monkeypatch):
    monkeypatch.setenv("PEDSEG_RUNS", str(tmp_path / "runs"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WITH_ITK)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "itk.ipynb")
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "slow.py").write_text("import time; time.sleep(4)")  # the extension needs a kernel that answers
    with lab(tmp_path, itk="offline", IPYTHONDIR=str(tmp_path / "ipython")) as address:
        page, outside = browser.open_page(chromium, f"{address}lab/tree/itk.ipynb")
        page.wait_for_selector(ITK_READY, state="attached")
        run_all_cells(page)
        page.wait_for_selector(".jp-OutputArea iframe, .jp-OutputArea-output[data-mime-type*=stderr]")
        assert page.locator(".jp-OutputArea-output[data-mime-type*=stderr]").all_inner_texts() == []
        viewer = page.frame_locator(".jp-OutputArea iframe").first
        viewer.locator("canvas").first.wait_for(timeout=120_000)
        page.wait_for_timeout(4000)
        picture = keep(page, "lab-itkwidgets", ".jp-OutputArea iframe")
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 150
        assert (picture.max(axis=2) > 40).mean() > 0.03
        assert outside == []
        page.close()
