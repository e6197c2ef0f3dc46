"""A lesson's parameters against what it declares: a wrong name, kind or value is one sentence in its first cells.

A lesson declares them in one cell of annotated assignments; papermill writes what it is given into a cell below. papermill
itself warns of a name that the lesson does not have, where nobody looks, and then runs the lesson with the default.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from typing import Any

from advconf_lite.support.errors import BadInput

INJECTED = "# Parameters"


def refuse_unknown(lesson: str, given: Sequence[str], known: Sequence[str]) -> None:
    """BadInput for a name that the lesson does not have."""
    if unknown := sorted(set(given) - set(known)):
        raise BadInput(f"{lesson} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")


def refuse_other_kind(name: str, value: Any, default: Any) -> None:
    """BadInput unless a parameter is of its default's kind: text, or a list of seeds that is not empty."""
    if isinstance(default, list):
        if not isinstance(value, list) or not value or any(type(each) is not int for each in value):
            raise BadInput(f"parameter {name} is {value!r}; give a list of whole numbers, as in {default or [0]}")
    elif not isinstance(value, type(default)):
        kind = "text" if isinstance(default, str) else f"a value of type {type(default).__name__}"
        raise BadInput(f"parameter {name} is {value!r}; give {kind}, as in {default!r}")


def declared(source: str) -> dict[str, Any]:
    """Name -> default, as a cell declares them; empty for any other cell."""
    try:
        body = ast.parse(source).body
        if not all(isinstance(each, ast.AnnAssign) and each.value is not None for each in body):
            return {}
        kinds = {ast.unparse(each.target): (ast.unparse(each.annotation), ast.literal_eval(each.value)) for each in body}
    except (SyntaxError, ValueError):
        return {}
    # A default that somebody has edited into another kind says nothing about the kind any more.
    usual = {"str": "", "list": [0], "int": 0, "float": 0.0}
    return {name: value if type(value).__name__ == kind else usual.get(kind, value) for name, (kind, value) in kinds.items()}


def injected(source: str) -> list[str]:
    """The names in papermill's cell; none for any other cell."""
    if not source.startswith(INJECTED):
        return []
    return [
        ast.unparse(target) for each in ast.parse(source).body if isinstance(each, ast.Assign) for target in each.targets
    ]


def refuse_wrong_parameters() -> None:
    """BadInput if the lesson that calls this, in Jupyter or under papermill, has a parameter of another name or kind."""
    space = _namespace()
    cells = [source for source in space.get("In", []) if source.strip()]
    places = [number for number, source in enumerate(cells) if declared(source)]
    if places:
        known = declared(cells[places[-1]])
        below = [name for source in cells[places[-1] :] for name in injected(source)]
        refuse_unknown("this lesson", below, list(known))
        for name, default in known.items():
            refuse_other_kind(name, space.get(name, default), default)


def _namespace() -> dict[str, Any]:
    """The names of the notebook that runs, with its cells as `In`; none outside of one."""
    loaded = sys.modules.get("IPython")  # where a notebook runs
    shell = loaded and loaded.get_ipython()
    return shell.user_ns if shell else {}
