"""Volumes as archives store them: read whole, checked, and cut into slices."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.imageglobals import logger

from advconf_lite.support.errors import BadInput
from data_download.preparing.formats import UNREADABLE, explained, read, read_header
from data_download.preparing.header import Header, refuse_absurd
from data_download.preparing.slice_axis import slice_axis

SHEAR = 1e-3  # cosine between two columns of an affine from which it is called not orthogonal


@dataclass(frozen=True)
class Volume:
    """A stack of slices as stored.

    Attributes:
        slices: (Z, Y, X). Z is the slice axis; of the two others the first in the file becomes the column.
        axis: of the file's array, that is the slice axis.
        header: of the array with its slice axis last, (X, Y, Z).
        notes: remarks on the file.
    """

    slices: np.ndarray
    axis: int
    header: Header
    notes: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """(row, column) within a slice."""
        return float(self.header.sizes[1]), float(self.header.sizes[0])


def read_volume(path: Path, what: str = "image", axis: int | None = None) -> Volume:
    """A 3-D volume of any format of `files.VOLUMES`, packed or not.

    Args:
        what: "image" or "mask", for the sentences.
        axis: the slice axis; None finds it from the spacing.

    Raises:
        BadInput: the file is missing, damaged, not 3-D, or holds NaN or infinity, or its header states no grid of voxels or
            an absurd one; the sentence names the file.
    """
    with _reading(path, what):
        array, header = read(path, what)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "iuf":
        values = "colours, not numbers" if array.dtype.names else f"{array.dtype} values"
        raise BadInput(f"{what} {path} holds {values}; a grey-scale volume is needed")
    header, axis, notes = _cut(header, path, what, axis)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        remedy = "write 0 for its background" if what == "mask" else "repair it"
        raise BadInput(f"{what} {path} holds {array[where]} at voxel {where}; {remedy} or leave this subject out")
    columns = header.affine[:3, :3] / header.sizes
    if abs(columns.T @ columns - np.eye(3)).max() > SHEAR:
        notes += ("an affine's columns are not orthogonal; its pixel sizes were believed",)
    return Volume(np.moveaxis(array, axis, 2).transpose(2, 1, 0), axis, header, notes)


def read_grid(path: Path, axis: int | None = None) -> tuple[tuple[int, int], tuple[float, float]]:
    """(rows, columns) of a file's slices and their spacing in mm, from its header alone, by the rules of `read_volume`.

    Raises:
        BadInput: the file is missing, its header cannot be read, or it states no grid of voxels or an absurd one.
    """
    with _reading(path, "image"):
        header = read_header(path, "image")
    header, _, _ = _cut(header, path, "image", axis)
    columns_mm, rows_mm, _ = map(float, header.sizes)
    return (header.shape[1], header.shape[0]), (rows_mm, columns_mm)


def _cut(header: Header, path: Path, what: str, axis: int | None) -> tuple[Header, int, tuple[str, ...]]:
    """The header with its slice axis last, that axis, and the remarks."""
    shape = header.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or 0 in shape:
        remedy = ": give a single image a third axis of length 1" if len(shape) == 2 else ""
        if len(shape) > 3:
            of_mask = "give one label map, such as the argmax over its channels"
            remedy = f": {of_mask if what == 'mask' else 'write one channel or time point into a file of its own'}"
        raise BadInput(f"{what} {path} has shape {header.shape}; a volume (width, height, slices) is needed{remedy}")
    found, remark = slice_axis(shape, header.sizes) if axis is None else (axis, "")
    notes = header.notes + (remark,) * bool(remark)
    header = header.with_axis_last(found)
    if what == "image":
        refuse_absurd((header.sizes[1], header.sizes[0]), header.notes, path)
    return header, found, notes


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Whatever a library says of a file inside becomes one sentence."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # nibabel tells of each of its repairs; what is wrong is said here, once
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if not path.is_file():  # before it is opened: a pipe would wait for ever
                raise explained(path, what)
            yield
    except BadInput:  # a ValueError, as some damage is
        raise
    except UNREADABLE as error:
        raise explained(path, what, error) from error
    finally:
        logger.setLevel(level)
