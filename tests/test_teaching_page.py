"""notebooks/TEACHING.md: the answers that it quotes are those of the stored lessons, and the bands hold them."""

import re
from pathlib import Path

import nbformat
import pytest

from advconf_lite.course.exercise import Choice
from advconf_lite.course.exercises import everything

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
PAGE = (FOLDER / "TEACHING.md").read_text(encoding="utf-8")
ANSWERS = re.findall(r"^\| (\d\d) `([^`]+)` \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \|", PAGE, flags=re.M)


def stored(number):
    """What the outputs of a stored lesson say: guess -> truth."""
    (path,) = FOLDER.glob(f"{number}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    said = "\n".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", ()))
    return dict(re.findall(r"^(\w[\w ]*): it is ([\d.]+)(?![\w-])", said, flags=re.M))


@pytest.mark.parametrize(("number", "name", "value", "low", "high"), ANSWERS)
def test_an_answer_is_the_stored_one_and_lies_in_its_band(number, name, value, low, high):
    assert stored(number)[name].rstrip(".") == value
    assert float(low) <= float(value) <= float(high)


def test_every_number_that_is_guessed_has_an_answer():
    told = {(number, name) for number, name, *_ in ANSWERS}
    for path in sorted(FOLDER.glob("0[0-57]_*.ipynb")):
        number = path.name[:2]
        assert {name for n, name in told if n == number} >= set(stored(number)), path.name
    assert len(told) >= 12


def test_every_lesson_is_in_the_plans():
    for path in FOLDER.glob("[0-9]*.ipynb"):
        assert f"]({path.name})" in PAGE


def test_the_plans_add_up():
    rows = re.findall(r"^\| (\d*) ?\| (\d*) ?\| (\d+) \| \[\d\d\]", PAGE, flags=re.M)
    sums = [sum(int(row[plan] or 0) for row in rows) for plan in range(3)]
    assert "| **{}** | **{}** | **{}** |".format(*sums) in PAGE and len(rows) == 8


def test_every_multiple_choice_has_its_right_answer():
    told = re.findall(r"^\| \d\d `(\w+)` \| ([a-e]) \| ([a-e]):", PAGE, flags=re.M)
    choices = {name: record for name, record in everything().items() if isinstance(record, Choice)}
    assert {name: right for name, right, _ in told} == {name: choice.value for name, choice in choices.items()}
    assert all(wrong in choices[name].options and wrong != right for name, right, wrong in told)


def test_what_is_skipped_and_kept_exists():
    for number, sections in re.findall(r"\b(0[0-8]) sections? ((?:\b\d\b|[,\s]|and|to)+)", PAGE):
        (path,) = FOLDER.glob(f"{number}_*.py")
        numbers = set(re.findall(r"^# ## (\d+)\.", path.read_text(encoding="utf-8"), flags=re.M))
        assert set(re.findall(r"\d+", sections)) <= numbers, (number, sections)
