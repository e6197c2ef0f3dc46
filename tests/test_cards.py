"""The compute cards: none is older than what it measures; what makes it old, what does not; what is measured, and said."""

import subprocess
import sys

import jupytext
import nbformat
import pytest
from pages import ROOT

from advconf_lite.course import card as cards
from advconf_lite.course import cards as measuring
from advconf_lite.course.cards import cost, main, resident_mb, watched
from advconf_lite.course.notebooks import lessons

RECORD = {"alone_s": 320.0, "again_s": 41.2, "peak_mb": 1120, "cores": 2, "gpu": False, "busy": False}


@pytest.mark.parametrize("name", lessons())
def test_no_card_is_older_than_what_it_measures(name):
    assert cards.old(ROOT, name) is None


LESSON = """# %% [markdown]
# # A title
#
# Some prose.

# %% tags=["setup"]
import os

# %% tags=["parameters"]
data: str = "phantom:prostate"  # organ
profile: str = "quick"  # size
use: str = "shipped"  # or train

# %%
def double(n):
    '''Twice.'''
    return 2 * n  # a comment
"""


def printed(source, root=ROOT, core=cards.CORE):
    return cards.fingerprint(jupytext.reads(source, fmt="py:percent"), root, core)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 2 * n", "return 3 * n"),
        ('"quick"', '"full"'),
        ('"phantom:prostate"', '"phantom:cardiac"'),
        ('"shipped"', '"train"'),
        ("\n# %%\ndef", "\n# %%\n1\n\n# %%\ndef"),
    ],
)
def test_a_change_of_what_is_computed_makes_a_card_old(old, new):
    assert old in LESSON and printed(LESSON.replace(old, new)) != printed(LESSON)


@pytest.mark.parametrize(
    ("old", "new"),
    [("Some prose", "Other prose"), ("Twice.", "Two times."), ("a comment", "a # remark"), ("import os", "import sys")],
)
def test_words_do_not(old, new):
    assert old in LESSON and printed(LESSON.replace(old, new)) == printed(LESSON)


def test_the_papers_files_and_what_ships_count_too(tmp_path):
    core = tmp_path / "core"
    core.mkdir()
    (core / "loop.py").write_text('"""Trains."""\nsteps = 5\n')
    before = printed(LESSON, tmp_path, core)
    (core / "loop.py").write_text('"""Trains a head."""\n\nsteps = 5  # few\n')
    assert printed(LESSON, tmp_path, core) == before
    (core / "loop.py").write_text('"""Trains."""\nsteps = 50\n')
    assert printed(LESSON, tmp_path, core) != before
    before = printed(LESSON, tmp_path, core)
    (tmp_path / "artefacts").mkdir()
    (tmp_path / "artefacts" / "manifest.json").write_text("{}")
    assert printed(LESSON, tmp_path, core) != before


def test_an_old_card_and_a_missing_one_name_lesson_and_command(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "03_a.py").write_text(LESSON)
    assert cards.old(tmp_path, "03_a") == "lesson 03_a was never measured; run python -m advconf_lite.course.cards 03"
    cards.write_cards(tmp_path, {"03_a": RECORD | {"measured": printed(LESSON, tmp_path)}})
    assert cards.old(tmp_path, "03_a") is None
    (tmp_path / "notebooks" / "03_a.py").write_text(LESSON.replace("2 * n", "2 + n"))
    assert "older than what it measures; run python -m advconf_lite.course.cards 03" in cards.old(tmp_path, "03_a")


# ---- what is said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "40 seconds; 5 minutes alone in an empty folder, where it makes what earlier lessons would have made (measured "
             "on 2 cores without a GPU, with 1200 MB of memory)."),
        ({"alone_s": 44.0}, "45 seconds (measured"),
        ({"alone_s": None, "again_s": 200.0}, "3 minutes where the run's folder is filled (measured"),
        ({"gpu": True, "cores": 1, "peak_mb": None}, "(measured on 1 core and a GPU)."),
        ({"alone_s": None, "again_s": 0.4}, "5 seconds where"),
        ({"busy": True}, "(measured on 2 cores without a GPU, busy with other work, with 1200 MB of memory)."),
    ],
)  # fmt: skip
def test_the_line_below_the_title(change, said):
    assert said in cards.line(jupytext.reads(LESSON, fmt="py:percent"), RECORD | change)


def test_a_machine_with_other_work_is_noticed(monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (measuring.cores() * 0.6, 0.0, 0.0), raising=False)
    assert measuring.busy()
    monkeypatch.setattr("os.getloadavg", lambda: (measuring.cores() * 0.4, 9.0, 9.0))
    assert not measuring.busy()


def test_without_a_card_it_says_so():
    said = cards.line(jupytext.reads(LESSON, fmt="py:percent"), None)
    assert "about 1 minute;" in said and said.endswith("not measured yet.")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Four words of prose", 4),
        ("[a link](https://example.org/a b) *and* $x$ words", 5),
        ("before\n$$\na = b + c\n$$\nafter", 2),
        ("<!-- lesson -->\nnot these\n<!-- end -->\nthis", 1),
        ("0.5<!--=file:row:column--> of it - and", 4),
    ],
)
def test_words_of_prose(text, number):
    assert cards.words(text) == number


def test_minutes_are_of_prose_and_code():
    cells = [nbformat.v4.new_markdown_cell("word " * 1000), nbformat.v4.new_code_cell("a = 1\n" * 60)]
    assert cards.minutes_to_read(nbformat.v4.new_notebook(cells=cells)) == 5 + 3


# ---- what is measured


def test_memory_is_that_of_all_descendants(tmp_path):
    for pid, parent, size in ((10, 1, 9), (11, 10, 1000), (12, 11, 500), (13, 1, 7000), (14, 12, 250)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tx\nPPid:\t{parent}\nVmRSS:\t {size} kB\n")
    (tmp_path / "15").mkdir()  # has ended
    assert resident_mb(10, tmp_path) == pytest.approx(1.750 * 1.024)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_of_a_process_is_seen():
    with watched() as peak:
        subprocess.run([sys.executable, "-c", "import time; a = bytearray(150_000_000); time.sleep(0.7)"], check=True)
    assert 150 < peak.mb < 400


def test_a_notebook_is_executed_in_its_folder_and_timed(tmp_path):
    kernel = {"name": "python3", "display_name": "", "language": "python"}
    code = "import pathlib, time\ntime.sleep(0.5)\npathlib.Path('made.txt').write_text('here')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "a.ipynb")
    work = tmp_path / "work"
    work.mkdir()
    seconds, _ = cost(tmp_path / "a.ipynb", work)
    assert seconds >= 0.5 and [path.name for path in work.iterdir()] == ["made.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["77"], "there is no lesson 77"), (["--there", "nowhere"], "nowhere holds no runs/; leave --there out")],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err
