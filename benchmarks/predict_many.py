"""`predict` on many slices: slices per second, memory, and is a killed one's file that of one that was never stopped?

    python benchmarks/predict_many.py [--run runs/NAME, or --profile quick --size 96] [--slices 100000] [--processes 2]
                                      [--method adversarial] [--kills 3] [--save results/predict.csv]

Without a run, one is made with networks of a profile that were not trained: they take the same time. The slices are the
run's own test images, over and over, each copy with other noise, stored without masks on the run's grid, 20 of them a
subject. `predict` is run once to the end; then once more, and killed with all its processes at random moments before it may
finish. Core seconds are those of all processes from the first finished piece on, which other work on the machine hardly
changes; memory is what the processes have for themselves, all together, at its peak.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from bench_memory import IN_A_SUBJECT, make_set

from advconf_lite.experiment.pieces import PIECE

AT_ONCE = 512  # that are written


def untrained_run(folder: Path, data: Path, profile: str, size: int) -> None:
    """A run whose networks are there, and have learnt nothing."""
    from advconf_lite.experiment.heads import untrained_head
    from advconf_lite.experiment.networks import new_segmenter
    from advconf_lite.experiment.run import Run
    from advconf_lite.experiment.weights import save_weights

    make_set(data, 24 * IN_A_SUBJECT, size)
    run = Run(folder, str(data), profile, "dice", ["adversarial", "agreement-15"], progress=False)
    segmenter = new_segmenter(None, run.profile, run.experiment.num_classes, 0)
    save_weights(segmenter.net, run.segmenter_path(0))
    save_weights(untrained_head(run, segmenter.freeze(), "dice", 0), run.head_path("adversarial", "dice", 0, 0))


def many_slices(run_folder: Path, folder: Path, number: int) -> str:
    """An image-only slice set for a run; returns "rows x columns" of its images."""
    from advconf_lite.data.slice_writer import SliceSetWriter
    from advconf_lite.experiment.run import open_run

    experiment = open_run(run_folder, progress=False).experiment
    images, rng = experiment.test.images[:, 0].numpy(), np.random.default_rng(0)
    info = {"name": "many", "class_names": experiment.class_names, "source_domain": None,
            "size": list(images.shape[1:]), "spacing_mm": experiment.spacing_mm}  # fmt: skip
    with SliceSetWriter(folder, info) as writer:
        for start in range(0, number, AT_ONCE):
            n = np.arange(start, min(start + AT_ONCE, number))
            copies = images[n % len(images)] + rng.normal(0, 0.3 * rng.random((len(n), 1, 1)), (len(n), *images.shape[1:]))
            rows = {"dataset": "many", "domain": "new", "subject": (n // IN_A_SUBJECT).astype(str), "phase": ""}
            rows |= {"slice": n % IN_A_SUBJECT, "spacing_mm": experiment.spacing_mm, "split": "test"}
            writer.add(copies.astype(np.float32), None, pd.DataFrame(rows))
    return " x ".join(map(str, images.shape[1:]))


def start(asked: list[str]) -> subprocess.Popen:
    """`predict` in a session of its own, so that it can be killed with all its processes."""
    command = [sys.executable, "-m", "advconf_lite", "predict", *asked]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def processes(session: int) -> Iterator[tuple[float, int]]:
    """(seconds of a core, bytes of its own) of each process of a session."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            values = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(values[3]) == session:
                status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
                own = 1024 * int(status["RssAnon"].split()[0]) if "RssAnon" in status else 0
                yield (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK"), own
        except OSError:  # it has just ended
            pass


def started(process: subprocess.Popen, folder: Path) -> tuple[int, float]:
    """Wait for the first pieces: how many, and what all until then has cost, in seconds of a core."""
    while process.poll() is None:
        if pieces := list(folder.glob(".*/[0-9]*.npz")):
            return len(pieces), sum(seconds for seconds, _ in processes(process.pid))
        time.sleep(0.05)
    return 0, 0.0


def followed(process: subprocess.Popen, until: float = float("inf")) -> int:
    """Wait for a process, or until so many seconds have gone; its largest memory."""
    began, peak = time.monotonic(), 0
    while process.poll() is None and time.monotonic() - began < until:
        peak = max(peak, sum(own for _, own in processes(process.pid)))
        time.sleep(0.2)
    return peak


def finished(process: subprocess.Popen) -> None:
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors.decode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, metavar="runs/NAME")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--size", type=int, default=96, help="pixels a side")
    parser.add_argument("--slices", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--method", default="adversarial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, metavar="FILE.csv", help="a row is added to it")
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    draw = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        if (run := chosen.run) is None:
            untrained_run(run := place / "run", place / "known", chosen.profile, chosen.size)
        pixels = many_slices(run, place / "set", chosen.slices)
        asked = [
            "--run",
            str(run),
            "--data",
            str(place / "set"),
            "--method",
            chosen.method,
            "--processes",
            str(chosen.processes),
        ]
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        whole = start([*asked, "--out", str(place / "whole" / "scores.csv")])
        pieces, core_before = started(whole, place / "whole")
        peak = followed(whole)
        finished(whole)
        seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        core_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - core_before
        rate = (chosen.slices - pieces * PIECE) / core_s
        struck, same = 0, ""
        for _ in range(chosen.kills):
            victim = start([*asked, "--out", str(place / "parts" / "scores.csv")])
            followed(victim, draw.uniform(0.1, 0.9) * seconds / chosen.kills)
            if victim.poll() is None:
                os.killpg(victim.pid, signal.SIGKILL)
                struck += 1
            victim.communicate()
        if chosen.kills:
            finished(start([*asked, "--out", str(place / "parts" / "scores.csv")]))
            names = ["scores.csv", "scores-volumes.csv"]
            left = [sorted(path.name for path in (place / folder).iterdir()) for folder in ("whole", "parts")]
            equal = all((place / "whole" / name).read_bytes() == (place / "parts" / name).read_bytes() for name in names)
            same = "yes" if equal and left == [names, names] else "no"
    row = {
        "network": chosen.run.name if chosen.run else chosen.profile, "pixels": pixels, "method": chosen.method,
        "slices": str(chosen.slices), "processes": str(chosen.processes),
        "slices_per_s": f"{chosen.slices / seconds:.1f}", "slices_per_core_s": f"{rate:.1f}",
        "peak_gb": f"{peak / 1e9:.2f}", "kills": str(struck), "same": same,
    }  # fmt: skip
    print(*(f"{name} {value}" for name, value in row.items()))
    if chosen.save:
        new = not chosen.save.exists()
        with open(chosen.save, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
    return row["same"] == "no"


if __name__ == "__main__":
    sys.exit(main())
