"""The static site: chapters with their outputs, guide, API reference and exhibit, built by Sphinx.

Everything is staged in `out`/source, laid out as the repository is, so that links between pages hold. A file is staged
only when it changes: Sphinx reads again what is newer than its last build.
"""

from __future__ import annotations

import io
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from jinja2 import Environment

from pedseg.errors import input_error
from pedseg.files import write_atomically
from pedseg.organs import ORGANS
from pedseg.site import execution
from pedseg.site.exhibit import ROUNDED_HU, Exhibit

HERE = Path(__file__).parent
PROSE = (
    "docs/*.md", "docs/*.png", "docs/*.jpg", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md",
    "CODE_OF_CONDUCT.md", "LICENSE", "CITATION.cff", "data_samples/README.md", "notebooks/*.py",
)  # fmt: skip
PLACEHOLDER = "OWNER"
CHAPTER = re.compile(
    r"^\| \[(?P<title>\d\d [^]]+)\]\[(?P<key>\d\d)\] \| (?P<question>[^|]+) \| (?P<minutes>\d+) \|$", re.MULTILINE
)


@dataclass(frozen=True)
class Site:
    """What is built from where to where; of the chapters (`01`) in `run` the notebooks are run, None: of all."""

    root: Path
    out: Path
    repository: str = ""  # owner/name on GitHub; empty: as pyproject.toml says, where OWNER is a placeholder
    run: tuple[str, ...] | None = None
    exhibited: int = 0  # children of each center in the exhibit, 0 for all

    @property
    def source(self) -> Path:
        """What Sphinx reads."""
        return self.out / "source"

    @property
    def html(self) -> Path:
        """What a web server hands out."""
        return self.out / "html"

    @property
    def study(self) -> Path:
        """The recorded study that the exhibit shows."""
        return self.root / "data_samples" / "results" / "study"

    @property
    def notebooks(self) -> list[Path]:
        """The notebooks of the chapters."""
        return sorted((self.root / "notebooks").glob("[0-9][0-9]_*.ipynb"))

    @property
    def to_run(self) -> list[Path]:
        """The notebooks that get outputs."""
        return [file for file in self.notebooks if self.run is None or file.name[:2] in self.run]

    @property
    def owner_and_name(self) -> str:
        """The repository on GitHub, from the option, from GitHub Actions, or from pyproject.toml."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text("utf-8"))["project"]
        stated = project["urls"]["Homepage"].removeprefix("https://github.com/")
        return self.repository or os.environ.get("GITHUB_REPOSITORY") or stated

    def context(self) -> dict[str, Any]:
        """What the pages' templates may use."""
        repository, readme = self.owner_and_name, (self.root / "README.md").read_text("utf-8")
        files = {file.name[:2]: file.name for file in self.notebooks}
        rows = [row.groupdict() for row in CHAPTER.finditer(readme)]
        alt = re.search(r'<img src="docs/picture\.png"[^>]* alt="([^"]+)"', readme)
        return {
            "repository": repository,
            "placeholder": repository.startswith(PLACEHOLDER),
            "address": f"https://github.com/{repository}",
            "chapters": [row | {"file": files[row["key"]]} for row in rows if row["key"] in files],
            "organs": len(ORGANS),
            "guides": [file.stem for file in (self.root / "docs").glob("*.md")],
            "rounded_hu": ROUNDED_HU,
            "exhibit": (HERE / "exhibit.html").read_text("utf-8"),
            "picture_alt": " ".join(alt[1].split()) if alt else "",
        }


def build(site: Site) -> Iterator[str]:
    """Build the site; yields what has been done, a sentence each.

    Raises `PedsegInputError` if the folder holds others' files where the site has its own: there it removes what does
    not belong to it.
    """
    mark = site.out / ".pedseg-site"
    if not mark.exists() and any((site.out / name).exists() for name in ("source", "executed")):
        remedy = "Name another folder with --out, or empty it."
        raise input_error("E-FILE", site.out, "it holds files that pedseg may not have made.", remedy)
    write_atomically(mark, b"")
    cache = execution.select_cache(site.out / "executed", site.root)
    for file, seconds in execution.execute(site.to_run, cache, site.out / "runs"):
        yield f"{file.name}: {seconds:.0f} s"
    stage(site, cache)
    exhibit = Exhibit(site.study, site.html / "exhibit", execution.fingerprint(site.root), site.exhibited)
    for count, _ in enumerate(exhibit.build(), start=1):
        if count % 10 == 0:
            yield f"exhibit: {count} children"
    yield from _render(site)
    yield str(site.html / "index.html")


