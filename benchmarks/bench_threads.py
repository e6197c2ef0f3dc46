"""Seconds of a U-Net's training step by threads and by how they wait, on an idle machine and beside busy processes.

    python benchmarks/bench_threads.py [--profile quick medium] [--busy 0 2] [--steps 20] [--save FILE.csv]

Each measurement is a process of its own, for OpenMP reads how its threads shall wait once, when it is loaded. `spin` is
its default, where a thread that waits holds its core for a while; `passive` threads sleep at once (OMP_WAIT_POLICY). A busy
process counts in a loop, as a video call or another student's notebook does. Variants take turns; medians are given.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd

WAITING = {"spin": {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}}


def worker(profile: str, threads: int, steps: int) -> list[float]:
    """Seconds of each step."""
    import torch

    from advconf_lite.experiment.profiles import find_profile
    from advconf_lite.segmenter import build_unet
    from advconf_lite.training import SegmenterTraining

    torch.set_num_threads(threads)
    schedule = find_profile(profile)
    training = SegmenterTraining(build_unet(schedule.channels, 2), schedule)
    size = schedule.max_size or 256
    x = torch.randn(schedule.segmenter_batch, 1, size, size)
    y = torch.randint(0, 2, (len(x), size, size))
    times = []
    for _ in range(steps + 3):
        began = time.perf_counter()
        training.update(x, y)
        times.append(time.perf_counter() - began)
    return times[3:]


def measured(profile: str, busy: int, threads: list[int], steps: int, turns: int) -> dict[tuple[int, str], list[float]]:
    """(threads, how they wait) -> seconds of each step, beside so many busy processes."""
    # One thread waits for nobody.
    ways = [(n, waiting) for n in threads for waiting in (WAITING if n > 1 else ["-"])]
    found: dict[tuple[int, str], list[float]] = {way: [] for way in ways}
    with busy_processes(busy):
        for n, waiting in ways * turns:
            environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")} | WAITING.get(waiting, {})
            command = [sys.executable, __file__, "--worker", profile, str(n), str(steps)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found[n, waiting] += json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """So many processes that count in a loop while the block runs."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", nargs="+", default=["quick", "medium"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--busy", type=int, nargs="+", default=[0, os.cpu_count() or 1], help="processes beside it")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--save", metavar="FILE.csv")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        profile, threads, steps = chosen.worker
        print(json.dumps(worker(profile, int(threads), int(steps))))
        return
    rows = []
    for profile, busy in itertools.product(chosen.profile, chosen.busy):
        for (threads, waiting), times in measured(profile, busy, chosen.threads, chosen.steps, chosen.turns).items():
            low, median, high = (of(times) for of in (min, statistics.median, max))
            rows.append({
                "profile": profile, "busy_processes": busy, "threads": threads, "waiting": waiting, "s_per_step": median,
                "least": low, "most": high,
            })  # fmt: skip
            print("{profile:6} {busy_processes} busy, {threads} threads {waiting:8} {s_per_step:.3f} s "
                  "({least:.3f} to {most:.3f})".format(**rows[-1]), flush=True)  # fmt: skip
    if chosen.save:
        pd.DataFrame(rows).to_csv(chosen.save, index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
