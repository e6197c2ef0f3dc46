"""The lessons: pairs that agree, files fit to be committed, and every cell running at the smoke profile."""

import ast
import copy
import json
import os
import re
import subprocess
import sys
import tokenize
from io import StringIO

import jupytext
import nbformat
import papermill
import pytest

from advconf_lite.course.lessons import folder_of, start
from advconf_lite.course.notebooks import execute, lessons, lessons_folder, of_lesson
from advconf_lite.support.errors import BadInput

FOLDER = lessons_folder()
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:work|tmp|root|home|Users|opt|mnt)/\w|[A-Z]:\\\\?Users|site-packages")
LIMIT, OUTPUT = 1_200_000, 300_000  # bytes of a committed notebook, and of one output of it

each_lesson = pytest.mark.parametrize("name", lessons())


def ipynb(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def script(name):
    return jupytext.read(FOLDER / f"{name}.py")


def smoke(folder):
    return {"data": "phantom:cardiac", "profile": "smoke", "out": str(folder / "run")}


# ---- pairs


def test_lessons_are_numbered_without_a_gap_and_no_file_lacks_its_pair():
    assert [name[:3] for name in lessons()] == [f"{number:02d}_" for number in range(len(lessons()))] and len(lessons()) >= 7
    for suffix in ("py", "ipynb"):
        assert sorted(path.stem for path in FOLDER.glob(f"*.{suffix}")) == lessons()


def test_a_lesson_says_itself_whether_it_is_part_of_a_run_and_how_it_is_published():
    pipeline, (controls,) = lessons("pipeline"), lessons("one-head-seed")
    assert [name[:2] for name in pipeline] == ["01", "02", "03", "04", "05"] and controls not in pipeline
    parameters = {"out": "r", "head_seeds": [4, 1, 2]}
    assert of_lesson(controls, parameters) == {"out": "r", "head_seeds": [4]}
    assert of_lesson(pipeline[-1], parameters) == parameters
    (plan,) = lessons("own-profile")  # of a run's smaller profile it would answer another question than it asks
    assert plan[:2] == "08" and of_lesson(plan, parameters | {"profile": "quick"}) == parameters


def drift(one, other):
    """Where two notebooks differ in the type, source or tags of a cell, or in their kernel."""
    here, there = (
        [(cell.cell_type, cell.source.strip(), sorted(cell.metadata.get("tags", []))) for cell in notebook.cells]
        for notebook in (one, other)
    )
    differences = [f"cell {number}" for number, pair in enumerate(zip(here, there)) if pair[0] != pair[1]]
    if len(here) != len(there):
        differences.append(f"{len(here)} cells and {len(there)}")
    kernels = [notebook.metadata.get("kernelspec", {}).get("name") for notebook in (one, other)]
    return differences + ([f"kernels {kernels}"] if kernels[0] != kernels[1] else [])


@each_lesson
def test_ipynb_and_py_are_the_same_lesson(name):
    assert drift(ipynb(name), script(name)) == [], "run `make sync` after editing the py"


def a_notebook():
    new = nbformat.v4
    notebook = new.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "", "language": ""}})
    notebook.cells = [
        new.new_markdown_cell("# Title"),
        new.new_code_cell("n: int = 3  # number", metadata={"tags": ["parameters"]}),
        new.new_code_cell("n + 1"),
    ]
    return notebook


@pytest.mark.parametrize(
    "edit",
    [
        lambda notebook: notebook.cells[2].update(source="n + 2"),
        lambda notebook: notebook.cells[0].update(source="# Another title"),
        lambda notebook: notebook.cells[1].metadata.update(tags=[]),
        lambda notebook: notebook.cells[2].update(cell_type="markdown"),
        lambda notebook: notebook.cells.pop(),
        lambda notebook: notebook.cells.insert(1, nbformat.v4.new_code_cell("1")),
        lambda notebook: notebook.cells.reverse(),
        lambda notebook: notebook.metadata.pop("kernelspec"),
    ],
)
def test_the_gate_sees_every_kind_of_drift(edit):
    changed = copy.deepcopy(a_notebook())
    edit(changed)
    assert drift(a_notebook(), changed)


def test_the_gate_does_not_see_outputs_and_survives_the_way_through_py():
    executed = a_notebook()
    executed.cells[2].update(outputs=[nbformat.v4.new_output("stream", text="4")], execution_count=7)
    assert drift(a_notebook(), executed) == []
    text = jupytext.writes(executed, fmt="py:percent")
    assert 'tags=["parameters"]' in text and drift(executed, jupytext.reads(text, fmt="py:percent")) == []


# ---- what is committed


@each_lesson
def test_size_kernel_and_metadata(name):
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size <= LIMIT
    sizes = [len(nbformat.v4.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])))
             for cell in ipynb(name).cells for output in cell.get("outputs", ())]  # fmt: skip
    assert max(sizes, default=0) <= OUTPUT
    metadata = ipynb(name).metadata
    assert metadata.kernelspec.name == "python3"
    assert "widgets" not in metadata and "papermill" not in metadata
    assert "formats" not in metadata.get("jupytext", {})  # pairing would follow the reader home


