"""What the teaching functions say to a student: plain lines, and never a traceback."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable
from typing import Any

COLUMNS = 100


def say(text: str) -> None:
    """Print text; each of its lines is wrapped between words."""
    for line in text.split("\n"):
        print(textwrap.fill(line, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))


def never_raises(function: Callable[..., Any]) -> Callable[..., Any]:
    """A cell of a lesson goes on whatever a student has given: an error becomes one line.

    For what a student calls. An interrupt still stops the cell.
    """

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except Exception as error:
            say(f"{function.__name__} could not do that: {in_words(error)}")
            return None

    return wrapper


def in_words(error: BaseException) -> str:
    """An exception in one line: its kind, and its message if it has one."""
    message = " ".join(str(error).split())
    return type(error).__name__ + (f": {message}" if message else "")


def unanswered(value: Any) -> bool:
    """Whether a value still holds the stub's None or `...`; a container does if one of its entries does."""
    if value is None or value is Ellipsis:
        return True
    if isinstance(value, dict):
        return any(unanswered(entry) for entry in value.values())
    return isinstance(value, list | tuple | set) and any(unanswered(entry) for entry in value)
