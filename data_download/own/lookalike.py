"""Masks that were taken for images, by what they hold: a few whole numbers, on the grid of another image."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np

from advconf_lite.support.errors import BadInput
from data_download.preparing.files import ending
from data_download.preparing.inventory import Scan
from data_download.preparing.volumes import read_grid, read_volume

MOST_LABELS = 32
FIRST_LOOK = 3  # slices after which a file that still looks like a mask is read whole


def refuse_masks_among_images(scans: list[Scan]) -> None:
    """BadInput for the first image that looks like a mask.

    An image shows more values in its first slices, so that little of it is read here. What cannot be read is passed over:
    whoever reads it says why.
    """
    grids: dict[Path, tuple | None] = {}

    def grid(path: Path) -> tuple | None:
        if path not in grids:
            try:
                grids[path] = read_grid(path)
            except BadInput:
                grids[path] = None
        return grids[path]

    for scan in scans:
        if (values := few_whole_numbers(scan.image)) is None or grid(scan.image) is None:
            continue
        others = (other.image for other in scans if other.image != scan.image)
        if (other := next((path for path in others if grid(path) == grid(scan.image)), None)) is not None:
            listed = ", ".join(f"{value:g}" for value in values[:8]) + (", ..." if len(values) > 8 else "")
            raise BadInput(
                f"{scan.image} was taken for an image and looks like a mask: it holds only the whole numbers {listed}, and "
                f"has the grid of {other.name}; rename it (NAME_seg beside NAME), say which files are what with --images "
                "and --masks or with --table, or take it for an image all the same with --images-anyway"
            )


def few_whole_numbers(path: Path) -> list[float] | None:
    """The values of a file that could be a mask: at most 32 whole numbers, 0 and at least one more; else None."""
    found: set[float] = set()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for part in _parts(path):
                values = np.unique(part)
                found.update(np.asarray(values[: MOST_LABELS + 1], dtype=float).tolist())
                if len(found) > MOST_LABELS or not all(abs(value - round(value)) <= 1e-3 for value in found):
                    return None
    except Exception:  # of any of the libraries, about any damage
        return None
    rounded = {round(value) for value in found}
    return sorted(rounded) if 0 in rounded and len(rounded) > 1 else None


def _parts(path: Path) -> Iterator[np.ndarray]:
    """A few slices where they can be read alone, then all of a volume."""
    if ending(path).lower() in (".nii", ".nii.gz"):
        data = nibabel.load(path).dataobj
        for number in range(min(FIRST_LOOK, data.shape[-1])):
            yield np.asanyarray(data[..., number])
    yield read_volume(path).slices
