"""One process at a time in a folder: a lock that ends with the process that holds it, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from advconf_lite.support.errors import BadInput

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None


@contextmanager
def alone_in(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a folder against other processes that ask for it; one that is missing is made, and goes again if it stays empty.

    The lock is on the folder itself, so that nothing of it stays behind, and a killed process blocks nobody. Where a file
    system or Windows has no such locks, none is held.

    Args:
        wait: until the other process has finished, instead of refusing.

    Raises:
        BadInput: another process holds the folder.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    handle = None if fcntl is None else os.open(folder, os.O_RDONLY)
    try:
        if handle is not None:
            _lock(handle, folder, wait)
        yield
    finally:
        if new:
            with suppress(OSError):  # it holds something
                folder.rmdir()
        if handle is not None:
            os.close(handle)


def _lock(handle: int, folder: Path, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise BadInput(
                f"another process is at work in {folder}; wait until it has finished, or choose another folder",
                argument="folder",
            ) from None
        print(f"another process is at work in {folder}; waiting until it has finished", flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a network drive without locks
        pass
