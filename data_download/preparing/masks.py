"""The mask of an image: on the image's own grid, and its labels translated to ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advconf_lite.support.errors import BadInput
from data_download.preparing.header import Header, said_in_words
from data_download.preparing.remarks import EXAMPLE
from data_download.preparing.volumes import Volume, read_volume

GRID_TOLERANCE = 0.5  # of a pixel: by how much corners of image and mask may lie apart
WHOLE = 1e-3  # labels that scale factors or resampling left this close to a whole number are that number
NAMED = 8  # labels in a sentence
COPY = "copy the image's header to it if it was drawn on this image, else resample it to the image's grid"


def read_mask(
    path: Path,
    image: Volume,
    labels: dict[int, int],
    notes: list[str],
    wrong_label: str = "correct the mask or leave this subject out",
) -> np.ndarray:
    """The labels (Z, Y, X) uint8 of `image`, translated by `labels` from stored to ours; 0 is background in both.

    Args:
        notes: remarks are added to it. Negative values beside labels, as in some masks of M&Ms-2, are taken for background
            and counted.
        wrong_label: what to do about a value that `labels` lacks; it ends a sentence.

    Raises:
        BadInput: what `read_volume` refuses, another grid than the image's, or a value that `labels` lacks; the sentence
            names file and value.
    """
    volume = read_volume(path, "mask", image.axis)
    stored = volume.slices
    if stored.shape != image.slices.shape:
        shapes = f"{volume.header.shape}, its image {image.header.shape}"
        turned = sorted(volume.header.shape) == sorted(image.header.shape)
        remedy = "put its axes into the order of its image" if turned else "resample or pad it to the grid of its image"
        raise BadInput(f"mask {path} has shape {shapes}; {_other_grid(remedy)}")
    _refuse_other_grid(path, volume.header, image.header, notes)
    notes += _not_of(image, volume)
    if stored.dtype.kind == "f":
        stored = _whole(stored, path, notes)
    mask = np.zeros(stored.shape, dtype=np.uint8)
    known = stored == 0
    for theirs, ours in labels.items():
        here = stored == theirs
        mask[here] = ours
        known |= here
    if stored.dtype.kind != "u" and mask.any() and (negative := stored < 0).any():
        notes.append(f"{path.name}: {int(negative.sum())} negative values in the mask were taken for background")
        known |= negative
    if not known.all():
        raise _unknown_labels(stored, known, labels, path, wrong_label)
    return mask


def _not_of(image: Volume, mask: Volume) -> list[str]:
    """Remarks on the mask that its image does not share: most masks have the header of their image."""
    shared = {note.split(EXAMPLE)[0] for note in image.notes}
    return [f"of a mask: {note}" for note in mask.header.notes if note.split(EXAMPLE)[0] not in shared]


def _refuse_other_grid(path: Path, mask: Header, image: Header, notes: list[str]) -> None:
    """BadInput unless the mask's corners lie on the image's by one of the ways in which each file says where they are."""
    tolerance = GRID_TOLERANCE * min(image.sizes[:2])
    size = np.array(image.shape[:3]) - 1
    if not (mask.oriented and image.oriented):
        if (abs(mask.sizes - image.sizes) * size).max() > tolerance:
            sizes = f"{said_in_words(mask.sizes)}, those of its image {said_in_words(image.sizes)}"
            raise BadInput(f"mask {path} has voxels of {sizes}; {_other_grid(COPY)}")
        if mask.oriented != image.oriented:
            notes.append("only one of image and mask says how it lies, and they were taken to lie alike")
        return
    corners = np.array([[i, j, k, 1] for i in (0, size[0]) for j in (0, size[1]) for k in (0, size[2])])

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.linalg.norm(corners @ (one - other).T, axis=1).max())

    distance = apart(mask.affine, image.affine)
    if distance > tolerance:
        # Saved with the image's sform alone, or by a program that believes its qform.
        ways = [(one, other) for one in (mask.affine, *mask.others) for other in (image.affine, *image.others)]
        if min(apart(*way) for way in ways) > tolerance:
            away = f"up to {distance:.3g} mm away from its image"
            raise BadInput(f"mask {path} lies {away} by their affines; {_other_grid(COPY)}")
        notes.append("a mask lies on its image by another of the two affines that a header may have")


def _other_grid(remedy: str) -> str:
    return f"{remedy} (of a download: get both again), or leave this subject out"


def _whole(stored: np.ndarray, path: Path, notes: list[str]) -> np.ndarray:
    """Whole numbers where all values are nearly that."""
    whole = np.rint(stored)
    away = np.abs(stored - whole)
    if (largest := float(away.max())) > WHOLE:
        value = stored[away > WHOLE][0]
        raise BadInput(
            f"mask {path} holds the unknown label {value}, which is no whole number; threshold the mask, or resample labels "
            "with nearest neighbours, or leave this subject out"
        )
    if largest:
        notes.append(
            f"labels within {WHOLE:g} of a whole number were rounded to it{EXAMPLE}{path.name}: by up to {largest:.2g}"
        )
    return whole


def _unknown_labels(stored: np.ndarray, known: np.ndarray, labels: dict[int, int], path: Path, remedy: str) -> BadInput:
    unknown, found = np.unique(stored[~known]), np.unique(stored)
    expected = ", ".join(str(label) for label in sorted({0, *labels}))
    return BadInput(
        f"mask {path} holds the unknown label{'s' * (len(unknown) > 1)} {_listed(unknown)}; expected are {expected}: "
        f"{remedy} (its labels are {_listed(found)})"
    )


def _listed(values: np.ndarray) -> str:
    more = f" and {len(values) - NAMED} others" if len(values) > NAMED else ""
    return ", ".join(f"{value:.6g}" if value.dtype.kind == "f" else str(value) for value in values[:NAMED]) + more
