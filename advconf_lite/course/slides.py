"""The command `slides`: a deck per lesson, made from its text and its stored figures, for who stands in front of a class.

What becomes a slide is decided here, and nowhere else:

* the title with the lesson's question, and what one can do after it;
* each stored figure, with its caption, below the heading of its section;
* each formula of its own line, with the paragraph before it;
* each guess, exercise, challenge and multiple choice: the class answers it before the next slide. Of code, only a stub that
  has a function to be written, and at most `LINES` of it;
* what `verdict` has said; and the summary.

A lesson without stored outputs gives a deck without figures.
"""

from __future__ import annotations

import argparse
import ast
import html
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nbformat

from advconf_lite.course.exercise import Choice
from advconf_lite.course.exercises import find
from advconf_lite.course.slide import Picture, Slide
from advconf_lite.course.stubs import BEGIN, CHECK, without_solution
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_text

ABLE = "After this lesson you can"
LINES = 12  # of code on a slide: more can't be read from a last row
LETTERS = 800  # of text
ASKED = re.compile(r"\*\*(?:Guess|guess|Before you run|Exercise|Challenge)\b")
CHOICE = re.compile(r"^choose\(\"(\w+)\"", flags=re.M)
FIGURE = re.compile(r'<figure\b.*?<img src="(data:[^"]+)" alt="([^"]*)"(?: width="(\d+)" height="(\d+)")?.*?'
                    r"<figcaption[^>]*>(.*?)</figcaption>", flags=re.S)  # fmt: skip


def slides_of(notebook: nbformat.NotebookNode) -> list[Slide]:
    """The slides of an executed lesson, in its order."""
    slides: list[Slide] = []
    title = heading = ""
    asked: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for block, before in _blocks(cell.source):
                if block.startswith("# "):
                    title = heading = block[2:]
                elif block.startswith("#"):
                    heading = block.lstrip("# ")
                elif heading == title and block.startswith("**The question"):
                    slides.insert(0, Slide(title, block, kind="title"))
                elif heading == title and block.startswith((f"**{ABLE}** ", "* ")):
                    slides.append(Slide(ABLE, block.removeprefix(f"**{ABLE}** ")))
                elif heading == "Summary" and block.startswith("* "):
                    slides.append(Slide(heading, block))
                elif ASKED.search(block):
                    slides.append(Slide(heading, block, kind="ask"))
                elif "$$" in block:
                    slides.append(Slide(heading, f"{before}\n\n{block}" if "$$" not in before else block))
            continue
        if "exercise" in cell.metadata.get("tags", []) and slides and slides[-1].kind == "ask":
            slides[-1] = _with_stub(slides[-1], cell.source, notebook.cells[number + 1 :])
        for name in CHOICE.findall(cell.source):
            if name not in asked and isinstance(record := find(name), Choice):
                asked.add(name)
                options = "\n".join(f"* **{key})** {option.text}" for key, option in record.options.items())
                slides.append(Slide(heading, f"{record.asked}\n\n{options}", kind="ask"))
        slides += _outputs(cell, heading)
    return slides


def _blocks(source: str) -> Iterator[tuple[str, str]]:
    """Paragraphs of a Markdown cell with the one before each; comments and generated lines are left out."""
    text = re.sub(r"<!-- lesson -->.*?<!-- end -->|<!--.*?-->", "", source, flags=re.S)
    before = ""
    for block in re.split(r"\n\s*\n", re.sub(r"^(#+ .*)$", r"\n\1\n", text, flags=re.M)):
        if block := block.strip():
            yield block, before
            before = "" if block.startswith("#") else block


def _with_stub(slide: Slide, source: str, later: list[nbformat.NotebookNode]) -> Slide:
    """With what the exercise's `check` asks for, and the function that is to be written if the stub has one that fits."""
    after = [cell.source for cell in later if cell.cell_type == "code"]
    if BEGIN not in source or slide.code:
        return slide
    asked = next((find(name).asked for text in after[:2] for name in CHECK.findall(text)), "")
    stub = without_solution(source, after).strip().splitlines()
    code = "\n".join(line for line in stub if not line.lstrip().startswith("#"))  # its comments repeat what is asked
    functions = any(isinstance(node, ast.FunctionDef) for node in ast.parse(code).body)
    fits = functions and len(code.splitlines()) <= LINES
    return replace(slide, text=f"{slide.text}\n\n{asked}".strip(), code=code if fits else "")


def _outputs(cell: nbformat.NotebookNode, heading: str) -> Iterator[Slide]:
    for output in cell.get("outputs", []):
        for source, alt, width, height, caption in FIGURE.findall(output.get("data", {}).get("text/html", "")):
            picture = Picture(source, html.unescape(alt), caption, int(width or 0), int(height or 0))
            yield Slide(heading, picture=picture, kind="figure")
        if output.get("name") == "stdout" and re.search(r"^verdict\(", cell.source, flags=re.M):
            sentences = re.sub(r"\n +", " ", output.text.strip()).splitlines()  # as long as the slide is wide
            for text in _paged([f"* {sentence}" for sentence in sentences]):
                yield Slide(heading, text)


def _paged(points: list[str]) -> list[str]:
    """Points joined to as few texts as hold `LETTERS` each."""
    texts: list[str] = []
    for point in points:
        if texts and len(texts[-1]) + len(point) < LETTERS:
            texts[-1] += f"\n{point}"
        else:
            texts.append(point)
    return texts


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lessons", nargs="*", metavar="NN", help="numbers of lessons; none: all")
    parser.add_argument("--out", type=Path, default=Path("build/slides"), metavar="FOLDER", help="default: build/slides")


def run(chosen: argparse.Namespace) -> int:
    from advconf_lite.course.deck import contents, deck
    from advconf_lite.course.notebooks import lesson, lessons

    known = {name[:2]: name for name in lessons()}
    if unknown := sorted(set(chosen.lessons) - known.keys()):
        raise BadInput(f"there is no lesson {unknown[0]}; give numbers of {', '.join(known)}", argument="lessons")
    made = {}
    for number, name in known.items():
        if number in (chosen.lessons or known):
            slides = slides_of(nbformat.read(lesson(name), as_version=4))
            write_text(chosen.out / f"{name}.html", deck(slides))
            made[name] = slides
    write_text(chosen.out / "index.html", contents(made))
    print(f"{chosen.out / 'index.html'}: {len(made)} decks, {sum(map(len, made.values()))} slides; arrow keys turn them")
    return 0
