"""What a set loses of its labels where its grid is smaller than its images: counted, named, and refused if it is much."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from advconf_lite.data.grid import LARGEST_LOSS, MULTIPLE, Grid
from advconf_lite.data.resampling import centre_crop_or_pad, resample_in_plane, resampled_shape
from advconf_lite.data.slice_checks import blocks
from advconf_lite.support.errors import BadInput

NAMED = 5  # subjects in a sentence
ENOUGH, FEW = 16, 4  # a label of so many pixels is lost where so few are left of it


class Labelled(Protocol):
    """What is read here of a slice set."""

    folder: Path
    images: np.ndarray
    masks: np.ndarray | None
    table: pd.DataFrame


def labels_lost(slices: Labelled, grid: Grid, remedy: str = "") -> str | None:
    """Sentences on the labelled area that `grid` loses, and on whose it is; None if nothing is lost.

    It may lie outside the grid: pixels are counted after resampling to the grid's spacing, so all of them are of one area.
    Or the grid's pixels are so wide that of a label nothing but a few of them is left.

    Raises:
        BadInput: more than 0.5 % of the labelled area, or of the labelled slices, would be lost; it says which size or
            spacing would hold everything, or the `remedy`, where the grid is not the set's to choose.
    """
    shape, spacings = slices.images.shape[1:], slices.table["spacing_mm"].unique()
    largest = [resampled_shape(shape, mm, grid.spacing_mm) for mm in spacings]
    holds = all(rows <= grid.rows and columns <= grid.columns for rows, columns in largest)
    if slices.masks is None or (holds and grid.spacing_mm < 2 * spacings.min()):
        return None
    area, lost, labelled, vanished = (defaultdict(int) for _ in range(4))
    needed = [grid.rows, grid.columns]
    several = slices.table["domain"].nunique() > 1
    names = slices.table["subject"].astype(str) + (" of " + slices.table["domain"] if several else "")
    for rows, from_mm in blocks(slices.table["spacing_mm"], grid.spacing_mm):
        stored = np.asarray(slices.masks[rows]) > 0
        masks = resample_in_plane(stored, from_mm, grid.spacing_mm, "nearest")  # (n, H, W)
        inside = centre_crop_or_pad(masks, (grid.rows, grid.columns))
        counts = (part.sum((1, 2)) for part in (stored, masks, inside))
        for name, before, whole, kept in zip(names.iloc[rows], *counts):
            area[name] += int(whole)
            lost[name] += int(whole - kept)
            labelled[name] += int(before > 0)
            vanished[name] += int(before >= ENOUGH and whole < FEW)
        needed = [max(size, _holding(masks.any((0, 2 - axis)))) for axis, size in enumerate(needed)]
    sentences = [
        _outside(slices.folder, grid, lost, area, needed, remedy),
        _too_coarse(slices.folder, grid, vanished, labelled, float(spacings.min()), remedy),
    ]
    return "; ".join(filter(None, sentences)) or None


def _outside(
    folder: Path, grid: Grid, lost: dict[str, int], area: dict[str, int], needed: list[int], remedy: str
) -> str | None:
    if not (total := sum(lost.values())):
        return None
    share = total / sum(area.values())
    sentence = f"{grid} cut off {_percent(share)} of the labelled area of {folder}: subject {_whose(lost, area)}"
    if share > LARGEST_LOSS:
        size = needed[0] if needed[0] == needed[1] else needed
        own = f"write size {size} into its dataset.json, which holds everything, or leave size out, for a grid that holds "
        raise BadInput(f"{sentence}; {remedy or own + 'every image'}")
    return sentence


def _too_coarse(
    folder: Path, grid: Grid, vanished: dict[str, int], labelled: dict[str, int], own_mm: float, remedy: str
) -> str | None:
    if not (total := sum(vanished.values())):
        return None
    share = total / sum(labelled.values())
    sentence = (
        f"{grid} leave fewer than {FEW} labelled pixels of {ENOUGH} or more on {total} of {sum(labelled.values())} labelled "
        f"slices of {folder}, whose own pixels have {own_mm:.3g} mm: subject {_whose(vanished, labelled)}"
    )
    if share > LARGEST_LOSS:
        own = "write a smaller spacing_mm into its dataset.json, or leave it out, for the images' own"
        raise BadInput(f"{sentence}; {remedy or own}")
    return sentence


def _whose(lost: dict[str, int], of: dict[str, int]) -> str:
    worst = sorted((name for name in lost if lost[name]), key=lambda name: lost[name] / of[name], reverse=True)
    whose = ", ".join(f"{name} ({_percent(lost[name] / of[name])})" for name in worst[:NAMED])
    return whose + (f" and {len(worst) - NAMED} others" if len(worst) > NAMED else "")


def _holding(labelled: np.ndarray) -> int:
    """The smallest multiple of 16 pixels whose central crop of a side (n,) keeps every labelled one."""
    places = np.flatnonzero(labelled)
    size = MULTIPLE
    while len(places) and size < len(labelled):
        start = (len(labelled) - size) // 2
        if start <= places[0] and places[-1] < start + size:
            break
        size += MULTIPLE
    return size


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
