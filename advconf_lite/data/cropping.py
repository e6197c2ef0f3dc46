"""What a set loses of its labels where its grid is smaller than its images: counted, named, and refused if it is much."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from advconf_lite.data.grid import LARGEST_LOSS, MULTIPLE, Grid
from advconf_lite.data.resampling import centre_crop_or_pad, resample_in_plane, resampled_shape
from advconf_lite.data.slices import SliceSet, blocks
from advconf_lite.support.errors import BadInput

NAMED = 5  # subjects in a sentence


def labels_lost(slices: SliceSet, grid: Grid) -> str | None:
    """A sentence on the labelled area that lies outside `grid`, and on whose it is; None if nothing is lost.

    Pixels are counted after resampling to the grid's spacing, so all of them are of one area.

    Raises:
        BadInput: more than 0.5 % of the labelled area would be lost; it says which size would hold everything.
    """
    shape = slices.images.shape[1:]
    largest = [resampled_shape(shape, mm, grid.spacing_mm) for mm in slices.table["spacing_mm"].unique()]
    if slices.masks is None or all(rows <= grid.rows and columns <= grid.columns for rows, columns in largest):
        return None
    area, lost = defaultdict(int), defaultdict(int)
    needed = [grid.rows, grid.columns]
    several = slices.table["domain"].nunique() > 1
    names = slices.table["subject"] + (" of " + slices.table["domain"] if several else "")
    for rows, from_mm in blocks(slices.table, grid.spacing_mm):
        masks = resample_in_plane(slices.masks[rows], from_mm, grid.spacing_mm, "nearest") > 0  # (n, H, W)
        inside = centre_crop_or_pad(masks, (grid.rows, grid.columns))
        for name, whole, kept in zip(names.iloc[rows], masks.sum((1, 2)), inside.sum((1, 2))):
            area[name] += int(whole)
            lost[name] += int(whole - kept)
        needed = [max(size, _holding(masks.any((0, 2 - axis)))) for axis, size in enumerate(needed)]
    total = sum(lost.values())
    if not total:
        return None
    share = total / sum(area.values())
    worst = sorted((name for name in lost if lost[name]), key=lambda name: lost[name] / area[name], reverse=True)
    whose = ", ".join(f"{name} ({_percent(lost[name] / area[name])})" for name in worst[:NAMED])
    if len(worst) > NAMED:
        whose += f" and {len(worst) - NAMED} others"
    sentence = f"{grid} cut off {_percent(share)} of the labelled area of {slices.folder}: subject {whose}"
    if share > LARGEST_LOSS:
        size = needed[0] if needed[0] == needed[1] else needed
        raise BadInput(
            f"{sentence}; write size {size} into its dataset.json, which holds everything, or leave size out, for a grid "
            "that holds every image"
        )
    return sentence


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
