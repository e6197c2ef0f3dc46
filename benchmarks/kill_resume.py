"""SIGKILL a run at random times, start it again each time, and compare the end with a run that was never stopped.

    python benchmarks/kill_resume.py [--kills 20] [--seed 0]

Half of the kills come at a random moment from outside, half from inside, in the middle of writing a file, so that a
checkpoint that is half on disk is met for certain. Compared: segmenter, heads, optimisers, alpha, buffer, batch-norm
statistics, histories, predictions. After every kill, everything in the folder must be readable.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
import torch


def worker(folder: str, kill_at_write: int) -> None:
    """The run itself; with `kill_at_write` > 0 it kills itself half way through that write."""
    from advconf_lite.experiment.profiles import PROFILES
    from advconf_lite.experiment.run import Run

    torch.set_num_threads(1)
    count = 0
    rename = os.replace

    def dying(temporary, path):
        nonlocal count
        count += 1
        if count == kill_at_write:
            data = Path(temporary).read_bytes()
            Path(temporary).write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        rename(temporary, path)

    os.replace = dying  # the one way by which a file of a run gets its name
    Path.unlink = keep_checkpoints(Path.unlink)
    profile = replace(PROFILES["smoke"], segmenter_steps=30, head_steps=40, steps_per_epoch=5, checkpoint_steps=1)
    # the last two bring the adversarial head with them, one as a pair beside it and one as its continuation
    methods = ["plain", "random-direction", "finetuned"]
    run = Run(folder, "phantom:cardiac", profile, "dice", methods, progress=False)
    run.heads(0, 0)
    run.predict_heads(0, 0)
    run.metrics()


def keep_checkpoints(unlink):
    """A finished stage deletes its checkpoint; this comparison wants to see it."""

    def patched(self, *arguments, **options):
        if self.suffix != ".pt" or self.name.startswith("."):
            unlink(self, *arguments, **options)

    return patched


def launch(folder: Path, kill_at_write: int = 0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, __file__, "--worker", str(folder), str(kill_at_write)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def unreadable(folder: Path) -> list[str]:
    """Files that a reader would stumble over; temporary ones (a leading dot) are nobody's."""
    readers = {
        ".pt": lambda p: torch.load(p, weights_only=True),
        ".safetensors": safetensors.torch.load_file,
        ".csv": pd.read_csv,
        ".json": lambda p: json.loads(p.read_text()),
        ".npy": np.load,
        ".npz": lambda p: dict(np.load(p)),
    }
    bad = []
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            try:
                readers[path.suffix](path)
            except Exception as error:  # whatever a reader raises is the finding
                bad.append(f"{path.name}: {error}")
    return bad


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return a == b or (a != a and b != b)


def differences(one: Path, two: Path) -> list[str]:
    """Names of files in which two finished folders differ."""
    found = []
    for path in sorted(one.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(one).parts):
            continue
        other = two / path.relative_to(one)
        if not other.exists():
            found.append(f"{path.name} missing")
        elif path.suffix == ".pt":
            if not same(torch.load(path, weights_only=True), torch.load(other, weights_only=True)):
                found.append(path.name)
        elif path.suffix == ".npz":
            if any(not np.array_equal(np.load(path)[k], np.load(other)[k]) for k in np.load(path)):
                found.append(path.name)
        elif path.read_bytes() != other.read_bytes():
            found.append(path.name)
    return found


def trial(kills: int, seed: int, folder: Path) -> tuple[list[str], list[str], int]:
    """(differences, unreadable files, runs that came to their end) after `kills` kills of a living process.

    A run that ends before its kill is compared, and the next one starts in a new folder.
    """
    draw = random.Random(seed)
    reference = folder / "reference"
    began = time.time()
    finish(reference)
    whole = time.time() - began
    different, broken, struck, ended = [], [], 0, 0
    while struck < kills:
        victim = folder / f"victim{ended}"
        inside = struck % 2 == 1
        process = launch(victim, draw.randint(1, 25) if inside else 0)
        if not inside:
            # most of a run is start-up; what is interesting begins after about a third of it
            time.sleep(draw.uniform(0.3 * whole, 0.8 * whole))
            process.kill()
        process.communicate()
        broken += unreadable(victim)
        if process.returncode == -signal.SIGKILL:
            struck += 1
        else:
            different += differences(reference, victim)
            ended += 1
    victim = folder / f"victim{ended}"
    finish(victim)
    return different + differences(reference, victim), broken, ended + 1


def finish(folder: Path) -> None:
    process = launch(folder)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors.decode())


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], int(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        different, broken, ended = trial(chosen.kills, chosen.seed, Path(folder))
    print(
        f"{chosen.kills} kills of a running process, {ended} runs brought to their end; unreadable files: "
        f"{broken or 'none'}; differences from the uninterrupted run: {different or 'none'}"
    )
    return bool(different or broken)


if __name__ == "__main__":
    sys.exit(main())
