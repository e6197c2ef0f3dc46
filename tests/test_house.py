"""The plan of the house: imports point down, nobody hides one, and a page stays a page."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("advconf_lite", "data_download")
PAPER = "the paper's files"  # the modules at the top of advconf_lite

# Who may import whom, beside its own wing: each wing only what stands below it.
BELOW = {
    "support": set(),
    "data": {"support"},
    "phantom": {"data", "support"},
    PAPER: {"support"},
    "evaluation": {PAPER, "support"},  # of the paper's files only what needs no network: see the test
    "figures": {PAPER, "evaluation", "phantom", "support"},
    "methods": {PAPER, "phantom", "support"},
    "experiment": {PAPER, "methods", "evaluation", "phantom", "data", "support"},
    "course": {PAPER, "experiment", "methods", "evaluation", "figures", "phantom", "data", "support"},
}


@cache
def modules(root: Path = ROOT) -> dict[str, Path]:
    """Dotted name -> file of every module of the project, packages by their own name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path], at_import_only: bool = False) -> set[str]:
    """Every module that a file imports, wherever the statement stands: at the top, in a function, under a condition."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if at_import_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import; write it from the top"
            found |= {f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in known else node.module for a in node.names}
    return found


@cache
def graph(at_import_only: bool = False, root: Path = ROOT) -> dict[str, set[str]]:
    """Module -> the project's modules that it imports."""
    known = modules(root)
    return {name: imports(path, known, at_import_only) & known.keys() - {name} for name, path in known.items()}


def longest_chain(edges: dict[str, set[str]]) -> list[str]:
    """The longest path of imports; AssertionError with the circle if there is one."""
    chains: dict[str, list[str]] = {}

    def walk(name: str, above: tuple[str, ...]) -> list[str]:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name not in chains:
            below = [walk(other, (*above, name)) for other in sorted(edges[name])]
            chains[name] = [name, *max(below, key=len, default=[])]
        return chains[name]

    return max((walk(name, ()) for name in sorted(edges)), key=len)


def wing(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or (ROOT / "advconf_lite" / parts[-1]).is_dir() else PAPER


def test_no_circle_and_no_long_way_down():
    assert len(longest_chain(graph())) <= 13


def test_a_circle_is_found_wherever_it_hides(tmp_path):
    for package in PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "advconf_lite" / "a.py").write_text("def f():\n    from advconf_lite.b import g\n")
    (tmp_path / "advconf_lite" / "b.py").write_text("if True:\n    from advconf_lite import a\n")
    with pytest.raises(AssertionError, match="advconf_lite.a -> advconf_lite.b -> advconf_lite.a"):
        longest_chain(graph(root=tmp_path))


def test_imports_point_down():
    wrong = []
    for module, others in graph().items():
        if module in ("advconf_lite", "advconf_lite.__main__") or not module.startswith("advconf_lite."):
            continue
        for other in others - {"advconf_lite"}:
            if wing(other) not in BELOW[wing(module)] | {wing(module)}:
                wrong.append(f"{module} ({wing(module)}) imports {other} ({wing(other)})")
    assert not wrong, "\n".join(sorted(wrong))


def test_every_wing_is_known():
    wings = {path.name for path in (ROOT / "advconf_lite").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert wings == BELOW.keys() - {PAPER}


def test_nothing_is_imported_for_type_checkers_alone():
    files = [path for path in modules().values() if "TYPE_CHECKING" in path.read_text(encoding="utf-8")]
    assert not files


def reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    found, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += edges[name]
    return found


@pytest.mark.parametrize(
    "module", [m for m in modules() if m.startswith("advconf_lite.evaluation")] + ["advconf_lite.metrics"]
)
def test_evaluation_knows_no_network(module):
    known = modules()
    for name in reached(module, graph(at_import_only=True)):
        heavy = {found.split(".")[0] for found in imports(known[name], known)} & {"torch", "monai"}
        assert not heavy, f"{module} reaches {name}, which imports {heavy}"


def test_the_page_that_is_laid_beside_the_paper():
    lines = (ROOT / "advconf_lite" / "adversarial.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120


def test_the_pages_lines_stand_in_the_listing_of_the_documentation():
    code = (ROOT / "advconf_lite" / "adversarial.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page[page.index("## Algorithm 1, beside the paper") : page.index("## How do I add a method?")]
    rows = re.findall(r"^\| ([\d, ]+) \| .* \| `(.*)` \|$", table, flags=re.M)
    assert f"has {len(code.splitlines())} lines" in table
    assert {int(line) for lines, _ in rows for line in lines.split(",")} >= {5, 6, 7, 8, 9, 12, 13, 15, 16, 19, 20, 21, 23}
    places = [code.index(snippet) for _, snippet in rows]  # each is there
    of_step = [place for place, (line, _) in zip(places, rows) if line not in ("5", "6", "7", "8")]
    assert of_step == sorted(of_step)  # and in the order of the file


def test_the_core_is_small_and_files_are_pages():
    top = sorted((ROOT / "advconf_lite").glob("[!_]*.py"))
    sizes = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in top}
    assert len(top) <= 12 and sum(sizes.values()) <= 2200, sizes
    long = {name: n for name, path in modules().items() if (n := len(path.read_text(encoding="utf-8").splitlines())) > 350}
    assert not long


def test_core_files_need_nothing_of_a_course():
    """What `import advconf_lite` promises: the paper's files run with the core's dependencies alone."""
    extras = {"papermill", "jupytext", "IPython", "ipywidgets", "nbformat", "nbconvert", "SimpleITK", "nibabel", "requests"}
    known = modules()
    for name in (
        module for module in known if module.startswith("advconf_lite.") and wing(module) in (PAPER, "data", "methods")
    ):
        assert not {found.split(".")[0] for found in imports(known[name], known)} & extras, name
