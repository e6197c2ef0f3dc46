"""Slides as one HTML file that needs nothing else: no script and no font from elsewhere, formulas as MathML.

Sizes follow the window, 28 pixels a letter on a projector of 1280 x 720. Printed (Ctrl-P), each slide is a page.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

from latex2mathml.converter import convert
from nbconvert.filters import markdown2html

from advconf_lite.course.slide import Picture, Slide

STYLE = """
html { scroll-snap-type: y mandatory; }
body { margin: 0; counter-reset: slide; color: #111; background: #fff; line-height: 1.35;
       font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-size: clamp(16px, min(3.9vh, 2.2vw), 60px); }
section { box-sizing: border-box; height: 100vh; padding: 4vh 5vw 6vh; position: relative; overflow: auto;
          scroll-snap-align: start; display: flex; flex-direction: column; counter-increment: slide; }
section::after { content: counter(slide); position: absolute; right: 2vw; bottom: 1.5vh; font-size: 0.6em; color: #555; }
h1 { font-size: 1.9em; line-height: 1.15; margin: auto 0 0.6em; }
h2 { font-size: 1.3em; line-height: 1.2; margin: 0 0 0.6em; color: #0072b2; }
p, ul { margin: 0 0 0.7em; max-width: 44em; } li { margin-bottom: 0.35em; }
.title p { margin-bottom: auto; }
.ask { background: #fff6e0; } .ask p, .ask ul { font-size: 1.15em; } .ask h2::before { content: "? "; }
pre, code { font-family: "DejaVu Sans Mono", Consolas, monospace; } code { font-size: 0.9em; }
pre { font-size: 0.9em; background: #f3f3f3; padding: 0.7em; margin: 0; white-space: pre-wrap; }
math[display=block] { font-size: 1.25em; margin: 0.3em 0 0.8em; }
.figure h2 { font-size: 0.75em; margin-bottom: 0.5em; }
figure { flex: 1; min-height: 0; margin: 0; display: flex; flex-direction: column; gap: 0.6em; }
figure.tall { flex-direction: row; gap: 1.5em; align-items: center; }
img { flex: 0 1 auto; min-height: 0; min-width: 0; max-width: 100%; max-height: 100%; object-fit: contain; }
figure:not(.tall) img { flex: 1; } .tall img { max-width: 72%; }
figcaption { font-size: 0.8em; } .tall figcaption { flex: 1; min-width: 8em; }
@media (max-width: 700px) { section { height: auto; min-height: 100vh; } figure.tall { flex-direction: column; }
                            .tall img { max-width: 100%; } }
@page { size: 1280px 720px; margin: 0; }
@media print { section { break-after: page; height: 720px; } body { font-size: 28px; } }
"""
SCRIPT = """
const slides = [...document.querySelectorAll("section")];
const here = () => slides.reduce((a, s, n) => s.getBoundingClientRect().top < innerHeight / 2 ? n : a, 0);
const keys = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
addEventListener("keydown", e => {
  if (e.ctrlKey || e.altKey || e.metaKey) return;
  const to = e.key === "Home" ? 0 : e.key === "End" ? slides.length - 1 : keys[e.key] ? here() + keys[e.key] : null;
  if (to === null) return;
  e.preventDefault();
  slides[Math.max(0, Math.min(slides.length - 1, to))].scrollIntoView();
});
"""
MATH = re.compile(r"(`[^`]*`)|\$\$(.+?)\$\$|\$([^$]+?)\$", flags=re.S)
TALL = 1.5  # pictures less wide than this for their height have their caption beside them


def to_html(markdown: str) -> str:
    """Markdown as HTML. Formulas are MathML; a link to another file of the course is its text, for a deck stands alone."""
    formulas: list[str] = []

    def hidden(match: re.Match) -> str:
        code, block, inline = match.groups()
        if code:
            return code
        source, display = (block, "block") if block else (inline, "inline")
        drawn = convert(source.strip(), display=display)
        formulas.append(drawn.replace("<math ", f'<math alttext="{html.escape(source.strip(), quote=True)}" ', 1))
        return f"FORMULA{len(formulas) - 1}END"

    text = MATH.sub(hidden, markdown)
    text = re.sub(r"\[([^\]]+)\]\((?!https?://)[^)]*\)", r"\1", text)
    return re.sub(r"FORMULA(\d+)END", lambda match: formulas[int(match[1])], markdown2html(text))


def _picture(picture: Picture) -> str:
    tall = picture.width and picture.width < TALL * picture.height
    return (
        f'<figure{" class=tall" if tall else ""}><img src="{picture.source}" alt="{html.escape(picture.alt, quote=True)}">'
        f"<figcaption>{picture.caption}</figcaption></figure>"
    )


def _section(slide: Slide) -> str:
    numbered = re.sub(r"^(\d+)\.", r"\1\.", slide.heading)  # which is no list
    heading = re.sub(r"</?p>", "", to_html(numbered)).strip()
    level = "h1" if slide.kind == "title" else "h2"
    parts = [f"<{level}>{heading}</{level}>", to_html(slide.text) if slide.text else ""]
    parts += [f"<pre>{html.escape(slide.code)}</pre>"] if slide.code else []
    parts += [_picture(slide.picture)] if slide.picture else []
    return f'<section class="{slide.kind}">{"".join(parts)}</section>'


def _page(title: str, style: str, body: str, script: str = "") -> str:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    script = f"<script>{script}</script>" if script else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<title>{html.escape(title)}</title><style>{style}</style></head>\n'
        f"<body>\n{body}\n{script}</body></html>\n"
    )


def deck(slides: Sequence[Slide]) -> str:
    """The slides as one HTML page."""
    return _page(slides[0].heading if slides else "", STYLE, "\n".join(map(_section, slides)), SCRIPT)


def contents(decks: Mapping[str, Sequence[Slide]]) -> str:
    """A page that lists the decks, file name without ending -> its slides."""
    rows = "".join(
        f'<li><a href="{name}.html">{html.escape(slides[0].heading)}</a>, {len(slides)} slides</li>'
        for name, slides in decks.items()
    )
    return _page("Slides", "body { font: 1.2em/1.6 sans-serif; margin: 2em; }", f"<h1>Slides</h1><ul>{rows}</ul>")
