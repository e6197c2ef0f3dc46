"""Wheels into a folder: each is there whole or not at all, and what is there already is not downloaded again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from advconf_lite.course.bundling.resolving import Wheel, pip
from advconf_lite.course.bundling.targets import Target
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import sha256
from advconf_lite.support.progress import bar

PART = ".part"  # beside the wheels' folder, so that a rename is enough; what is in it counts for nothing
AT_ONCE = 8  # wheels for one call of pip: an interrupt loses no more, and pip keeps what it has downloaded in a cache
AGAIN = "what is there is whole; run the same command again"


def lacking_here(folder: Path, wheels: Iterable[Wheel]) -> list[Wheel]:
    """Those that are not in the folder with the content that the index has said."""
    return [each for each in wheels if not _is_here(folder / each.file, each)]


def _is_here(path: Path, wheel: Wheel) -> bool:
    return path.is_file() and (wheel.sum is None or sha256(path) == wheel.sum)


def enough_space(folder: Path, wheels: Iterable[Wheel]) -> None:
    """BadInput if these do not fit on the disk, as far as their sizes are known."""
    needed, free = sum(each.size or 0 for each in wheels), shutil.disk_usage(folder).free
    if needed > free:
        raise BadInput(
            f"{needed / 1e6:.0f} MB are to be downloaded and {folder} has room for {free / 1e6:.0f} MB; free some space, or "
            "choose another folder",
            argument="folder",
        )


def store(folder: Path, needed: dict[Target, list[Wheel]]) -> int:
    """Download what the folder lacks; returns the number of files.

    Raises:
        BadInput: one of them cannot be had, or the disk is full.
    """
    part = folder.parent / PART
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    everything = {each.file: each for wheels in needed.values() for each in wheels}
    missing = {each.file for each in lacking_here(folder, everything.values())}
    count = len(missing)
    try:
        with bar(total=count, desc="wheels", unit="file", disable=not count) as shown:
            for target, wheels in needed.items():
                todo = [each for each in wheels if each.file in missing]
                for first in range(0, len(todo), AT_ONCE):
                    some = todo[first : first + AT_ONCE]
                    _download(target, some, part)
                    for each in some:
                        (part / each.file).replace(folder / each.file)
                        missing.discard(each.file)
                    shown.update(len(some))
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return count


def _download(target: Target, wheels: list[Wheel], part: Path) -> None:
    part.mkdir(exist_ok=True)
    wanted = [f"{each.name} @ {each.url}" + (f"#sha256={each.sum}" if each.sum else "") for each in wheels]
    words = ["download", "--no-deps", "--quiet", "--no-input", "--dest", ".", *target.options(), *wanted]
    done = pip(target, words, part / "sizes.json")
    absent = [each.file for each in lacking_here(part, wheels)]
    if done.returncode or absent:
        raise BadInput(_why(done, absent, part))


def _why(done: subprocess.CompletedProcess, absent: list[str], part: Path) -> str:
    if "No space left" in done.stderr:
        return f"the disk of {part.parent} or that of temporary files (TMPDIR) is full; free some space ({AGAIN})"
    errors = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
    last = " ".join(errors[-1].split())[:200] if errors else "no reason given"
    return f"{absent[0] if absent else 'a wheel'} could not be downloaded ({last}); {AGAIN}"
