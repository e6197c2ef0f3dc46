"""How a lesson opens: links and a set-up cell from one address; and the cell alone, where the course is not installed."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import jupytext
import nbformat
import pytest
from pages import ROOT, docs

from advconf_lite.course import set_up
from advconf_lite.course.opening import SET_UP, address, with_opening

LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))

# ---- what is generated


@pytest.fixture
def copy(tmp_path):
    """The lessons, and what their openings are made from."""
    (tmp_path / "notebooks").mkdir()
    for name in LESSONS:
        shutil.copy(ROOT / "notebooks" / f"{name}.py", tmp_path / "notebooks")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    docs.openings(tmp_path, write=True)
    return tmp_path


def test_the_address_stands_in_one_place():
    here = address(ROOT)
    for path in [*ROOT.glob("*"), *(ROOT / "advconf_lite").rglob("*.py"), *(ROOT / "docs").rglob("*")]:
        if path.is_file() and path.suffix in (".md", ".py", ".toml", ".yml", ".cff", ".csv", ".txt", ""):
            text = path.read_text(encoding="utf-8")
            assert text.count(here) == (path.name == "pyproject.toml"), path
    for path in (ROOT / "notebooks").glob("*.py"):
        assert here not in re.sub(r"<!-- lesson -->.*?<!-- end -->|^# %% tags=\[\"setup\".*?^# %%", "",
                                  path.read_text(encoding="utf-8"), flags=re.S | re.M), path  # fmt: skip


def test_a_new_address_changes_every_link_and_every_cell(copy):
    old, new = address(ROOT), "https://git.example.org/a-course/mine"
    path = copy / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(f'"{old}"', f'"{new}/"'), encoding="utf-8")
    assert len(docs.openings(copy, write=True)) == len(LESSONS) and docs.openings(copy, write=False) == []
    for name in LESSONS:
        text = (copy / "notebooks" / f"{name}.py").read_text(encoding="utf-8")
        assert f"[Read on GitHub]: {new}/blob/main/notebooks/{name}.ipynb\n" in text and f'"git+{new}"' in text
        assert f"research.google.com/github/a-course/mine/blob/main/notebooks/{name}.ipynb\n" in text
        assert old not in text and old.split("/")[-2] not in text


def test_every_lesson_opens_alike_and_knows_its_neighbours(copy):
    cells = []
    for place, name in enumerate(LESSONS):
        lesson = jupytext.read(copy / "notebooks" / f"{name}.py")
        first, code = lesson.cells[0], next(cell for cell in lesson.cells if cell.cell_type == "code")
        assert code.metadata["tags"][0] == "setup" and first.source.startswith("# ")
        cells.append(code.source)
        block = re.search(r"<!-- lesson -->\n(.*?)\n<!-- end -->", first.source, flags=re.S)[1]
        near = LESSONS[max(0, place - 1) : place] + LESSONS[place + 1 : place + 2]
        assert re.findall(r"\]\((\w+)\.ipynb\)", block) == near
        assert re.findall(r"^\[(.*?)\]: https://", block, flags=re.M) == re.findall(r"\[([^\]]*)\](?= ·|\n\n)", block)[:3]
    assert len(set(cells)) == 1
    done = [subprocess.run([sys.executable, "-m", "ruff", *words, "notebooks"], cwd=copy, capture_output=True, text=True)
            for words in (["check"], ["format", "--check"])]  # fmt: skip
    assert all(each.returncode == 0 for each in done), [each.stdout for each in done]


SOURCES = {
    "as written by hand": "# %% [markdown]\n# # Title\n#\n# Text.\n\n# %%\n1\n",
    "no line after the title": '# %% [markdown]\n# # Title\n\n# %% tags=["parameters"]\nn: int = 1  # n\n',
    "an old block": "# %% [markdown]\n# # Title\n#\n# Text.\n#\n# <!-- lesson -->\n# old\n# <!-- end -->\n# End.\n"
    "\n# %%\n1\n",
    "a cell at the wrong place": '# %% [markdown]\n# # Title\n\n# %%\n1\n\n# %% tags=["setup"]\nold = 1\n\n# %%\n2\n',
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_whatever_is_there_is_brought_into_shape_and_then_stays(source):
    names = ["00_a", "01_b", "02_c"]
    made = with_opening(source, "01_b", names, "https://a.example/b/c")
    assert with_opening(made, "01_b", names, "https://a.example/b/c") == made
    assert made.count("<!-- lesson -->") == made.count('tags=["setup"') == made.count("# # Title\n#\n# <!-- lesson -->") == 1
    assert "old" not in made and "(00_a.ipynb)" in made and "(02_c.ipynb)" in made
    cells = jupytext.reads(made, fmt="py:percent").cells
    kept = [cell for cell in jupytext.reads(source, fmt="py:percent").cells if "setup" not in cell.metadata.get("tags", [])]
    assert [cell.source for cell in cells[2:]] == [cell.source for cell in kept[1:]]
    assert ("Text." in source) == ("\n\nText." in cells[0].source) and ("End." in source) == ("End." in cells[0].source)


def test_a_lesson_without_a_title_or_an_address_is_said(copy):
    (copy / "notebooks" / "00_start_here.py").write_text("# %%\n1\n")
    assert docs.openings(copy, write=False)[0] == "notebooks/00_start_here.py: 00_start_here has no title"
    (copy / "pyproject.toml").write_text("")
    assert "pyproject.toml has no line Repository" in docs.openings(copy, write=False)[1]


# ---- what is installed


def test_what_is_missing_is_what_the_core_asks_for_and_nobody_has(monkeypatch):
    wanted = set_up.requirements("advconf-lite")
    assert "torch>=2.8" in wanted and not any("extra" in each or "jupyterlab" in each for each in wanted)
    assert set_up.missing(wanted) == [] and set_up.older(wanted) == []
    assert set_up.missing(["torch>=99", "no-such-package>=1", "nor_this"]) == ["no-such-package>=1", "nor_this"]
    (sentence,) = set_up.older(["torch>=99", "numpy"])
    assert sentence.startswith(f"torch {metadata.version('torch')} is here, and >=99 was tested")


def test_pip_is_asked_for_nothing_where_nothing_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(set_up.subprocess, "run", None)
    set_up.install_missing()
    assert capsys.readouterr().out == ""


def test_the_versions_that_pip_is_held_to_are_those_that_are_here():
    here = set_up.here()
    assert here["torch"] == metadata.version("torch") and here["numpy"] == metadata.version("numpy") and len(here) > 50
    for version in ("2.13.0+cu128", "1.0", "2!1.0rc1.post2.dev3", "1.0.0a1"):
        assert set_up.VERSION.fullmatch(version)
    for version in ("1.0-custom", "unknown", "1.0 (local)", "2004d-x"):
        assert not set_up.VERSION.fullmatch(version)


@pytest.fixture
def source():
    """The set-up cell's code, as a lesson has it."""
    return SET_UP.replace("ADDRESS", "https://a.invalid/b/c").split("\n", 1)[1]


