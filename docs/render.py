"""Pages from results: `python docs/render.py` writes every table and every sourced number of the pages anew.

    python docs/render.py            # after a change of results/*.csv or of a setting
    python docs/render.py --check    # changes nothing; prints each difference with its place, exit code 1 if there is one

A page (README.md, docs/, the Markdown of notebooks/) takes its results from results/*.csv, and more from the code:

* a block, all of it rendered: `<!-- table: FILE.csv column=value hide=a,b -->`, `<!-- made: FILE.csv -->` (how the file
  was made, from results/provenance.csv), `<!-- evidence: STEM -->`, `<!-- tables: STEM -->`,
  `<!-- answer: SHIFT PROFILE -->`, `<!-- heads: METHOD -->` and `<!-- beside: METHOD: METHOD ... -->` (what a protocol has
  found, all its tables, the question's answer, how heads do beside a method without one, and a method beside others:
  docs/evidence_blocks.py), `<!-- settings -->`, `<!-- profiles -->`, `<!-- methods -->`, `<!-- lessons -->` (each lesson's
  own `<!-- makes: ... -->`) or `<!-- cards -->` (what each costs; all of these: docs/code_blocks.py), up to `<!-- end -->`;
* in every lesson, its links, its compute card and its set-up cell (advconf_lite/course/opening.py);
* a number in prose, followed by the cell that it comes from: `0.085<!--=FILE:row/keys:column-->`. The keys are cells of
  one row only, or COLUMN=cell. `=|FILE:keys:column|` takes the size without the sign. The number has as many decimals as
  the prose gives it.

A number with a decimal point that has no source must stand in docs/constants.csv (settings, units, versions), or the check
names it. Lessons are written to notebooks/*.py; bring them into the ipynb by `make sync`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]  # the settings of this checkout, also where another one is installed

import code_blocks  # noqa: E402
import evidence_blocks  # noqa: E402

BLOCK = re.compile(
    r"<!-- (table|made|evidence|tables|answer|heads|beside|settings|profiles|methods|lessons|cards)(?:: ([^\n]*?))? -->\n"
    r"(.*?)<!-- end -->",
    flags=re.S,
)
SOURCED = re.compile(r"(?P<shown>[+-]?\d[\d.]*(?:e-?\d+)?)(?P<mark><!--=(?P<size>\|?)(?P<source>[^>|]*)\|?-->)")
MARK = re.compile(r"<!--=.*?-->", flags=re.S)
DECIMAL = re.compile(r"(?<![\w.])[+-]?(?:\d+(?:\.\d+)+(?:e-?\d+)?|\d+e-\d+)(?![\w]|\.\d)")
# What is no prose: commands, code, addresses. A fence of any other language is read like prose.
CODE = re.compile(
    r"^```(?:bash|python|powershell)\n.*?^```|(?<!`)`(?!`)(?:[^`\n]|\n(?!#?\s*\n))*`|\]\([^)]*\)|https?://\S+",
    flags=re.S | re.M,
)
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e-?\d+)?")

TITLES = {"pearson": "Pearson", "eaurc": "eAURC", "mae": "MAE"}
WORDS = {"dice": "Dice", "surface_dice": "surface Dice", "cardiac": "heart"}
TEACHING = "notebooks/TEACHING.md"  # its numbers are those of the stored lessons, and tests/test_teaching_page.py holds them
ABOUT = {"command", "what", "first_in_readme"}  # columns that describe a result and hold none


class Results:
    """The csv files of results/, and which of their cells a page has shown."""

    def __init__(self, folder: Path) -> None:
        self.files = {}
        for path in sorted(folder.glob("*.csv")):
            with path.open(newline="", encoding="utf-8") as file:
                self.files[path.name] = list(csv.DictReader(file))
        self.shown: set[tuple[str, int, str]] = set()

    def rows(self, name: str, wanted: dict[str, str]) -> list[tuple[int, dict[str, str]]]:
        """(row number, row) of those whose columns have the wanted values."""
        if name not in self.files:
            raise ValueError(f"results/{name} does not exist")
        rows = [(n, row) for n, row in enumerate(self.files[name]) if all(row.get(c) == v for c, v in wanted.items())]
        if not rows:
            raise ValueError(f"results/{name} has no row with {wanted}")
        return rows

    def cell(self, source: str) -> tuple[str, tuple[str, int, str]]:
        """'FILE:key/key:column' -> its text, and its place: file, row number, column. A key is a cell of the row, or
        COLUMN=cell where the same cells stand in several columns."""
        name, keys, column = source.split(":")
        name = f"{name}.csv"
        rows = [
            (n, row)
            for n, row in self.rows(name, {})
            if set(keys.split("/")) <= {*row.values(), *map("=".join, row.items())}
        ]
        if len(rows) != 1 or not rows[0][1].get(column):
            raise ValueError(f"{source!r} must name one cell of results/{name}; {len(rows)} rows have these keys")
        number, row = rows[0]
        return row[column], (name, number, column)

    def table(self, request: str) -> str:
        """'FILE.csv column=value hide=a,b' -> a Markdown table; x_sd, x_low and x_high stand with x in one column."""
        name, *options = shlex.split(request)
        wanted = dict(option.split("=", 1) for option in options)
        hidden = {*wanted.pop("hide", "").split(","), *wanted}
        rows = self.rows(name, wanted)
        columns = [c for c in rows[0][1] if c not in hidden and any(row[c] for _, row in rows)]
        stems = [c for c in columns if not (c.endswith(("_sd", "_low", "_high")) and c.rsplit("_", 1)[0] in columns)]
        lines = ["| " + " | ".join(TITLES.get(c, c.replace("_", " ")) for c in stems) + " |", "|" + "---|" * len(stems)]
        for number, row in rows:
            self.shown.update((name, number, column) for column in columns)
            lines.append("| " + " | ".join(_shown(row, stem).replace("|", "\\|") for stem in stems) + " |")
        return "\n".join(lines)

    def made(self, name: str, up: str) -> str:
        """How a file was made: its command, and what is known of the run."""
        ((_, row),) = self.rows("provenance.csv", {"file": name})
        lines = []
        for command in row["command"].splitlines():
            indent = command[: len(command) - len(command.lstrip())]
            wrapped = textwrap.wrap(
                command, 112, subsequent_indent=indent + "    ", break_long_words=False, break_on_hyphens=False
            )
            lines += [*(line + " \\" for line in wrapped[:-1]), wrapped[-1]]
        known = [f"{c.replace('_', ' ')}: {row[c]}" for c in list(row)[2:] if row[c]]
        unknown = [c.replace("_", " ") for c in list(row)[2:] if not row[c]]
        text = "; ".join(known) + (f"; not recorded: {', '.join(unknown)}" if unknown else "")
        return "\n".join(
            ["```bash", *lines, "```", "", *textwrap.wrap(f"[results/{name}]({up}results/{name}). {text}.", 120)]
        )

    def unshown(self) -> Iterator[str]:
        """Numbers that no page shows: a wrong digit there would be nobody's."""
        for name, rows in self.files.items():
            for number, row in enumerate(rows):
                for column, value in row.items():
                    if name != "provenance.csv" and column not in ABOUT and NUMBER.fullmatch(value or ""):
                        if (name, number, column) not in self.shown:
                            yield f"results/{name}:{number + 2}: no page shows {column} = {value} in full"