def parameter_cells(notebook):
    return [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]


def why_not_parameters(source):
    """What keeps a cell from being annotated, commented literals; None if nothing does."""
    commented = {t.start[0] for t in tokenize.generate_tokens(StringIO(source).readline) if t.type == tokenize.COMMENT}
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.AnnAssign) or statement.value is None:
            return f"line {statement.lineno} is no annotated assignment"
        try:
            ast.literal_eval(statement.value)
        except ValueError:
            return f"line {statement.lineno} is no literal"
        if statement.end_lineno not in commented:
            return f"line {statement.lineno} has no comment"
    return None


@each_lesson
def test_one_cell_of_parameters(name):
    (cell,) = parameter_cells(ipynb(name))
    assert why_not_parameters(cell.source) is None
    known = papermill.inspect_notebook(str(FOLDER / f"{name}.ipynb"))
    assert {"data", "profile", "out"} <= set(known)
    assert all(parameter["help"] and parameter["inferred_type_name"] != "None" for parameter in known.values())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("n: int = 3  # number", None),
        ("n: list = [1, 2]  # numbers\n# one more\ns: str = 'a'  # name", None),
        ("n = 3  # number", "no annotated assignment"),
        ("n: int = 3", "no comment"),
        ("n: int = 1 + len('a')  # number", "no literal"),
        ("import os  # files", "no annotated assignment"),
    ],
)
def test_the_check_of_parameter_cells(source, reason):
    found = why_not_parameters(source)
    assert found is None if reason is None else reason in found


def texts(cell):
    """Source and every output of a cell that is text; pictures are left out, for base64 holds every word."""
    yield cell.source
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        for kind, data in output.get("data", {}).items():
            if not kind.startswith("image/"):
                yield data if isinstance(data, str) else json.dumps(data)


@each_lesson
def test_no_path_of_the_machine_that_executed_it(name):
    for number, cell in enumerate(ipynb(name).cells):
        for text in texts(cell):
            found = MACHINE_PATH.search(text)
            assert not found, f"cell {number}: {text[max(0, found.start() - 40) : found.end() + 40]}"


def test_the_pattern_of_machine_paths():
    for text in ("in /home/ann/x", "'/tmp/ab'", '"C:\\Users\\ann"', "(/root/x)", "lib/site-packages/torch"):
        assert MACHINE_PATH.search(text), text
    for text in ("https://a.org/home/x", "runs/quick/tmp/x", "mm/tmp", "out/work/1", "and/or"):
        assert not MACHINE_PATH.search(text), text


@each_lesson
def test_committed_outputs_are_whole(name):
    code = [cell for cell in ipynb(name).cells if cell.cell_type == "code" and cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    assert None not in counts and counts == sorted(set(counts)), "run `make notebooks`: not executed in order"
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]


@each_lesson
def test_every_figure_can_be_read_without_seeing_it(name):
    figures = 0
    for number, cell in enumerate(ipynb(name).cells):
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                figures += 1
                alt = output.metadata.get("image/png", {}).get("alt", "")
                assert len(alt.split()) >= 3, f"the figure of cell {number} has no alternative text; use plots.show"
    assert figures, "a lesson without a figure"


# ---- they run


@pytest.mark.slow
class TestPapermill:
    @each_lesson
    def test_each_lesson_starts_on_its_own(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        before = (FOLDER / f"{name}.ipynb").read_bytes()
        execute(FOLDER / f"{name}.ipynb", tmp_path / "executed.ipynb", smoke(tmp_path))
        assert (FOLDER / f"{name}.ipynb").read_bytes() == before
        executed = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
        code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
        assert all(cell.execution_count is not None for cell in code)
        assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)
        assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]


