"""`prepare` beside a plain loop of nibabel and MONAI, on the same synthetic files in one run; and its peak memory.

    python benchmarks/bench_prepare.py

Slices per second are those of all slices read; with two workers the start of both (about three seconds, mostly
PyTorch's) is part of the time. MONAI's loop reads image and mask, resamples in-plane (`Spacingd`), crops or pads
(`ResizeWithPadOrCropd`) and keeps the non-empty slices; it writes nothing, checks nothing and turns nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
for place in (ROOT, ROOT / "tests"):
    sys.path.insert(0, str(place))
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


def monai_loop(volumes: list) -> float:
    """Seconds."""
    import nibabel
    import numpy as np
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Compose, ResizeWithPadOrCropd, Spacingd

    torch.set_num_threads(1)
    both = ["image", "mask"]
    steps = Compose(
        [
            Spacingd(both, pixdim=(1.0, 1.0, -1.0), mode=("bilinear", "nearest")),
            ResizeWithPadOrCropd(both, spatial_size=(256, 256, -1)),
        ]
    )
    start = time.perf_counter()
    for volume in volumes:
        pair = {}
        for key, path in zip(both, (volume.image, volume.mask)):
            file = nibabel.load(path)
            pair[key] = MetaTensor(np.asarray(file.dataobj, dtype=np.float32)[None], affine=file.affine)
        pair = steps(pair)
        keep = pair["mask"].any(dim=(0, 1, 2))
        pair["image"][..., keep].numpy(), pair["mask"][..., keep].numpy()
    return time.perf_counter() - start


def prepare(source: Path, out: Path, workers: int) -> float:
    """Seconds of the whole command, the start of Python apart."""
    from data_download.__main__ import main

    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        code = main(["prepare", "mnms2", "--source", str(source), "--out", str(out), "--workers", str(workers)])
    if code:
        raise SystemExit("prepare failed")
    return time.perf_counter() - start


def peak_memory(source: Path, out: Path) -> float:
    """MiB of a process that prepares `source` with one worker, in itself."""
    code = (
        "import resource, sys\nfrom data_download.__main__ import main\n"
        f"main(['prepare', 'mnms2', '--source', {str(source)!r}, '--out', {str(out)!r}, '--workers', '1', '--size', '96'])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=60)
    parser.add_argument("--memory", type=int, nargs="*", default=[20, 200], help="numbers of subjects; none leaves it out")
    options = parser.parse_args()
    import archives

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        volumes = archives.mnms2(root / "speed", {"Symphony": options.subjects}, size=(256, 216), depth=(12, 9))
        slices = sum(volume.slices for volume in volumes)
        prepare(root / "speed", root / "warm", 1)  # the files are in the cache, the modules loaded
        seconds = {
            "nibabel + MONAI": monai_loop(volumes[:2]) and monai_loop(volumes),  # the first call imports more
            "prepare, 1 worker": prepare(root / "speed", root / "one", 1),
            "prepare, 2 workers": prepare(root / "speed", root / "two", 2),
        }
        for name, value in seconds.items():
            ratio = seconds["nibabel + MONAI"] / value
            print(f"{name:20s}{slices / value:8.0f} slices per second, {ratio:5.2f} times MONAI's", flush=True)
        print(f"2 workers / 1 worker {seconds['prepare, 1 worker'] / seconds['prepare, 2 workers']:.2f}", flush=True)
        for number in options.memory:
            archives.mnms2(root / f"m{number}", {"Symphony": number}, size=(96, 96), depth=(10, 8))
            print(
                f"{number:4d} subjects: peak {peak_memory(root / f'm{number}', root / f'out{number}'):.0f} MiB", flush=True
            )


if __name__ == "__main__":
    main()
