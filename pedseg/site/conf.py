"""Sphinx configuration of the site. Nothing that a page loads comes from another host; `build` adds what varies."""

from __future__ import annotations

import re
from typing import Any

project, author, project_copyright = "pedseg", "The pedseg authors", "the pedseg authors, Apache-2.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_design", "sphinx_copybutton"]
root_doc, language = "index", "en"
exclude_patterns = ["**/exercises/**"]
templates_path, html_static_path = ["templates"], ["static"]
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

# Notebooks arrive with their outputs (`execution`); widgets have pictures in their place.
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, Any] = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_merge_streams = True
myst_enable_extensions = ["html_image", "dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False

html_theme, html_title = "pydata_sphinx_theme", "pedseg"
html_css_files, html_favicon = ["site.css"], "static/favicon.svg"
html_show_sourcelink = html_copy_source = False
html_permalinks_icon = "#"
html_theme_options = {
    "logo": {"text": "pedseg"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "article_header_end": ["run_links"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["disclaimer"],
    "footer_end": [],
    "back_to_top_button": True,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars: dict[str, list[str]] = {"index": [], "exhibit": [], "run": []}


def mathml(translator: Any, node: Any, display: str) -> None:
    """Write a formula as MathML, which browsers draw and screen readers speak without a script."""
    from docutils.nodes import SkipNode
    from latex2mathml.converter import convert

    text = convert(node.astext(), display=display)
    translator.body.append(f'<div class="math">{text}</div>' if display == "block" else text)
    raise SkipNode


def restructure(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    """Make a docstring reStructuredText: an indented block is literal, and a list begins after an empty line."""
    text = re.sub(r"(?<!:):\n\n(?=    )", "::\n\n", "\n".join(lines))
    lines[:] = re.sub(r"^((?!- |  ).+)\n(?=- )", r"\1\n\n", text, flags=re.MULTILINE).split("\n")


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer of formulas, and how docstrings are read."""
    app.connect("autodoc-process-docstring", restructure)
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda translator, node: mathml(translator, node, "inline"), None),
        block_renderers=(lambda translator, node: mathml(translator, node, "block"), None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
