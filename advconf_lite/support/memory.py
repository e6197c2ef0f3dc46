"""How much memory there is for this process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def memory_bytes() -> int:
    """Of the machine, or what a container or a cluster's job may take of it, if that is less."""
    found = [2**33]  # where nothing says it, as on Windows: a laptop's
    with suppress(AttributeError, ValueError, OSError):
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _limits():
        with suppress(OSError, ValueError):  # "max" is none
            found.append(int(path.read_text()))
    return min(found)


def _limits() -> list[Path]:
    """Files with the limits of the control groups that this process is in, of both versions, from the inner ones out."""
    files = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kind, group = line.split(":", 2)
            root = Path("/sys/fs/cgroup/memory" if "memory" in kind else "/sys/fs/cgroup")
            name = "memory.limit_in_bytes" if "memory" in kind else "memory.max"
            if "memory" in kind or not kind:
                inside = root / group.lstrip("/")
                files += [folder / name for folder in (inside, *inside.parents) if folder.is_relative_to(root)]
    return files
