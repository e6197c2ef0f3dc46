"""The student's notebooks, made from the lessons: solutions taken out, outputs removed, and still every cell runs.

    python -m advconf_lite.course.stubs            writes notebooks/student/NN_name.ipynb, for lessons with exercises
    python -m advconf_lite.course.stubs --check    says which of them differ from their lesson; exit code 1 if one does

A solution lives once, in the lesson's percent source: in a cell tagged "exercise", between the lines

    ### BEGIN SOLUTION: what is to be written here
    ### END SOLUTION

These are nbgrader's marks, which many instructors know and which its tools understand; as comments they survive jupytext,
ruff and papermill, and the lesson runs with them as it stands. Text after the first mark is the stub's instruction; without
it, the sentence of the exercise that the next `check("name", ...)` names, in the same cell or after it. A stub never raises:
a name that the solution sets, and that is read outside of it, becomes `name = ...`, and else `...` stands there; `check`
then says "not yet".

A cell tagged "solution" or "instructor" is not for students at all.
"""

from __future__ import annotations

import argparse
import ast
import dis
import hashlib
import os
import re
import sys
import textwrap
from pathlib import Path
from types import CodeType

import jupytext
import nbformat

from advconf_lite.course.exercise import Choice
from advconf_lite.course.exercises import find
from advconf_lite.course.notebooks import CLONE, is_clone
from advconf_lite.support.command_line import well_behaved
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_text

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
EXERCISE, NOT_FOR_STUDENTS = "exercise", {"solution", "instructor"}
FOLDER = "student"
CHECK = re.compile(r"\b(?:check|mine_or_ours|choose)\(\s*[\"'](\w+)[\"']")
LINK = re.compile(r"(\]\(|src=[\"'])(?![a-z]+:|#|/)([^)\"'\s]+)")
COLUMNS = 95


def student_notebook(source: Path) -> nbformat.NotebookNode:
    """The student's notebook of a lesson's percent source; the same source gives the same bytes.

    Raises:
        BadInput: a mark without its other half, or outside of a cell tagged "exercise"; a cell tagged so without a mark; a
            `check` of an exercise that does not exist.
    """
    lesson = jupytext.read(source)
    code = [cell.source for cell in lesson.cells if cell.cell_type == "code"]
    for name in dict.fromkeys(name for text in code for name in CHECK.findall(text)):
        _record(name, source)
    cells = []
    for number, cell in enumerate(lesson.cells):
        tags = cell.metadata.get("tags", [])
        place = f"{source.name}, cell {number}"
        marked = cell.cell_type == "code" and (BEGIN in cell.source or END in cell.source)
        if marked and EXERCISE not in tags:
            raise BadInput(f"{place} has a solution and no tag {EXERCISE!r}; write # %% tags=[{EXERCISE!r}]")
        if EXERCISE in tags and not marked:
            raise BadInput(f"{place} is tagged {EXERCISE!r} and has no solution between {BEGIN!r} and {END!r}")
        if NOT_FOR_STUDENTS & set(tags):
            continue
        text = cell.source
        if marked:
            after = [other.source for other in lesson.cells[number + 1 :] if other.cell_type == "code"]
            text = without_solution(text, after, place)
        elif cell.cell_type == "markdown":
            text = _links_from_below(text, source.parent)
            text = text.replace(f"/notebooks/{source.stem}.ipynb", f"/notebooks/{FOLDER}/{source.stem}.ipynb")
        new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        made = new(text, metadata={"tags": tags} if tags else {})
        made.id = hashlib.sha256(f"{source.stem}/{number}".encode()).hexdigest()[:8]
        cells.append(made)
    kernel = lesson.metadata.get("kernelspec")
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel} if kernel else {})


def without_solution(source: str, after: list[str], place: str = "the cell") -> str:
    """A cell's source with a stub in the place of each solution; `after` are the sources of the code cells that follow."""
    lines, kept, region, begun = source.split("\n"), [], [], None
    for line in lines:
        if BEGIN in line:
            if begun is not None:
                raise BadInput(f"{place} begins a solution inside another one")
            begun, region = line, []
        elif END in line:
            if begun is None:
                raise BadInput(f"{place} ends a solution that it has not begun")
            kept.append((begun, region))
            begun = None
        elif begun is not None:
            region.append(line)
        else:
            kept.append(line)
    if begun is not None:
        raise BadInput(f"{place} begins a solution and does not end it; write {END!r}")
    made = [part if isinstance(part, str) else _stub(number, kept, after, place) for number, part in enumerate(kept)]
    return "\n".join(made)


