"""Where the time of a run's lessons has gone, from the executed copies that papermill has left in its folder.

    python benchmarks/bench_tutorial.py runs/BEFORE [runs/AFTER] [--save FILE.csv]

For each lesson the seconds from its kernel's start to its end, and those of its longest cell, which trains or samples; the
rest is the start of the process and the figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nbformat
import pandas as pd


def seconds(folder: Path) -> pd.DataFrame:
    """lesson, its seconds, and those of its longest cell; the last row is their sum."""
    rows = []
    for path in sorted((folder / "notebooks").glob("*.ipynb")):
        executed = nbformat.read(path, as_version=4)
        cells = [cell.metadata.get("papermill", {}).get("duration") or 0.0 for cell in executed.cells]
        rows.append({"lesson": path.stem, "s": executed.metadata["papermill"]["duration"], "longest_cell_s": max(cells)})
    table = pd.DataFrame(rows)
    return pd.concat([table, pd.DataFrame([{"lesson": "all", **table[["s", "longest_cell_s"]].sum()}])], ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?")
    parser.add_argument("--save", metavar="FILE.csv")
    chosen = parser.parse_args()
    table = seconds(chosen.before).set_index("lesson").add_prefix("before_")
    if chosen.after:
        table = table.join(seconds(chosen.after).set_index("lesson").add_prefix("after_"))
        table["ratio"] = table["after_s"] / table["before_s"]
    print(table.round(2).to_string())
    if chosen.save:
        table.reset_index().to_csv(chosen.save, index=False, float_format="%.2f")


if __name__ == "__main__":
    main()
