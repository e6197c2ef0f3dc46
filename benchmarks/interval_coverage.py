"""How often does an interval over seeds hold the truth where there are few segmenters?

    python benchmarks/interval_coverage.py --out results/coverage.csv

The difference of two methods is drawn for each pair of seeds around a truth of 0: a normal part that all heads of a
segmenter share, and one of each head. The interval is that of `evaluation/paired.compare`: segmenters and their heads are
drawn anew, and the 2.5 % and 97.5 % points of the mean are its ends. Subjects are left out, as if there were very many.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.evaluation.bootstrap import seed_weights
from advconf_lite.support.command_line import well_behaved
from advconf_lite.support.files import write_atomically

SEGMENTERS, HEADS, HEAD_SPREADS = (3, 5, 10, 20, 40), 3, (0.0, 0.5, 1.0, 2.0)


def coverage(segmenters: int, heads: int, head_spread: float, repeats: int, resamples: int = 1000, seed: int = 0) -> float:
    """Share of intervals that hold 0; `head_spread` is the standard deviation of heads in units of that of segmenters."""
    rng = np.random.default_rng([seed, segmenters, heads, round(100 * head_spread)])
    pairs = [(s, h) for s in range(segmenters) for h in range(heads)]
    of_segmenter = rng.standard_normal((repeats, segmenters)).repeat(heads, axis=1)
    drawn = of_segmenter + head_spread * rng.standard_normal((repeats, len(pairs)))  # (repeats, pairs)
    weights = seed_weights(pairs, resamples)[1:]
    low, high = np.percentile(drawn @ (weights / weights.sum(1, keepdims=True)).T, [2.5, 97.5], axis=1)
    return float(np.mean((low <= 0) & (high >= 0)))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="coverage.csv")
    parser.add_argument("--repeats", type=int, default=4000, metavar="N", help="differences that are drawn for a cell")
    chosen = parser.parse_args(arguments)
    rows = []
    for segmenters in SEGMENTERS:
        of_spread = {f"heads_{s:g}": f"{coverage(segmenters, HEADS, s, chosen.repeats):.2f}" for s in HEAD_SPREADS}
        rows.append({"segmenters": segmenters, "heads_of_each": HEADS, **of_spread})
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    write_atomically(chosen.out, lambda temporary: table.to_csv(temporary, index=False))
    return 0


if __name__ == "__main__":
    sys.exit(well_behaved(main))
