"""Reading the files of a slice set, with every check (the format is described in `slices`)."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.data.on_disk import forget
from advconf_lite.data.slice_info import COLUMNS, read_info
from advconf_lite.support.errors import BadInput, mended

FILES = ("images.npy", "masks.npy", "slices.csv", "dataset.json")
SPLITS = ("train", "val", "test")
BLOCK = 64  # slices read at a time: 16 MiB at 256 x 256, however large the set is
IMAGE_TYPE, MASK_TYPE = np.dtype("<f4"), np.dtype("u1")


def blocks(spacings: np.ndarray, to_mm: float | None) -> Iterator[tuple[np.ndarray, float]]:
    """(positions, their spacing) of at most BLOCK of the rows with these spacings, all of one when there is resampling."""
    spacings = np.asarray(spacings) if to_mm is not None else np.ones(len(spacings))
    for from_mm in np.unique(spacings):
        rows = np.flatnonzero(spacings == from_mm)
        for start in range(0, len(rows), BLOCK):
            yield rows[start : start + BLOCK], float(from_mm)


def load_and_check(folder: Path, shown: Path | None = None) -> tuple[np.ndarray, np.ndarray | None, pd.DataFrame, dict]:
    """(images, masks or None, table, info) of a slice set; `shown` is the folder that error messages name.

    Raises:
        BadInput: see `slices.read_slice_set`.
    """
    images, masks, table, info = loaded = load(folder, shown)
    _check_table(table, info, masks is not None, shown or folder)
    _check_pixels(images, masks, table, info, shown or folder)
    return loaded


def load(folder: Path, shown: Path | None = None) -> tuple[np.ndarray, np.ndarray | None, pd.DataFrame, dict]:
    """`load_and_check` without a look at splits and pixels: files, types and shapes only.

    Raises:
        BadInput: a file is missing or unreadable, or the files do not belong together.
    """
    if shown is None:
        shown = folder
        recover(folder)
    if not folder.is_dir():
        raise BadInput(f"there is no folder {shown}; prepare the data first, or correct the path")
    for name in ("images.npy", "slices.csv", "dataset.json"):
        if not (folder / name).is_file():
            raise BadInput(
                f"{shown} is not a slice set, for {name} is missing; a slice set holds images.npy, "
                "slices.csv, dataset.json and, unless it is image-only, masks.npy"
            )
    images = _open_array(folder, "images.npy", IMAGE_TYPE, shown)
    masks = _open_array(folder, "masks.npy", MASK_TYPE, shown) if (folder / "masks.npy").exists() else None
    table = _read_table(folder / "slices.csv", shown / "slices.csv")
    info = read_info(folder / "dataset.json", shown / "dataset.json", table)
    if len(images) == 0:
        raise BadInput(f"{shown / 'images.npy'} holds no slices; write at least one")
    if masks is not None and masks.shape != images.shape:
        raise BadInput(
            f"{shown / 'masks.npy'} has shape {masks.shape} but images.npy {images.shape}; give every image "
            "a mask of its size"
        )
    if len(table) != len(images):
        raise BadInput(
            f"{shown / 'slices.csv'} has {len(table)} rows but images.npy {len(images)} slices; give one row each"
        )
    return images, masks, table, info


def _open_array(folder: Path, name: str, dtype: np.dtype, shown: Path) -> np.ndarray:
    try:
        array = np.load(folder / name, mmap_mode="r", allow_pickle=False)
        dimensions = array.ndim  # an .npz archive under this name has none
    except (ValueError, EOFError, OSError, AttributeError) as error:
        reason = str(error).rstrip(".")
        raise BadInput(
            f"{shown / name} cannot be read as a NumPy array ({reason}); {mended(error, 'write it again')}"
        ) from error
    if dimensions != 3:
        raise BadInput(f"{shown / name} has shape {array.shape}; save it as (slices, height, width)")
    if array.dtype != dtype:
        raise BadInput(f"{shown / name} has dtype {array.dtype}; save it with .astype({dtype.name!r})")
    return array


def _read_table(path: Path, shown: Path) -> pd.DataFrame:
    try:
        # All as text, and nothing taken for a missing value: a subject may be called "007" or "NA".
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        # pandas renames the second of two equal names.
        named_twice = pd.read_csv(path, dtype=str, header=None, nrows=1, encoding="utf-8-sig").iloc[0].dropna()
    except (ValueError, OSError) as error:  # pandas' parser and encoding errors are ValueErrors
        reason = " ".join(str(error).split())
        raise BadInput(f"{shown} cannot be read as a CSV table ({reason}); {mended(error, 'write it again')}") from error
    if missing := [column for column in COLUMNS if column not in table]:
        raise BadInput(f"{shown} has no column {', '.join(missing)}; it needs {','.join(COLUMNS)}")
    if twice := [name for name, count in Counter(named_twice).items() if count > 1]:
        raise BadInput(f"{shown} has the column {twice[0]} twice; leave one of them")
    for column in ("domain", "subject"):
        empty = table[column].str.strip() == ""
        if empty.any():
            raise BadInput(f"{shown}: {column} in row {int(np.argmax(empty))} is empty; say whose slice it is")
    for column, kind in (("slice", "a whole number"), ("spacing_mm", "a positive number of millimetres")):
        numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
        good = np.isfinite(numbers) & ((numbers > 0) if column == "spacing_mm" else (numbers == np.round(numbers)))
        if not good.all():
            row = int(np.argmin(good))
            raise BadInput(f"{shown}: {column} in row {row} is {table[column][row]!r}; give {kind}")
        table[column] = numbers.astype(np.int64 if column == "slice" else float)
    return table


def _check_table(table: pd.DataFrame, info: dict, has_masks: bool, shown: Path) -> None:
    file = shown / "slices.csv"
    bad = ~table["split"].isin(SPLITS)
    if bad.any():
        row = int(np.argmax(bad))
        raise BadInput(f"{file}: split in row {row} is {table['split'][row]!r}; give train, val or test")
    twice = table.duplicated(["domain", "subject", "phase", "slice"])
    if twice.any():
        row = int(np.argmax(twice))
        raise BadInput(f"{file}: row {_name(table, row)} occurs twice; give each slice of a subject and phase one row")
    domains = set(table["domain"])
    listed = [*info["validation_domains"], *info["target_domains"]]
    if has_masks or info["source_domain"] is not None:
        listed = [info["source_domain"], *listed]
    for name in listed:
        if name not in domains:
            raise BadInput(
                f"{shown / 'dataset.json'} names a domain {name!r} that slices.csv does not have; it has: "
                f"{', '.join(sorted(domains))}"
            )
    splits = table.groupby(["domain", "subject"])["split"].nunique()
    if (splits > 1).any():
        domain, subject = splits.idxmax()
        sentence = f"{file}: subject {subject} of domain {domain} is in more than one split"
        if info.get("split") != "slice":
            raise BadInput(
                f'{sentence}, so its slices leak; use split_by_subject, or put "split": "slice" into '
                "dataset.json to show what leaks"
            )
        warnings.warn(f"{sentence} ({int((splits > 1).sum())} subjects are): scores on test are too good", stacklevel=4)


def _check_pixels(images: np.ndarray, masks: np.ndarray | None, table: pd.DataFrame, info: dict, shown: Path) -> None:
    largest = len(info["class_names"])
    for start in range(0, len(images), BLOCK):
        good = np.isfinite(images[start : start + BLOCK])
        if not good.all():
            inside, y, x = (int(index) for index in np.argwhere(~good)[0])
            value = images[start + inside, y, x]
            raise BadInput(
                f"{shown / 'images.npy'} holds {value} in row {_name(table, start + inside)} at pixel "
                f"({y}, {x}); replace it by a number, or leave the slice out"
            )
        if masks is not None and masks[start : start + BLOCK].max() > largest:
            block = masks[start : start + BLOCK]
            inside = int(np.argmax((block > largest).any(axis=(1, 2))))
            value = int(block[inside].max())
            raise BadInput(
                f"{shown / 'masks.npy'} holds the unknown label {value} in row "
                f"{_name(table, start + inside)}; labels are 0 to {largest} "
                f"({', '.join(info['class_names'])})"
            )
        forget(images)
        forget(masks)


def _name(table: pd.DataFrame, row: int) -> str:
    domain, subject, phase, number = table.loc[row, ["domain", "subject", "phase", "slice"]]
    return f"{row} (domain {domain}, subject {subject}, phase {phase}, slice {number})"


def replaced(folder: Path) -> Path:
    """Where a set waits while a new one takes its name."""
    return folder.parent / f".{folder.name}.replaced"


def recover(folder: Path) -> None:
    """Give a set its name back when its writer was killed between the two renames."""
    if replaced(folder).exists() and not folder.exists():
        os.replace(replaced(folder), folder)
