"""What a slide is: made by `course/slides.py`, drawn by `course/deck.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A stored figure: its data URI, its words, its caption as HTML; width and height in pixels, 0 where not stored."""

    source: str
    alt: str
    caption: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Slide:
    """One slide: a heading, and below it Markdown, code or a picture."""

    heading: str
    text: str = ""
    code: str = ""
    picture: Picture | None = None
    kind: str = "text"  # title, text, ask, figure