def test_an_unknown_parameter_fails_the_run_before_anything_is_executed(tmp_path):
    with pytest.raises(BadInput, match="epoch"):
        execute(FOLDER / "00_start_here.ipynb", tmp_path / "executed.ipynb", {**smoke(tmp_path), "epoch": 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"data": 3}, "parameter data is 3; give text, as in 'phantom:prostate'"),
        ({"quality": ["dice"]}, "parameter quality is ['dice']; give text"),
        ({"head_seeds": 0}, "parameter head_seeds is 0; give a list of whole numbers, as in [0]"),
        ({"segmenter_seeds": []}, "parameter segmenter_seeds is []; give a list of whole numbers"),
        ({"head_seeds": ["a"]}, "parameter head_seeds is ['a']; give a list of whole numbers"),
        ({"head_seeds": [True]}, "parameter head_seeds is [True]; give"),
    ],
)
def test_a_parameter_of_another_kind_is_refused_before_anything_is_executed(values, words, tmp_path):
    with pytest.raises(BadInput) as error:
        execute(FOLDER / "03_adversarial_training.ipynb", tmp_path / "executed.ipynb", {**smoke(tmp_path), **values})
    assert words in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"data": None}, "parameter data is None; give text"),
        ({"out": None}, "parameter out is None; give text"),
        ({"data": " "}, "parameter data is ' '; give text"),
        ({"use": "shiped"}, "parameter use is 'shiped'; give train or shipped"),
        ({"quality": ["dice"]}, "several names separated by spaces"),
        ({"profile": "large"}, "profile 'large' is unknown; choose from smoke"),
        ({"methods": "plain,adversarial"}, "method 'plain,adversarial' is unknown; choose from"),
        ({"quality": "dise"}, "'dise'"),
        ({"data": "phantom:liver"}, "phantom:liver is not a phantom"),
    ],
)
def test_parameters_of_a_lesson_that_is_open_in_jupyter_are_refused_in_one_sentence(values, words, tmp_path):
    with pytest.raises(BadInput) as error:
        start(**{"profile": "smoke", "out": str(tmp_path / "r")} | values)
    assert words in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "profile", "folder"),
    [
        ("phantom:prostate", "quick", "runs/prostate-quick"),
        ("phantom:cardiac", "paper", "runs/cardiac-paper"),
        ("data/mnms2/", "full", "runs/mnms2-full"),
        ("/scans/My set", "smoke", "runs/My set-smoke"),
    ],
)
def test_another_organ_or_profile_is_one_edit_and_needs_no_folder(data, profile, folder):
    assert folder_of(data, profile) == folder


def a_lesson(folder, *sources):
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    )
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(notebook, folder / "lesson.ipynb")
    return folder / "lesson.ipynb"


@pytest.mark.parametrize(
    "argv", [["/elsewhere/python"], [sys.executable, "-c", "raise SystemExit(1)"], ["/bin/sleep", "60"]]
)
def test_a_run_needs_no_kernel_that_is_installed(argv, tmp_path, monkeypatch):
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    spec = {"argv": [*argv, "{connection_file}"], "display_name": "broken", "language": "python"}
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    execute(a_lesson(tmp_path, "import sys; print(sys.executable)"), tmp_path / "executed.ipynb", {})
    (cell,) = nbformat.read(tmp_path / "executed.ipynb", as_version=4).cells
    assert cell.outputs[0].text.strip() == sys.executable and not (tmp_path / "executed.log").exists()


@pytest.mark.parametrize("death", ["os.kill(os.getpid(), 9)", "os._exit(3)", "os.abort()"])
def test_a_kernel_that_dies_at_work_is_said_in_one_sentence(death, tmp_path):
    with pytest.raises(BadInput, match="process that executes lesson lesson has ended by itself .*Kernel died") as error:
        execute(a_lesson(tmp_path, f"import os; {death}"), tmp_path / "executed.ipynb", {})
    assert "\n" not in str(error.value) and "memory ran out" in str(error.value)


def test_a_kernel_that_does_not_start_is_said_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit('no kernel here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(BadInput, match="is to execute lesson lesson did not start .*its last words: no kernel here"):
        execute(a_lesson(tmp_path, "1"), tmp_path / "executed.ipynb", {})


@pytest.mark.slow
class TestNbval:
    def test_every_cell_runs_when_earlier_results_exist(self, tmp_path):
        """nbval takes no parameters, so papermill writes them into copies; one run for all."""
        cells = 0
        for name in lessons():
            path = tmp_path / f"{name}.ipynb"
            parameters = smoke(tmp_path)
            notebook = papermill.execute_notebook(str(FOLDER / path.name), str(path), parameters, prepare_only=True)
            cells += sum(cell.cell_type == "code" for cell in notebook.cells)
        options = [
            "--nbval-lax",
            "--nbval-current-env",
            "--nbval-cell-timeout=300",
            "-p",
            "no:cacheprovider",
            "-q",
        ]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *(f"{name}.ipynb" for name in lessons())],
            cwd=tmp_path, env=clean, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-5000:]
        assert int(re.search(r"(\d+) passed", done.stdout)[1]) == cells >= 3 * len(lessons())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("entropy-2", ("no adversarial steps: add", "no perturbed images were seen", "no trained head", "one method here")),
        ("plain", ("no adversarial steps: add", "no perturbed images were seen", "one method here")),
    ],
)
def test_lessons_work_with_whatever_methods_a_run_has(methods, said, slice_set, tmp_path):
    printed = ""
    for name in lessons()[3:6]:
        parameters = {**smoke(tmp_path), "data": str(slice_set), "quality": "dice", "methods": methods}
        execute(FOLDER / f"{name}.ipynb", tmp_path / "executed.ipynb", parameters)
        executed = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
        outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
        printed += "".join(output.get("text", "") for output in outputs)
        assert any("image/png" in output.get("data", {}) for output in outputs) or name.startswith("03")
    assert all(sentence in printed for sentence in said)
