"""The members of zips and tars, as what both have in common: a name, a kind, a size, bytes.

Why not `extractall`: zipfile repairs dangerous names in silence, tarfile ends in silence at a damaged header and reads
headers of any length into memory. What is said here is said by the archive; whether to believe it is `archive`'s affair.
"""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

from data_download.fetching.kinds import PACKED, end_of_zip

LONGEST_READ = 1 << 24  # of a tar's header fields, and of what lies behind its end


class Locked(RuntimeError):
    """A password is needed, or a method that Python lacks."""


@dataclass(frozen=True)
class Member:
    """One entry: `kind` is "file", "folder", "link" or "device or pipe"; `open` gives the bytes of a file."""

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes]]


def of_zip(file: IO[bytes]) -> Iterator[Member]:
    """All members, which a zip lists at its end.

    Raises:
        Locked: zipfile cannot unpack it.
        zipfile.BadZipFile, and what else reading it raises: it is damaged.
    """
    packed = zipfile.ZipFile(file)  # not closed here: members are opened when all are known
    for info in _listed(file, packed):
        mode = stat.S_IFMT(info.external_attr >> 16)
        kind = "folder" if info.is_dir() else "file"
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = "link" if mode == stat.S_IFLNK else "device or pipe"
        if info.flag_bits & 0x41:  # encrypted, strongly encrypted
            raise Locked("a password is needed")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Locked(f"compression method {info.compress_type}")
        # The name as stored: zipfile cuts it at its first zero byte, and turns backslashes on Windows.
        yield Member(info.orig_filename, kind, info.file_size, partial(packed.open, info))


def _listed(file: IO[bytes], packed: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members, if they are as many as the archive says: a damaged length in its directory may hide some."""
    infos = packed.infolist()
    (count,) = struct.unpack_from("<H", end_of_zip(file), 10)
    if count not in (len(infos) % (1 << 16), 0xFFFF):  # 0xFFFF: the number is too large for this field
        raise zipfile.BadZipFile(f"it lists {len(infos)} of {count} members")
    return infos


def of_tar(file: IO[bytes], packing: str) -> Iterator[Member]:
    """Each member as it comes, to be read before the next; `packing` is "tar" or a key of `PACKED`.

    Raises:
        tarfile.TarError, EOFError, and what else reading it raises: it is damaged.
    """
    stream = PACKED[packing](file) if packing in PACKED else file
    with tarfile.open(fileobj=_Careful(stream), mode="r:") as packed:
        for info in packed:
            kind = "file" if info.isreg() else "folder" if info.isdir() else "device or pipe"
            kind = "link" if info.issym() or info.islnk() else kind
            yield Member(info.name, kind, info.size, partial(_opened, packed, info))
        stream.seek(packed.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError("it ends without the mark of its end")
        stream.read(LONGEST_READ)  # to the checksum of its packing


def _opened(packed: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return packed.extractfile(info) or io.BytesIO()  # a folder has no bytes


class _Careful:
    """A stream for tarfile, which would read a header field of any length into memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._read, self.seek, self.tell = stream.read, stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LONGEST_READ:
            raise EOFError(f"a header of {size} bytes")
        return self._read(size)
