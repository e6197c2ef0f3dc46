"""What parts of a run need, from the records of those that have run: the resources that the workflow asks for.

python workflow/scripts/measured.py runs/grid [FOLDER ...]    adds what was recorded there to workflow/measured.csv

A row is the largest of all records of one part, profile and kind of device.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[1] / "measured.csv"
KEYS = ("profile", "part", "device")
LARGEST = ("seconds", "memory_mb", "gpu_mb")

# Another machine may be slower, another data set larger. A job that is killed for want of either gets that much more again.
TIMES_SECONDS, TIMES_MEMORY = 3.0, 1.5
UNMEASURED = {"seconds": 8 * 3600, "memory_mb": 16_000}


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of all jobs in the run folders below `folder`."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("**/jobs/*.json"))]


def largest(found: list[dict[str, Any]], before: list[dict[str, str]]) -> list[dict[str, Any]]:
    """A row per profile, part and kind of device; a row of `before` is replaced by one of the same key."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {tuple(row[key] for key in KEYS): row for row in before}
    new: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in found:
        new.setdefault(tuple(record[key] for key in KEYS), []).append(record)
    for key, group in new.items():
        values = {name: max(record.get(name, 0) for record in group) for name in LARGEST}
        rows[key] = {**dict(zip(KEYS, key)), "jobs": len(group), **values}
    return [rows[key] for key in sorted(rows)]


def read() -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with open(TABLE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def needs(rows: list[dict[str, str]], profile: str, part: str, gpu: bool) -> dict[str, int]:
    """mem_mb, runtime (minutes) and gpu of a part, as Snakemake and its executors call them."""
    kinds = [row for row in rows if row["profile"] == profile and row["part"] == part and (row["device"] != "cpu") == gpu]
    need = {name: max((float(row[name]) for row in kinds), default=UNMEASURED[name]) for name in UNMEASURED}
    if kinds:
        need = {"seconds": need["seconds"] * TIMES_SECONDS, "memory_mb": need["memory_mb"] * TIMES_MEMORY}
    minutes, memory = max(5, math.ceil(need["seconds"] / 60)), math.ceil(need["memory_mb"] / 100) * 100
    return {"mem_mb": memory, "runtime": minutes, **({"gpu": 1} if gpu else {})}


def main(folders: Sequence[str]) -> int:
    found = [record for folder in folders for record in records(Path(folder))]
    if not found:
        print(
            f"error: no jobs/*.json below {' '.join(folders) or 'no folder'}; run the workflow there first", file=sys.stderr
        )
        return 2
    rows = largest(found, read())  # before the file is opened, which empties it
    with open(TABLE, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*KEYS, "jobs", *LARGEST], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{TABLE}: {len(found)} records")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