def test_the_cell_is_silent_where_the_course_is(source, capsys, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    exec(compile(source, "cell", "exec"), {})
    assert capsys.readouterr().out == ""


def a_wheel(name, folder, requires=None):
    """A wheel of an installed package, or, with `requires`, an empty one of that name and version 1.0."""
    files, tag = {}, "py3-none-any"
    if requires is not None:
        info = f"{name}-1.0.dist-info"
        files[f"{info}/METADATA"] = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
                                              + [f"Requires-Dist: {each}" for each in requires]).encode()  # fmt: skip
        files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    else:
        found = metadata.distribution(name)
        tag = re.search(r"^Tag: (\S+)", found.read_text("WHEEL"), flags=re.M)[1]
        for file in found.files:
            path = Path(file.locate())
            if ".." not in file.parts and path.is_file() and "__pycache__" not in file.parts:
                files[file.as_posix()] = path.read_bytes()
        info = next(name.split("/")[0] for name in files if name.endswith(".dist-info/METADATA"))
        files = {
            path: data
            for path, data in files.items()
            if path.split("/")[-1] not in ("RECORD", "INSTALLER", "direct_url.json")
        }
    rows = [[path, "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode(), len(data)]
            for path, data in files.items()]  # fmt: skip
    made = folder / f"{info.removesuffix('.dist-info')}-{tag}.whl"
    with zipfile.ZipFile(made, "w") as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)
        wheel.writestr(
            f"{info}/RECORD", "".join(",".join(map(str, row)) + "\n" for row in [*rows, [f"{info}/RECORD", "", ""]])
        )
    return made


