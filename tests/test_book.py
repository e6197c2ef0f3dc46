"""The rendered course: every page is there, formulas are drawn, pictures have words, nothing is fetched from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", "docs/book"]
    done = subprocess.run([*command, "-d", folder / "trees", ".", folder / "html"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # a link that leads nowhere is an error
    return folder / "html"


def pages(book):
    return {path.relative_to(book).as_posix(): path.read_text(encoding="utf-8") for path in book.rglob("*.html")}


def test_every_lesson_and_page_is_in_it_and_in_its_contents(book):
    found = pages(book)
    front = found["README.html"]
    for name in [*(f"notebooks/{lesson}" for lesson in LESSONS), "docs/commands", "docs/data", "docs/results/phantom"]:
        assert f"{name}.html" in found and f'href="{name}.html"' in front
    assert "README.html" in found["index.html"]


def test_nothing_is_fetched_from_elsewhere(book):
    """Links may lead out; what a page loads by itself may not."""
    loads = re.compile(r"""<(?:script|img|iframe|source|video)\b[^>]*?\ssrc=["']([^"']+)|<link\b[^>]*?href=["']([^"']+)""")
    for name, text in pages(book).items():
        for source in (a or b for a, b in loads.findall(text)):
            assert not re.match(r"(https?:)?//", source), f"{name} loads {source}"
    for sheet in book.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8", errors="replace")), sheet


def test_formulas_are_drawn_and_can_be_read_aloud(book):
    text = (book / "notebooks" / "04_evaluation_across_scanners.html").read_text(encoding="utf-8")
    drawn = re.findall(r'<math alttext="([^"]+)"', text)
    assert any("AURC" in formula for formula in drawn)
    prose = re.sub(r"<(script|style|pre|math)\b.*?</\1>", "", text, flags=re.S)
    assert not re.search(r"\\(frac|sum|mathrm|hat)\b", prose)


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_picture_has_words(book, lesson):
    text = (book / "notebooks" / f"{lesson}.html").read_text(encoding="utf-8")
    for picture in re.findall(r"<img\b[^>]*>", text):
        words = re.search(r'alt="([^"]*)"', picture)
        assert words and len(words[1]) > 20 and "No description" not in words[1] and "_images" not in words[1], picture[:300]


def test_it_can_be_searched_without_a_server(book):
    index = (book / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(") and "agreement" in index and "notebooks/05_score_agreement" in index
