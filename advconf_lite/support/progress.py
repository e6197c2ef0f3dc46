"""Progress bars that are seen in a notebook, in a terminal, in a log file and through papermill."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, TextIO

from tqdm.asyncio import tqdm as text_tqdm
from tqdm.auto import tqdm as auto_tqdm

# Not tqdm's own, which is for all processes: one that is killed leaves it behind, and Python would warn of it.
text_tqdm.set_lock(threading.RLock())
auto_tqdm.set_lock(text_tqdm.get_lock())

# A notebook that papermill runs shows its bars to nobody: it writes them as text, which papermill hands on to the
# runner's stderr. Here the runner says what that is: "terminal" or "log".
VARIABLE = "ADVCONF_PROGRESS"
SECONDS = 30  # between two lines of a log


class _Lines:
    """A stream that turns each redraw of a bar into a line of its own, without control characters."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        if text := text.strip():
            self.stream.write(text + "\n")

    def flush(self) -> None:
        self.stream.flush()


class _LogBar(text_tqdm):
    def set_postfix(self, *arguments: Any, refresh: bool = True, **values: Any) -> None:
        super().set_postfix(*arguments, refresh=False, **values)  # it waits for the next line


def kind(stream: TextIO) -> str:
    """What a stream is to a progress bar: "terminal", where it is redrawn, or "log", where it is a line now and then."""
    return "terminal" if stream.isatty() else "log"


def bar(*arguments: Any, **options: Any) -> auto_tqdm:
    """A tqdm bar: a widget in a notebook, redrawn in a terminal, a line every 30 s and one at the end in a log."""
    where = os.environ.get(VARIABLE)
    if where is None:
        where = kind(sys.stderr) if auto_tqdm is text_tqdm else "notebook"
    if where == "log":  # the delay leaves out the line of 0 %
        every = {"mininterval": SECONDS, "maxinterval": SECONDS, "delay": 1e-9, "ncols": 79, "ascii": True}
        return _LogBar(*arguments, file=_Lines(sys.stderr), **every | options)
    if where == "terminal" and VARIABLE in os.environ:
        return text_tqdm(*arguments, mininterval=1, ncols=79, ascii=True, **options)
    return auto_tqdm(*arguments, **options)
