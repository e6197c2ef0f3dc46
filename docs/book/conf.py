"""The rendered course: `make book` turns README, lessons with their stored outputs, and docs/ into build/book/.

Sphinx, for its search, its pages and its dark mode (theme Furo) need no server and no address outside: a folder that opens
by a double click, on a stick as well as on the web. Formulas become MathML, which browsers draw themselves.
"""

import html
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parents[2]

project, author, copyright = "advconf-lite", "", ""
extensions = ["myst_nb"]
include_patterns = [
    "README.md",
    "docs/*.md",
    "docs/results/*.md",
    "docs/results/tables/*.md",
    "notebooks/*.ipynb",
    "notebooks/*.md",
]
exclude_patterns = ["notebooks/student"]
root_doc = "README"
nb_execution_mode = "off"  # what is stored is shown; a test holds it against the lessons
nb_mime_priority_overrides = [("html", "text/html", 1)]  # a figure with its caption and words, and no bare PNG
nb_render_markdown_format = "myst"  # as the lessons' own text: the default knows no tables
nb_ipywidgets_js = {}  # a slider needs a kernel; its first picture stands beside it
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]

html_theme = "furo"
html_title = "advconf-lite"
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # a page from the disk may not read another one: an error for each that is found
html_static_path = ["book.css"]
html_css_files = ["book.css"]
html_theme_options = {"navigation_with_keys": True}

LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
PAGES = [path.stem for path in sorted((ROOT / "docs").glob("*.md"))]
RESULTS = [path.stem for path in sorted((ROOT / "docs" / "results").glob("*.md"))]
TABLES = [path.stem for path in sorted((ROOT / "docs" / "results" / "tables").glob("*.md"))]
CONTENTS = "\n".join(
    f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
    for caption, pages in {
        "Lessons": [f"notebooks/{name}" for name in [*LESSONS, "TEACHING"]],
        "Reference": [f"docs/{name}" for name in PAGES],
        "Results": [f"docs/results/{name}" for name in RESULTS],
        "Tables of the evidence": [f"docs/results/tables/{name}" for name in TABLES],
    }.items()
)


def mathml(self, node) -> None:
    """A formula, inline or of its own."""
    display = "block" if node.tagname == "math_block" else "inline"
    drawn = convert(node.astext(), display=display)
    # What is read aloud and copied is the formula's source.
    self.body.append(drawn.replace("<math ", f'<math alttext="{html.escape(node.astext(), quote=True)}" ', 1))
    raise SkipNode


def read(app, docname: str, source: list[str]) -> None:
    """README gets the table of contents, which Sphinx wants in a page; links to folders and code stay what they are."""
    if docname == root_doc:
        source[0] += CONTENTS


def open_here(app, error) -> None:
    """The page that a browser looks for in a folder."""
    if not error:
        Path(app.outdir, "index.html").write_text('<meta http-equiv="refresh" content="0; url=README.html">\n')


def setup(app) -> None:
    app.add_html_math_renderer("mathml", inline_renderers=(mathml, None), block_renderers=(mathml, None))
    app.connect("source-read", read)
    app.connect("build-finished", open_here)


html_math_renderer = "mathml"
