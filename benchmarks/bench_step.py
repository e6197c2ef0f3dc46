"""One adversarial step against one plain step on the same 2B images, frozen paper-size U-Net.

    python benchmarks/bench_step.py [--batch 8] [--size 256] [--repeats 3]

By operation count the bound is 1.46: the plain step is one pass of 2B images; the adversarial one adds the way back from
z to x for B of them, and 92 % of the network's operations lie before z. On one CPU thread the times are the processor's own,
which other processes do not stretch.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from advconf_lite.adversarial import segment
from advconf_lite.head import ConfidenceHead
from advconf_lite.head_training import new_algorithm
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter, build_unet
from advconf_lite.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="B; both steps see 2B images")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(chosen.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    B, size, g = chosen.batch, chosen.size, Quality("dice", 4)
    segmenter = Segmenter(build_unet()).to(device).freeze()
    head = ConfidenceHead(segmenter.feature_shape(size), 3).to(device)
    x = torch.randn(2 * B, 1, size, size, device=device)
    y = torch.randint(0, 4, (2 * B, size, size), device=device)
    loop = new_algorithm(head, g, Settings())

    def plain() -> None:
        loop.plain_step(segment(segmenter, x, y))

    def adversarial() -> None:
        loop.step(segmenter, segment(segmenter, x[:B], y[:B], gradient=True))

    clock = time.process_time if device.type == "cpu" and chosen.threads == 1 else time.perf_counter
    times: dict[str, list[float]] = {"plain": [], "adversarial": []}
    for turn in range(chosen.repeats + 1):  # the first turn warms up; then the two take turns, as machines are noisy
        for name, step in (("plain", plain), ("adversarial", adversarial)):
            began = clock()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                times[name].append(clock() - began)
    ratios = [a / p for a, p in zip(times["adversarial"], times["plain"])]
    for name, values in times.items():
        least, median, most = (1e3 * of(values) for of in (min, statistics.median, max))
        print(f"{name:12} {median:8.1f} ms (min {least:.1f}, max {most:.1f})")
    print(
        f"ratio {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}), {2 * B} images of "
        f"{size} x {size} a step, on {device}, {chosen.threads} CPU threads"
    )


if __name__ == "__main__":
    main()