def _shown(row: dict[str, str], stem: str) -> str:
    text = WORDS.get(row[stem], row[stem]) or "-"
    if row.get(f"{stem}_sd"):
        text += f" ± {row[f'{stem}_sd']}"
    if row.get(f"{stem}_low"):
        text += f" [{row[f'{stem}_low']}, {row[f'{stem}_high']}]"
    return text


def _blank(match: re.Match) -> str:
    return re.sub(r"[^\n]", " ", match[0])


@dataclass
class Page:
    """A Markdown page, the Markdown of a lesson's source, or one cell of a notebook."""

    path: str  # relative to the root, for messages
    text: str

    @property
    def prose(self) -> str:
        """The text with all that is no prose blanked, every character at its place."""
        text = self.text
        if self.path.endswith(".py"):
            text = re.sub(r"^# %%(?! \[markdown\]).*?(?=^# %% \[markdown\]|\Z)", _blank, text, flags=re.S | re.M)
        return CODE.sub(_blank, BLOCK.sub(_blank, text))

    def place(self, at: int) -> str:
        line = self.text.count("\n", 0, at) + 1
        return f"{self.path} line {line}" if " cell " in self.path else f"{self.path}:{line}"

    def numbers(self, results: Results, allowed: set[str]) -> Iterator[str]:
        """Write every sourced number as its cell has it; yields what was wrong."""
        prose, text, end = self.prose, "", 0
        for match in SOURCED.finditer(prose):
            try:
                value, where = results.cell(match["source"].strip())
            except ValueError as error:
                yield f"{self.place(match.start())}: {error}"
                continue
            new = _as_shown(value, match["shown"], bool(match["size"]))
            if new != match["shown"]:
                held = f"results/{where[0]} line {where[1] + 2}, {where[2]} holds {value}"
                yield f"{self.place(match.start())}: the page says {match['shown']}, {held}"
            if new.lstrip("+-") == value.lstrip("+-"):  # with fewer decimals the others would be nobody's
                results.shown.add(where)
            text, end = text + self.text[end : match.start()] + new, match.end("shown")
        bare = SOURCED.sub(_blank, prose)
        for match in MARK.finditer(bare):
            yield f"{self.place(match.start())}: {match[0]} follows no number"
        for match in DECIMAL.finditer(MARK.sub(_blank, bare)):
            if match[0].lstrip("+-") not in allowed:
                yield (
                    f"{self.place(match.start())}: {match[0]} has no source; "
                    "name its cell of results/*.csv, or list it in docs/constants.csv"
                )
        self.text = text + self.text[end:]

    def blocks(self, results: Results) -> Iterator[str]:
        """Render every block; yields what was wrong."""
        text, end = "", 0
        for match in BLOCK.finditer(self.text):
            kind, request, old = match.groups()
            try:
                new = self._block(kind, request or "", results) + "\n"
            except ValueError as error:
                yield f"{self.place(match.start())}: {error}"
                continue
            if new != old:
                one = f"evidence-{request}*.csv" if kind in ("evidence", "tables") else request.split()[0] if request else ""
                files = "evidence-*.csv" if kind in ("answer", "heads", "beside") else one  # of all protocols
                source = f"results/{files}" if files else "the code"
                both = zip(old.splitlines() + [""] * new.count("\n"), new.splitlines() + [""] * old.count("\n"))
                row, (page, made) = next((n, pair) for n, pair in enumerate(both) if pair[0] != pair[1])
                line = self.text.count("\n", 0, match.start(3)) + 1 + row
                yield f"{self.path}:{line}: not what {source} holds\n    page    {page}\n    source  {made}"
            text, end = text + self.text[end : match.start(3)] + new, match.end(3)
        self.text = text + self.text[end:]

    def _block(self, kind: str, request: str, results: Results) -> str:
        if kind == "table":
            return results.table(request)
        if kind == "made":
            return results.made(request, "../" * self.path.count("/"))
        if kind in evidence_blocks.BLOCKS:
            return evidence_blocks.BLOCKS[kind](results, request, "../" * self.path.count("/"))
        return code_blocks.BLOCKS[kind]()


