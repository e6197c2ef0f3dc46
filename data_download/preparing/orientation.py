"""The same way up: which flips and transposition of the plane show every volume of an organ alike.

Only the plane is turned. A plain "closest canonical" reorientation may take another axis for the slice axis, because the
short axis of the heart lies oblique to all three axes of the body.
"""

from __future__ import annotations

from itertools import product

import numpy as np

# Towards what the image's columns and rows should grow (right, front, head; a patient lies at the negative of each for
# left, back, feet), before both are projected on the plane. Prostate: the radiological view of a sagittal, a coronal and an
# axial plane. Cardiac: the wall between the ventricles runs from the front right to the back left, so these put the right
# ventricle to the left of the left one and the diaphragm below; both lie nearly across the heart's long axis, so they keep
# most of their length in the plane.
LEFT, BACK, FEET = (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)
VIEWS = {
    "cardiac": (((-1.0, -1.0, 0.0), (0.0, -1.0, -1.0)),) * 3,
    "prostate": ((BACK, FEET), (LEFT, FEET), (LEFT, BACK)),
}
PLACEHOLDER = 0.9999  # cosine: a short-axis plane that lies exactly along the body's axes was never measured


def is_placeholder(affine: np.ndarray, organ: str) -> bool:
    """Does this affine say nothing about the plane? A heart's short axis is never parallel to an axis of the body."""
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return organ == "cardiac" and bool((np.abs(columns).max(axis=0) > PLACEHOLDER).all())


def turns(affine: np.ndarray, organ: str) -> tuple[bool, bool, bool]:
    """(transpose, flip rows, flip columns), in this order, that show a slice (Y, X) in the organ's view.

    Args:
        affine: of array indices (X, Y, Z) to RAS+ millimetres.
    """
    column, row = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (0, 1))
    across = int(np.abs(np.cross(column, row)).argmax())  # the body's axis that the slices are nearest to
    right, down = (np.array(world) / np.linalg.norm(world) for world in VIEWS[organ][across])

    def agreement(turn: tuple[bool, bool, bool]) -> float:
        transpose, flip_rows, flip_columns = turn
        y, x = (column, row) if transpose else (row, column)
        return float((-1) ** flip_rows * (y @ down) + (-1) ** flip_columns * (x @ right))

    return max(product((False, True), repeat=3), key=agreement)


def turned(slices: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    """Slices (Z, Y, X) after `turns`, as a view."""
    transpose, flip_rows, flip_columns = turn
    slices = slices.transpose(0, 2, 1) if transpose else slices
    return slices[:, :: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
