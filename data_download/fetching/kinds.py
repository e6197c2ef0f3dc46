"""What a file is, by its first bytes and by its name: an archive that is unpacked here, another one, or none at all."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import struct
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from advconf_lite.support.errors import BadInput
from data_download.preparing.files import ending

BY_HAND = "unpack it by hand and give the folder to prepare with --source"
PACKED: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
ZIP_END = 22 + (1 << 16)  # a zip's last record, with the longest comment, is in so many bytes
UNPACKED_HERE = ("zip", "tar", *PACKED)
MAGIC = {
    b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz",
    b"Rar!": "rar", b"7z\xbc\xaf\x27\x1c": "7z", b"\x28\xb5\x2f\xfd": "zst", b"LZIP": "lz", b"\x04\x22\x4d\x18": "lz4",
    b"\x1f\x9d": "Z", b"MSCF": "cab",
}  # fmt: skip
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".rar", ".7z", ".zip.001", ".7z.001")
# .z01 and .zip.001 of a split zip, .r00 and .part1.rar of a rar, and what `split` makes of anything.
PART = re.compile(r"\.(z\d\d|r\d\d|\d{3}|part\d+\.rar|(zip|tar|tgz|gz|bz2|xz|7z)\.?(part)?[-_.]?(\d{2,}|a[a-z]))$")
# What people give instead of a folder: endings, what such a file is, and what to do.
FOLDER = "give the folder that holds it with --source"
CONVERT = "convert it to NIfTI, MetaImage or NRRD, and give the folder with --source"
SINGLE = (
    ((".img", ".hdr", ".mgz", ".mgh", ".mnc", ".par", ".rec", ".nii.bz2", ".nii.xz", ".nii.zip"), "one image", CONVERT),
    ((".raw", ".zraw"), "the pixels of one image", FOLDER),
    ((".dcm", ".dicom", ".ima"), "one DICOM file", "convert the series to NIfTI, and give the folder with --source"),
    ((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"), "a picture", CONVERT),
    ((".csv", ".tsv", ".xls", ".xlsx", ".ods"), "a table", "give the folder of the images with --source"),
    ((".npy", ".npz", ".mat", ".h5", ".hdf5", ".pt", ".pkl"), "a file of arrays", CONVERT),
    ((".txt", ".md", ".pdf", ".json", ".html", ".doc", ".docx", ".cfg", ".xml"), "a text", FOLDER),
)  # fmt: skip


def archive_kind(head: bytes) -> str:
    """What a file is by its first 512 bytes: a key of `PACKED`, "zip", "tar", another archive by its ending, "part" of a
    split zip, "web page" or "unknown"."""
    if head.startswith(b"PK\x07\x08"):
        return "part"
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar" or _is_old_tar(head):
        return "tar"
    return "web page" if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<" else "unknown"


def _is_old_tar(head: bytes) -> bool:
    """Tars of Unix version 7 have a checksum and no name."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "replace")
    except tarfile.TarError:
        return False
    return True


def kind_of(path: Path) -> str:
    """`archive_kind` of a file; "part" for every part of a split archive, "single" for a packed file that is no tar.

    Raises:
        OSError, EOFError, ValueError, lzma.LZMAError, zlib.error: it cannot be read, or its packing is damaged.
    """
    with open(path, "rb") as file:
        kind = archive_kind(file.read(512))
        named = PART.search(path.name.lower()) and kind != "web page"
        if kind == "part" or named or (kind in ("zip", "unknown") and zip_part(file)):
            return "part"
        if kind not in PACKED:
            return kind
        file.seek(0)
        with PACKED[kind](file) as inside:
            return kind if archive_kind(inside.read(512)) == "tar" else "single"


def end_of_zip(file: IO[bytes]) -> bytes:
    """From a zip's last record on; b"" without one."""
    file.seek(-min(os.fstat(file.fileno()).st_size, ZIP_END), os.SEEK_END)
    end = file.read()
    return end[at:] if (at := end.rfind(b"PK\x05\x06")) >= 0 else b""


def zip_part(file: IO[bytes]) -> int:
    """The number that the last part of a split zip has; 0 of a whole one, and of what is no zip."""
    end = end_of_zip(file)
    number = struct.unpack_from("<H", end, 4)[0] if len(end) >= 6 else 0
    return number if number < 0xFFFF else 0  # 0xFFFF: it is written elsewhere


def refuse_single_file(path: Path) -> None:
    """A file that is an image, or anything else that a data set consists of, is no data set.

    Raises:
        BadInput: it is; the sentence says what to give instead.
    """
    name = path.name.lower()
    if ending(path):
        raise BadInput(f"{path} is one image; {FOLDER}")
    for endings, what, then in SINGLE:
        if name.endswith(endings):
            raise BadInput(f"{path} is {what}; {then}")
    with open(path, "rb") as file:
        head = file.read(512)
        if (kind := archive_kind(head)) in PACKED:
            file.seek(0)
            with suppress(EOFError, OSError, zlib.error, lzma.LZMAError):  # damaged: its unpacking says so
                head = PACKED[kind](file).read(512)
    if head[128:132] == b"DICM":
        raise BadInput(f"{path} is one DICOM file; convert the series to NIfTI, and give the folder with --source")
    if head[344:348] in (b"n+1\0", b"ni1\0"):
        raise BadInput(f"{path} is one image; {FOLDER}")
