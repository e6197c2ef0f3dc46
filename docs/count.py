"""What the lessons are made of, counted: cells, words, exercises, guesses, widgets, figures; beside other courses.

    python docs/count.py                  the lessons as they are stored, then beside the courses of docs/anchors.csv
    python docs/count.py FILE.ipynb ...   any notebooks

Counted is what a reader meets: the generated set-up cell and the generated links are left out; a line of code is one that is
not blank; words are those of `course/card.py`. The other courses were counted in the same way, by hand where a star says so.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from advconf_lite.course.card import GENERATED, minutes_to_read, own_code, read_cards, words  # noqa: E402

NAMED = r"\b{}\(\s*[\"']([^\"']+)[\"']"  # a call with a name first: each name counts once
COLUMNS = 79


def count(notebook: nbformat.NotebookNode) -> dict[str, object]:
    """The counts of one notebook; lists where a median or a sum over notebooks is wanted."""
    cells = [cell for cell in notebook.cells if "setup" not in cell.metadata.get("tags", [])]
    prose = [GENERATED.sub("", cell.source) for cell in cells if cell.cell_type == "markdown"]
    code = own_code(notebook)
    lines = [line for source in code for line in source.splitlines() if line.strip()]
    text, source = "\n".join(prose), "\n".join(code)
    pages = [_page(output) for cell in cells for output in cell.get("outputs", ())]
    figures = [page for page in pages if page]
    named = {verb: set(re.findall(NAMED.format(verb), source)) for verb in ("check", "guess", "reveal", "choose")}
    widgets = set(re.findall(r"from advconf_lite\.course\.widgets\.(\w+) import", source))
    return {
        "code cells": len(code),
        "prose cells": len(prose),
        "lines of a code cell": [sum(bool(line.strip()) for line in each.splitlines()) for each in code],
        "lines of code": len(lines),
        f"lines over {COLUMNS} letters": sum(len(line) > COLUMNS for line in lines),
        "words": words(text),
        "words between code cells": _gaps(cells),
        "question marks": re.sub(r"`[^`]*`|\]\([^)]*\)", "", text).count("?"),
        "exercises": sum("exercise" in cell.metadata.get("tags", []) for cell in cells),
        "checks": len(named["check"]),
        "guesses": len(named["guess"]),
        "revealed": len(named["guess"] & named["reveal"]),
        "multiple choice": len(named["choose"]),
        "widgets": len(widgets) + len(re.findall(r"^(?:\w+ = )?explore\(", source, flags=re.M)),
        "figures": len(figures),
        "captions": sum("<figcaption" in page for page in figures),
        "alt texts": sum(len(re.search(r' alt="([^"]*)"|$', page)[1] or "") > 20 for page in figures),
        "outputs read": _read(cells),
        "links": len(re.findall(r"\]\([^)]+\)", text)),
        "launch links": sum(f"[Open in {place}]" in notebook.cells[0].source for place in ("Colab", "Kaggle")),
        "set-up cell": len(cells) < len(notebook.cells),
        "objectives": "After this lesson you can" in text,
        "summary": bool(re.search(r"^## Summary", text, flags=re.M)),
        "parameters": any("parameters" in cell.metadata.get("tags", []) for cell in cells),
        "min to read": minutes_to_read(notebook),
    }  # fmt: skip


def _page(output: nbformat.NotebookNode) -> str:
    """The figure of an output as HTML; "" if it has none."""
    data = output.get("data", {})
    if "<img" in data.get("text/html", ""):
        return data["text/html"]
    if "image/png" in data:
        alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
        return f'<img alt="{alt}">'
    return ""


def _shows(output: nbformat.NotebookNode) -> bool:
    return bool(_page(output)) or output.output_type == "execute_result"


def _gaps(cells: list[nbformat.NotebookNode]) -> list[int]:
    """Words between each code cell and the next one; 0 where code follows code."""
    gaps: list[int] = []
    since = None
    for cell in cells:
        if cell.cell_type == "code":
            gaps += [] if since is None else [since]
            since = 0
        elif since is not None:
            since += words(cell.source)
    return gaps


def _read(cells: list[nbformat.NotebookNode]) -> tuple[int, int]:
    """Of the figures and tables: those that prose follows, at once or after one more code cell; and all."""
    shown = [n for n, cell in enumerate(cells) if any(map(_shows, cell.get("outputs", ())))]
    return sum(any(c.cell_type == "markdown" for c in cells[n + 1 : n + 3]) for n in shown), len(shown)


def together(counts: dict[str, dict[str, object]]) -> dict[str, str]:
    """Row -> what it is for all notebooks, in the rows of docs/anchors.csv."""
    every = list(counts.values())

    def total(key: str) -> int:
        return sum(int(each[key]) for each in every)

    def of(key: str) -> str:
        return f"{total(key)} of {len(every)}"

    def middle(numbers: list[int]) -> str:
        return f"{statistics.median(numbers or [0]):g}"

    sizes = [size for each in every for size in each["lines of a code cell"]]
    gaps = [gap for each in every for gap in each["words between code cells"]]
    said = [gap for gap in gaps if gap]
    own = [each["words"] for each in every]
    read = [sum(each["outputs read"][k] for each in every) for k in (0, 1)]
    code, prose = total("code cells"), total("prose cells")
    return {
        "cells (code / prose)": f"{code + prose} ({code} / {prose})",
        "lines per code cell, median / max": f"{middle(sizes)} / {max(sizes)}",
        "code lines over 79 characters": f"{total(f'lines over {COLUMNS} letters')} of {total('lines of code')}",
        "words of prose": f"{sum(own)}; {min(own)}-{max(own)} a lesson",
        "median words between two code cells": f"{middle(gaps)}; {middle(said)} where there is prose",
        "code directly after code": f"{gaps.count(0)} of {len(gaps)}",
        "question marks in prose": str(total("question marks")),
        "exercises / solutions": f"{total('exercises')} / {total('exercises')}",
        "checks of the student's work": str(total("checks")),
        "multiple choice": str(total("multiple choice")),
        "predicted vs seen, recorded": f"{total('revealed')} of {total('guesses')}",
        "output figures; captions; alt": f"{total('figures')}; {total('captions')}; {total('alt texts')}",
        "outputs followed by prose": f"{read[0]} of {read[1]}",
        "widgets": str(total("widgets")),
        "minutes": f"{total('min to read')} to read; to run: below each title",
        "objectives / summary": f"{of('objectives')} / {of('summary')}",
        "launch links": of("set-up cell") if total("launch links") == 2 * len(every) else str(total("launch links")),
        "install cell in the notebook": of("set-up cell"),
        "links in lessons": str(total("links")),
        "parameters cell": of("parameters"),
    }


def grid(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def one_by_one(counts: dict[str, dict[str, object]]) -> str:
    """A row per notebook."""
    keys = [key for key, value in next(iter(counts.values())).items() if not isinstance(value, list | tuple)]
    rows = [[name[:24], *("yes" if v is True else "no" if v is False else str(v) for v in (each[k] for k in keys))]
            for name, each in counts.items()]  # fmt: skip
    return grid(["", *keys], rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="FILE.ipynb", help="default: the lessons")
    chosen = parser.parse_args(arguments)
    paths = chosen.notebooks or sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    counts = {path.stem: count(nbformat.read(path, as_version=4)) for path in paths}
    print(one_by_one(counts), end="\n\n")
    ours = together(counts)
    if chosen.notebooks:
        print(grid(["", "all"], [[row, value] for row, value in ours.items()]))
        return 0
    run = sum(card["again_s"] for card in read_cards(ROOT).values()) / 60
    ours["minutes"] = f"{sum(each['min to read'] for each in counts.values())} to read, {run:.0f} to run, measured"
    with (ROOT / "docs" / "anchors.csv").open(newline="", encoding="utf-8") as file:
        anchors = {row.pop("row"): row for row in csv.DictReader(file)}
    names = list(next(iter(anchors.values())))
    rows = [[row, f"**{value}**", *(anchors.get(row, {}).get(n, "") or "-" for n in names)] for row, value in ours.items()]
    print(grid(["", "**this course**", *names], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
