"""What every lesson opens with, written by `python docs/render.py`: links, its compute card, a cell that sets the course up.

The links, and what the lesson costs (`course/card.py`), stand in a block `<!-- lesson -->` ... `<!-- end -->` below the
title; the cell is the first code cell and has the tags "setup" and "hide-input", by which a book folds it. It is the same
in every lesson, and no lesson writes any of this by hand. The address of the repository is in [project.urls] of
pyproject.toml and nowhere else.

Links are text and not badges: a badge is an image from another host, which a page without a network shows as broken, and
which tells that host who reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

ADDRESS = re.compile(r'^Repository = "(?P<address>https://[^"\s]+?)/?"', flags=re.M)
TITLE = re.compile(r"^# # .+\n", flags=re.M)
BLOCK = re.compile(r"^# <!-- lesson -->\n(?:#.*\n)*?# <!-- end -->\n(?:#\n)?", flags=re.M)
CELL = re.compile(r'^# %% tags=\["setup"[^\n]*\n.*?(?=^# %%)', flags=re.S | re.M)
CODE = re.compile(r"^# %%(?! \[markdown\])", flags=re.M)
BRANCH = "main"

SET_UP = """\
# %% tags=["setup", "hide-input"]
# Where the course is installed, this cell does nothing. Elsewhere (Colab, Kaggle, a lone notebook) it
# installs the course and what that lacks; no package that is there already gets another version.
import importlib.util
import site
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("advconf_lite") is None:
    clones = [f for f in Path.cwd().parents if (f / "advconf_lite" / "course").is_dir()]
    wheels = sorted(Path.cwd().glob("advconf_lite-*.whl"))
    online = ["git+ADDRESS"]
    source = ["-e", clones[0]] if clones else wheels[-1:] or online
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *source]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise ImportError(f"pip could not install {source[-1]}: {done.stderr.strip()[-300:]}")
    site.main()  # see what has been installed since this kernel was started
    importlib.invalidate_caches()
    importlib.import_module("advconf_lite.course.set_up").install_missing()

"""


def address(root: Path) -> str:
    """The repository's, from pyproject.toml.

    Raises:
        ValueError: it has none.
    """
    found = ADDRESS.search((root / "pyproject.toml").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError('pyproject.toml has no line Repository = "https://..." below [project.urls]')
    return found["address"]


def with_opening(text: str, name: str, names: Sequence[str], repository: str, card: Sequence[str] = ()) -> str:
    """A lesson's percent source with its block and its cell; what is there of them is replaced, wherever it stands.

    Args:
        name: of the lesson, without ending; one of `names`, which are all lessons in order.
        card: lines of its compute card.

    Raises:
        ValueError: the lesson has no title, or no code.
    """
    text = CELL.sub("", BLOCK.sub("", text))
    title, code = TITLE.search(text), CODE.search(text)
    if title is None or code is None:
        raise ValueError(f"{name} has no {'code' if title else 'title'}")
    between = re.sub(r"\A(?:#\n)+", "", text[title.end() : code.start()])
    between = "#\n" + between if re.match(r"# (?!%%)", between) else between
    opened = text[: title.end()] + "#\n" + _block(name, names, repository, card) + between
    return opened + SET_UP.replace("ADDRESS", repository) + text[code.start() :]


def _block(name: str, names: Sequence[str], repository: str, card: Sequence[str]) -> str:
    place = list(names).index(name)
    near = [("Previous", place - 1)] if place else []
    near += [("Next", place + 1)] if place + 1 < len(names) else []
    here = f"{repository}/blob/{BRANCH}/notebooks/{name}.ipynb"
    links = {
        "Open in Colab": f"https://colab.research.google.com/github/{_path(repository)}/blob/{BRANCH}/notebooks/{name}.ipynb",
        "Open in Kaggle": f"https://www.kaggle.com/kernels/welcome?src={here}",
        "Read on GitHub": here,
    }
    lines = [
        "<!-- lesson -->",
        " · ".join(f"[{text}]" for text in links),
        "",
        *" ·\n".join(f"{word}: [{names[n].replace('_', ' ')}]({names[n]}.ipynb)" for word, n in near).split("\n"),
        "",
        *(line for line in (*card, "") if card),
        *(f"[{text}]: {target}" for text, target in links.items()),
        "<!-- end -->",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _path(repository: str) -> str:
    """OWNER/NAME of an address."""
    return "/".join(repository.split("/")[3:])
