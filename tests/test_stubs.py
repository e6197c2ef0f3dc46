"""The student's notebooks: made from the lessons, without solutions, and every cell of them runs."""

import jupytext
import nbformat
import pytest
from teaching import said

from advconf_lite.course.exercises import find
from advconf_lite.course.notebooks import CLONE, execute
from advconf_lite.course.stubs import differing, main, student_notebook
from advconf_lite.support.errors import BadInput

LESSON = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A lesson. See [the page](../docs/data.md), [next](01_next.ipynb), [last](02_last.ipynb#end) and [paper](https://a.org).

# %% tags=["parameters"]
n: int = 3  # number

# %% tags=["exercise"]
import numpy as np


def my_dice(a, b):
    ### BEGIN SOLUTION
    both = a.sum() + b.sum()
    answer = 2 * (a & b).sum() / both if both else 1.0
    ### END SOLUTION
    return answer


# %%
from advconf_lite.course.teach import check, choose, guess, mine_or_ours, reveal

check("my_dice", my_dice)

# %% tags=["exercise"]
### BEGIN SOLUTION: the pairs of n samples
import math

pairs, names = math.comb(n, 2), [x for x in range(n)]
### END SOLUTION

# %% tags=["exercise"]
def pairs_of(n):
    ### BEGIN SOLUTION
    return n * (n - 1) // 2
    ### END SOLUTION


# %%
check("pairs_of", pairs_of)
choose("low_loss")
guess("pairs", None)
reveal("pairs", mine_or_ours("pairs_of", pairs_of)(n))
print("pairs", pairs, math.pi > 3)

# %% [markdown] tags=["solution"]
# The secret.

# %% [markdown] tags=["instructor"]
# The timing.
"""


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "00_first.py").write_text(LESSON)
    (folder / "01_next.py").write_text(LESSON)
    (folder / "02_last.py").write_text("# %%\n1\n")
    return folder


def test_a_students_notebook_has_stubs_and_nothing_else_is_changed(course):
    notebook = student_notebook(course / "00_first.py")
    text, code = "\n".join(cell.source for cell in notebook.cells), [c for c in notebook.cells if c.cell_type == "code"]
    assert not any(word in text for word in ("SOLUTION", "both =", "secret", "timing", "comb(", "n * (n"))
    asked = " ".join(code[1].source.replace("    # ", "").split())
    assert find("my_dice").asked in asked and code[1].source.endswith("    answer = ...\n    return answer")
    assert code[3].source == "# your code here: the pairs of n samples\nimport math\npairs = ..."
    assert code[4].source.splitlines()[0] == "def pairs_of(n):" and code[4].source.splitlines()[-1] == "    ..."
    assert code[0].metadata.tags == ["parameters"] and code[0].source == "n: int = 3  # number"
    assert notebook.metadata.kernelspec.name == "python3" and all(not cell.outputs for cell in code)
    assert all(
        word in text for word in ("(../../docs/data.md)", "(01_next.ipynb)", "(../02_last.ipynb#end)", "(https://a.org)")
    )
    assert notebook == student_notebook(course / "00_first.py")  # the same every time


OWN = """# %% tags=["exercise"]
def my_dice(a, b):
    ### BEGIN SOLUTION
    both = a.sum() + b.sum()
    value = 2 * (a & b).sum() / both if both else 1.0
    ### END SOLUTION
    return value


check("my_dice", my_dice)

# %% tags=["exercise"]
### BEGIN SOLUTION: shuffle
order, train, tries, late = [1], [2], [3], [4]
### END SOLUTION
check("slice_leak", order)

# %%
both, train = "both of the tries", 1
print(f"{console.tries} both {train}")


# %%
def later():
    return late


# %% tags=["exercise"]
def pairs_of(n):
    ### BEGIN SOLUTION
    return n
    ### END SOLUTION


check("pairs_of", pairs_of)
"""


def test_a_stub_asks_for_its_own_check_and_sets_no_name_that_is_only_the_solutions(course):
    (course / "00_first.py").write_text(OWN)
    stubs = [cell.source for cell in student_notebook(course / "00_first.py").cells]
    words = [" ".join(stub.replace("# ", "").split()) for stub in stubs]
    assert find("my_dice").asked in words[0] and "both =" not in stubs[0] and "    value = ..." in stubs[0].splitlines()
    assert stubs[1].splitlines()[:3] == ["# your code here: shuffle", "order = ...", "late = ..."]
    assert find("pairs_of").asked in words[4]
    (course / "00_first.py").write_text(OWN.replace("# %%\nboth, train", "# %%\n%time tries\nboth, train"))
    stubs = [cell.source for cell in student_notebook(course / "00_first.py").cells]
    assert "tries = ..." in stubs[1]  # of a cell that is no Python, nothing is known


def run_all(source, capsys):
    space = {"__name__": "__main__"}
    for number, cell in enumerate(
        jupytext.reads(source, fmt="py:percent").cells if isinstance(source, str) else source.cells
    ):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"<cell {number}>", "exec"), space)
    return said(capsys)


def test_untouched_half_filled_and_solved_all_cells_run(course, desk, capsys):
    notebook = student_notebook(course / "00_first.py")
    assert (text := run_all(notebook, capsys)).count("not yet") == 3 and "it is 3; you made no guess" in text
    for cell in notebook.cells:
        cell.source = cell.source.replace("answer = ...", "both = (a & b).sum()\n    answer = both / (a | b).sum()")
    assert "Jaccard" in (text := run_all(notebook, capsys)) and "raises" not in text
    text = run_all(LESSON, capsys)
    assert text.count("[x] right") == 2 and "pairs 3 True" in text and not desk.exists()


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("    ### END SOLUTION\n    return answer", "    return answer", "does not end it"),
        ("    ### BEGIN SOLUTION\n    both", "    both", "has not begun"),
        ("    both =", "    ### BEGIN SOLUTION\n    both =", "inside another"),
        ('# %% tags=["exercise"]\nimport numpy', "# %%\nimport numpy", "no tag 'exercise'"),
        ('# %%\nfrom advconf', '# %% tags=["exercise"]\nfrom advconf', "has no solution"),
        ('check("my_dice"', 'check("my_dyce"', "is 'my_dice' meant"),
        ("both = a.sum() + b.sum()", "both = a.sum() +", "no Python"),
    ],
)  # fmt: skip
def test_marks_that_make_no_sense_are_said_with_their_cell(old, new, word, course):
    assert old in LESSON
    (course / "00_first.py").write_text(LESSON.replace(old, new, 1))
    with pytest.raises(BadInput, match=word) as caught:
        student_notebook(course / "00_first.py")
    assert "00_first.py" in str(caught.value)


def test_the_command_writes_checks_and_sees_every_drift(course, capsys):
    def checked():
        code = main(["--folder", str(course), "--check"])
        return code, said(capsys)

    assert checked()[0] == 1
    assert main(["--folder", str(course)]) == 0 and "2 student's notebooks, 2 of them new" in said(capsys)
    assert sorted(path.name for path in (course / "student").iterdir()) == ["00_first.ipynb", "01_next.ipynb"]
    assert checked() == (0, "")
    student = course / "student" / "00_first.ipynb"
    student.write_text(student.read_text().replace("return answer", "return 1"))
    assert checked()[0] == 1
    assert main(["--folder", str(course)]) == 0 and "1 of them new or changed" in said(capsys)
    assert checked() == (0, "")
    (course / "01_next.py").write_text("# %%\n1\n")
    assert "01_next.ipynb differs" in checked()[1]
    assert main(["--folder", str(course / "nowhere")]) == 2


def test_the_students_notebooks_of_this_course_are_those_of_its_lessons():
    assert differing(CLONE / "notebooks") == [], "run python -m advconf_lite.course.stubs"


@pytest.mark.slow
def test_a_students_notebook_runs_under_papermill_with_parameters(course, tmp_path, monkeypatch):
    main(["--folder", str(course)])
    monkeypatch.chdir(tmp_path)
    execute(course / "student" / "00_first.ipynb", tmp_path / "done.ipynb", {"n": 5})
    outputs = [o for cell in nbformat.read(tmp_path / "done.ipynb", 4).cells for o in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert text.count("not yet") == 3 and "it is 10" in text
    assert not (tmp_path / "runs").exists()
