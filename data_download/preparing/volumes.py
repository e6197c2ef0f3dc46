"""Volumes as archives store them: read whole, checked, and cut into slices.

NIfTI is read by nibabel and MetaImage (.mhd) by SimpleITK. ITK refuses the affine of some real GE files, whose columns
are not orthogonal, so NIfTI does not go through it.
"""

from __future__ import annotations

import gzip
import io
import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from nibabel.imageglobals import logger

from advconf_lite.support.errors import BadInput

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

SHEAR = 1e-3  # cosine between two columns of an affine from which it is called not orthogonal
GRID_TOLERANCE = 0.5  # of a pixel: by how much corners of image and mask may lie apart


@dataclass(frozen=True)
class Volume:
    """A stack of slices as stored.

    Attributes:
        slices: (Z, Y, X). The last array axis is the slice axis and the first becomes the column.
        spacing_mm: (row, column) within a slice, from the affine.
        affine: of array indices (X, Y, Z) to millimetres, towards the patient's right, front and head (RAS+).
        zooms_disagree: the header's zooms say something else than the affine.
        notes: other remarks about the file.
    """

    slices: np.ndarray
    spacing_mm: tuple[float, float]
    affine: np.ndarray
    zooms_disagree: bool
    notes: tuple[str, ...] = ()


def read_volume(path: Path, what: str = "image") -> Volume:
    """A 3-D volume from .nii, .nii.gz or .mhd.

    Raises:
        BadInput: the file is missing, damaged, not 3-D, or holds NaN or infinity, or its affine is no grid of voxels; the
            sentence names the file.
    """
    with _reading(path, what):
        array, affine, zooms = (_read_metaimage if path.suffix == ".mhd" else _read_nifti)(path)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or 0 in array.shape:
        raise BadInput(f"{what} {path} has shape {array.shape}; a volume (width, height, slices) is needed")
    if array.dtype.kind not in "iuf":
        raise BadInput(f"{what} {path} holds {array.dtype} values; a grey-scale volume is needed")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise BadInput(f"{what} {path} holds {array[where]} at voxel {where}; repair it or leave this subject out")
    sizes = _voxel_sizes(affine, f"{what} {path}")
    cosines = (affine[:3, :3] / sizes).T @ (affine[:3, :3] / sizes) - np.eye(3)
    notes = ("an affine's columns are not orthogonal; its pixel sizes were believed",) * bool(abs(cosines).max() > SHEAR)
    return Volume(
        np.moveaxis(array, (0, 1, 2), (2, 1, 0)),
        (float(sizes[1]), float(sizes[0])),
        affine,
        not np.allclose(zooms[:3], sizes, rtol=1e-3),
        notes,
    )


