"""The rendered course: every page is there, formulas are drawn, pictures have words, nothing is fetched from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import browser
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


def test_a_table_that_a_lesson_writes_is_a_table(book):
    """Lesson 06 makes Markdown of its methods, twice."""
    text = (book / "notebooks" / "06_ablations_and_controls.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr[^>]*>\s*<td><p><code[^>]*>.*?<span class=\"pre\">([\w.-]+)</span>", text)
    assert {"plain-2b", "replay", "segmenter-attack", "finetuned"} <= set(rows)


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


# ---- in a real browser, from the disk ---------------------------------------------------------------------------------

SCREEN, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# How far a page can be pushed to the side, and its pictures that stick out or are not drawn.
LAID_OUT = """async () => {
    const wide = document.documentElement.clientWidth, pictures = [...document.querySelectorAll('article img')];
    for (const picture of pictures) await picture.decode().catch(() => null);
    const wrong = pictures.filter(picture => {
        const {left, right} = picture.getBoundingClientRect();
        return !picture.naturalWidth || left < 0 || right > wide;
    });
    return [document.documentElement.scrollWidth - wide, pictures.length, wrong.map(picture => picture.alt)];
}"""
COLOURS = """() => [[document.body, "backgroundColor"], [document.querySelector("article p"), "color"]].map(
    ([element, name]) => getComputedStyle(element)[name])"""


@pytest.fixture
def reader(chromium, book):
    """A page of the book, without a server; in the end it must not have complained, or asked another machine."""
    watched = browser.Watched(chromium, (book.as_uri(),))
    watched.page.set_viewport_size(SCREEN)
    yield watched.page
    watched.context.close()
    watched.is_quiet()


def lightness(colour):
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


@pytest.mark.slow
def test_every_page_fits_a_screen_and_a_phone(book, reader):
    seen = 0
    for name in sorted(pages(book).keys() - {"index.html"}):
        reader.goto(f"{book.as_uri()}/{name}")
        for size in (SCREEN, PHONE):
            reader.set_viewport_size(size)
            aside, pictures, wrong = reader.evaluate(LAID_OUT)
            assert (aside, wrong) == (0, []), f"{name}, {size['width']} pixels wide"
            seen += pictures
    assert seen > 2 * 4 * len(LESSONS)


@pytest.mark.slow
def test_a_word_is_searched_and_its_page_opened(book, reader):
    reader.goto(f"{book.as_uri()}/README.html")
    reader.locator("input.sidebar-search:visible").fill("eAURC")
    reader.keyboard.press("Enter")
    found = reader.locator("#search-results li a")
    found.first.wait_for()
    assert any("04_evaluation" in link.get_attribute("href") for link in found.all())
    found.first.click()
    reader.wait_for_function("() => document.querySelector('article')?.innerText.includes('eAURC')")


@pytest.mark.slow
def test_dark_mode_is_dark_and_stays(book, reader):
    reader.goto(f"{book.as_uri()}/notebooks/00_start_here.html")
    light, ink = map(lightness, reader.evaluate(COLOURS))
    reader.locator("button.theme-toggle:visible").first.click()
    for _ in range(2):
        dark, chalk = map(lightness, reader.evaluate(COLOURS))
        assert light > 200 > 100 > ink and dark < 60 < 150 < chalk
        reader.goto(f"{book.as_uri()}/notebooks/02_pretraining.html")


@pytest.mark.slow
def test_keys_lead_to_search_links_and_the_next_lesson(book, reader):
    reader.goto(f"{book.as_uri()}/notebooks/{LESSONS[0]}.html")
    reached = set()
    for _ in range(80):
        reader.keyboard.press("Tab")
        reached.add(reader.evaluate("() => document.activeElement.href ?? document.activeElement.name"))
    assert "q" in reached  # the box of the search
    assert sum(str(each).split("#")[0].endswith(f"{lesson}.html") for each in reached for lesson in LESSONS) >= 5
    reader.evaluate("() => document.activeElement.blur()")
    reader.keyboard.press("ArrowRight")
    reader.wait_for_url(f"**/{LESSONS[1]}.html")
