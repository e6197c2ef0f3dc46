"""Volumes as archives store them: read with nibabel, checked, and cut into slices."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from advconf_lite.errors import BadInput

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    MemoryError,
    zlib.error,
    nibabel.filebasedimages.ImageFileError,
    nibabel.spatialimages.HeaderDataError,
)


@dataclass(frozen=True)
class Volume:
    """A stack of slices: `slices` (Z, Y, X) as stored, `spacing_mm` (row, column) within a slice."""

    slices: np.ndarray
    spacing_mm: tuple[float, float]
    affine: np.ndarray
    zooms_disagree: bool


def read_volume(path: Path, what: str = "image") -> Volume:
    """A 3-D NIfTI volume. The last array axis is the slice axis and the first becomes the column.

    The pixel size comes from the affine; `zooms_disagree` tells that the header's zooms say something else.

    Raises:
        BadInput: the file is missing, damaged, not 3-D, or holds NaN or infinity, or its affine is no grid of
        voxels;
            the sentence names the file.
    """
    if not path.is_file():
        raise BadInput(f"{what} {path} is missing; complete the download or leave this subject out")
    try:
        file = nibabel.load(path)
        array = np.asanyarray(file.dataobj)
        zooms = np.array(file.header.get_zooms(), dtype=float)
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{what} {path} cannot be read ({reason}); download it again") from error
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or 0 in array.shape:
        raise BadInput(f"{what} {path} has shape {array.shape}; a volume (width, height, slices) is needed")
    if array.dtype.kind not in "iuf":
        raise BadInput(f"{what} {path} holds {array.dtype} values; a grey-scale volume is needed")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise BadInput(
            f"{what} {path} holds {array[where]} at voxel {where}; repair it or leave this subject out"
        )
    affine = file.affine
    sizes = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if not np.isfinite(affine).all() or (sizes <= 0).any():
        raise BadInput(
            f"{what} {path} has an affine without voxel sizes; repair its header or leave this subject out"
        )
    disagree = not np.allclose(zooms[:3], sizes, rtol=1e-3)
    return Volume(
        np.moveaxis(array, (0, 1, 2), (2, 1, 0)), (float(sizes[1]), float(sizes[0])), affine, disagree
    )


def read_mask(path: Path, image: Volume, labels: dict[int, int]) -> np.ndarray:
    """The labels (Z, Y, X) uint8 of `image`, translated by `labels` from stored to ours; 0 is background in
    both.

    Raises:
        BadInput: what `read_volume` refuses, another shape than the image, or a value that `labels` lacks;
        the sentence
            names file and value.
    """
    stored = read_volume(path, "mask").slices
    if stored.shape != image.slices.shape:
        shapes = f"{stored.shape[::-1]}, its image {image.slices.shape[::-1]}"
        raise BadInput(f"mask {path} has shape {shapes}; download both again or leave this subject out")
    mask = np.zeros(stored.shape, dtype=np.uint8)
    known = stored == 0
    for theirs, ours in labels.items():
        here = stored == theirs
        mask[here] = ours
        known |= here
    if not known.all():
        value = stored[~known][0]
        expected = ", ".join(str(label) for label in sorted({0, *labels}))
        raise BadInput(f"mask {path} holds the unknown label {value}; expected are {expected}")
    return mask
