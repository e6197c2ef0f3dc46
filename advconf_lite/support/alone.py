"""One process at a time in a folder, or at one piece of work in it: a lock that ends with the process that holds it.

The lock is a file, so that it also holds between machines that share a disk, where flock may hold on each of them alone and
not say so. On every file system in use one process alone can create a file (NFS since version 3). Its holder touches it
every `BEAT_S` seconds. Who finds one looks whether the holder is alive:

* a process of this machine is asked for, so that a killed one blocks nobody for a moment;
* one of another machine is watched. It is dead if it has not touched its lock for `LIMIT_S` seconds. The watcher counts its
  own looks and compares no clocks; it opens the file each time, which an NFS client answers from the server, not its cache.

A machine that was asleep for longer, or lost its network, has lost its folder. Whatever its process writes next is refused
(`refuse_if_taken`, in every whole file), so that the two do not mix.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from advconf_lite.support.errors import BadInput, cannot_write

BEAT_S, LIMIT_S, LOOK_S = 5.0, 60.0, 0.25
_held: dict[Path, str] = {}  # locks of this process, and what is in them that is in no other


class Busy(BadInput):
    """Another process holds what was asked for."""


@contextmanager
def alone_in(folder: Path, wait: bool = False, work: str = "") -> Iterator[None]:
    """Hold a folder against other processes that ask for it; one that is missing is made, and goes again if it stays empty.

    Nothing of the lock stays behind, but that of a killed process until the next one wants it. In a folder that cannot be
    written nothing is held, for nothing can be made there.

    Args:
        wait: until the other process has finished, instead of refusing.
        work: what is to be done in the folder, a part of a file's name; who does something else there is not asked.

    Raises:
        Busy: another process holds the folder.
        BadInput: it cannot be made.
    """
    new, path = not folder.exists(), Path(os.path.abspath(folder)) / f".alone{work and '-'}{work}"
    lock = _acquire(path, folder, wait)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
        if new:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def refuse_if_taken(path: Path) -> None:
    """BadInput if a lock above `path` that this process holds was taken over by another one."""
    for lock, token in list(_held.items()):
        if Path(os.path.abspath(path)).is_relative_to(lock.parent):
            owner, _ = _look(lock) or ({}, 0)
            if owner.get("token", token) != token:
                raise BadInput(
                    f"cannot write {path}: this process gave no sign of life for {LIMIT_S:g} s, and another one has gone on "
                    f"with its work{_named(owner)}; if that one fails, run the same command again",
                    argument="folder",
                )


class _Lock:
    """A lock of this process; FileExistsError if there is another one."""

    def __init__(self, path: Path) -> None:
        self.path, self.token = path, uuid.uuid4().hex
        self.handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR)
        pid = os.getpid()
        with suppress(OSError):
            os.chmod(path, 0o644)  # others in a course must see who it is
        owner = {"host": socket.gethostname(), "pid": pid, "machine": machine(), "born": _born(pid), "token": self.token}
        with suppress(OSError):  # a full disk: it is a lock without a name, and judged by its beat
            os.write(self.handle, json.dumps(owner).encode())
        _held[path] = self.token
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()

    def _beat(self) -> None:
        # Not by the name, which is another process's lock once this one was taken for dead.
        touched = self.handle if os.utime in os.supports_fd else self.path
        while not self.ended.wait(BEAT_S):
            with suppress(OSError):
                os.utime(touched)

    def release(self) -> None:
        self.ended.set()
        self.thread.join()  # or its last touch may be one of another file that has got the same handle
        owner, _ = _look(self.path) or ({}, 0)
        os.close(self.handle)
        del _held[self.path]
        if owner.get("token", self.token) == self.token:
            with suppress(OSError):
                self.path.unlink()


def _acquire(path: Path, folder: Path, wait: bool) -> _Lock | None:
    last, looks, said = None, 0, False
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)  # which another process may have found empty, and removed
        except OSError as error:
            raise cannot_write(folder, error) from error
        try:
            return _Lock(path)
        except FileExistsError:
            pass
        except FileNotFoundError:
            continue
        except OSError:
            return None
        if (found := _look(path)) is None:
            time.sleep(LOOK_S / 10)  # it has just gone
            continue
        owner, _ = found
        touched, looks, last = last not in (None, found), looks + 1 if found == last else 0, found
        alive = _is_alive(owner)
        if alive is False or (alive is None and looks * LOOK_S >= LIMIT_S):
            try:
                _bury(path, owner.get("token", ""), again=looks * LOOK_S >= 2 * LIMIT_S)
            except OSError:
                if not os.access(folder, os.W_OK):
                    return None
        elif not wait and (alive or touched):
            raise Busy(
                f"another process is at work in {folder}{_named(owner)}; wait until it has finished, or choose another "
                "folder",
                argument="folder",
            )
        elif not said:
            doing = "waiting until it has finished" if wait else f"looking for up to {LIMIT_S:g} s whether it is alive"
            print(f"another process is at work in {folder}{_named(owner)}; {doing}", flush=True)
            said = True
        time.sleep(LOOK_S)


def _look(path: Path) -> tuple[dict[str, Any], int] | None:
    """Who holds a lock, and when it was touched; None if nobody does."""
    try:
        with open(path, "rb") as file:
            text, touched = file.read(), os.fstat(file.fileno()).st_mtime_ns
        owner = json.loads(text)
        return {name: owner[name] for name in ("host", "pid", "machine", "born", "token")}, touched
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # not written yet
        return {}, touched
    except OSError:  # of somebody else, who does not let us read
        with suppress(OSError):
            return {}, path.stat().st_mtime_ns
        return None


def _is_alive(owner: dict[str, Any]) -> bool | None:
    """None if that cannot be known from here."""
    if machine() is None or owner.get("machine") != machine():
        return None
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except OSError:
        return None
    born = _born(owner["pid"])  # by which it is not a later process of the same number
    return None if born is None else born == owner["born"]


@cache
def machine() -> str | None:
    """Within which a process's number means one process; None where that is unknown."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # containers of one machine number their processes apart
    return None if os.name == "nt" else f"{socket.gethostname()} {uuid.getnode()}"


def _born(pid: int) -> str | None:
    """When a process began; "ended" of one that nobody has asked for its exit code yet, None where there is no /proc."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "ended" if values[0] in "ZX" else values[19]


def _named(owner: dict[str, Any]) -> str:
    return f" (process {owner['pid']} on {owner['host']})" if owner else ""


def _bury(path: Path, token: str, again: bool) -> None:
    """Remove the lock of a dead process. Only one process may, or a second one, which has looked before and is slow, would
    remove the lock of the first.

    Args:
        again: whoever began it has died at it, too.
    """
    right = path.with_name(f"{path.name}.{token}")
    if again:
        right.unlink(missing_ok=True)
    try:
        os.close(os.open(right, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    try:
        owner, _ = _look(path) or ({"token": None}, 0)
        if owner.get("token", "") == token:
            path.unlink(missing_ok=True)
    finally:
        right.unlink(missing_ok=True)