MISSING = "tqdm", "safetensors"  # a pure package and a compiled one


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package as a wheel, built without a network."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for name in ("advconf_lite", "data_download", "notebooks"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        folder,
        tree,
    ]
    done = subprocess.run(pip, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (made,) = folder.glob("advconf_lite-*.whl")
    return made


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """A Python of its own that has what this one has, but for the course and two packages, with an ipywidgets of 7.7."""
    folder = tmp_path_factory.mktemp("colab")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    asked = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    there = Path(subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip())
    left_out = {"advconf", "__editable__", "pip", "setuptools", "ipywidgets", "_distutils", "distutils", *MISSING}
    for path in Path(metadata.distribution("numpy").locate_file("")).iterdir():
        if not path.name.startswith(tuple(left_out)) and path.suffix != ".pth" and not (there / path.name).exists():
            (there / path.name).symlink_to(path)
    for name, version in (("ipywidgets", "7.7.1"), ("harmless", "2.0")):
        fake = there / f"{name}-{version}.dist-info"
        fake.mkdir()
        (fake / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (fake / "RECORD").write_text(f"{fake.name}/METADATA,,\n{fake.name}/RECORD,,\n")
    (there / "ipywidgets.py").write_text("raise ImportError('as good as none')\n")
    return python


def run_cell(python, folder, source, **environment):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PIP_REQUIRE_VIRTUALENV")}
    offline = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONNOUSERSITE": "1"}
    return subprocess.run(
        [python, "-c", source], cwd=folder, env=clean | offline | environment, capture_output=True, text=True
    )


VERSIONS = """
import json
from importlib import metadata
print(json.dumps({d.metadata["Name"]: d.version for d in metadata.distributions()}))
"""


@pytest.mark.slow
class TestAlone:
    def test_a_lone_notebook_and_a_wheel(self, colab, wheel, tmp_path, source):
        """Lesson 00, every cell: only what is missing arrives, and a second run of the set-up cell does nothing."""
        shutil.copy(wheel, tmp_path)
        (tmp_path / "links").mkdir()
        for name in MISSING:
            a_wheel(name, tmp_path / "links")
        before = json.loads(run_cell(colab, tmp_path, VERSIONS).stdout)
        assert {"torch", "numpy", "ipywidgets", "monai"} <= set(before) and not {"advconf-lite", *MISSING} & set(before)
        code = [c for c in jupytext.read(ROOT / "notebooks" / "00_start_here.py").cells if c.cell_type == "code"]
        smaller = [c.source + "\nprofile = 'smoke'" * ("parameters" in c.metadata.get("tags", [])) for c in code]
        lesson = "\n".join([source, *smaller])
        done = run_cell(colab, tmp_path, lesson, PIP_FIND_LINKS=str(tmp_path / "links"))
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.startswith("installed: ") and "Not shipped (this installation has no trained" in done.stdout
        assert all(words in done.stdout for words in ("Figure 5.", "who draws lots", "The paper, beside it", "ready: "))
        assert all(f"{name} {metadata.version(name)}" in done.stdout for name in MISSING)
        after = json.loads(run_cell(colab, tmp_path, VERSIONS).stdout)
        assert {name: after[name] for name in before} == before
        assert set(after) - set(before) == {"advconf-lite", *MISSING}
        again = run_cell(colab, tmp_path, source)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    def test_the_wheel_carries_every_lesson_the_students_too_and_the_page_for_who_teaches(self, wheel):
        folder = ROOT / "notebooks"
        wanted = [path.relative_to(folder).as_posix() for path in [*folder.rglob("*.ipynb"), folder / "TEACHING.md"]]
        names = zipfile.ZipFile(wheel).namelist()
        assert len(wanted) > 2 * len(LESSONS) - 2
        for name in wanted:
            assert sum(each.endswith(f"share/advconf-lite/notebooks/{name}") for each in names) == 1, name

    def test_what_would_move_a_package_is_refused_and_changes_nothing(self, colab, tmp_path):
        a_wheel("newcomer", tmp_path, ["harmless<2"])
        a_wheel("harmless", tmp_path, [])
        links = {"PIP_FIND_LINKS": str(tmp_path)}
        moving = "import sys, subprocess\nsubprocess.run([sys.executable, '-m', 'pip', 'install', '--dry-run', 'newcomer'])"
        assert "harmless-1.0" in run_cell(colab, tmp_path, moving, **links).stdout  # left to itself, pip would
        code = f"import sys; sys.path.append({str(ROOT)!r})\nfrom advconf_lite.course.set_up import install\n"
        before = run_cell(colab, tmp_path, VERSIONS).stdout
        done = run_cell(colab, tmp_path, code + "install(['newcomer'])", **links)
        assert "newcomer could not be installed beside what is here, and nothing was changed" in done.stderr
        assert run_cell(colab, tmp_path, VERSIONS).stdout == before

    def test_without_a_wheel_and_without_a_network_one_sentence_says_so(self, tmp_path, source):
        hidden = source.replace('find_spec("advconf_lite")', 'find_spec("advconf_lite_of_nobody")')
        done = run_cell(sys.executable, tmp_path, hidden)
        assert "ImportError: pip could not install git+https://a.invalid/b/c" in done.stderr


@pytest.mark.slow
def test_every_committed_notebook_has_the_cell():
    for name in LESSONS:
        code = [c for c in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells if c.cell_type == "code"]
        assert code[0].metadata["tags"][0] == "setup"