def _stub(number: int, kept: list[str | tuple[str, list[str]]], after: list[str], place: str) -> str:
    """Instruction and placeholders, indented as the solution was; its imports stay, for other cells may need them.

    `kept` is the cell by lines, of which the one of this number is a solution: its first mark and its lines.
    """
    begun, region = kept[number]
    indent = _indent(begun)
    below = "\n".join(line for line in kept[number + 1 :] if isinstance(line, str))
    instruction = begun.split(BEGIN)[1].lstrip(":").strip() or _asked([below, *after], place)
    text = f"your code here: {instruction}" if instruction else "your code here"
    names, imports = _bound(region, place)
    cell = "\n".join(line if isinstance(line, str) else f"{_indent(line[0])}..." for line in kept)
    needed = _needed([cell] if indent and _in_function(cell, number) else [cell, *after])
    read = [name for name in names if name in needed]
    lines = [f"# {line}" for line in textwrap.wrap(text, COLUMNS - len(indent))]
    lines += [*imports, *(f"{name} = ..." for name in read)]
    return "\n".join(indent + line for line in (lines if read else [*lines, "..."]))


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _in_function(cell: str, line: int) -> bool:
    """Whether a line, counted from 0, lies in a function: what is set there, no other cell can read."""
    try:
        nodes = ast.walk(ast.parse(cell))
    except SyntaxError:  # a magic of IPython, say
        return True
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(node.lineno <= line + 1 <= node.end_lineno for node in functions)


def _needed(cells: list[str]) -> set[str]:
    """Names that the cells, run one after the other, read before they have set them themselves; words in texts are none.
    Of a cell that is no plain Python, as with a magic of IPython, every word may be one."""
    needed: set[str] = set()
    known: set[str] = set()

    def visit(code: CodeType, own: set[str]) -> None:
        for step in dis.get_instructions(code):
            if step.opname in ("STORE_NAME", "STORE_GLOBAL"):
                own.add(step.argval)
            elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL") and step.argval not in own:
                needed.add(step.argval)
            elif isinstance(step.argval, CodeType):
                visit(step.argval, set(own))

    for cell in cells:
        try:
            visit(compile(cell, "a cell", "exec"), known)
        except SyntaxError:
            needed |= set(re.findall(r"\w+", cell))
    return needed


def _bound(region: list[str], place: str) -> tuple[list[str], list[str]]:
    """Names that the solution sets in its own block, in their order, and its import statements."""
    try:
        tree = ast.parse(textwrap.dedent("\n".join(region)))
    except SyntaxError as error:
        raise BadInput(f"{place} has a solution that is no Python on its own ({error.msg})") from None
    names: dict[str, None] = {}

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[node.name] = None  # what is set inside stays inside
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(tree)
    return list(names), [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


def _asked(after: list[str], place: str) -> str:
    """The sentence of the exercise that the next check names."""
    name = next((found for text in after for found in CHECK.findall(text)), None)
    record = name and _record(name, place)
    return "" if not record or isinstance(record, Choice) else record.asked


def _record(name: str, place: object):
    try:
        return find(name)
    except BadInput as error:
        raise BadInput(f"{getattr(place, 'name', place)}: {error}") from None


def _links_from_below(text: str, folder: Path) -> str:
    """Relative links, for a notebook one folder further down; a link to a lesson stays if that has a student's notebook."""

    def moved(match: re.Match) -> str:
        target = match[2].split("#")[0]
        script = folder / Path(target).with_suffix(".py").name
        stays = target.endswith(".ipynb") and "/" not in target and script.exists() and has_exercises(script)
        return match[1] + ("" if stays else "../") + match[2]

    return LINK.sub(moved, text)


def has_exercises(source: Path) -> bool:
    return BEGIN in source.read_text(encoding="utf-8")


def student_texts(folder: Path) -> dict[Path, str]:
    """File -> what is to be in it, for every lesson in `folder` that has an exercise."""
    sources = [path for path in sorted(folder.glob("[0-9][0-9]_*.py")) if has_exercises(path)]
    return {folder / FOLDER / f"{path.stem}.ipynb": nbformat.writes(student_notebook(path)) + "\n" for path in sources}


def differing(folder: Path) -> list[Path]:
    """Student's notebooks that are not what their lesson makes of them: missing, older, edited, or without a lesson."""
    wanted = student_texts(folder)
    there = {path for path in (folder / FOLDER).glob("*.ipynb")}
    wrong = {path for path, text in wanted.items() if path not in there or path.read_text(encoding="utf-8") != text}
    return sorted(wrong | (there - wanted.keys()))


def main(arguments: list[str] | None = None) -> int:
    """Write or check the student's notebooks; returns the exit code (see `well_behaved`)."""
    return well_behaved(lambda: _make(arguments))


def _make(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m advconf_lite.course.stubs", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a student's notebook differs")
    parser.add_argument("--folder", type=Path, help="where the lessons' py files are (default: notebooks/ of the clone)")
    chosen = parser.parse_args(arguments)
    if chosen.folder is None and not is_clone(CLONE):
        raise BadInput("student's notebooks are made in a clone of the repository; name the lessons' folder with --folder")
    folder = chosen.folder or CLONE / "notebooks"
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder; name the one that holds the lessons' py files")
    wrong = differing(folder)
    if chosen.check:
        for path in wrong:
            print(f"{os.path.relpath(path)} differs from its lesson; run python -m advconf_lite.course.stubs")
        return 1 if wrong else 0
    wanted = student_texts(folder)
    for path in wrong:
        if path in wanted:
            write_text(path, wanted[path])
            print(f"{os.path.relpath(path)} written")
        else:
            print(f"{os.path.relpath(path)} has no lesson with exercises; delete it")
    print(f"{len(wanted)} student's notebooks, {len(wrong)} of them new or changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
