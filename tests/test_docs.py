"""The pages say what results/ holds: a wrong digit in a csv, a page, a lesson or README fails with its place."""

import csv
import re
import shutil
from pathlib import Path

import pytest
from pages import ROOT, docs


@pytest.fixture
def copy(tmp_path):
    """README, pages, results and lessons, to be spoilt."""
    for folder in ("docs", "results", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.png", "__pycache__"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


BEFORE = docs.render(ROOT, write=False)


def noticed(root):
    """What is wrong with a copy and not with this checkout."""
    return [problem for problem in docs.render(root, write=False) if problem not in BEFORE]


def spoil(path, pattern):
    """Change the last digit of the first match's group `digits`; returns its line."""
    text = path.read_text(encoding="utf-8")
    match = re.search(pattern, text, flags=re.M)
    assert match, f"{path.name} has no {pattern}"
    at = match.end("digits") - 1
    path.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :], encoding="utf-8")
    return text.count("\n", 0, at) + 1


# ---- numbers


def test_pages_hold_what_the_results_hold():
    assert BEFORE == []


SOURCED = r"(?P<digits>\d[\d.]*)<!--="


@pytest.mark.parametrize(
    "page",
    sorted({page.path for page in docs.pages(ROOT) if docs.SOURCED.search(page.prose)}),
)
def test_a_digit_of_the_prose_is_noticed(copy, page):
    line = spoil(copy / page, SOURCED)
    problems = noticed(copy)
    assert any(problem.startswith(f"{page}:{line}: the page says") and "results/" in problem for problem in problems), (
        problems
    )


def test_every_kind_of_page_has_sourced_numbers():
    """Else the test before would have nothing to spoil."""
    sourced = {page.path for page in docs.pages(ROOT) if docs.SOURCED.search(page.prose)}
    assert "README.md" in sourced and any(path.startswith("notebooks/") for path in sourced)
    rendered = {page.path for page in docs.pages(ROOT) if "<!-- evidence: " in page.text}  # whose sentences are computed
    assert {path.stem for path in (ROOT / "docs" / "results").glob("*.md")} == {
        Path(path).stem for path in sourced | rendered if path.startswith("docs/results/") and "/tables/" not in path
    }


def test_a_digit_of_a_notebook_is_noticed(copy):
    path = next(path for path in sorted((copy / "notebooks").glob("*.ipynb")) if "<!--=" in path.read_text(encoding="utf-8"))
    spoil(path, SOURCED)
    problems = noticed(copy)
    assert any(problem.startswith(f"notebooks/{path.name} cell ") and "the page says" in problem for problem in problems)


@pytest.mark.parametrize(
    "page",
    sorted({page.path for page in docs.pages(ROOT) for block in docs.BLOCK.finditer(page.text) if block[1] == "table"}),
)
def test_a_digit_of_a_table_is_noticed(copy, page):
    line = spoil(copy / page, r"^\|(?!-).*\d\.\d*(?P<digits>\d) ")
    (problem,) = noticed(copy)
    assert problem.startswith(f"{page}:{line}: not what results/")


def protocol_of(name):
    """Of a table of evidence, the name that all tables of its protocol begin with, which one block shows."""
    stems = [path.name.removesuffix("-differences.csv") for path in (ROOT / "results").glob("evidence-*-differences.csv")]
    return max((stem for stem in stems if name.startswith(stem)), key=len, default=None)  # also where one begins another


PAGES = [(page.path, page.text) for page in [*docs.pages(ROOT), *docs.cells(ROOT)] if page.path != docs.TEACHING]
RESULTS = docs.Results(ROOT / "results")


def disagreeing(said):
    """What the first page that disagrees with a file says of it. Pages that do not name it are not rendered: each column of
    each file is spoilt, and a whole rendering takes a second."""
    name = said.removeprefix("results/").removesuffix(".csv").removeprefix("evidence-")
    naming = sorted((page for page in PAGES if name in page[1]), key=lambda page: name not in page[0])
    for page in (docs.Page(*each) for each in naming):
        if found := [each for each in [*page.numbers(RESULTS, set()), *page.blocks(RESULTS)] if said in each]:
            return found
    return []


@pytest.mark.parametrize("name", sorted({*RESULTS.files} - {"provenance.csv"}))
def test_a_digit_of_a_csv_is_noticed(name, monkeypatch):
    """Spoilt in every column that holds numbers: somewhere a page must disagree, and say with which file."""
    rows, said, spoilt = RESULTS.files[name], f"results/{protocol_of(name) or name}", 0
    assert disagreeing(said) == []
    for column in rows[0]:
        number = next((n for n, row in enumerate(rows) if docs.NUMBER.fullmatch(row[column])), None)
        if number is None or column in docs.ABOUT:
            continue
        value = rows[number][column]
        wrong = value[:-1] + str((int(value[-1]) + 1) % 10)
        changed = [row | {column: wrong} if n == number else row for n, row in enumerate(rows)]
        monkeypatch.setitem(RESULTS.files, name, changed)
        problems = disagreeing(said)
        assert problems, f"{column}: {value} -> {wrong}"
        assert all(re.match(r"(README\.md|docs/|notebooks/)\S*( cell \d+ line \d+)?:", problem) for problem in problems)
        spoilt += 1
    assert spoilt