def read_grid(path: Path) -> tuple[tuple[int, int], tuple[float, float]]:
    """(rows, columns) of a NIfTI file's slices and their spacing in mm, from its header alone.

    Raises:
        BadInput: the file is missing, its header cannot be read, or its affine is no grid of voxels.
    """
    with _reading(path, "image"):
        image = nibabel.load(path)
        width, height = image.shape[:2]
        affine = image.affine
    sizes = _voxel_sizes(affine, f"image {path}")
    return (height, width), (float(sizes[1]), float(sizes[0]))


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Whatever a library says of a file inside becomes one sentence."""
    if not path.is_file():
        raise BadInput(f"{what} {path} is missing; complete the download or leave this subject out")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # nibabel tells of each of its repairs; what is wrong is said here, once
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except BadInput:  # a ValueError, as some damage is
        raise
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{what} {path} cannot be read ({reason}); download it again") from error
    finally:
        logger.setLevel(level)


def _voxel_sizes(affine: np.ndarray, name: str) -> np.ndarray:
    """(3,) mm along the array's axes.

    Raises:
        BadInput: the affine says none.
    """
    with np.errstate(all="ignore"):
        sizes = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
        volume = abs(np.linalg.det(affine[:3, :3] / sizes))  # of the parallelepiped of unit columns
    if not np.isfinite(affine).all() or not (np.isfinite(sizes) & (sizes > 0)).all() or not volume > 1e-3:
        raise BadInput(f"{name} has an affine without voxel sizes; repair its header or leave this subject out")
    return sizes


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Array (X, Y, Z), affine and the zooms as stored, before nibabel repairs them."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)  # to its end: nibabel would not reach the checksum
    kinds = (kind for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image) if kind.header_class.may_contain_header(data))
    if (kind := next(kinds, None)) is None:
        raise ValueError("it does not begin as a NIfTI file does")
    stored = kind.header_class.from_fileobj(io.BytesIO(data), check=False)
    zooms = stored["pixdim"][1:4].astype(float)
    if not int(stored["sform_code"]) and not (np.isfinite(zooms) & (zooms > 0)).all():
        raise ValueError(f"its voxel sizes are {zooms.tolist()}, and nothing else in it says them")
    if np.isinf(stored["scl_slope"]):
        raise ValueError("its intensity scale is infinite")
    image = kind.from_bytes(data)
    return np.asanyarray(image.dataobj), image.affine, zooms


def _read_metaimage(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Array (X, Y, Z), affine and zooms of .mhd with its .raw or .zraw."""
    try:
        import SimpleITK  # only PROMISE12 needs it
    except ImportError as error:
        raise BadInput(f"{path} is a MetaImage file; to read it: pip install SimpleITK") from error

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:  # several lines of where in ITK it happened; the last says what
        raise ValueError(str(error).strip().splitlines()[-1]) from error
    array = SimpleITK.GetArrayFromImage(image).T
    zooms, n = np.array(image.GetSpacing()), image.GetDimension()
    affine = np.eye(4)
    if n == 3:
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * zooms
        affine[:3, 3] = image.GetOrigin()
        affine[:2] *= -1  # ITK counts towards the patient's left and back
    return array, affine, zooms


def read_mask(
    path: Path,
    image: Volume,
    labels: dict[int, int],
    notes: list[str],
    wrong_label: str = "correct the mask or leave this subject out",
) -> np.ndarray:
    """The labels (Z, Y, X) uint8 of `image`, translated by `labels` from stored to ours; 0 is background in both.

    Args:
        notes: remarks are added to it. Negative values, as in some masks of M&Ms-2, are taken for background and counted.
        wrong_label: what to do about a value that `labels` lacks; it ends a sentence.

    Raises:
        BadInput: what `read_volume` refuses, another grid than the image's, or a value that `labels` lacks; the sentence
            names file and value.
    """
    volume = read_volume(path, "mask")
    stored = volume.slices
    if stored.shape != image.slices.shape:
        shapes = f"{stored.shape[::-1]}, its image {image.slices.shape[::-1]}"
        raise BadInput(f"mask {path} has shape {shapes}; download both again or leave this subject out")
    apart = _corners_apart(volume, image)
    if apart > GRID_TOLERANCE * min(image.spacing_mm):
        raise BadInput(
            f"mask {path} lies up to {apart:.3g} mm away from its image by their affines; download both again or leave this "
            "subject out"
        )
    if volume.zooms_disagree:
        notes.append("a mask header's zooms disagree with its affine, which was believed")
    mask = np.zeros(stored.shape, dtype=np.uint8)
    known = stored == 0
    for theirs, ours in labels.items():
        here = stored == theirs
        mask[here] = ours
        known |= here
    if (negative := stored < 0).any():
        notes.append(f"{path.name}: {int(negative.sum())} negative values in the mask were taken for background")
        known |= negative
    if not known.all():
        value = stored[~known][0]
        expected = ", ".join(str(label) for label in sorted({0, *labels}))
        raise BadInput(f"mask {path} holds the unknown label {value}; expected are {expected}: {wrong_label}")
    return mask


def _corners_apart(one: Volume, other: Volume) -> float:
    """How far apart the same corner of two volumes of one shape lies, mm."""
    size = np.array(one.slices.shape[::-1]) - 1
    corners = np.array([[i, j, k, 1] for i in (0, size[0]) for j in (0, size[1]) for k in (0, size[2])])
    return float(np.linalg.norm(corners @ (one.affine - other.affine).T, axis=1).max())
