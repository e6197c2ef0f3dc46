"""What a lesson costs: minutes to read, computed from its words; seconds and memory to run, measured by `course/cards.py`.

notebooks/compute.json holds a record for each lesson. `docs/render.py` writes it below each lesson's title, into README's
table and into TEACHING.md; a record is `old` when what it measured has changed since.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import io
import json
import re
import textwrap
import tokenize
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.support.files import write_text

FILE = "compute.json"
COMMAND = "python -m advconf_lite.course.cards"
# Adults read non-fiction at 238 words a minute (Brysbaert 2019, doi:10.1016/j.jml.2019.104047). Formulas slow them down,
# so we take 200; the seconds for a line of code are ours.
WORDS_A_MINUTE, SECONDS_A_LINE = 200, 3
GENERATED = re.compile(r"<!-- lesson -->.*?<!-- end -->", flags=re.S)
NO_WORDS = re.compile(r"<!--.*?-->|\$\$.*?\$\$|^\[[^\]]+\]: \S+$|\]\([^)]*\)", flags=re.S | re.M)
CORE = Path(__file__).resolve().parents[1]


@functools.lru_cache(maxsize=64)
def lesson_of(text: str) -> nbformat.NotebookNode:
    """A lesson's percent source as a notebook; not to be changed, for whoever asks next gets the same one."""
    return jupytext.reads(text, fmt="py:percent")


def source_of(root: Path, name: str) -> nbformat.NotebookNode:
    return lesson_of((root / "notebooks" / f"{name}.py").read_text(encoding="utf-8"))


def words(markdown: str) -> int:
    """Words of a lesson's prose, without what is generated, comments, addresses and formulas of their own line."""
    text = NO_WORDS.sub(" ", GENERATED.sub(" ", markdown))
    return sum(any(c.isalnum() for c in word) for word in text.split())


def own_code(notebook: nbformat.NotebookNode) -> list[str]:
    """Sources of the code cells that the lesson is made of: all but the generated set-up cell."""
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [cell.source for cell in code if "setup" not in cell.metadata.get("tags", [])]


def minutes_to_read(notebook: nbformat.NotebookNode) -> int:
    """Prose and code, at least 1; exercises and widgets come on top."""
    prose = sum(words(cell.source) for cell in notebook.cells if cell.cell_type == "markdown")
    lines = sum(bool(line.strip()) for source in own_code(notebook) for line in source.splitlines())
    return max(1, round(prose / WORDS_A_MINUTE + lines * SECONDS_A_LINE / 60))


def parameters_of(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """The lesson's parameters at their defaults, which are what is measured."""
    source = next(cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    return {node.target.id: ast.literal_eval(node.value) for node in ast.parse(source).body}


@functools.lru_cache(maxsize=1024)
def without_words(source: str) -> str:
    """Python's lines without comments, docstrings and blank ones: what is left decides what is computed."""
    lines = source.splitlines()
    try:
        tree, tokens = ast.parse(source), list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, tokenize.TokenError):  # a cell with %magic
        return source
    for token in tokens:
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def fingerprint(notebook: nbformat.NotebookNode, root: Path, core: Path = CORE) -> str:
    """Of all that decides what a lesson costs: its code, its profile, the paper's files, whether its networks ship.

    A comment, a docstring or prose changes nothing in it.
    """
    chosen = parameters_of(notebook)
    profile = dataclasses.asdict(PROFILES[chosen["profile"]])
    brought = chosen.get("use") == "shipped" and (root / "artefacts" / "manifest.json").exists()
    parts = [without_words(source) for source in own_code(notebook)]
    parts += [json.dumps([profile, brought], sort_keys=True, default=str)]
    parts += [without_words(path.read_text(encoding="utf-8")) for path in sorted(core.glob("[!_]*.py"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def read_cards(root: Path) -> dict[str, dict[str, Any]]:
    """Lesson -> its record; empty where nothing was measured."""
    path = root / "notebooks" / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_cards(root: Path, cards: dict[str, dict[str, Any]]) -> None:
    write_text(root / "notebooks" / FILE, json.dumps(dict(sorted(cards.items())), indent=1) + "\n")


def old(root: Path, name: str) -> str | None:
    """Why a lesson's record can't be believed, with the command that measures it; None if it can."""
    card = read_cards(root).get(name)
    if card is None:
        return f"lesson {name} was never measured; run {COMMAND} {name[:2]}"
    if card["measured"] != fingerprint(source_of(root, name), root):
        return f"the compute card of lesson {name} is older than what it measures; run {COMMAND} {name[:2]}"
    return None


def duration(seconds: float) -> str:
    """ "40 seconds", "5 minutes"."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} seconds"
    return f"{round(seconds / 60)} minutes"


def line(notebook: nbformat.NotebookNode, card: dict[str, Any] | None) -> str:
    """The sentences below a lesson's title."""
    minutes = minutes_to_read(notebook)
    read = f"**To read:** about {minutes} minute{'s' * (minutes != 1)}; exercises and widgets come on top."
    if card is None:
        return f"{read} **To run:** not measured yet."
    again, alone = card["again_s"], card["alone_s"]
    if alone is None:
        run = f"{duration(again)} where the run's folder is filled"
    elif alone < 1.5 * again or alone - again < 10:
        run = duration(max(again, alone))
    else:
        made = "where it makes what earlier lessons would have made"
        run = f"{duration(again)}; {duration(alone)} alone in an empty folder, {made}"
    memory = f", with {100 * -(-card['peak_mb'] // 100)} MB of memory" if card["peak_mb"] else ""
    cores = f"{card['cores']} core{'s' * (card['cores'] != 1)}"
    device = f"{cores} and a GPU" if card["gpu"] else f"{cores} without a GPU"
    device += ", busy with other work" if card["busy"] else ""
    return f"{read} **To run:** {run} (measured on {device}{memory})."


def block(notebook: nbformat.NotebookNode, card: dict[str, Any] | None) -> list[str]:
    """`line`, wrapped."""
    return textwrap.wrap(line(notebook, card), 118, break_long_words=False, break_on_hyphens=False)


def short(card: dict[str, Any] | None) -> str:
    """Minutes to run with the run's folder filled, for a table."""
    return "?" if card is None else f"{card['again_s'] / 60:.1f}"


HEAD = "lesson", "min to read", "s to run", "s alone, in an empty folder", "MB of memory", "measured on"


def table(root: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """`HEAD`, and a row per lesson."""
    cards, rows = read_cards(root), []
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.py")):
        card, told = cards.get(path.stem), ("?",) * 4
        if card is not None:
            alone = "?" if card["alone_s"] is None else f"{card['alone_s']:.0f}"
            where = (
                f"{card['cores']} cores{', GPU' if card['gpu'] else ''}{', busy' if card['busy'] else ''}, {card['date']}"
            )
            told = f"{card['again_s']:.0f}", alone, str(card["peak_mb"] or "?"), where
        rows.append((path.stem[:2], str(minutes_to_read(source_of(root, path.stem))), *told))
    return HEAD, rows