@pytest.mark.parametrize(
    ("page", "added", "said"),
    [
        ("README.md", "It gains 0.123 in all.", "0.123 has no source"),
        ("docs/results/phantom.md", "```\nr 0.123\n```", "0.123 has no source"),
        ("docs/results/phantom.md", "It gains 1.5e-3.", "1.5e-3 has no source"),
        ("docs/results/phantom.md", "It gains -0.041.", "-0.041 has no source"),  # right, but nothing would hold it there
        ("notebooks/00_start_here.py", "# %% [markdown]\n# It gains 0.123.", "0.123 has no source"),
        ("README.md", "It gains 0.1<!--=phantom:no/such/row:mae-->.", "must name one cell"),
        ("README.md", "It gains 0.1<!--=phantom:dice:mae-->.", "must name one cell"),
        ("README.md", "It gains 0.1<!--=nothing:dice:mae-->.", "results/nothing.csv does not exist"),
        ("README.md", "It gains much<!--=phantom:dice:mae-->.", "follows no number"),
        ("README.md", "<!-- table: phantom.csv organ=lung -->\n<!-- end -->", "has no row with"),
    ],
)
def test_a_number_needs_a_source_that_exists(copy, page, added, said):
    path = copy / page
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n{added}\n", encoding="utf-8")
    (problem,) = noticed(copy)
    assert problem.startswith(f"{page}:") and said in problem


def test_what_is_no_prose_needs_no_source(copy):
    path = copy / "README.md"
    path.write_text(path.read_text(encoding="utf-8") + "\n`0.123`\n\n```bash\nx 0.123\n```\n", encoding="utf-8")
    assert noticed(copy) == []


def test_a_number_that_no_page_shows_is_noticed(copy):
    path = copy / "results" / "single-numbers.csv"
    path.write_text(path.read_text(encoding="utf-8") + "orphan,0.5,,,,,,\n", encoding="utf-8")
    (problem,) = noticed(copy)
    assert problem.startswith("results/single-numbers.csv:") and "no page shows value = 0.5" in problem


def test_rendering_mends_pages_and_lessons(copy):
    docs.render(copy, write=True)
    before = {page.path: page.text for page in docs.pages(copy)}
    lesson = next(path for path in before if path.startswith("notebooks/") and "<!--=" in before[path])
    for page in ("README.md", "docs/results/speed.md", lesson):
        spoil(copy / page, SOURCED)
    spoil(copy / "docs" / "results" / "phantom.md", r"^\|(?!-).*\d\.\d*(?P<digits>\d) ")
    assert len(docs.render(copy, write=True)) == 4
    assert {page.path: page.text for page in docs.pages(copy)} == before
    assert docs.render(copy, write=True) == []


@pytest.mark.parametrize(
    ("value", "shown", "size", "expected"),
    [
        ("+0.0859", "0.08", False, "0.09"),
        ("-0.0110", "0.011", True, "0.011"),
        ("-0.0110", "-0.01", False, "-0.01"),
        ("+0.085", "+0.1", False, "+0.1"),
        ("0.085", "+0.0850", False, "+0.0850"),
        ("0.125", "0.12", False, "0.13"),
        ("1896.4", "1896", False, "1896"),
        ("1.8e-07", "1.8e-07", False, "1.8e-07"),
    ],
)
def test_a_number_has_the_decimals_that_the_prose_gives_it(value, shown, size, expected):
    assert docs._as_shown(value, shown, size) == expected


def test_every_result_says_how_it_was_made():
    with (ROOT / "results" / "provenance.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    named = [row["file"] for row in rows]
    files = [path.name for path in (ROOT / "results").glob("*.csv") if path.stem != "provenance"]
    assert sorted(named) == sorted({f"{stem}.csv" if (stem := protocol_of(name)) else name for name in files})
    assert all(row["command"] for row in rows)


# ---- the front door


def test_readme_is_a_front_door():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150 and len(text.encode()) <= 9500
    lessons = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert lessons == set(re.findall(r"\(notebooks/([\w]+\.ipynb)\)", text[text.index("## The lessons") :]))
    (alt,) = re.findall(r"!\[([^\]]+)\]\(docs/picture\.png\)", text)
    assert len(alt) > 80
    assert (ROOT / "docs" / "picture.png").stat().st_size < 100_000
