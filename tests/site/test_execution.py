"""Outputs of notebooks: run once, found again by their code, refused by name where a cell stops."""

from __future__ import annotations

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pedseg.errors import PedsegInputError
from pedseg.site import execution


def write(file, code, prose="Before."):
    notebook = new_notebook(cells=[new_markdown_cell(prose, id="prose"), new_code_cell(code, id="code")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, file)
    return file


def test_outputs_are_kept_by_code_and_not_by_prose(tmp_path):
    file, cache = write(tmp_path / "01_sum.ipynb", "print(6 * 7)"), tmp_path / "cache"
    assert execution.cached(file, cache) is None
    ((done, seconds),) = execution.execute([file], cache, tmp_path)
    assert done == file and seconds > 0
    write(file, "print(6 * 7)", prose="After.")
    assert list(execution.execute([file], cache, tmp_path)) == []
    prose, code = execution.cached(file, cache).cells
    assert prose.source == "After." and code.outputs[0].text == "42\n"
    write(file, "print(6 * 8)")
    assert execution.cached(file, cache) is None


def test_a_cell_that_stops_is_named(tmp_path):
    file = write(tmp_path / "02_stops.ipynb", "1 / 0")
    with pytest.raises(PedsegInputError, match=r"02_stops\.ipynb: a cell stopped: ZeroDivisionError: division by zero"):
        list(execution.execute([file], tmp_path / "cache", tmp_path))


def test_a_widget_stays_only_with_something_to_show():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "0%|"}
    outputs = [new_output("display_data", view), new_output("display_data", {**view, "text/html": "<b>x</b>"})]
    notebook = new_notebook(cells=[new_code_cell("x", outputs=outputs)])
    (kept,) = execution.without_progress_bars(notebook).cells[0].outputs
    assert kept.data == {"text/plain": "0%|", "text/html": "<b>x</b>"}


@pytest.fixture
def project(tmp_path):
    for name, text in {
        "pedseg/scan.py": '"""A scan."""\nX = 1\n',
        "pedseg/site/build.py": "Y = 1\n",
        "notebooks/demo.py": "Z = 1\n",
        "data_samples/results/cases.csv": "dsc\n0.9\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "other"),
    [
        ("pedseg/scan.py", '"""Another sentence."""\n# why\nX = 1\n', False),
        ("pedseg/site/build.py", "Y = 2\n", False),
        ("pedseg/scan.py", '"""A scan."""\nX = 2\n', True),
        ("notebooks/demo.py", "Z = 2\n", True),
        ("data_samples/results/cases.csv", "dsc\n0.8\n", True),
    ],
)
def test_other_code_and_other_results_have_another_cache(project, name, text, other):
    before = execution.select_cache(project / "executed", project)
    before.mkdir(parents=True)
    (project / name).write_text(text)
    after = execution.select_cache(project / "executed", project)
    assert (after != before) is other
    assert before.exists() is not other
