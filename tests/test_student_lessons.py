"""Every student's notebook of the course runs to its end: untouched, and half-filled with what is no answer yet."""

import re

import jupytext
import matplotlib.pyplot as plt
import pytest

from advconf_lite.course.notebooks import CLONE
from advconf_lite.course.stubs import EXERCISE, student_notebook, student_texts

SOURCES = [CLONE / "notebooks" / f"{path.stem}.py" for path in student_texts(CLONE / "notebooks")]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Where all of them work, so that what one has trained the next one finds."""
    return tmp_path_factory.mktemp("room")


def untouched(source):
    """Code cells of the student's notebook."""
    return [
        (cell.source, cell.metadata.get("tags", [])) for cell in student_notebook(source).cells if cell.cell_type == "code"
    ]


def half_filled(source):
    """The same, with every second exercise solved, and None where the other ones have their dots."""
    solved = [cell.source for cell in jupytext.read(source).cells if EXERCISE in cell.metadata.get("tags", [])]
    cells, number = [], 0
    for text, tags in untouched(source):
        if EXERCISE in tags:
            text = solved[number] if number % 2 else re.sub(r"(^ *|= )\.\.\.$", r"\1None", text, flags=re.M)
            number += 1
        cells.append((text, tags))
    assert number == len(solved) > 0
    return cells


@pytest.mark.slow
@pytest.mark.parametrize("filled", [untouched, half_filled])
@pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])
def test_every_cell_runs_and_says_what_is_not_there_yet(source, filled, room, monkeypatch, capsys):
    monkeypatch.chdir(room)
    space = {"__name__": "__main__"}
    for number, (text, tags) in enumerate(filled(source)):
        if "parameters" in tags:
            text += "\nprofile, out = 'smoke', 'run'"
        exec(compile(text, f"{source.stem}, code cell {number}", "exec"), space)
        plt.close("all")
    said = capsys.readouterr().out
    assert "not yet" in said and "Traceback" not in said
    assert ("[x] right" in said) == (filled is half_filled and len(re.findall("BEGIN SOLUTION", source.read_text())) > 1)
