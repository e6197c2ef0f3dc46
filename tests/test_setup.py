"""One list of requirements, told three times: pyproject.toml, constraints.txt, environment.yml."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def pyproject_lists():
    """name of the list ("core" or an extra) -> requirements; read as text, for Python 3.10 has no tomllib."""
    text = (ROOT / "pyproject.toml").read_text()
    core = re.search(r"^dependencies = (\[.*?^\])", text, flags=re.S | re.M)[1]
    extras = re.search(r"^\[project.optional-dependencies\]$(.*?)^\[tool", text, flags=re.S | re.M)[1]
    blocks = {"core": core} | dict(re.findall(r"^(\w+) = (\[.*?^\])", extras, flags=re.S | re.M))
    return {name: [Requirement(item) for item in re.findall(r'"([^"]+)"', block)] for name, block in blocks.items()}


def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def constraints(python):
    """name -> pinned version for one Python version."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pins = {}
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            assert requirement.name not in pins, f"{requirement.name} is pinned twice for Python {python}"
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            pins[requirement.name] = pin.version
    return pins


def test_environment_yml_and_pyproject_ask_for_the_same():
    lists = pyproject_lists()
    assert (
        list(lists) == ["core", "data", "lab", "book", "workflow", "test"]
        and len(lists["core"]) >= 9
        and len(lists["test"]) >= 3
    )
    pip = next(item["pip"] for item in environment()["dependencies"] if isinstance(item, dict))
    conda = [line for line in pip if not line.startswith("-")]
    lists.pop("workflow")  # who runs the grid on a cluster installs it there
    assert sorted(conda) == sorted(str(requirement) for requirement in sum(lists.values(), []))
    assert "-e ." in pip and "-c constraints.txt" in pip


def test_environment_yml_and_pyproject_ask_for_the_same_python():
    text = (ROOT / "pyproject.toml").read_text()
    tested = re.findall(r"Programming Language :: Python :: (3\.\d+)", text)
    assert tuple(tested) == PYTHONS and 'requires-python = ">=3.10"' in text
    assert environment()["dependencies"][0] == "python>=3.10,<3.14"
    assert "(3, 10) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "Makefile").read_text()


def test_every_dependency_says_who_uses_it():
    for line in (ROOT / "environment.yml").read_text().splitlines():
        if re.match(r"\s+- [a-z]\S*>=", line) and "python>=" not in line:
            assert re.search(r"# \w", line), line


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_satisfy_the_lower_bounds(python):
    pins = constraints(python)
    asked = [
        each
        for each in sum(pyproject_lists().values(), [])
        if not each.marker or each.marker.evaluate({"python_version": python})
    ]
    for requirement in asked:
        assert requirement.name in pins, f"{requirement.name} has no tested version"
        assert requirement.specifier.contains(pins[requirement.name]), requirement
    assert pins["torch"] == "2.13.0"  # a local suffix such as +cpu would exclude all other builds


def test_markers_leave_no_python_out():
    later = {requirement.name for requirement in pyproject_lists()["workflow"]}  # which Python 3.10 does without
    assert len({frozenset(constraints(python).keys() - later) for python in PYTHONS}) == 1


@pytest.mark.parametrize("python", PYTHONS)
def test_pinned_releases_install_on_every_python(python):
    """By the metadata of those installed here; a pin of another Python's is known to its own environment alone."""
    looked_at, later = 0, {requirement.name for requirement in pyproject_lists()["workflow"]}
    for name, version in constraints(python).items():
        if name in later and find_spec("snakemake") is None:
            continue
        installed = distribution(name)
        if installed.version.split("+")[0] == version:
            assert python in SpecifierSet(installed.metadata.get("Requires-Python") or ""), f"{name} {version}"
            looked_at += 1
    assert looked_at >= 10


def third_party(paths):
    """Top-level modules, neither Python's nor ours, that these files import anywhere."""
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"advconf_lite", "data_download"}


