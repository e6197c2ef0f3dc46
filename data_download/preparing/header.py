"""What a volume's header says about its voxels, and which part of it is believed.

A header may say one thing several times, and contradict itself. The rules:

* Sizes are those of pixdim, as in ITK and nnU-Net; directions and position are those of the sform if it has a code, else
  those of the qform. In ACDC's own files the sform's columns are 1 x 1 x 1 mm long and the truth is in pixdim. A note
  names both where they differ by more than 0.1 %.
* A pixdim that is zero, negative or not finite says nothing; the length of the sform's column does.
* An sform that is no grid of voxels is passed over where there is a qform, with a note.
* `xyzt_units` holds for all of them: metre, millimetre or micron. Unknown, as nibabel writes, is millimetre.
* Where both codes are 0 nothing says which way is up: planes stay as stored, whatever the organ.
* Where sform and qform point different ways, a note says so.
* MetaImage and NRRD have one spacing and one direction; their unit is applied, without a direction planes stay as stored,
  and without a spacing they are refused.
* Pixels of less than 0.05 or more than 50 mm are refused: no scanner has them, but a unit that is not said does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np

from advconf_lite.data.usual import USUAL_MM
from advconf_lite.support.errors import BadInput
from data_download.preparing.remarks import EXAMPLE

SAME_SIZE = 1e-3  # relative; headers hold 32-bit numbers
SAME_WAY = np.cos(np.deg2rad(1))  # between columns; a quaternion of 32-bit numbers is good to 0.05 degrees
UNITS = {1: ("metre", 1e3), 2: ("millimetre", 1.0), 3: ("micron", 1e-3)}  # NIfTI's codes


@dataclass(frozen=True)
class Header:
    """A grid of voxels.

    Attributes:
        shape: of the array as stored.
        affine: of array indices (X, Y, Z) to millimetres, towards the patient's right, front and head (RAS+).
        oriented: the file says where these are. If not, only the columns' lengths mean something.
        others: affines that the same file states too, and that were not believed.
        notes: remarks on the file.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    oriented: bool
    others: tuple[np.ndarray, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> np.ndarray:
        """(3,) mm along the array's axes."""
        return lengths(self.affine)

    def with_axis_last(self, axis: int) -> Header:
        """The same grid with `axis` behind the two others."""
        order = [*(other for other in range(3) if other != axis), axis, 3]
        others = tuple(affine[:, order] for affine in self.others)
        return replace(self, shape=tuple(self.shape[i] for i in order[:3]), affine=self.affine[:, order], others=others)


def lengths(affine: np.ndarray) -> np.ndarray:
    """(3,) lengths of an affine's columns."""
    with np.errstate(all="ignore"):
        return np.sqrt((affine[:3, :3] ** 2).sum(axis=0))


def said_in_words(sizes: np.ndarray) -> str:
    """Such as "1.37 x 1.37 x 10 mm"."""
    return " x ".join(f"{size:.4g}" for size in sizes) + " mm"


def of_nifti(stored: nibabel.Nifti1Header, shape: tuple[int, ...], path: Path, what: str) -> Header:
    """By the rules above, from a NIfTI header as it is stored: nibabel repairs some of what is looked at here.

    Raises:
        BadInput: it states no grid of voxels.
    """
    pixdim = stored["pixdim"][1:4].astype(float)
    said = np.isfinite(pixdim) & (pixdim > 0)
    sform = _sform(stored) if int(stored["sform_code"]) > 0 else None
    qform = _qform(stored, np.where(said, pixdim, 1.0)) if int(stored["qform_code"]) > 0 else None
    notes: list[str] = []

    def note(text: str, example: str) -> None:
        notes.append(f"{text}{EXAMPLE}{path.name}: {example}")

    if sform is not None and not _is_grid(sform):
        if qform is None or not _is_grid(qform):
            raise BadInput(_no_grid(path, what))
        note("an sform is no grid of voxels, and the qform was taken", str(sform[:3].round(4).tolist()))
        sform = None
    coded = sform if sform is not None else qform
    if coded is not None and not _is_grid(coded):
        raise BadInput(_no_grid(path, what))
    flat = np.array([*shape, 1, 1, 1][:3]) == 1  # an axis of one voxel has no size that would be needed
    if sform is None and not (said | flat).all():
        raise BadInput(
            f"{what} {path} has the voxel sizes {pixdim.tolist()}, and nothing else in it says them; repair its header or "
            "leave this subject out"
        )
    fallback = lengths(sform) if sform is not None else np.ones(3)
    sizes = np.where(said, pixdim, fallback)
    if sform is not None and not said.all():
        note("pixdim is no size, and the sform was taken", f"pixdim {pixdim.tolist()}, sform {said_in_words(fallback)}")
    if sform is not None and qform is not None and _is_grid(qform):
        cosines = (sform[:3, :3] / lengths(sform) * qform[:3, :3] / lengths(qform)).sum(axis=0)
        if cosines.min() < SAME_WAY:
            ways = ("".join(nibabel.aff2axcodes(affine)) for affine in (sform, qform))
            angle = np.rad2deg(np.arccos(np.clip(cosines.min(), -1, 1)))
            text = "axes towards {} in the sform and {} in the qform, up to {:.0f} degrees apart"
            note("sform and qform point different ways, and the sform was taken", text.format(*ways, angle))
    affine = np.diag([*sizes, 1.0]) if coded is None else coded.copy()
    if sform is not None and not np.allclose(fallback, sizes, rtol=SAME_SIZE):
        affine[:3, :3] *= sizes / fallback
        text = f"sform says {said_in_words(fallback)}, pixdim {said_in_words(pixdim)}: pixdim was taken"
        note("sizes of voxels in sform and pixdim contradict each other, and pixdim was taken", text)
    unit, scale = UNITS.get(int(stored["xyzt_units"]) & 7, ("unknown", 1.0))
    if scale != 1:
        note(f"lengths are in {unit}, as the header says, and were turned into millimetres", said_in_words(sizes * scale))
    others = tuple(_scaled(other, scale) for other in (sform, qform) if other is not None and _is_grid(other))
    return Header(shape, _scaled(affine, scale), coded is not None, others, tuple(notes))


def of_itk(
    shape: tuple[int, ...], spacing: np.ndarray, direction: np.ndarray | None, origin: np.ndarray, path: Path, what: str
) -> Header:
    """From what ITK read, whose world grows towards the patient's left, back and head.

    Args:
        spacing: (n,) mm.
        direction: (n, n), or None if the file says none; axes after the third, such as time, are left out.
        origin: (n,) mm.

    Raises:
        BadInput: it states no grid of voxels.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3) if direction is None else direction[:3, :3]
    affine[:3, :3] *= spacing[:3]
    affine[:3, 3] = origin[:3]
    affine[:2] *= -1
    if not _is_grid(affine):
        raise BadInput(_no_grid(path, what))
    return Header(shape, affine, direction is not None)


def refuse_absurd(spacing_mm: tuple[float, float], notes: tuple[str, ...], path: Path) -> None:
    """BadInput for pixels (row, column) that no scanner has; it repeats what was remarked of their header."""
    low, high = USUAL_MM
    if min(spacing_mm) < low or max(spacing_mm) > high:
        remarked = "".join(f" ({note.split(EXAMPLE)[-1]})" for note in notes[:1])
        raise BadInput(
            f"image {path} says that its pixels are {said_in_words(spacing_mm)}{remarked}, and {low:g} to {high:g} mm are "
            "taken; correct the voxel sizes, or their unit, in its header"
        )


def trusted_the_sform(notes: Sequence[str]) -> bool:
    """Was a slice set with these notes made before the first of the rules above, from files that it would change?"""
    return any("zooms disagree with its affine, which was believed" in note for note in notes)


def _no_grid(path: Path, what: str) -> str:
    return f"{what} {path} has an affine without voxel sizes; repair its header or leave this subject out"


def _is_grid(affine: np.ndarray) -> bool:
    """Do the columns have lengths, and do they span a volume?"""
    sizes = lengths(affine)
    if not np.isfinite(affine).all() or not (np.isfinite(sizes) & (sizes > 0)).all():
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / sizes)) > 1e-3)  # of the parallelepiped of unit columns


def _sform(stored: nibabel.Nifti1Header) -> np.ndarray:
    rows = [stored[f"srow_{name}"].astype(float) for name in "xyz"]
    return np.array([*rows, [0, 0, 0, 1]])


def _qform(stored: nibabel.Nifti1Header, sizes: np.ndarray) -> np.ndarray:
    affine = np.full((4, 4), np.nan)
    with np.errstate(all="ignore"):
        try:
            affine[:3, :3] = nibabel.quaternions.quat2mat(stored.get_qform_quaternion()) * sizes
        except ValueError:  # longer than one
            return affine
    affine[:3, 2] *= -1 if stored["pixdim"][0] < 0 else 1
    affine[:3, 3] = [stored[f"qoffset_{name}"] for name in "xyz"]
    affine[3] = 0, 0, 0, 1
    return affine


def _scaled(affine: np.ndarray, scale: float) -> np.ndarray:
    return affine * np.array([[scale]] * 3 + [[1]])
