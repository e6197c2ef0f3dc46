"""Run a command on a GPU that no other job of this machine has: python workflow/scripts/gpu.py COMMAND ...

Snakemake counts how many jobs may use a GPU, and does not say which. Of those that CUDA_VISIBLE_DEVICES names (or
nvidia-smi lists), the command gets the first whose lock is free, or waits for one. It takes the place of this process and
keeps the lock until it ends, however it ends. SLURM chooses a job's devices by itself, and is not asked twice.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

LOOK_S = 1.0


def devices() -> list[str]:
    """Names of this machine's GPUs; none if it has no driver."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [line.split(":")[0].removeprefix("GPU ") for line in listed.splitlines() if line.startswith("GPU ")]


def take(names: Sequence[str], folder: Path) -> str:
    """The first device whose lock is free; the lock outlives this function and goes to the process that comes after."""
    folder.mkdir(exist_ok=True)
    while True:
        for name in names:
            handle = os.open(folder / name.replace("/", "_"), os.O_CREAT | os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            os.set_inheritable(handle, True)
            return name
        time.sleep(LOOK_S)


def main(command: Sequence[str]) -> int:
    if not command:
        sys.exit(__doc__.splitlines()[0])
    if "SLURM_JOB_ID" not in os.environ:
        if not (names := devices()):
            print(
                "error: this machine shows no GPU; leave out gpu=true, or --profile workflow/profiles/gpus", file=sys.stderr
            )
            return 2
        os.environ["CUDA_VISIBLE_DEVICES"] = take(names, Path(tempfile.gettempdir()) / f"advconf-gpus-{os.getuid()}")
    os.execvp(command[0], list(command))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
