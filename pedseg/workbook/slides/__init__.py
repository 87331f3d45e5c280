"""Slides of a chapter for a lecture: its pictures, each with a title, a sentence and a question, as one HTML file.

The chapter runs, solved, and nbconvert makes a reveal.js presentation of it: a `lecture` cell begins a slide, and the
output of the next `slide` cell is its picture. Everything is in the file, reveal.js (from its npm package, in the
folder `reveal`) and pictures, too: it opens without a network, from a stick, on any machine.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pedseg.errors import input_error
from pedseg.files import write_atomically
from pedseg.workbook.build_notebooks import SOURCES, build_notebook, read_chapter

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1280, 720
GOALS = re.compile(r"(?s).*?\n- .*?(?=\n\n|$)")  # the first cell down to the end of its list
PICTURE = re.compile(r"\]\(([^)]+\.png)\)")


def write_slides(source_folder: Path, chapters: list[str], out: Path) -> Iterator[Path]:
    """Write the slides of the chapters, named by number, into the folder `out`; yields each file as it is done.

    Raises `PedsegInputError` for a chapter that does not exist or has no `lecture` cell.
    """
    for number in chapters:
        source = next(Path(source_folder).glob(f"{number}_*.py"), None)
        if source is None:
            raise input_error("E-SLIDES", number, "there is no such chapter.", "Name it by its number, as in 05.")
        file = out / f"{source.stem}.html"
        write_atomically(file, slides(source.stem, read_chapter(source), source_folder.parent).encode())
        yield file


def lectured_chapters(source_folder: Path) -> list[str]:
    """The numbers of the chapters that have slides."""
    sources = sorted(Path(source_folder).glob(SOURCES))
    return [source.stem[:2] for source in sources if "# %% [markdown] lecture" in source.read_text(encoding="utf-8")]


def slides(name: str, source: str, folder: Path) -> str:
    """The slides of one chapter, as the text of an HTML file; the chapter runs in `folder`."""
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import SlidesExporter

    notebook = nbformat.reads(build_notebook(name, source, solved=True, lecture=True), as_version=4)
    mark_slides(name, notebook)
    embed_pictures(notebook, folder)
    resources = {"metadata": {"path": str(folder), "name": name}}
    os.environ.setdefault("PYTHONPATH", str(HERE.parents[2]))  # the kernel's pedseg is this one
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources=resources).execute(stderr=subprocess.DEVNULL)
    exporter = SlidesExporter(
        template_name="pedseg",
        extra_template_basedirs=[str(HERE / "templates")],
        exclude_input=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        theme="light",
    )
    exporter.environment.globals |= {name: (HERE / file).read_text("utf-8") for name, file in FILES.items()}
    exporter.environment.globals |= {"width": WIDTH, "height": HEIGHT}
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"path": str(folder), "name": name}})
    return body


FILES = {"reveal_js": "reveal/reveal.js", "reveal_css": "reveal/reveal.css", "slides_css": "slides.css"}


def mark_slides(name: str, notebook: Any) -> None:
    """Say of each cell whether it begins a slide, belongs to one, or is run only.

    The chapter's first cell is the first slide. A slide has one `lecture` cell and at most one picture. What comes
    after the last slide is dropped: it need not run.
    """
    wanted, last = False, 0
    for index, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        kind = "skip"
        if index == 0 or "lecture" in tags:
            kind, wanted = "slide", index > 0
        elif wanted and "slide" in tags:
            kind, wanted = "-", False
        if index == 0:
            goals = GOALS.match(cell.source)
            cell.source = goals[0] if goals else cell.source
        cell.metadata["slideshow"] = {"slide_type": kind}
        last = last if kind == "skip" else index
    pictured = any(cell.cell_type == "code" and kind_of(cell) == "-" for cell in notebook.cells)
    notebook.cells = [c for c in notebook.cells[: last + 1] if pictured or c.cell_type == "markdown"]
    if last == 0:
        raise input_error(
            "E-SLIDES", name, "this chapter has no slides.", "Without a number, all are made that there are."
        )


def embed_pictures(notebook: Any, folder: Path) -> None:
    """Put the PNG files that prose shows into it; nbconvert itself reads nothing outside the notebook's folder."""

    def embedded(link: re.Match[str]) -> str:
        return f"](data:image/png;base64,{base64.b64encode((folder / link[1]).read_bytes()).decode()})"

    for cell in notebook.cells:
        if cell.cell_type == "markdown" and kind_of(cell) == "slide":
            cell.source = PICTURE.sub(embedded, cell.source)


def kind_of(cell: Any) -> str:
    """What a cell is on the slides: `slide`, `-` (belongs to the slide before) or `skip`."""
    return cell.metadata["slideshow"]["slide_type"]
