"""Numbers of many slices, made piece by piece: each piece is kept until all are there, and made by one process alone.

So memory does not grow with the number of slices, any number of processes share the work, on one machine or on several that
share a disk, and one that was killed, or all of them, go on where they were.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from advconf_lite.support.alone import Busy, alone_in
from advconf_lite.support.files import write_atomically

PIECE = 256  # slices: a minute's work at most, and a multiple of the 64 of a pass
Columns = dict[str, np.ndarray]  # name -> one value per slice


class Pieces:
    """The pieces of `number` slices for the table `out`, in a hidden folder beside it.

    Args:
        about: plain values, all that the numbers depend on; pieces that were made about something else are not these.
    """

    def __init__(self, out: Path, number: int, about: dict[str, Any]) -> None:
        self.out, self.starts, self.number, self.size = Path(out), range(0, number, PIECE), number, PIECE
        digest = hashlib.sha256(json.dumps([about, PIECE, number], sort_keys=True).encode()).hexdigest()
        self.folder = self.out.parent / f".{self.out.name}.{digest[:12]}"

    def missing(self) -> list[int]:
        """Starts of those that are not there."""
        return [start for start in self.starts if not self._path(start).exists()]

    def make(self, start: int, made: Callable[[range], Columns], wait: bool = False) -> None:
        """The piece that begins at `start`, unless it is there; if another process makes it, `wait` for it or let it."""
        path = self._path(start)
        with suppress(Busy):
            if not path.exists():
                with alone_in(self.folder, wait, str(start)):
                    if not path.exists():
                        columns = made(range(start, min(start + self.size, self.number)))
                        write_atomically(path, lambda temporary: np.savez(temporary, **columns))

    def joined(self) -> Columns:
        """The columns of all slices."""
        parts = []
        for start in self.starts:
            with np.load(self._path(start)) as file:
                parts.append({name: file[name] for name in file.files})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @contextmanager
    def used(self) -> Iterator[None]:
        """While a process needs them they stay; the last one that leaves in peace removes them, and older ones of `out`."""
        with alone_in(self.folder, work=f"by-{uuid.uuid4().hex}"):
            yield
        for folder in self.out.parent.glob(f".{self.out.name}.*"):
            if re.fullmatch("[0-9a-f]{12}", folder.suffix[1:]) and not _in_use(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _path(self, start: int) -> Path:
        return self.folder / f"{start}.npz"


def _in_use(folder: Path) -> bool:
    for lock in folder.glob(".alone-by-*"):
        try:
            with alone_in(folder, work=lock.name.removeprefix(".alone-")):
                pass  # it was left by a process that died
        except Busy:
            return True
    return False
