"""The compute cards: executes the lessons as a student does, and writes what they cost into notebooks/compute.json.

    python -m advconf_lite.course.cards              every lesson: alone in an empty folder, and once more in the same one
    python -m advconf_lite.course.cards 00 03        these lessons
    python -m advconf_lite.course.cards --there .    only once, below a folder whose runs/ hold the results already

Parameters stay at their defaults. Seconds are papermill's; memory is the largest sum, over the kernel and its processes, of
what they hold in RAM, read from /proc (elsewhere than on Linux it is left out). After it: `python docs/render.py`, and
`make sync student`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat

from advconf_lite.course.card import fingerprint, parameters_of, read_cards, source_of, write_cards
from advconf_lite.course.notebooks import CLONE, execute, is_clone, lesson, lessons
from advconf_lite.support.command_line import well_behaved, words
from advconf_lite.support.errors import BadInput

PROC = Path("/proc")
EVERY_S = 0.2


def resident_mb(pid: int, proc: Path = PROC) -> float:
    """RAM in MB (10^6 bytes) that the descendants of a process hold; pages that two of them share count twice."""
    parents, sizes = {}, {}
    for folder in proc.glob("[0-9]*"):
        try:
            said = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
            parents[int(folder.name)] = int(said["PPid"])
            sizes[int(folder.name)] = int(said.get("VmRSS", "0 kB").split()[0]) * 1024 / 1e6
        except (OSError, KeyError, ValueError):  # it has ended meanwhile
            continue
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(sizes.get(each, 0.0) for each in below - {pid})


class Peak:
    """The largest `resident_mb` of what this process has started; `mb` is None where there is no /proc."""

    mb: float | None = None


@contextmanager
def watched() -> Iterator[Peak]:
    """Look every fifth of a second while the block runs."""
    peak, done = Peak(), threading.Event()

    def look() -> None:
        while not done.wait(EVERY_S):
            peak.mb = max(peak.mb or 0.0, resident_mb(os.getpid()))

    thread = threading.Thread(target=look, daemon=True)
    if (PROC / "self" / "status").exists():
        thread.start()
    try:
        yield peak
    finally:
        done.set()
        if thread.is_alive():
            thread.join()


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def cost(path: Path, folder: Path) -> tuple[float, float | None]:
    """Seconds (papermill's, from its start to the last cell) and peak MB of a notebook that is executed in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        executed = Path(scratch) / path.name
        with _inside(folder), watched() as peak:
            execute(path.resolve(), executed, {}, progress=False)
        return nbformat.read(executed, as_version=4).metadata.papermill.duration, peak.mb


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy() -> bool:
    """Whether other work has kept more than half of the cores during the last minute; ask before anything was executed."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > cores() / 2


def measure(name: str, there: Path | None = None) -> dict[str, object]:
    """A lesson's record. With `there` it is executed once in that folder, and what it costs alone is not known."""
    import torch

    path, alone = lesson(name), None
    if there is None:
        with tempfile.TemporaryDirectory(prefix="advconf-card-") as folder:
            alone, first = cost(path, Path(folder))
            again, second = cost(path, Path(folder))
    else:
        again, first = cost(path, there)
        second = first
    peaks = [mb for mb in (first, second) if mb]
    notebook = source_of(CLONE, name)
    chosen = parameters_of(notebook)
    return {
        "alone_s": alone and round(alone, 1),
        "again_s": round(again, 1),
        "peak_mb": round(max(peaks)) if peaks else None,
        "cores": cores(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", cores())),
        "gpu": torch.cuda.is_available(),
        "data": chosen["data"],
        "profile": chosen["profile"],
        "use": chosen.get("use", "none"),
        "date": time.strftime("%Y-%m-%d"),
        "measured": fingerprint(notebook, CLONE),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; returns the exit code (see `well_behaved`)."""
    given = words(arguments)
    return well_behaved(lambda: _measure(given), options={"there": "--there"})


def _measure(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m advconf_lite.course.cards", description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", metavar="NN", help="their numbers; none: all")
    parser.add_argument("--there", type=Path, metavar="FOLDER", help="whose runs/ hold the results already")
    chosen = parser.parse_args(arguments)
    if not is_clone(CLONE):
        raise BadInput("cards are written into a clone of the repository; install it there with pip install -e .")
    if chosen.there is not None and not (chosen.there / "runs").is_dir():
        raise BadInput(f"{chosen.there} holds no runs/; leave --there out, and empty folders are used", argument="there")
    known = {name[:2]: name for name in lessons()}
    if unknown := sorted(set(chosen.lessons) - known.keys()):
        raise BadInput(f"there is no lesson {unknown[0]}; give numbers of {', '.join(known)}", argument="lessons")
    if others := busy():
        print(
            "other work keeps this machine busy, so what is measured now is too long; the cards will say so", file=sys.stderr
        )
    for name in [known[number] for number in dict.fromkeys(chosen.lessons)] or list(known.values()):
        print(f"executing {name}", flush=True)
        before, new = read_cards(CLONE), measure(name, chosen.there) | {"busy": others}
        kept = before.get(name, {})
        if new["alone_s"] is None and kept.get("measured") == new["measured"]:
            new["alone_s"] = kept["alone_s"]  # of the same lesson: still true
        write_cards(CLONE, before | {name: new})  # at once, so that what was measured outlives an interrupt
        print(f"  again {new['again_s']} s, alone {new['alone_s']} s, {new['peak_mb']} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
