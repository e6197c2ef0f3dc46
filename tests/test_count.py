"""docs/count.py: what it counts of a notebook that was made for it."""

import csv
import importlib.util

import nbformat
import pytest
from pages import ROOT

_spec = importlib.util.spec_from_file_location("docs_count", ROOT / "docs" / "count.py")
counting = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(counting)

new = nbformat.v4
FIGURE = '<figure><img src="data:," alt="{}"><figcaption><b>Figure 1.</b> C</figcaption></figure>'


def figure(alt):
    return new.new_output("display_data", data={"text/html": FIGURE.format(alt)})


def made():
    opening = (
        "# T\n\n<!-- lesson -->\n[Open in Colab] · [Open in Kaggle]\n\n[Open in Colab]: https://a.example\n<!-- end -->\n\n"
        "Is this a question? [A link](b.ipynb?x=1).\n\n**After this lesson you can** count"
    )
    cells = [
        new.new_markdown_cell(opening),  # T; Is this a question; A link; After this lesson you can count: 13 words
        new.new_code_cell("import os\n" * 20, metadata={"tags": ["setup", "hide-input"]}),
        new.new_code_cell("n: int = 1  # n", metadata={"tags": ["parameters"]}),
        new.new_code_cell('guess("one", None)\n\nguess("two", None)'),
        new.new_markdown_cell("four words of prose"),
        new.new_code_cell("x = ...", metadata={"tags": ["exercise"]}),
        new.new_code_cell(f'check("name", x)\ncheck("name", x, {"y" * 80})\nreveal("one", 1)'),
        new.new_markdown_cell("two words"),
        new.new_code_cell(
            'choose("c")\nfrom advconf_lite.course.widgets.desk import triage_desk, own_order\nw = explore(draw, n=1)',
            outputs=[figure("words that say what is seen"), figure("short")],
        ),
        new.new_markdown_cell("## Summary\n\nend"),
        new.new_code_cell('choose("c", "b")', outputs=[figure("words that say what is seen")]),
    ]
    return new.new_notebook(cells=cells)


@pytest.mark.parametrize(
    ("what", "number"),
    {
        "code cells": 6, "prose cells": 4, "lines of a code cell": [1, 2, 1, 3, 3, 1], "lines of code": 11,
        "lines over 79 letters": 1, "words": 21, "words between code cells": [0, 4, 0, 2, 2], "question marks": 1,
        "exercises": 1, "checks": 1, "guesses": 2, "revealed": 1, "multiple choice": 1, "widgets": 2, "figures": 3,
        "captions": 3, "alt texts": 2, "outputs read": (1, 2), "links": 1, "launch links": 2, "set-up cell": True,
        "objectives": True, "summary": True, "parameters": True, "min to read": 1,
    }.items(),
)  # fmt: skip
def test_what_is_counted(what, number):
    assert counting.count(made())[what] == number


def test_all_together():
    said = counting.together({"a": counting.count(made()), "b": counting.count(made())})
    assert said["cells (code / prose)"] == "20 (12 / 8)" and said["lines per code cell, median / max"] == "1.5 / 3"
    assert said["words of prose"] == "42; 21-21 a lesson" and said["median words between two code cells"].startswith(
        "2; 2 where"
    )
    assert said["code directly after code"] == "4 of 10" and said["predicted vs seen, recorded"] == "2 of 4"
    assert said["output figures; captions; alt"] == "6; 6; 4" and said["objectives / summary"] == "2 of 2 / 2 of 2"


def test_its_rows_are_those_of_the_other_courses():
    with (ROOT / "docs" / "anchors.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["row"] for row in rows} <= set(counting.together({"a": counting.count(made())})) and len(rows) >= 15
    assert all(None not in row and None not in row.values() for row in rows)


def test_the_command_counts_the_lessons_and_any_notebook(tmp_path, capsys):
    nbformat.write(made(), tmp_path / "mine.ipynb")
    assert counting.main([]) == counting.main([str(tmp_path / "mine.ipynb")]) == 0
    ours, mine = capsys.readouterr().out.split("| mine")
    assert ours.count("\n| 0") == 9 and "**this course**" in ours and "Carpentries" in ours
    assert mine.startswith(" | 6 | 4 |") and "Carpentries" not in mine