def stage(site: Site, cache: Path) -> None:
    """Lay out the sources of all pages, notebooks with the outputs of the cache; what no longer belongs there goes."""
    staged = {site.source / name: content for name, content in _sources(site, cache)}
    for file, content in staged.items():
        if not file.is_file() or file.read_bytes() != content:
            write_atomically(file, content)
    for file in [file for file in site.source.rglob("*") if file.is_file() and file not in staged]:
        file.unlink()


def _sources(site: Site, cache: Path) -> Iterator[tuple[str, bytes]]:
    """The place and content of every staged file."""
    for pattern in PROSE:
        for file in site.root.glob(pattern):
            yield file.relative_to(site.root).as_posix(), file.read_bytes()
    yield from _notebooks(site, cache)
    templates, context = Environment(keep_trailing_newline=True), site.context()
    for file in (HERE / "pages").rglob("*.md"):
        page = templates.from_string(file.read_text("utf-8")).render(context)
        yield file.relative_to(HERE / "pages").as_posix(), page.encode()
    yield from api_pages(site.root / "pedseg")


def _notebooks(site: Site, cache: Path) -> Iterator[tuple[str, bytes]]:
    import nbformat

    for file in site.notebooks:
        notebook = execution.cached(file, cache) if file in site.to_run else None
        content = file.read_bytes() if notebook is None else nbformat.writes(notebook).encode()
        yield f"notebooks/{file.name}", content


def api_pages(package: Path) -> Iterator[tuple[str, bytes]]:
    """A page of the API reference for each room of the package, with all its modules, and their index."""
    folders = sorted(file.parent for file in package.rglob("__init__.py") if file.parent.name not in ("cli", "site"))
    names = [".".join(("pedseg", *room.relative_to(package).parts)) for room in folders]
    listed = "\n".join(f"   {name}" for name in names)
    title = "API reference"
    index = f"{title}\n{'=' * len(title)}\n\nOne page for each room of the package.\n\n.. toctree::\n\n{listed}\n"
    yield "api/index.rst", index.encode()
    for room, name in zip(folders, names, strict=True):
        modules = [name, *(f"{name}.{file.stem}" for file in sorted(room.glob("*.py")) if not file.stem[0] == "_")]
        sections = [_section(module, "=" if module == name else "-") for module in modules]
        yield f"api/{name}.rst", "\n".join(sections).encode()


def _section(module: str, underline: str) -> str:
    return f"{module}\n{underline * len(module)}\n\n.. automodule:: {module}\n"


def _render(site: Site) -> Iterator[str]:
    """Let Sphinx write the pages; its warnings are errors of ours and are told.

    In a process of its own: autodoc changes the signatures of what it describes.
    """
    settings = {"html_context": site.context() | {"default_mode": "auto"}}
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        failed, warnings = process.submit(_sphinx, site.source, site.html, site.out / "doctrees", settings).result()
    yield from _messages(warnings.splitlines())
    if failed:
        raise input_error("E-SITE", site.source, "Sphinx could not build the pages.", "See the messages above.")


def _sphinx(source: Path, html: Path, doctrees: Path, settings: dict[str, Any]) -> tuple[int, str]:
    """Build the pages; gives the exit status and the warnings."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    warnings = io.StringIO()
    with patch_docutils(), docutils_namespace(), redirect_stderr(io.StringIO()):
        application = Sphinx(source, HERE, html, doctrees, "html", settings, status=None, warning=warnings)
        application.build()
    return application.statuscode, warnings.getvalue()


def _messages(lines: Iterable[str]) -> Iterator[str]:
    return (re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines if line.strip())
