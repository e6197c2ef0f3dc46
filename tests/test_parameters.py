"""Parameters of every lesson, as papermill and readers give them: a wrong name, kind or value is one sentence at once."""

import jupytext
import nbformat
import papermill
import pytest

from advconf_lite.course import parameters
from advconf_lite.course.notebooks import execute, lesson, lessons, lessons_folder
from advconf_lite.support.errors import BadInput

FIRST = 5  # code cells: set-up, parameters, what was injected, one more, and the one that begins


def run_first_cells(name, monkeypatch, given="", edit=("", "")):
    """Run a lesson as the kernel would, with papermill's cell, until it refuses; returns the sentence."""
    space = {"__name__": "__main__", "In": [""]}
    monkeypatch.setattr(parameters, "_namespace", lambda: space)
    code = [cell for cell in jupytext.read(lessons_folder() / f"{name}.py").cells if cell.cell_type == "code"]
    sources = []
    for cell in code:
        is_declaration = "parameters" in cell.metadata.get("tags", [])
        sources.append(cell.source.replace(*edit) if is_declaration and edit[0] else cell.source)
        if is_declaration and given:
            sources.append(f"# Parameters\n{given}\n")
    for source in sources[:FIRST]:
        space["In"].append(source)
        try:
            exec(compile(source, name, "exec"), space)
        except BadInput as error:
            return str(error)
    return None


@pytest.mark.parametrize("name", lessons())
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("profle = 'smoke'", "this lesson has no parameter profle; it has data, profile"),
        ("data = 3", "parameter data is 3; give text"),
        ("methods = ['plain']", "parameter methods is ['plain']; give text"),
        ("profile = 'large'", "profile 'large' is unknown; choose from smoke"),
        ("profile = 'smoke'\ndata = 'phantom:liver'", "phantom:liver is not a phantom"),
        ("profile = 'smoke'\ndata = 'no/such folder'", "no/such folder"),
        ("profile = 'smoke'\nhead_seeds = 0", "parameter head_seeds is 0; give a list of whole numbers"),
        ("profile = 'smoke'\nsegmenter_seeds = []", "parameter segmenter_seeds is []; give a list of whole numbers"),
        ("profile = 'smoke'\nhead_seeds = ['a']", "parameter head_seeds is ['a']; give a list of whole numbers"),
    ],
)
def test_every_lesson_refuses_it_in_its_first_cells(name, given, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = papermill.inspect_notebook(str(lesson(name)))
    wrong = given.split("\n")[-1].split(" = ")[0]
    if wrong not in known:
        words = f"this lesson has no parameter {wrong}; it has data, profile"
    said = run_first_cells(name, monkeypatch, given)
    assert said and words in said and "\n" not in said
    assert list(tmp_path.rglob("*.safetensors")) == []


@pytest.mark.parametrize("name", lessons())
def test_every_lesson_refuses_a_cell_that_was_edited_into_another_kind(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run_first_cells(name, monkeypatch, edit=('data: str = "phantom:prostate"', "data: str = 3"))
    assert said and "parameter data is 3; give text" in said


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("n: int = 3  # number\ns: str = 'a'", {"n": 3, "s": "a"}),
        ("n: list = 3", {"n": [0]}),
        ("n = 3", {}),
        ("n: int", {}),
        ("n: int = 3\nprint(n)", {}),
        ("n: int = f()", {}),
        ("%matplotlib inline", {}),
        ("# nothing", {}),
    ],
)
def test_what_a_cell_declares(cell, found):
    assert parameters.declared(cell) == found


def test_the_last_declaration_counts_and_only_what_was_injected_below_it(monkeypatch):
    cells = ["# Parameters\nold = 1", "n: int = 3", "n: int = 4", "x = 1\n# Parameters", "# Parameters\nn = 5"]
    monkeypatch.setattr(parameters, "_namespace", lambda: {"In": ["", *cells], "n": 5})
    parameters.refuse_wrong_parameters()
    monkeypatch.setattr(parameters, "_namespace", lambda: {"In": ["", *cells, "# Parameters\nm = 1"], "n": 5})
    with pytest.raises(BadInput, match="no parameter m; it has n"):
        parameters.refuse_wrong_parameters()
    monkeypatch.setattr(parameters, "_namespace", lambda: {"In": ["", *cells], "n": "five"})
    with pytest.raises(BadInput, match="parameter n is 'five'; give a value of type int"):
        parameters.refuse_wrong_parameters()
    monkeypatch.setattr(parameters, "_namespace", dict)  # a script
    parameters.refuse_wrong_parameters()


@pytest.mark.slow
def test_papermill_by_itself_which_knows_no_check_of_ours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, out = lessons_folder() / "03_adversarial_training.ipynb", tmp_path / "done.ipynb"
    with pytest.raises(papermill.PapermillExecutionError) as error:
        papermill.execute_notebook(str(path), str(out), {"profle": "smoke"}, kernel_name="python3", progress_bar=False)
    assert error.value.ename == "BadInput" and error.value.evalue.startswith("this lesson has no parameter profle; it has")
    ran = [cell for cell in nbformat.read(out, 4).cells if cell.cell_type == "code" and cell.execution_count]
    assert len(ran) <= FIRST
    with pytest.raises(BadInput, match="03_adversarial_training.ipynb has no parameter profle"):
        execute(path, out, {"profle": "smoke"})
