"""What one segmenter and its heads cost at a profile: seconds of one core, and operations, from a few steps of each.

    python benchmarks/bench_profile.py --data data/hearts --profile medium --steps 30

The steps are those of `run`: the same batches, augmentation, validation and methods, all past the warm-up. Seconds are those
of the processor and not of the clock, so that other work on the machine hardly counts; operations are those of
convolutions and matrices as torch counts them, forth and back.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from advconf_lite.experiment.profiles import find_profile
from advconf_lite.experiment.run import Run

METHODS = ("plain-2b", "replay", "adversarial", "random-direction", "strong-augmentation", "quality-regression")


def cost(data: str, name: str, methods: list[str], steps: int, count: bool) -> tuple[float, float]:
    """Seconds of the processor, or billions of operations, of one step of the segmenter and of one of all heads."""
    whole = find_profile(name)
    settings = replace(whole.settings, warmup_batches=1)  # one plain step: the others are what is measured
    profile = replace(whole, segmenter_steps=steps, head_steps=steps + 1, settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, data, profile, ["dice"], methods, progress=False)
        run.experiment  # noqa: B018 - read, so that it is not measured
        found = []
        for stage in (run.segmenter, run.heads):
            counter, began = FlopCounterMode(display=False), time.process_time()
            if count:
                with counter:
                    stage()
            else:
                stage()
            found.append(counter.get_total_flops() / 1e9 if count else time.process_time() - began)
    return found[0] / steps, found[1] / (steps + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--profile", default="medium")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--steps", type=int, default=30)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    whole = find_profile(chosen.profile)
    lengths = whole.segmenter_steps, whole.head_steps
    seconds = cost(chosen.data, chosen.profile, chosen.methods, chosen.steps, count=False)
    operations = cost(chosen.data, chosen.profile, chosen.methods, 2, count=True)
    rows = [
        {
            "part": part, "steps": n, "seconds_a_step": s, "minutes": s * n / 60,
            "billion_operations_a_step": f, "trillion_operations": f * n / 1e3,
        }
        for part, n, s, f in zip(("segmenter", f"{len(chosen.methods)} heads"), lengths, seconds, operations)
    ]  # fmt: skip
    print(pd.DataFrame(rows).round(3).to_csv(index=False))


if __name__ == "__main__":
    main()
