"""Numbered captions, and one output that every reader of notebooks can use.

A notebook's output holds the same figure in several forms, of which each program takes the first that it knows. The one as
HTML is first for JupyterLab, VS Code, Colab and `nbconvert --to html`, whose default template drops the alternative text of
an image that is not in HTML ("No description has been provided for this image"). The PNG is for programs that show no HTML,
and the text for a terminal.
"""

from __future__ import annotations

import base64
import html
import re
import textwrap
from typing import Any

Bundle = tuple[dict[str, str], dict[str, Any]]  # MIME type -> data, MIME type -> metadata

# As wide as the picture, and words stay whole. Colours are the page's own, so that it reads in dark mode too.
_FIGURE = "margin:0.5em 0 1em 0;max-width:{width}px"
_IMAGE = "max-width:100%;height:auto;background:white"
_CAPTION = "font-family:sans-serif;font-size:14px;line-height:1.4;text-align:left;overflow-wrap:normal;word-break:normal"

_numbers: dict[str, int] = {}  # caption -> number; a module's variable, so each kernel has its own


def next_number(caption: str) -> int:
    """The figure's number in this kernel; the same caption again has the same number, for a cell that is run twice."""
    return _numbers.setdefault(caption, len(_numbers) + 1)


def restart_numbers() -> None:
    """The next figure is Figure 1."""
    _numbers.clear()


def plain_caption(number: int, caption: str, width: int = 100) -> str:
    """ "Figure 3. ..." in lines of at most `width` letters, wrapped between words."""
    text = " ".join(f"Figure {number}. {caption}".split())
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def bundle(png: bytes, number: int, caption: str, alt: str, size: tuple[int, int]) -> Bundle:
    """The output of one figure.

    Args:
        size: width and height in pixels.
    """
    (width, height), data = size, base64.b64encode(png).decode()
    alt = " ".join(alt.split())
    page = (
        f'<figure style="{_FIGURE.format(width=width)}">'
        f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" width="{width}" height="{height}" '
        f'style="{_IMAGE}">'
        f'<figcaption style="{_CAPTION}"><b>Figure {number}.</b> {_inline(caption)}</figcaption></figure>'
    )
    text = plain_caption(number, caption)
    if alt != " ".join(caption.split()):
        text += "\n" + textwrap.fill(f"[{alt}]", 100, break_long_words=False, break_on_hyphens=False)
    metadata = {"image/png": {"alt": alt, "width": width, "height": height}}
    return {"text/html": page, "image/png": data, "text/plain": text}, metadata


def _inline(caption: str) -> str:
    """Escaped, and `code` as in Markdown."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(" ".join(caption.split()), quote=False))


def as_html_alone(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A cell's outputs without the PNG of each figure that is there as HTML: for site builders that prefer a bare image, and
    with it lose caption and alternative text (MyST)."""
    kept = []
    for output in outputs:
        data = output.get("data", {})
        if "<figcaption" in "".join(data.get("text/html", "")) and "image/png" in data:
            output = {**output, "data": {kind: value for kind, value in data.items() if kind != "image/png"}, "metadata": {}}
        kept.append(output)
    return kept
