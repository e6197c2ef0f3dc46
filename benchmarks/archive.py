"""What it costs to score a hospital's and a nation's archive, with one pass and with 15: measured here, multiplied there.

    python benchmarks/archive.py [--save results/archive.csv]

Seconds of a core per slice are measured: those of `prepare` are in results/speed.csv, those of the quick profile's network
at 96 x 96 in results/predict.csv, those of the paper's at 256 x 256 in results/table1.csv (with two threads: taken twice).
No GPU was measured. One is counted: the operations of the network's passes, at a share of the peak that the card's data
sheet gives. The other one's times per image are the paper's own. The archives, the prices, and who has how many cores and
cards, are assumptions, stated below.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"

YEARS, EXAMS_A_YEAR, SLICES = 10, 2000, 20  # of a hospital; slices an examination: a short-axis stack in two phases
HOSPITALS = {"hospital": 1, "nation": 100}
CORE, COUNTED, PAPERS = "core", "T4, by operations", "A40, the paper's times"
DEVICES = {"hospital": {CORE: 16, COUNTED: 1, PAPERS: 1}, "nation": {CORE: 1000, COUNTED: 16, PAPERS: 16}}
CENTS = {CORE: 5, COUNTED: 50, PAPERS: 100}  # for an hour of it
PEAK, SHARE = 8.1e12, 0.1  # operations a second of a T4 in single precision; what of it is taken to be reached
CLASSES = 4  # of the network whose operations are counted


def operations(profile: str, side: int) -> int:
    """Of one pass of a profile's network over one image: of its convolutions, a product and a sum are two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from advconf_lite.experiment.networks import new_segmenter
    from advconf_lite.experiment.profiles import PROFILES

    segmenter = new_segmenter(None, PROFILES[profile], CLASSES, 0).freeze()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        segmenter(torch.zeros(1, 1, side, side))
    return counter.get_total_flops()


def table(name: str, *keys: str) -> dict[tuple[str, ...], dict[str, str]]:
    with open(RESULTS / name, newline="", encoding="utf-8") as file:
        return {tuple(row[key] for key in keys): row for row in csv.DictReader(file)}


def per_slice() -> list[tuple[str, int, int, str, float]]:
    """(work, pixels a side, passes, device, seconds of the device per slice)."""
    speed, ours = table("speed.csv", "what"), table("predict.csv", "network", "method")
    papers = table("table1.csv", "quality", "method", "metric_code")
    prepare = float(speed["prepare of 170 synthetic M&Ms-2 subjects, one worker",]["ours_value"])
    found = [("prepare", 256, 0, CORE, 1 / prepare)]
    ways = (1, "adversarial", "direct prediction", ""), (15, "agreement-15", "agreement N = 15", "ours")
    for passes, method, _, _ in ways:
        found.append(("quick network", 96, passes, CORE, 1 / float(ours["quick", method]["slices_per_core_s"])))
    one_pass = operations("paper", 256) / (PEAK * SHARE)
    for passes, _, name, code in ways:
        row = papers["dice", name, code]
        found.append(("paper's network", 256, passes, CORE, 2 * float(row["ms"]) / 1000))
        drawn = passes if passes == 1 else passes + 1  # the samples, and the pass that draws the mask
        found.append(("paper's network", 256, passes, COUNTED, drawn * one_pass))
        found.append(("paper's network", 256, passes, PAPERS, float(row["paper_ms"]) / 1000))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", type=Path, metavar="FILE.csv")
    chosen = parser.parse_args()
    rows = []
    for work, side, passes, device, seconds in per_slice():
        row = {"work": work, "pixels": f"{side} x {side}", "passes": passes or "", "device": device}
        row["ms_per_slice"] = rounded(1000 * seconds)
        for archive, hospitals in HOSPITALS.items():
            hours = YEARS * EXAMS_A_YEAR * SLICES * hospitals * seconds / 3600
            row[f"{archive}_device_hours"] = rounded(hours)
            row[f"{archive}_hours"] = rounded(hours / DEVICES[archive][device])
            row[f"{archive}_price"] = rounded(hours * CENTS[device] / 100)
        rows.append(row)
        print(*(f"{name} {value}" for name, value in row.items()))
    if chosen.save:
        with open(chosen.save, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return 0


def rounded(value: float) -> str:
    """Two digits are all that such an estimate has."""
    return f"{float(f'{value:.2g}'):.10g}"


if __name__ == "__main__":
    sys.exit(main())
