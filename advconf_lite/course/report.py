"""index.html: what a run was, its table, and its executed lessons."""

from __future__ import annotations

import html
import json
from pathlib import Path

import nbconvert
import nbformat

from advconf_lite.course.notebooks import without_stderr
from advconf_lite.experiment.folder import read_config
from advconf_lite.support.files import write_text

STYLE = """body { font-family: sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
pre { background: #f4f4f4; padding: 1em; overflow-x: auto; font-size: 85% }"""


def write_page(notebook: Path) -> None:
    """An executed notebook as an HTML page beside it, unless that is there and not older."""
    page = notebook.with_suffix(".html")
    if page.exists() and page.stat().st_mtime_ns >= notebook.stat().st_mtime_ns:
        return
    # The template "classic" emits the figures' alternative text, which "lab" replaces by a stock phrase.
    lesson = without_stderr(nbformat.read(notebook, as_version=4))
    write_text(page, nbconvert.HTMLExporter(template_name="classic").from_notebook_node(lesson)[0])


def write_index(folder: Path, table: str, remarks: list[str]) -> Path:
    """Executed notebooks as HTML pages, and a page that links them below the table.

    Args:
        table: the summary as text.
        remarks: sentences that belong to the numbers, such as how the targets were made.
    """
    links = []
    for notebook in sorted((folder / "notebooks").glob("*.ipynb")):
        write_page(notebook)
        links.append(f'<li><a href="notebooks/{notebook.stem}.html">{html.escape(notebook.stem)}</a></li>')
    config = read_config(folder)
    files = [name for name in ("predictions.csv", "metrics.csv", "history.csv", "config.json") if (folder / name).exists()]
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(folder.name)}</title>",
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(folder.name)}: {html.escape(config['data'])}, profile {config['profile']['name']}</h1>",
        *(f"<p>{html.escape(remark)}</p>" for remark in remarks),
        f"<pre>{html.escape(table)}</pre>",
        f"<h2>Lessons, as executed</h2><ul>{''.join(links)}</ul>",
        f"<h2>Files</h2><ul>{''.join(f'<li><a href={name!r}>{name}</a></li>' for name in files)}</ul>",
        f"<h2>Settings</h2><pre>{html.escape(json.dumps(config, indent=1))}</pre></body></html>",
    ]
    return write_text(folder / "index.html", "\n".join(parts))
