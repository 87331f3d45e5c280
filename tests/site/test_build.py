"""Staging: pages from templates, notebooks with outputs, all modules in the reference, nothing written anew."""

from __future__ import annotations

import re

import pytest
import yaml

from pedseg.cli.parser import parser
from pedseg.errors import PedsegInputError
from pedseg.site import build as site_build
from pedseg.site.build import Site, api_pages, build, stage


@pytest.fixture
def site(root, tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    return Site(root, tmp_path, run=())


def staged(site: Site, tmp_path) -> dict[str, str]:
    stage(site, tmp_path / "no-cache")
    files = [file for file in site.source.rglob("*") if file.suffix in (".md", ".rst", ".ipynb")]
    return {file.relative_to(site.source).as_posix(): file.read_text("utf-8") for file in files}


def test_every_chapter_has_a_page_and_a_row(site, tmp_path):
    pages = staged(site, tmp_path)
    notebooks = [name for name in pages if name.endswith(".ipynb")]
    assert len(notebooks) == len(site.notebooks) > 10
    linked = re.findall(r"\]\((\S+\.ipynb)\)", pages["notebooks/index.md"])
    assert [f"notebooks/{name}" for name in linked] == sorted(notebooks)


def test_a_folder_of_others_is_not_cleared(root, tmp_path):
    thesis = tmp_path / "source" / "thesis.tex"
    thesis.parent.mkdir()
    thesis.write_text("mine")
    with pytest.raises(PedsegInputError, match="E-FILE"):
        next(build(Site(root, tmp_path, run=())))
    assert thesis.read_text() == "mine"


def test_no_template_is_left_unfilled(site, tmp_path):
    pages = staged(site, tmp_path)
    own = {"index.md", "exhibit.md", "run.md", "notebooks/index.md", "docs/index.md"}
    assert own <= pages.keys()
    assert not any("{{" in pages[name] or "{%" in pages[name] for name in own)


def test_an_unknown_address_is_said_to_be_one(site, tmp_path):
    assert site.context()["placeholder"]
    assert "OWNER stands for the account" in staged(site, tmp_path)["run.md"]


@pytest.mark.parametrize("given", ["option", "GitHub Actions"])
def test_a_known_address_leads_to_binder_and_colab(root, tmp_path, monkeypatch, given):
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/pedseg" if given == "GitHub Actions" else "")
    known = Site(root, tmp_path, "someone/pedseg" if given == "option" else "", run=())
    text = staged(known, tmp_path)["run.md"]
    assert "OWNER" not in text
    assert "https://mybinder.org/v2/gh/someone/pedseg/HEAD?urlpath=lab/tree/notebooks/00_start_here.ipynb" in text
    assert "https://colab.research.google.com/github/someone/pedseg/blob/HEAD/notebooks/00_start_here.ipynb" in text


def test_what_stays_the_same_is_not_written_again(site, tmp_path):
    staged(site, tmp_path)
    glossary, stale = site.source / "docs" / "glossary.md", site.source / "docs" / "gone.md"
    stale.write_text("# Gone\n")
    (site.source / "README.md").write_text("an old one")
    before = glossary.stat().st_mtime_ns
    staged(site, tmp_path)
    assert glossary.stat().st_mtime_ns == before
    assert not stale.exists()
    assert (site.source / "README.md").read_bytes() == (site.root / "README.md").read_bytes()


def test_the_reference_names_every_module(root):
    text = b"\n".join(content for _, content in api_pages(root / "pedseg")).decode()
    named = set(re.findall(r"automodule:: (\S+)", text))
    files = [file.relative_to(root).with_suffix("") for file in (root / "pedseg").rglob("*.py")]
    files = [file for file in files if file.parts[1] not in ("cli", "site") and not file.name.startswith("_")]
    assert {".".join(file.parts) for file in files} <= named


def test_a_docstring_becomes_restructured_text():
    from pedseg.site.conf import restructure

    lines = ["Why:", "- this,", "- that.", "", "How:", "", "    `# %%` a cell", "", "Done."]
    restructure(None, "module", "x", None, None, lines)
    assert lines == ["Why:", "", "- this,", "- that.", "", "How::", "", "    `# %%` a cell", "", "Done."]
    again = list(lines)
    restructure(None, "module", "x", None, None, again)
    assert again == lines


def test_the_workflow_publishes_what_the_verb_leaves(root):
    out = parser().parse_args(["site"]).out.relative_to(root)
    workflow = yaml.safe_load((root / ".github" / "workflows" / "site.yml").read_text("utf-8"))
    steps = workflow["jobs"]["build"]["steps"]
    assert "python run.py site" in [step.get("run") for step in steps]
    paths = [step["with"]["path"] for step in steps if "path" in step.get("with", {})]
    kept = Site(root, out)
    assert kept.html.as_posix() in paths and (out / "executed").as_posix() in paths


def test_the_picture_of_the_first_page_has_the_alt_text_of_the_readme(site):
    assert len(site.context()["picture_alt"]) > 100


def test_a_theme_template_exists_for_every_name(root):
    from pedseg.site import conf

    names = {*conf.html_theme_options["article_header_end"], *conf.html_theme_options["footer_start"]}
    assert names == {file.stem for file in (site_build.HERE / "templates").glob("*.html")}
