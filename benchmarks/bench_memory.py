"""Peak memory and steps per second of training, from 2,000 to 100,000 slices, in memory and read from the disk.

    python benchmarks/bench_memory.py [--slices 2000 10000 ...] [--in-memory-up-to 20000] [--size 96] [--steps 30]
                                      [--save results/memory.csv] [--figure docs/memory.png]

Slices are made up (an ellipse in noise, 5 % of the subjects for validation and 5 % for test) and lie in a temporary folder,
5 bytes a pixel. Each measurement is a process of its own, with one thread: it opens the set, assembles the experiment and
makes steps of the quick profile's U-Net; the first five are not counted. A step's time on the clock has what other
processes took of the machine; its core seconds have not, but no waiting for the disk either. Memory is what the process has
for itself ("anonymous"), sampled every 20 ms: pages of the set's files count as the system's cache, which it takes back when
it needs room.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

IN_A_SUBJECT = 20  # slices
PATTERN = 512  # different slices; the others are these with another level
FORMS = {"peak_gb": "{:.2f}", "open_s": "{:.1f}", "steps_per_s": "{:.2f}", "core_s_per_step": "{:.3f}"}


def make_set(folder: Path, number: int, size: int) -> None:
    """A slice set of `number` slices, written block by block."""
    from advconf_lite.data.slice_writer import SliceSetWriter

    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    axes = rng.uniform(0.2, 0.6, (PATTERN, 2, 1, 1))
    masks = ((x / axes[:, 0]) ** 2 + (y / axes[:, 1]) ** 2 < 1).astype(np.uint8)
    images = (rng.normal(0, 0.5, masks.shape) + masks).astype(np.float32)
    info = {"name": "made up", "class_names": ["ellipse"], "source_domain": "a", "size": size, "spacing_mm": 1.0}
    with SliceSetWriter(folder, info) as writer:
        for start in range(0, number, PATTERN):
            n = np.arange(start, min(start + PATTERN, number))
            subject = n // IN_A_SUBJECT
            split = np.select([subject % 20 == 0, subject % 20 == 1], ["val", "test"], "train")
            domain = np.where(subject % 40 == 1, "b", "a")  # half of the test subjects
            rows = pd.DataFrame({
                "dataset": "made up", "domain": domain, "subject": subject.astype(str), "phase": "",
                "slice": n % IN_A_SUBJECT, "spacing_mm": 1.0, "split": split,
            })  # fmt: skip
            writer.add(images[: len(n)] + np.float32(start), masks[: len(n)], rows)


def worker(folder: str, held: str, steps: int) -> dict[str, float]:
    """One measurement."""
    import torch

    from advconf_lite.augmentation import Augmenter
    from advconf_lite.data.slices import read_slice_set
    from advconf_lite.experiment.networks import new_segmenter
    from advconf_lite.experiment.parts import assemble
    from advconf_lite.experiment.profiles import PROFILES
    from advconf_lite.training import SegmenterTraining, draw_batch

    torch.set_num_threads(1)
    profile, peak, ended = PROFILES["quick"], [0.0], threading.Event()

    def sample() -> None:
        while not ended.wait(0.02):
            lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            peak[0] = max(peak[0], int(lines["RssAnon"].split()[0]) * 1024)

    threading.Thread(target=sample, daemon=True).start()
    began = time.perf_counter()
    experiment = assemble(read_slice_set(folder), Path(folder), profile, False, 1.0 if held == "in memory" else 0.0)
    opened = time.perf_counter() - began
    training = SegmenterTraining(new_segmenter(None, profile, experiment.num_classes, 0), profile)
    augment, times = Augmenter(profile.settings.augmentations), []
    for step in range(steps + 5):
        began = time.perf_counter(), time.process_time()
        training.update(*draw_batch(experiment.train.pair(), profile.segmenter_batch, augment, "batch", 0, step))
        times.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    ended.set()
    on_the_clock, of_a_core = np.median(times[5:], axis=0)
    return dict(zip(FORMS, (peak[0] / 1e9, opened, 1 / on_the_clock, of_a_core)))


def measure(numbers: list[int], up_to: int, size: int, steps: int) -> list[dict[str, str]]:
    """A row per measurement; of each number of slices first in memory, then from the disk."""
    rows = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "set"
            make_set(folder, number, size)
            for held in ["in memory", "on disk"] if number <= up_to else ["on disk"]:
                command = [sys.executable, __file__, "--worker", str(folder), held, str(steps)]
                found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
                values = {name: form.format(found[name]) for name, form in FORMS.items()}
                rows.append({"slices": str(number), "held": held, "set_gb": f"{number * size**2 * 5e-9:.2f}", **values})
                print(*(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    return rows


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """Peak memory and core seconds per step over the number of slices."""
    from matplotlib.figure import Figure

    from advconf_lite.figures.style import CUES, WIDTH, png, styled

    @styled
    def drawn() -> Figure:
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots(1, 2)
        for held, cue in zip(("in memory", "on disk"), CUES):
            some = [row for row in rows if row["held"] == held]
            x = [int(row["slices"]) for row in some]
            for axis, column in zip(axes, ("peak_gb", "core_s_per_step")):
                y = [float(row[column]) for row in some]
                axis.plot(x, y, color=cue.colour, marker=cue.marker, linestyle=cue.line, label=held)
        for axis, label in zip(axes, ("peak memory [GB]", "processor time per step [s]")):
            axis.set(xscale="log", xlabel="slices in the set", ylabel=label)
            axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
            numbers = sorted({int(row["slices"]) for row in rows})
            axis.set_xticks(numbers, [f"{number:,}" for number in numbers])
            axis.minorticks_off()
        axes[0].legend()
        return figure

    path.write_bytes(png(drawn()))


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(worker(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, nargs="+", default=[2000, 5000, 10_000, 20_000, 50_000, 100_000])
    parser.add_argument("--in-memory-up-to", type=int, default=20_000, metavar="N")
    parser.add_argument("--size", type=int, default=96, help="pixels a side")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--save", type=Path, metavar="FILE.csv")
    parser.add_argument("--figure", type=Path, metavar="FILE.png")
    parser.add_argument("--draw", type=Path, metavar="FILE.csv", help="what an earlier call has saved, and measure nothing")
    chosen = parser.parse_args()
    if chosen.draw:
        with open(chosen.draw, newline="", encoding="utf-8") as file:
            draw(list(csv.DictReader(file)), chosen.figure)
        return 0
    rows = measure(chosen.slices, chosen.in_memory_up_to, chosen.size, chosen.steps)
    if chosen.save:
        with open(chosen.save, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if chosen.figure:
        draw(rows, chosen.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
