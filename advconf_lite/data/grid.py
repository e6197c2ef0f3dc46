"""The grid that a slice set is worked on: its size in pixels and their width. The set says it, or a rule does."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from advconf_lite.data.resampling import Size, as_pair, resampled_shape
from advconf_lite.data.usual import LARGEST_SIDE, USUAL_MM
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import whole

MULTIPLE = 16  # sides of a grid that a rule makes: what a network with three or four halvings can take
LARGEST_LOSS = 0.005  # of a set's labelled area, that a crop to its grid may cut off
SMALLEST_SIDE = 8  # pixels that resampling must leave of a side: below it nothing is left to see
NEARLY_SQUARE = 7 / 8  # sides closer to each other than this make a square
TOLERANCE_PIXELS = 3  # of the surface Dice where a set says none: 3 pixels, as published for both organs of the paper


@dataclass(frozen=True)
class Grid:
    """Rows and columns, and the width of a pixel in millimetres."""

    rows: int
    columns: int
    spacing_mm: float

    @property
    def size(self) -> Size:
        """Pixels a side of a square; (rows, columns) of another grid."""
        return self.rows if self.rows == self.columns else (self.rows, self.columns)

    def within(self, max_size: int | None) -> Grid:
        """The grid of at most `max_size` pixels a side over the same field of view; itself where it is no larger.

        A side that comes out between two multiples of 16 takes the larger one, so that nothing is cut.
        """
        if max_size is not None:
            whole(max_size, "max_size", 1)
        longest = max(self.rows, self.columns)
        if max_size is None or longest <= max_size:
            return self
        sides = (
            max_size if side == longest else up_to_multiple(side * max_size / longest) for side in (self.rows, self.columns)
        )
        return Grid(*sides, self.spacing_mm * longest / max_size)

    def __str__(self) -> str:
        return f"{self.rows} x {self.columns} pixels of {self.spacing_mm:.3g} mm"


def find_grid(info: dict[str, Any], table: pd.DataFrame, shape: tuple[int, ...], where: str = "the slice set") -> Grid:
    """The grid of a slice set: what dataset.json says.

    Without `spacing_mm`: the pixel that the images have; of several the middle one, each slice counted. Without `size`:
    the smallest multiple of 16 that holds the largest image at that spacing; one for both sides if they are nearly equal.

    Args:
        info: of dataset.json, checked.
        table: of slices.csv.
        shape: (N, H, W) of the images.
        where: what error messages name.

    Raises:
        BadInput: its lengths cannot all be millimetres: images next to nothing or enormous on the grid, or a tolerance
            wider than they are.
    """
    spacings = np.sort(table["spacing_mm"].to_numpy())
    spacing_mm = float(info["spacing_mm"] if "spacing_mm" in info else spacings[(len(spacings) - 1) // 2])
    check_scale(shape[1:], np.unique(spacings), spacing_mm, where)
    widest = max(shape[1:]) * float(spacings[-1])
    if info.get("tolerance_mm", 0) >= widest:
        raise BadInput(
            f"{where}: tolerance_mm is {info['tolerance_mm']:g} in dataset.json, and images are {widest:.3g} mm wide, so "
            "that every outline would be right; give it, and spacing_mm here and in slices.csv, in millimetres"
        )
    if "size" in info:
        return Grid(*as_pair(info["size"]), spacing_mm)
    rows, columns = map(up_to_multiple, resampled_shape(shape[1:], float(spacings[-1]), spacing_mm))
    if min(rows, columns) / max(rows, columns) >= NEARLY_SQUARE:
        rows = columns = max(rows, columns)
    return Grid(rows, columns, spacing_mm)


def check_scale(shape: tuple[int, ...], spacings: Iterable[float], to_mm: float, where: str) -> None:
    """BadInput where images of `shape` pixels of these millimetres would be next to nothing, or enormous, at `to_mm`."""
    for from_mm in spacings:
        sides = resampled_shape(tuple(shape), float(from_mm), to_mm)
        if max(sides) > max(LARGEST_SIDE, *shape):
            word = "enormous"
        elif min(sides) < min(SMALLEST_SIDE, *shape):
            word = "next to nothing"
        else:
            continue
        raise BadInput(
            f"{where} has images of {shape[0]} x {shape[1]} pixels of {from_mm:g} mm, which at {to_mm:g} mm would be "
            f"{sides[0]} x {sides[1]}: {word}; give the spacing_mm of slices.csv and that of the grid in millimetres"
        )


def assumed(info: dict[str, Any], grid: Grid, table: pd.DataFrame) -> list[str]:
    """A sentence for each thing of the grid that dataset.json does not say, so that a rule did, and for a strange unit."""
    sentences = []
    if "spacing_mm" not in info:
        sentences.append(f"dataset.json says no spacing_mm: {grid.spacing_mm:.3g} mm, the images' own")
    if "size" not in info:
        sentences.append(f"dataset.json says no size: {grid.rows} x {grid.columns} pixels, which hold every image")
    if "tolerance_mm" not in info:
        sentences.append(
            f"dataset.json says no tolerance_mm: {TOLERANCE_PIXELS * grid.spacing_mm:.3g} mm for the surface Dice, "
            f"{TOLERANCE_PIXELS} pixels of the set's own grid"
        )
    low, high = table["spacing_mm"].min(), table["spacing_mm"].max()
    if low < USUAL_MM[0] or high > USUAL_MM[1]:
        sentences.append(
            f"slices.csv says pixels of {low:.3g} to {high:.3g} mm: unusual, so see whether these are millimetres"
        )
    return sentences


def up_to_multiple(side: float) -> int:
    """The next multiple of 16, at least 16; what rounding of floats adds to a whole number does not count."""
    return max(1, math.ceil(side / MULTIPLE - 1e-9)) * MULTIPLE