def _as_shown(value: str, shown: str, size: bool) -> str:
    """A cell's value with the decimals and the plus sign that the page gives it."""
    if "e" in value:
        return value
    exact = abs(Decimal(value)) if size else Decimal(value)
    decimals = Decimal(1).scaleb(-len(shown.partition(".")[2]))
    return f"{exact.quantize(decimals, ROUND_HALF_UP):{'+' if shown[0] == '+' else ''}}"


def pages(root: Path) -> Iterator[Page]:
    """All that is rendered and checked."""
    notebooks = [root / TEACHING, *sorted((root / "notebooks").glob("*.py"))]
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md")), *notebooks]:
        yield Page(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))


def cells(root: Path) -> Iterator[Page]:
    """The Markdown cells of the notebooks: checked, and written by `make sync` alone."""
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            if cell["cell_type"] == "markdown":
                yield Page(f"{path.relative_to(root).as_posix()} cell {number}", "".join(cell["source"]))


def openings(root: Path, write: bool) -> list[str]:
    """Links, card and set-up cell of every lesson; the lessons whose are not those that they should be."""
    from advconf_lite.course.card import block, lesson_of, read_cards
    from advconf_lite.course.opening import address, with_opening

    paths, cards, problems = sorted((root / "notebooks").glob("[0-9][0-9]_*.py")), read_cards(root), []
    for path in paths:
        text, place = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        try:
            card = block(lesson_of(text), cards.get(path.stem))
            new = with_opening(text, path.stem, [each.stem for each in paths], address(root), card)
        except ValueError as error:
            problems.append(f"{place}: {error}")
            continue
        if new != text:
            problems.append(f"{place}: its links, card or set-up cell are not those of course/opening.py")
            if write:
                path.write_text(new, encoding="utf-8")
    return problems


def render(root: Path, write: bool) -> list[str]:
    """Render all pages below `root`; the differences, each with its place. With `write`, what can be mended is."""
    results = Results(root / "results")
    with (root / "docs" / "constants.csv").open(newline="", encoding="utf-8") as file:
        constants = list(csv.DictReader(file))
    problems = openings(root, write)
    for page in [*pages(root), *cells(root)]:
        source = page.path.split(" cell ")[0].replace(".ipynb", ".py")
        before, allowed = page.text, {row["number"] for row in constants if row["page"] in ("*", source)}
        problems += page.numbers(results, allowed) if page.path != TEACHING else []
        problems += page.blocks(results)
        if write and page.text != before and " cell " not in page.path:
            (root / page.path).write_text(page.text, encoding="utf-8")
    return [*problems, *results.unshown()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, print each difference; exit code 1 if any")
    chosen = parser.parse_args()
    problems = render(ROOT, write=not chosen.check)
    if problems and not chosen.check:
        problems = render(ROOT, write=False)  # what is left cannot be mended by writing
    print(*problems, sep="\n", end="\n" if problems else "")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