def test_the_core_imports_only_what_the_core_asks_for_and_each_extra_its_own():
    names = {key: {canonicalize_name(r.name) for r in requirements} for key, requirements in pyproject_lists().items()}
    course = ROOT / "advconf_lite" / "course"
    of_lab = [course / f"{name}.py" for name in ("notebooks", "report", "check", "stubs", "card", "cards", "slides")]
    of_book = [course / "deck.py"]  # which the command slides needs beside the lessons' extra
    core = [path for path in (ROOT / "advconf_lite").rglob("*.py") if path not in of_lab + of_book]
    used = {canonicalize_name(name) for name in third_party(core)}
    # matplotlib brings Pillow and contourpy. IPython is running where it shows figures; `explore` does without ipywidgets.
    assert {"torch", "monai", "safetensors"} <= used <= names["core"] | {"pil", "contourpy", "ipython", "ipywidgets"}
    assert {canonicalize_name(name) for name in third_party(of_lab)} <= names["core"] | names["lab"]
    assert {canonicalize_name(name) for name in third_party(of_book)} <= names["lab"] | names["book"]
    data = {canonicalize_name(name) for name in third_party((ROOT / "data_download").rglob("*.py"))}
    assert names["data"] <= data <= names["core"] | names["data"]


def test_the_wheel_carries_the_lessons():
    text = (ROOT / "pyproject.toml").read_text()
    assert '"share/advconf-lite/notebooks" = ["notebooks/*.ipynb"' in text


def targets():
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))


def make_commands(page):
    """Goals after `make` in the code of a page."""
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", (ROOT / page).read_text(), flags=re.S))
    return set(re.findall(r"\bmake ([a-z]+)\b", code))


def test_pages_and_makefile_name_the_same_commands():
    assert "tutorial" in make_commands("README.md") <= targets(), "the README does not say how to start"
    assert make_commands("docs/commands.md") == targets()


def test_every_target_is_explained_at_the_top_of_the_makefile():
    top = (ROOT / "Makefile").read_text().split("\n\n")[0]
    assert targets() == set(re.findall(r"^# make ([a-z]+)", top, flags=re.M)) >= {"tutorial", "test", "notebooks"}


def make(folder, *arguments, **environment):
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.fixture
def clone(tmp_path):
    """The files that make looks at, and an installation that is already there."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed").write_text("")
    return tmp_path


def test_running_again_does_not_install_again_until_requirements_change(clone):
    os.utime(clone / "pyproject.toml", (1, 1))
    os.utime(clone / "constraints.txt", (1, 1))
    again = make(clone, "--dry-run", "tutorial").stdout
    assert "pip install" not in again and "-m advconf_lite run" in again
    (clone / "constraints.txt").write_text("torch==0\n")
    os.utime(clone / ".venv" / "installed", (1, 1))
    assert "pip install" in make(clone, "--dry-run", "tutorial").stdout


@pytest.mark.parametrize(
    ("given", "index"),
    [("", None), ("cpu", "https://download.pytorch.org/whl/cpu"), ("https://a.b/c", "https://a.b/c")],
)
def test_torch_index(clone, given, index):
    (clone / ".venv" / "installed").unlink()
    for target, extras in (("tutorial", ["data,lab,book,test"]), ("test", ["data,lab,book,test", "workflow"])):
        said = make(clone, "--dry-run", target, f"TORCH_INDEX={given}").stdout.splitlines()
        lines = [line.strip() for line in said if "pip install" in line]
        assert [re.search(r"\[(.*?)\]", line)[1] for line in lines] == extras
        for line in lines:
            assert line.endswith(f"--extra-index-url {index}" if index else "-c constraints.txt")


def a_python(folder, body):
    path = folder / "old-python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_an_old_python_is_told_so_in_one_line(clone):
    (clone / ".venv" / "installed").unlink()
    done = make(clone, "tutorial", a_python(clone, "exit 1"))
    assert done.returncode != 0 and not (clone / ".venv" / "bin").exists()
    assert "Python 3.10 to 3.13 is needed" in done.stdout and "make tutorial PYTHON=" in done.stdout


def test_a_python_without_venv_is_told_so_in_one_line(clone):
    (clone / ".venv" / "installed").unlink()
    body = f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    done = make(clone, "tutorial", a_python(clone, body))
    assert done.returncode != 0 and "lacks its venv module" in done.stdout


def test_ci_calls_make_test_and_can_be_executed():
    path = ROOT / ".ci" / "run"
    assert os.access(path, os.X_OK) and path.read_text().strip().endswith("make --no-print-directory test")


def test_licences():
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "creativecommons.org/licenses/by/4.0" in (ROOT / "notebooks" / "LICENSE").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == "Apache-2.0" and citation["preferred-citation"]["year"] == 2025
