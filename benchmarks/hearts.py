"""Real hearts from one npz file as slice sets: ACDC in folds, and ACDC with other scanners as targets.

    python benchmarks/hearts.py hearts.npz --out data/hearts

The file has the keys image (N, H, W), mask (N, H, W; 1 LV, 2 MYO, 3 RV), domain, subject, slice and phase; pixels are 1.5 mm
as the crops were made. Two kinds of sets are written, whole or not at all, and never again once they are there:

    acdc-fold-1, -2, -3   ACDC alone, so that `run` re-acquires its test subjects; over the three each subject is tested once
    hearts-dev            ACDC as the source, split by subject; every other domain a target

The images are others': nothing of these folders belongs into a repository.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.data.slices import write_slice_set
from advconf_lite.data.splits import split_by_fold, split_by_subject
from advconf_lite.support.command_line import well_behaved
from advconf_lite.support.errors import BadInput

KEYS = ("image", "mask", "domain", "subject", "slice", "phase")
SOURCE, FOLDS, PIXEL_MM = "ACDC", 3, 1.5
INFO = {
    "organ": "cardiac", "class_names": ["LV", "MYO", "RV"], "source_domain": SOURCE, "spacing_mm": PIXEL_MM,
    "tolerance_mm": 3.0,
}  # fmt: skip


def read(path: Path) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Images and masks (N, H, W), and rows of slices.csv without a split.

    A volunteer who was scanned at several levels of motion ("P001-2" in "motion-2") is one person in all of them, and the
    bootstrap draws persons.

    Raises:
        BadInput: the file is not there, or lacks a key or the source.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in KEYS}
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{path} is no npz file of hearts ({' '.join(str(error).split())}); give one with the keys {', '.join(KEYS)}",
            argument="hearts",
        ) from None
    if SOURCE not in arrays["domain"]:
        raise BadInput(f"{path} has no slice of {SOURCE}, the source", argument="hearts")
    table = pd.DataFrame({key: arrays[key] for key in KEYS[2:]}).assign(dataset="hearts", spacing_mm=PIXEL_MM)
    level = table["domain"].str.extract(r"^motion(-\d+)$", expand=False)
    table["subject"] = [name.removesuffix(end) if end == end else name for name, end in zip(table["subject"], level)]
    return arrays["image"].astype(np.float32), arrays["mask"], table


def make_sets(path: Path | None, out: Path) -> dict[str, Path]:
    """Name -> folder of every slice set; those that are missing are made.

    Raises:
        BadInput: something is missing and no file was given, or see `read`.
    """
    made: dict[str, Callable[[list[str]], dict[str, str]]] = {
        f"acdc-fold-{k}": lambda subjects, k=k: split_by_fold(subjects, k, FOLDS) for k in range(1, FOLDS + 1)
    }
    made["hearts-dev"] = split_by_subject
    folders = {name: out / name for name in made}
    missing = [name for name in made if not (folders[name] / "dataset.json").exists()]
    if missing and path is None:
        raise BadInput(f"{folders[missing[0]]} is not there and no file to make it from was given", argument="hearts")
    if missing:
        images, masks, table = read(Path(path))
        source = (table["domain"] == SOURCE).to_numpy()
    for name in missing:
        split = made[name](sorted(set(table.loc[source, "subject"])))
        rows = table.assign(split=table["subject"].map(split).where(source, "test"))
        info = {**INFO, "name": "acdc" if name != "hearts-dev" else name, "size": int(images.shape[1])}
        if name != "hearts-dev":
            info["fold"] = f"{name[-1]}/{FOLDS}"
        kept = np.ones(len(rows), bool) if name == "hearts-dev" else source
        info["how_made"] = f"benchmarks/hearts.py from {Path(path).name}"
        write_slice_set(folders[name], images[kept], masks[kept], rows[kept].reset_index(drop=True), info)
    return folders


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hearts", type=Path, metavar="FILE.npz")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    chosen = parser.parse_args()
    for name, folder in make_sets(chosen.hearts, chosen.out).items():
        print(f"{name}: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(well_behaved(main, options={"folder": "--out", "hearts": "FILE.npz"}))
