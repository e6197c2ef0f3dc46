"""What one segmenter and its heads cost at a profile: seconds of one core, operations and calls, from a few steps of each.

    python benchmarks/bench_profile.py --data data/hearts --profile medium --steps 20

The steps are those of `run` after its warm-up: two trainings of unlike length give the cost of a step by their difference,
and what is left is that of a validation. Seconds are those of the processor and not of the clock, so that other work on the
machine counts less. Operations are those of convolutions and matrices as torch counts them, forth and back; calls are all
that torch is asked for, each of which a GPU takes some microseconds to start.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from advconf_lite.experiment.profiles import Profile, find_profile
from advconf_lite.experiment.run import Run

METHODS = ("plain-2b", "replay", "adversarial", "random-direction", "strong-augmentation", "quality-regression")


class Asked(TorchDispatchMode):
    """Counts what torch is asked for: calls, and the operations of those whose operations it knows."""

    calls = operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        if count := flop_registry.get(func._overloadpacket):
            self.operations += count(*args, **(kwargs or {}), out_val=out)
        return out


def seconds(stage: Callable[[], object]) -> dict[str, float]:
    began = time.process_time()
    stage()
    return {"seconds": time.process_time() - began}


def counts(stage: Callable[[], object]) -> dict[str, float]:
    with Asked() as asked:
        stage()
    return {"billion_operations": asked.operations / 1e9, "calls": asked.calls}


def cost(data: str, profile: Profile, methods: list[str], measure: Callable) -> pd.DataFrame:
    """What `measure` finds of the training of the segmenter, and of that of all heads."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, data, profile, ["dice"], methods, progress=False)
        run.experiment  # noqa: B018 - read now, so that it is not measured
        return pd.DataFrame([measure(run.segmenter), measure(run.heads)], index=["segmenter", "heads"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--profile", default="medium")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--steps", type=int, default=20)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    whole, short, tables = find_profile(chosen.profile), 3, []
    for measure, more in ((seconds, chosen.steps), (counts, 2)):
        few, many = (
            replace(whole, segmenter_steps=n, head_steps=n, settings=replace(whole.settings, warmup_batches=0))
            for n in (short, short + more)
        )
        cost(chosen.data, few, chosen.methods, measure)  # the first time finds its kernels and its memory
        some, others = (cost(chosen.data, each, chosen.methods, measure) for each in (few, many))
        step = (others - some) / more
        tables += [step.add_suffix("_a_step"), (some - short * step).add_suffix("_a_validation")]
    table = pd.concat(tables, axis=1)
    table.insert(0, "steps", [whole.segmenter_steps, whole.head_steps])
    validations = table["steps"] / whole.steps_per_epoch
    for unit, per in (("seconds", 60), ("billion_operations", 1)):
        total = table[f"{unit}_a_step"] * table["steps"] + table[f"{unit}_a_validation"] * validations
        table["minutes" if unit == "seconds" else unit] = total / per
    print(table.rename_axis("part").to_csv(float_format="%.2f"))


if __name__ == "__main__":
    main()
