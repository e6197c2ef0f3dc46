"""Files to arrays: what a file holds is read from its first bytes, and its name decides only where they do not.

NIfTI is read by nibabel, MetaImage and NRRD by SimpleITK. ITK refuses the affine of some real GE files, whose columns are
not orthogonal, so NIfTI does not go through it. A file may be packed by gzip, bzip2 or xz, also twice, whatever its name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from contextlib import ExitStack
from pathlib import Path

import nibabel
import numpy as np

from advconf_lite.support.errors import BadInput
from data_download.preparing.files import ending, links_to_nothing
from data_download.preparing.header import Header, of_nifti
from data_download.preparing.itk_files import read_itk

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    MemoryError,
    zlib.error,
    lzma.LZMAError,
    nibabel.filebasedimages.ImageFileError,
    nibabel.spatialimages.HeaderDataError,
)
PACKED = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ": lzma}
LAYERS = 3  # of packing; more than two were never an accident
HEADER_BYTES = 544  # of NIfTI-2
# How other things begin that stand where a volume should.
STRANGERS = {
    b"version https://git-lfs": "it is a pointer of Git LFS and not the data: git lfs pull",
    b"/annex/objects": "it is a pointer of git-annex and not the data: datalad get, or git annex get",
    b"<": "it is a web page or XML and no volume",
    b"PK\x03\x04": "it is a zip archive: unpack it",
}


def read(path: Path, what: str) -> tuple[np.ndarray, Header]:
    """Array, of as many axes as are stored, and header.

    Raises:
        BadInput: its header states no grid of voxels, or a file beside it is missing; others of `UNREADABLE`: it is damaged.
    """
    if kind := _kind_of_itk(path):
        return read_itk(path, what, kind)
    data = path.read_bytes()
    for _ in range(LAYERS):
        if (packer := _packer(data)) is None:
            break
        data = packer.decompress(data)  # to its end: nibabel would not reach the checksum
    kind = _kind_of_nifti(data)
    stored = kind.header_class.from_fileobj(io.BytesIO(data), check=False)
    if np.isinf(stored["scl_slope"]):
        raise ValueError("its intensity scale is infinite")
    image = kind.from_bytes(data)
    return np.asanyarray(image.dataobj), of_nifti(stored, image.shape, path, what)


def read_header(path: Path, what: str) -> Header:
    """As `read`, without reading voxels."""
    if kind := _kind_of_itk(path):
        return read_itk(path, what, kind, header_only=True)[1]
    data = _beginning(path, HEADER_BYTES)
    kind = _kind_of_nifti(data)
    stored, checked = (kind.header_class.from_fileobj(io.BytesIO(data), check=check) for check in (False, True))
    return of_nifti(stored, checked.get_data_shape(), path, what)


def _packer(data: bytes):
    return next((module for magic, module in PACKED.items() if data.startswith(magic)), None)


def _beginning(path: Path, number: int) -> bytes:
    """The first bytes of what is packed in a file."""
    with ExitStack() as stack:
        stream = stack.enter_context(open(path, "rb"))
        for _ in range(LAYERS):
            if (packer := _packer(stream.peek(8))) is None:
                break
            stream = stack.enter_context(packer.open(stream))
        return stream.read(number)


def _kind_of_itk(path: Path) -> str | None:
    """The reader's name in ITK; None where nibabel is to try."""
    with open(path, "rb") as file:
        begin = file.read(16)
    if begin.startswith(b"NRRD"):
        return "NrrdImageIO"
    named = ending(path).lower() in (".mha", ".mhd") and _packer(begin) is None
    return "MetaImageIO" if named or begin.startswith((b"ObjectType", b"NDims")) else None


def _kind_of_nifti(data: bytes) -> type[nibabel.Nifti1Image]:
    kinds = (nibabel.Nifti1Image, nibabel.Nifti2Image)
    if (kind := next((kind for kind in kinds if kind.header_class.may_contain_header(data)), None)) is not None:
        return kind
    if not data:
        raise ValueError("it is empty")
    if data[128:132] == b"DICM":
        raise ValueError("it is a DICOM file: convert its series to NIfTI, by dcm2niix for one")
    stranger = next((text for begin, text in STRANGERS.items() if data.lstrip().startswith(begin)), None)
    raise ValueError(stranger or "it does not begin as a NIfTI, NRRD or MetaImage file does")


def explained(path: Path, what: str, error: BaseException | None = None) -> BadInput:
    """One sentence on a file that could not be read, or that is not there: what it is instead, and what helps then."""
    leave = "or leave this subject out"
    if isinstance(error, PermissionError):
        return BadInput(f"{what} {path} may not be read; give yourself the permission to (chmod u+r), {leave}")
    if links_to_nothing(path):
        return BadInput(
            f"{what} {path} is a link to {path.readlink()}, which is not there; get what it points to (datalad get, git "
            f"annex get, or a copy of the file), {leave}"
        )
    if path.is_dir():
        return BadInput(f"{what} {path} is a folder; take the volume that it holds out of it, {leave}")
    if not path.exists():
        return BadInput(f"{what} {path} is missing; add it, or complete the download, {leave}")
    if not path.is_file():
        return BadInput(f"{what} {path} is no file; put a volume there, {leave}")
    reason = " ".join(str(error).split()) or type(error).__name__
    return BadInput(f"{what} {path} cannot be read ({reason}); copy or download it again, {leave}")
