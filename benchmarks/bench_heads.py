"""Seconds of a turn of the heads' training, one head after the other and in threads, idle and beside busy processes.

    python benchmarks/bench_heads.py [--profile quick] [--busy 0 2] [--steps 20] [--save FILE.csv]

The U-Net is untrained and the images are noise, which costs as much. Both ways take turns; the weights that they end in are
compared bit by bit. A busy process counts in a loop. Medians over the turns of what a step takes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from dataclasses import replace

import pandas as pd
import torch
from bench_threads import busy_processes

from advconf_lite.experiment.profiles import Profile, find_profile
from advconf_lite.head import ConfidenceHead
from advconf_lite.head_training import Learner, train_heads
from advconf_lite.methods.registry import find_method
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter, build_unet

WAYS = {"one after the other": "1", "in threads": str(os.cpu_count())}
HEADS = {
    "the tutorial's 4": [(m, q) for m in ("plain", "adversarial") for q in ("dice", "surface_dice")],
    "11 of the evidence": [(m, "dice") for m in (
        "plain-2b", "replay", "adversarial", "random-direction", "strong-augmentation", "severity", "overconfidence",
        "severity-appearance", "overconfidence-appearance", "adversarial+strong", "quality-regression",
    )],
}  # fmt: skip


def heads(names: list[tuple[str, str]], segmenter: Segmenter, profile: Profile, size: int) -> list[Learner]:
    found: dict[tuple[str, str], Learner] = {}
    for name, quality in names:
        g, method = Quality(quality, 2, tolerance=1.0), find_method(name)
        torch.manual_seed(0)
        head = method.build(ConfidenceHead(segmenter.feature_shape(size), 1), segmenter, g)
        found[name, quality] = Learner(method, head, g, method.adjust(profile).settings, "cardiac", 1.5)
    for (_, quality), learner in found.items():
        learner.pair = found.get((learner.method.pair, quality))
    return list(found.values())


def turn(names: list[tuple[str, str]], segmenter: Segmenter, profile: Profile, steps: int) -> tuple[float, list]:
    """Seconds of each step, and the weights at the end."""
    size = profile.max_size or 256
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 1, size, size, generator=draw), torch.zeros(64, size, size, dtype=torch.int64)
    y[:, size // 4 : size // 2, size // 4 : size // 2] = 1
    schedule = replace(profile, head_steps=steps + 1, steps_per_epoch=10**6)
    learners, ends = heads(names, segmenter, profile, size), []
    train_heads(
        segmenter, learners, (x, y), (x[:1], y[:1]), schedule, 0, None, False, on_step=lambda _: ends.append(time.time())
    )
    return (ends[-1] - ends[0]) / steps, [one.head.state_dict() for one in learners]


def compared(
    names: list[tuple[str, str]], segmenter: Segmenter, profile: Profile, steps: int, turns: int
) -> list[list[float]]:
    """Seconds of a step in each turn, of each of WAYS."""
    found = []
    for _ in range(turns):
        of_ways = []
        for cores in WAYS.values():
            os.environ["LOKY_MAX_CPU_COUNT"] = cores  # which joblib's number of cores goes by
            of_ways.append(turn(names, segmenter, profile, steps))
        found.append([seconds for seconds, _ in of_ways])
        first, second = (weights for _, weights in of_ways)
        if not all(torch.equal(a[key], b[key]) for a, b in zip(first, second) for key in a):
            raise SystemExit("the weights differ")
    return [list(times) for times in zip(*found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, os.cpu_count() or 1], help="processes beside it")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--save", metavar="FILE.csv")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    profile = find_profile(chosen.profile)
    profile = replace(profile, settings=replace(profile.settings, warmup_batches=0))
    segmenter, rows = Segmenter(build_unet(profile.channels, 2)).freeze(), []
    for busy, (which, names) in itertools.product(chosen.busy, HEADS.items()):
        with busy_processes(busy):
            one, many = compared(names, segmenter, profile, chosen.steps, chosen.turns)
        ratios = [b / a for a, b in zip(one, many)]
        rows.append({
            "profile": chosen.profile, "heads": which, "busy_processes": busy,
            "s_one_after_the_other": statistics.median(one), "s_in_threads": statistics.median(many),
            "ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios),
        })  # fmt: skip
        print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False), flush=True)
    if chosen.save:
        pd.DataFrame(rows).to_csv(chosen.save, index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
