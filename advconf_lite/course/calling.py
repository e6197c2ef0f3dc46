"""Call a student's code: it gets a time limit, and an exception of it becomes a sentence with its line."""

from __future__ import annotations

import ctypes
import linecache
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from advconf_lite.course.saying import in_words

PACKAGE = str(Path(__file__).resolve().parents[1])


class TheirError(Exception):
    """What went wrong in a student's code, as a sentence. `untouched`: it tripped over the stub's own `...`."""

    def __init__(self, sentence: str, untouched: bool = False) -> None:
        super().__init__(sentence)
        self.untouched = untouched


class _TimeIsUp(BaseException):
    """Raised inside the student's loop; no `except Exception` of theirs catches it."""


def call(function: Callable[..., Any], *arguments: Any, theirs: Any = None, seconds: float = 5.0) -> Any:
    """`function(*arguments)`, in at most `seconds`.

    Args:
        theirs: the student's function, if `function` is one of ours that calls it; its lines are those named.

    Raises:
        TheirError: it took too long, or raised anything, SystemExit included.
    """
    result: list[Any] = []

    def work() -> None:
        try:
            result.append((function(*arguments), None))
        except BaseException as error:
            result.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # a Python without threads, as in the browser
        work()
    else:
        try:
            thread.join(seconds)
        finally:
            _stop(thread)  # also when the student has pressed "interrupt"
    value, error = result[0] if result else (None, _TimeIsUp())
    if isinstance(error, _TimeIsUp):
        raise TheirError(f"it had not finished after {seconds:g} s: does a loop never end?")
    if error is not None:
        raise TheirError(where(error, theirs or function), untouched="ellipsis" in str(error)) from error
    return value


def _stop(thread: threading.Thread) -> None:
    """End a thread at its next line of Python; one that waits inside a library is left behind, as a daemon."""
    for _ in range(20):
        if not thread.is_alive():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_TimeIsUp))
        thread.join(0.05)
        time.sleep(0)


def where(error: BaseException, function: Any) -> str:
    """The exception in words, with the line of the student's code that it came from, if there is one."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file and not frame.filename.startswith(PACKAGE)]
    if not own:  # a class, or a function of another cell
        own = [frame for frame in frames if frame.filename.startswith("<") or "ipykernel" in frame.filename]
    if not own:
        return in_words(error)
    line = linecache.getline(own[-1].filename, own[-1].lineno).strip() or (own[-1].line or "")
    return f"line {own[-1].lineno} of your cell{f' (`{line}`)' if line else ''} raises {in_words(error)}"
