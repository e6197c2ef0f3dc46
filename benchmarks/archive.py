"""What it costs to score a hospital's and a nation's archive, with one pass and with 15: measured here, multiplied there.

    python benchmarks/archive.py [--save results/archive.csv]

Seconds of a core per slice are those of results/predict.csv (the quick profile's network, 96 x 96) and of
results/table1.csv (the paper's, 256 x 256; two threads, so twice the time), whose times on the paper's GPU are the paper's
own. The archives, and who has how many cores and GPUs, are assumptions, stated below.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"

YEARS, EXAMS_A_YEAR, SLICES = 10, 2000, 20  # of a hospital; slices an examination: a short-axis stack in two phases
HOSPITALS = {"hospital": 1, "nation": 100}
CORE, GPU = "core", "A40 (the paper's times)"
DEVICES = {"hospital": {CORE: 16, GPU: 1}, "nation": {CORE: 1000, GPU: 16}}
CENTS = {CORE: 5, GPU: 100}  # for an hour of it
BYTES = 4  # a pixel of images.npy


def per_slice() -> list[tuple[str, int, str, int, float]]:
    """(network, pixels a side, device, passes, seconds of the device per slice), as measured."""
    with open(RESULTS / "predict.csv", newline="", encoding="utf-8") as file:
        ours = {(row["network"], row["method"]): row for row in csv.DictReader(file)}
    with open(RESULTS / "table1.csv", newline="", encoding="utf-8") as file:
        papers = {(row["quality"], row["method"], row["metric_code"]): row for row in csv.DictReader(file)}
    found = []
    for passes, method, key in (
        (1, "adversarial", ("dice", "direct prediction", "")),
        (15, "agreement-15", ("dice", "agreement N = 15", "ours")),
    ):
        found.append(("quick", 96, CORE, passes, 1 / float(ours["quick", method]["slices_per_core_s"])))
        found.append(("paper", 256, CORE, passes, 2 * float(papers[key]["ms"]) / 1000))
        found.append(("paper", 256, GPU, passes, float(papers[key]["paper_ms"]) / 1000))
    return sorted(found, key=lambda row: (row[1], row[2] == GPU))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", type=Path, metavar="FILE.csv")
    chosen = parser.parse_args()
    rows = []
    for archive, hospitals in HOSPITALS.items():
        slices = YEARS * EXAMS_A_YEAR * SLICES * hospitals
        for network, side, device, passes, seconds in per_slice():
            hours, devices = slices * seconds / 3600, DEVICES[archive][device]
            rows.append({
                "archive": archive, "slices": slices, "network": network, "pixels": f"{side} x {side}",
                "images_gb": f"{slices * side**2 * BYTES / 1e9:.0f}", "passes": passes, "device": device,
                "device_hours": f"{hours:.3g}", "devices": devices, "hours": f"{hours / devices:.2g}",
                "price": f"{hours * CENTS[device] / 100:.3g}",
            })  # fmt: skip
            print(*(f"{name} {value}" for name, value in rows[-1].items()))
    if chosen.save:
        with open(chosen.save, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
