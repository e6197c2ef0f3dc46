"""What it costs to score a hospital's and a nation's archive, with one pass and with 15: measured here, multiplied there.

    python benchmarks/archive.py [--save results/archive.csv]

Seconds of a core per slice are those of results/predict.csv (the quick profile's network, 96 x 96) and of
results/table1.csv (the paper's, 256 x 256; two threads, so twice the time). The archives are assumptions, stated below.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"

YEARS, EXAMS_A_YEAR, SLICES = 10, 2000, 20  # of a hospital; slices an examination: a short-axis stack in two phases
HOSPITALS = 100  # in the nation's archive
CORES = {"hospital": 16, "nation": 1000}
CENTS = 5  # for an hour of a core
BYTES = 4  # a pixel of images.npy


def per_slice() -> list[tuple[str, int, int, float]]:
    """(network, pixels a side, passes, seconds of a core per slice), as measured."""
    with open(RESULTS / "predict.csv", newline="", encoding="utf-8") as file:
        ours = {(row["network"], row["method"]): row for row in csv.DictReader(file)}
    with open(RESULTS / "table1.csv", newline="", encoding="utf-8") as file:
        papers = {(row["quality"], row["method"], row["metric_code"]): row for row in csv.DictReader(file)}
    found = []
    for passes, method, key in (
        (1, "adversarial", ("dice", "direct prediction", "")),
        (15, "agreement-15", ("dice", "agreement N = 15", "ours")),
    ):
        found.append(("quick", 96, passes, 1 / float(ours["quick", method]["slices_per_core_s"])))
        found.append(("paper", 256, passes, 2 * float(papers[key]["ms"]) / 1000))
    return sorted(found, key=lambda row: row[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", type=Path, metavar="FILE.csv")
    chosen = parser.parse_args()
    rows = []
    for archive, cores in CORES.items():
        slices = YEARS * EXAMS_A_YEAR * SLICES * (HOSPITALS if archive == "nation" else 1)
        for network, side, passes, seconds in per_slice():
            hours = slices * seconds / 3600
            rows.append({
                "archive": archive, "slices": slices, "network": network, "pixels": f"{side} x {side}", "passes": passes,
                "images_gb": f"{slices * side**2 * BYTES / 1e9:.0f}", "core_hours": f"{hours:.3g}", "cores": cores,
                "hours": f"{hours / cores:.2g}", "price": f"{hours * CENTS / 100:.2g}",
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
