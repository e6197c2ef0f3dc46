"""What people give to the writer of a slice set, made what a slice set holds, or refused in a sentence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advconf_lite.data.slice_info import COLUMNS
from advconf_lite.support.errors import BadInput


def as_rows(rows: Any, folder: Path) -> pd.DataFrame:
    """A table of one's own with the columns of slices.csv, its names as text: 7 becomes "7".

    Raises:
        BadInput: no table, a column is missing or there twice, or a slice is nobody's.
    """
    try:
        table = pd.DataFrame(rows).reset_index(drop=True)  # a copy: `set_column` writes into it
    except (ValueError, TypeError) as error:
        raise BadInput(f"cannot write {folder}: the table is none ({error}); give a pandas.DataFrame, a row each") from error
    names = [str(name) for name in table.columns]
    if missing := [column for column in COLUMNS if column not in names]:
        raise BadInput(f"cannot write {folder}: the table has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise BadInput(f"cannot write {folder}: the table has the column {twice[0]} twice; leave one of them")
    for column in ("dataset", "domain", "subject", "phase"):
        # Plain lists: a writer is given a few rows at a time, for which pandas takes longer than the pixels do.
        values = table[column].tolist()
        gaps = [value.isspace() or not value if isinstance(value, str) else bool(pd.isna(value)) for value in values]
        if column in ("domain", "subject") and any(gaps):
            row = gaps.index(True)
            raise BadInput(f"cannot write {folder}: {column} in row {row} is {values[row]!r}; say whose slice it is")
        if table[column].dtype.kind == "f" and all(value.is_integer() for value, gap in zip(values, gaps) if not gap):
            values = [value if gap else int(value) for value, gap in zip(values, gaps)]  # 7.0 was 7 once
        missing = [gap and not isinstance(value, str) for value, gap in zip(values, gaps)]
        table[column] = pd.Series(["" if lost else str(value) for value, lost in zip(values, missing)], dtype=str)
    return table


def as_pixels(values: Any, what: str, folder: Path) -> np.ndarray:
    """Slices (n, H, W) of ordinary numbers, from an array, a tensor of any kind or a list of arrays of one size.

    Raises:
        BadInput: sizes differ, another number of axes, or no real numbers.
    """
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            values = values.float() if values.is_floating_point() else values
        array = np.asarray(values)
        ragged = array.dtype == object
    except (ValueError, TypeError, RuntimeError):
        array, ragged = np.zeros(0, object), True
    if ragged:
        sizes = Counter(np.shape(one) for one in values) if isinstance(values, list | tuple) or array.ndim else {}
        if len(sizes) > 1:
            shown = ", ".join(" x ".join(map(str, size)) for size in list(sizes)[:3])
            raise BadInput(
                f"cannot write {folder}: {what} have {len(sizes)} sizes ({shown}{', ...' if len(sizes) > 3 else ''}); "
                "give all one, for example by advconf_lite.data.resampling.centre_crop_or_pad(one[None], (rows, columns))"
            )
    if array.dtype.kind not in "biuf":
        kind = type(values).__name__ if ragged else array.dtype
        raise BadInput(
            f"cannot write {folder}: {what} hold {kind} values; give an array of numbers, as (slices, height, width)"
        )
    if array.ndim != 3:
        raise BadInput(
            f"cannot write {folder}: {what} have shape {array.shape}; give (slices, height, width){_way(array, what)}"
        )
    return array


def _way(array: np.ndarray, what: str) -> str:
    """How an array of four axes, as other tools have them, becomes one of three."""
    if array.ndim != 4:
        return ""
    if 1 in (array.shape[1], array.shape[3]):
        return f", here {what}{'[:, 0]' if array.shape[1] == 1 else '[..., 0]'}"
    axis = 1 if array.shape[1] <= array.shape[3] else 3
    if what == "masks":
        return f", with labels in place of one plane a class, here masks.argmax({axis})"
    return ", one channel of each slice" + (", here " + ("images[:, 0]" if axis == 1 else "images[..., 0]"))


def as_labels(masks: Any, folder: Path) -> np.ndarray:
    """Masks (n, H, W) of whole numbers from 0 to 255.

    Raises:
        BadInput: see `as_pixels`; or soft masks and other numbers.
    """
    masks = as_pixels(masks, "masks", folder)
    if masks.size and masks.dtype != np.uint8:
        wrong = ~((masks >= 0) & (masks <= 255) & (masks == np.round(masks))) if masks.dtype != bool else masks & ~masks
        if wrong.any():
            raise BadInput(f"cannot write {folder}: a mask holds {masks[wrong][0]}; give whole numbers from 0 to 255")
    return masks
