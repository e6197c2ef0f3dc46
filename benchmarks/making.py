"""Parts that are made once each, by as many processes as there are; and how long each takes.

Every process goes through the same parts in the same order and makes the first that is missing, whose needs are there and
that no other process is making. So a second process on the same protocol is the same command in another terminal.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import zip_longest
from pathlib import Path

import monai
import numpy as np
import pandas as pd
import torch

from advconf_lite.course.commit import commit
from advconf_lite.support.alone import Busy, alone_in
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically

LOGGED = ("part", "kind", "seconds", "resumed", "threads", "commit", "finished", "device", "versions")
AGAIN_S = 1.0  # until another process is asked once more whether it has finished


@dataclass
class Part:
    """Something to be made once.

    Attributes:
        kind: parts of one kind take about as long.
        folder: which one process holds while it makes this part.
        seconds: expected, from measured steps; None where no step tells.
        needs: parts that must be there before.
        checkpoint: a file that says that it was begun before.
    """

    name: str
    kind: str
    folder: Path
    done: Callable[[], bool]
    make: Callable[[], object]
    seconds: Callable[[], float | None] = lambda: None
    needs: Sequence[Part] = ()
    checkpoint: Path | None = None


def in_turn(studies: Iterable[Iterable[Part]]) -> list[Part]:
    """The first part of each study, then the second ones: a pair of seeds says something once all folds have it."""
    return [part for parts in zip_longest(*studies) for part in parts if part is not None]


def make_parts(
    parts: Sequence[Part], log: Path, say: Callable[[str], None], after: Callable[[], object] = lambda: None
) -> None:
    """Make what is missing until all is there, beside other processes that do the same, and log the seconds of each; `after`
    is called after each part."""
    waits = False
    while missing := [part for part in parts if not part.done()]:
        ready = (part for part in missing if all(need.done() for need in part.needs))
        if any(_made(part, parts, log, say) for part in ready):
            waits = False
            after()
            continue
        if not waits:
            say(f"other processes are making all that can be made now; waiting for {missing[0].name}")
        waits = True
        time.sleep(AGAIN_S)


def _made(part: Part, parts: Sequence[Part], log: Path, say: Callable[[str], None]) -> bool:
    """Make a part unless another process is at it; whether it is there now."""
    with ExitStack() as held:
        try:
            held.enter_context(alone_in(part.folder, work="-".join(["part", *part.name.replace(",", "").split()])))
        except Busy:
            return False
        if part.done():  # since it was looked at
            return True
        say(f"[{datetime.now():%H:%M}] {part.name}")
        resumed, began = bool(part.checkpoint and part.checkpoint.exists()), time.time()
        part.make()
        keep_seconds(log, part, time.time() - began, resumed)
        if left := left_seconds(parts, log)[0]:
            say(f"    {time.time() - began:.0f} s; left: about {in_words(left)}")
        return True


def keep_seconds(log: Path, part: Part, seconds: float, resumed: bool) -> None:
    """A row of the log: a part that was resumed has only the seconds since then."""
    row = {
        "part": part.name, "kind": part.kind, "seconds": round(seconds, 1), "resumed": resumed,
        "threads": torch.get_num_threads(), "commit": commit_or_none(),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"), **this_machine(),
    }  # fmt: skip
    with alone_in(log.parent, wait=True, work="seconds"):
        old = [pd.read_csv(log)] if log.exists() else []
        table = pd.concat([*old, pd.DataFrame([row])], ignore_index=True)
        write_atomically(log, lambda path: table.to_csv(path, index=False))


def this_machine() -> dict[str, str]:
    """What a part is made with, beside the code."""
    own = {"torch": torch.__version__, "monai": monai.__version__, "numpy": np.__version__}
    versions = [f"Python {platform.python_version()}", *(f"{name} {version}" for name, version in own.items())]
    return {"device": "GPU" if torch.cuda.is_available() else "CPU", "versions": ", ".join(versions)}


def read_log(log: Path) -> pd.DataFrame:
    """Of this machine; rows from before they said so were made with what is here now."""
    table = pd.read_csv(log) if log.exists() else pd.DataFrame(columns=[*LOGGED])
    for name, value in this_machine().items():
        table[name] = table[name].fillna(value) if name in table else value
    return table


def commit_or_none() -> str:
    try:
        return commit(dirty=True)
    except BadInput:
        return ""


def expected(part: Part, log: Path) -> float | None:
    """Seconds: the mean of the finished parts of its kind, else what its steps take."""
    table = read_log(log)
    same = table[(table["kind"] == part.kind) & ~table["resumed"].astype(bool)]
    return float(same["seconds"].mean()) if len(same) else part.seconds()


def left_seconds(parts: Sequence[Part], log: Path) -> tuple[float, list[str]]:
    """Seconds of what is missing, and the kinds of which nothing is known."""
    total, unknown = 0.0, []
    by_kind: dict[str, float | None] = {}
    for part in (part for part in parts if not part.done()):
        if part.kind not in by_kind:
            by_kind[part.kind] = expected(part, log)
        if by_kind[part.kind] is None:
            unknown.append(part.kind)
        total += by_kind[part.kind] or 0.0
    return total, list(dict.fromkeys(unknown))


def plan(parts: Sequence[Part], log: Path) -> list[str]:
    """A line per kind of part: how many are done, what one takes, what is left."""
    lines = [f"    {'part':32} {'done':>7} {'each':>10} {'left':>12}"]
    for kind in dict.fromkeys(part.kind for part in parts):
        mine = [part for part in parts if part.kind == kind]
        missing = [part for part in mine if not part.done()]
        each = expected(mine[0], log)
        left = in_words(each * len(missing)) if each is not None else "?"
        shown = f"{each:.0f} s" if each is not None else "?"
        lines.append(
            f"    {kind:32} {len(mine) - len(missing):>3}/{len(mine):<3} {shown:>10} {left if missing else '-':>12}"
        )
    total, unknown = left_seconds(parts, log)
    lines.append(f"    left: about {in_words(total)}" + (f", and {', '.join(unknown)}" if unknown else ""))
    return lines


def in_words(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min" if minutes else "a minute"


def newer(path: Path, than: Path) -> bool:
    """Whether a file was made after another one."""
    return path.exists() and than.exists() and path.stat().st_mtime_ns >= than.stat().st_mtime_ns
