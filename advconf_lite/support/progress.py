"""Progress bars that are seen in a notebook, in a terminal, and through papermill."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm as plain_tqdm
from tqdm.auto import tqdm as auto_tqdm

# A notebook that papermill runs shows its bars to nobody; the runner names a file here and repeats what it reads.
VARIABLE = "ADVCONF_PROGRESS_FILE"


def bar(*arguments: Any, **options: Any) -> auto_tqdm:
    """A tqdm bar; writes to the runner's file where there is one."""
    path = os.environ.get(VARIABLE)
    if path and not options.get("disable"):
        return plain_tqdm(*arguments, file=open(path, "a", encoding="utf-8"), mininterval=1, ncols=100, **options)
    return auto_tqdm(*arguments, **options)


@contextmanager
def repeated(to: Any = sys.stderr) -> Iterator[None]:
    """Repeat the bars of notebooks that run inside this block."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "progress.txt"
        path.touch()
        os.environ[VARIABLE] = str(path)
        done = threading.Event()

        def follow() -> None:
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                while True:
                    finished = done.wait(1)
                    text = file.read()
                    if text and to.isatty():
                        to.write(text)
                    elif text:  # a log file gets whole bars only, not every redraw
                        lines = [line.split("\r")[-1] for line in text.split("\n")[:-1]]
                        to.write("".join(f"{line.rstrip()}\n" for line in lines if line.strip()))
                    to.flush()
                    if finished:
                        return

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            os.environ.pop(VARIABLE, None)
