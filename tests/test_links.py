"""What the pages name exists: links and anchors, paths, commands and their options."""

import contextlib
import importlib.util
import io
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from pages import ROOT, docs

import advconf_lite
from advconf_lite.__main__ import COMMANDS

PLACEHOLDER = re.compile(r"\b(NAME|NN_name|FOLDER|DIR|FILE|SPEC)\b")
MADE = {"runs", "data", "build"}  # folders of a clone that commands fill
ELSEWHERE = {"pip", "venv", "jupytext", "pytest", "snakemake"}  # modules that are not ours
PAGES = list(docs.pages(ROOT))


def slug(heading):
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    return {slug(re.sub(r"[`*]", "", heading)) for heading in re.findall(r"^#+ (.+)$", text, flags=re.M)}


def lines_of(page):
    """The page without the code of a lesson, fences kept."""
    if not page.path.endswith(".py"):
        return page.text
    cells = re.findall(r"^# %% \[markdown\]\n((?:#.*\n?)*)", page.text, flags=re.M)
    return re.sub(r"^# ?", "", "\n".join(cells), flags=re.M)


def spans(page):
    """Inline code, a wrapped one as one line."""
    text = re.sub(r"^```.*?^```", "", lines_of(page), flags=re.S | re.M)
    return [" ".join(span.split()) for span in re.findall(r"(?<!`)`(?!`)((?:[^`\n]|\n(?!\s*\n))+)`", text)]


def commands(page):
    """What a reader would type: each line of the fences, and inline code."""
    fences = re.findall(r"^```(?:bash|powershell)\n(.*?)^```", lines_of(page), flags=re.S | re.M)
    lines = "\n".join(fences).replace("\\\n", " ").splitlines()
    for line in [*lines, *spans(page)]:
        for command in re.split(r"&&|;|\|", re.sub(r'"[^"]*"', "TEXT", line)):
            yield from re.findall(r"(?:python3? -m|python3? (?=benchmarks/|docs/)|make )[^#\n]*", command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_links_lead_somewhere(page):
    folder = (ROOT / page.path).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", lines_of(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else ROOT / page.path
        assert file.exists(), f"{page.path} links {target}, which does not exist"
        assert not anchor or anchor in headings(file), f"{page.path} links {target}, but there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_paths_exist(page):
    tops = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir() and path.name not in MADE)
    for span in spans(page):
        for path in re.findall(rf"(?<![\w/.])(?:{tops})/[\w./*-]*", span):
            if not PLACEHOLDER.search(path):
                assert list(ROOT.glob(path.rstrip("/."))), f"{page.path} names {path}, which does not exist"


@cache
def help_text(module, *verbs):
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(out):
        try:
            code = import_module(f"{module}.__main__").main([*verbs, "--help"])
        except SystemExit as stopped:
            code = stopped.code
    assert not code, f"python -m {module} {' '.join(verbs)} does not exist"
    out.flush()
    return out.buffer.getvalue().decode()


def known_options(words):
    """The text in which a command's options must occur; None if the command is not ours."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M)
        goals = [word for word in words[1:] if "=" not in word]
        assert set(goals) <= set(targets), f"make has no {goals}"
        return (ROOT / "Makefile").read_text()
    if words[1] != "-m":
        assert (ROOT / words[1]).is_file(), f"{words[1]} does not exist"
        return (ROOT / words[1]).read_text(encoding="utf-8")
    module, *rest = words[2:]
    if module in ELSEWHERE:
        return None
    if "." in module:
        return Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
    verbs = [word for word in rest[:1] if not word.startswith("-")]
    if verbs == ["prepare"] and len(rest) > 1 and re.fullmatch(r"[a-z]\w+", rest[1]):
        verbs.append(rest[1])
    return help_text(module, *verbs)


def in_text(option, text):
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text)


def made_by():
    """The commands of results/provenance.csv, as a page."""
    made = [row["command"] for row in docs.Results(ROOT / "results").files["provenance.csv"]]
    return docs.Page("results/provenance.csv", "\n".join(f"```bash\n{command}\n```" for command in made))


@pytest.mark.parametrize("page", [*PAGES, made_by()], ids=lambda page: page.path)
def test_commands_and_their_options_exist(page):
    for command in commands(page):
        words = command.split()
        known = known_options(words)
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert known is None or in_text(option, known), f"{page.path}: {command!r}: there is no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_options_that_stand_alone_exist(page):
    named = {option for span in spans(page) if span.startswith("--") for option in re.findall(r"(?<!\S)--[a-z-]+", span)}
    if not named:
        return
    helps = [help_text("advconf_lite", verb) for verb in COMMANDS]
    helps += [help_text("data_download", verb) for verb in ("fetch", "verify")]
    helps += [help_text("data_download", "prepare", name) for name in ("acdc", "pmri", "nifti")]
    helps += [path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py")]
    for option in named:
        assert any(in_text(option, text) for text in helps), f"{page.path} names {option}, which no command has"


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("[gone](docs/gone.md)", test_links_lead_somewhere),
        ("[gone](docs/results/phantom.md#gone)", test_links_lead_somewhere),
        ("`advconf_lite/gone.py`", test_paths_exist),
        ("`python -m advconf_lite gone`", test_commands_and_their_options_exist),
        ("`python -m advconf_lite run --gone`", test_commands_and_their_options_exist),
        (
            "```bash\npython -m data_download prepare acdc --source DIR \\\n  --gone 1\n```",
            test_commands_and_their_options_exist,
        ),
        ("`python -m data_download prepare gone`", test_commands_and_their_options_exist),
        ("`python benchmarks/gone.py`", test_commands_and_their_options_exist),
        ("`python benchmarks/table1.py --gone`", test_commands_and_their_options_exist),
        ("```bash\nmake gone\n```", test_commands_and_their_options_exist),
        ("`--gone`", test_options_that_stand_alone_exist),
    ],
)
def test_what_is_gone_is_noticed(text, check):
    with pytest.raises((AssertionError, ModuleNotFoundError), match="gone"):
        check(docs.Page("README.md", text))


def test_the_five_lines_are_those_of_the_package():
    """README's and the package's own, word for word; every name in them is public."""
    (shown,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S | re.M)
    assert shown.strip() in advconf_lite.__doc__
    imported = re.search(r"^from advconf_lite import (.+)$", shown, flags=re.M)[1].split(", ")
    assert set(imported) <= set(advconf_lite.__all__)
