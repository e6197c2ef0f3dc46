"""The slides: each lesson has a deck, which loads nothing, whose pictures have words, and whose code can be read."""

import html
import re

import nbformat
import pytest

from advconf_lite.course.deck import deck, to_html
from advconf_lite.course.notebooks import lesson, lessons
from advconf_lite.course.slides import LETTERS, LINES, slides_of


@pytest.fixture(scope="module")
def decks():
    made = {name: slides_of(nbformat.read(lesson(name), as_version=4)) for name in lessons()}
    return {name: (slides, deck(slides)) for name, slides in made.items()}


def stored_figures(name):
    """Alternative texts of the figures that a lesson's outputs hold."""
    outputs = [output for cell in nbformat.read(lesson(name), as_version=4).cells for output in cell.get("outputs", ())]
    pages = [output["data"].get("text/html", "") for output in outputs if "data" in output]
    return [
        html.unescape(alt) for page in pages for alt in re.findall(r'<figure.*?<img[^>]* alt="([^"]*)"', page, flags=re.S)
    ]


@pytest.mark.parametrize("name", lessons())
def test_a_deck_has_question_figures_and_summary(decks, name):
    slides, _ = decks[name]
    assert slides[0].kind == "title" and "**The question" in slides[0].text and slides[0].heading.startswith(name[:2])
    assert slides[1].heading == "After this lesson you can" and slides[1].text
    assert [slide.picture.alt for slide in slides if slide.picture] == stored_figures(name)
    assert slides[-1].heading == "Summary" and slides[-1].text.startswith("* ")


@pytest.mark.parametrize("name", lessons())
def test_a_deck_stands_alone_and_each_picture_has_words(decks, name):
    page = decks[name][1]
    for tag in re.findall(r"<(?:img|script|link|iframe|source|video|object)\b[^>]*>", page):
        sources = re.findall(r'(?:src|href)="?([^">\s]*)', tag)
        assert all(source.startswith("data:image/png;base64,") for source in sources), tag[:200]
    assert not re.search(r"url\(|@import|<link", page)
    pictures = re.findall(r"<img\b[^>]*>", page)
    for picture in pictures:
        assert len(re.search(r' alt="([^"]*)"', picture)[1]) > 20, picture[-200:]
    assert all(target.startswith("https://") for target in re.findall(r'<a\b[^>]*href="([^"]*)"', page))


@pytest.mark.parametrize("name", lessons())
def test_its_text_is_drawn_and_its_code_is_short(decks, name):
    slides, page = decks[name]
    text = re.sub(r"<(style|script|math|pre|code)\b.*?</\1>|<[^>]*>", " ", page, flags=re.S)
    assert not re.search(r"\*\*|\$|\\[a-z]+|<!--|FORMULA|\bBEGIN SOLUTION", text), re.search(
        r".{40}(\*\*|\$|\\[a-z]).{40}", text
    )
    for slide in slides:
        assert len(slide.code.splitlines()) <= LINES and len(slide.text) <= LETTERS, slide
    assert "SOLUTION" not in page


def notebook(*cells, outputs=()):
    made = []
    for number, (kind, source) in enumerate(cells):
        tags = {"tags": ["exercise"]} if "SOLUTION" in source else {}
        cell = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        made.append(cell(source, metadata=tags))
        if number == len(cells) - 1 and outputs:
            made[-1].outputs = list(outputs)
    return nbformat.v4.new_notebook(cells=made)


OPENING = ("text", "# 07 · T\n\n<!-- lesson -->\n[x](y)\n<!-- end -->\n\n**The question.** Why?\n\n* see")


@pytest.mark.parametrize(
    ("cells", "kinds"),
    [
        ([("text", "## A\n\nProse alone is no slide.")], []),
        ([("text", "## A\n\nSo:\n\n$$a = b$$\n\nProse.")], [("A", "text")]),
        ([("text", "## A\n\nProse. **Guess first:** how many?")], [("A", "ask")]),
        ([("code", 'choose("low_loss")'), ("code", 'choose("low_loss", "c")')], [("07 · T", "ask")]),
        ([("text", "## Summary\n\n* One.\n* Two.\n\n**Next:** [08](08.ipynb)")], [("Summary", "text")]),
        ([("code", "show(figure)")], []),
    ],
)
def test_what_becomes_a_slide(cells, kinds):
    slides = slides_of(notebook(OPENING, *cells))
    assert [(slide.heading, slide.kind) for slide in slides[2:]] == kinds


def test_a_stub_is_shown_if_it_is_a_function_that_fits():
    def slide(lines):
        body = "".join(f"    n += {k}\n" for k in range(lines))
        code = f"def caught(picks, dice):\n{body}    ### BEGIN SOLUTION\n    return 3\n    ### END SOLUTION"
        asked = ("text", "**Exercise.** Count.")
        return slides_of(notebook(OPENING, asked, ("code", code), ("code", 'check("caught", caught)')))[-1]

    assert slide(3).code.startswith("def caught(picks, dice):\n    n += 0") and "return 3" not in slide(3).code
    assert slide(LINES).code == "" and len(slide(LINES).text) > len("**Exercise.** Count.")


def test_the_words_of_the_verdict_are_a_list():
    said = nbformat.v4.new_output("stream", name="stdout", text="One sentence\n  that goes on.\nAnother one.\n")
    slides = slides_of(notebook(OPENING, ("code", "verdict(run)"), outputs=[said]))
    assert slides[-1].text == "* One sentence that goes on.\n* Another one."


@pytest.mark.parametrize(
    ("markdown", "made"),
    [
        ("[a page](../docs/a.md) and [one](https://a.example)", r'a page and <a href="https://a.example">one</a>'),
        ("$x_1$ and `$HOME`", r'<math alttext="x_1".*</math> and <code>\$HOME</code>'),
        ("a < b & c", r"a &lt; b &amp; c"),
    ],
)
def test_markdown_of_a_slide(markdown, made):
    assert re.search(made, to_html(markdown), flags=re.S)
