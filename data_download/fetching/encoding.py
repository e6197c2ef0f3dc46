"""What a server, or a proxy on the way, packs although it was asked not to (Content-Encoding).

The bytes are stored as they come, so that their number is what was announced and a part can be continued. Whether they
are the archive, or a packing around it, is seen by what is inside.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from data_download.fetching.archive import LIMITS
from data_download.fetching.kinds import UNPACKED_HERE, archive_kind

BLOCK = 1 << 20
KNOWN = ("gzip", "x-gzip", "deflate")
GZIP_OR_ZLIB, RAW = 47, -15  # zlib's words for the ways in which servers send deflate


def inside(head: bytes, encoding: str | None) -> bytes:
    """The beginning of what is packed, from the first bytes of a body; the same bytes if it is not packed.

    b"" means a packing that Python lacks, such as "br".
    """
    if encoding in (None, "", "identity"):
        return head
    window = _window(head) if encoding in KNOWN else None
    return b"" if window is None else zlib.decompressobj(window).decompress(head)


def archive_is(head: bytes, encoding: str | None) -> str:
    """Where the archive is: "inside" a packing, "outside" if the bytes themselves are one, "" if it is nowhere.

    A .tar.gz that is said to be a packed tar is itself an archive.
    """
    kind, packed = archive_kind(head), archive_kind(inside(head, encoding))
    if encoding in (None, "", "identity") or kind not in ("gz", "unknown"):
        return "outside" if kind in UNPACKED_HERE else ""
    if packed not in UNPACKED_HERE:
        return ""
    return "outside" if (kind, packed) == ("gz", "tar") else "inside"


def unpack(path: Path, to: Path) -> None:
    """Write what `path` packs to `to`.

    Raises:
        EOFError, zlib.error: it is cut or damaged, or far larger inside than outside.
        OSError: the disk is full.
    """
    count, most = 0, min(LIMITS.total_bytes, max(LIMITS.free_bytes, int(LIMITS.ratio * path.stat().st_size)))
    with open(path, "rb") as file, open(to, "wb") as target:
        for block in _unpacked(file):
            count += len(block)
            if count > most:
                raise EOFError("what it packs is out of proportion to its size")
            target.write(block)


def _window(head: bytes) -> int | None:
    for window in (GZIP_OR_ZLIB, RAW):
        try:
            zlib.decompressobj(window).decompress(head)
        except zlib.error:
            continue
        return window
    return None


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    """In blocks of a limited size; a gzip may have several members."""
    packed = file.read(BLOCK)
    window = _window(packed[:512])
    if window is None:
        raise zlib.error("unknown packing")
    unpacker = zlib.decompressobj(window)
    while packed:
        yield unpacker.decompress(packed, BLOCK)
        packed = unpacker.unconsumed_tail or unpacker.unused_data or file.read(BLOCK)
        if unpacker.eof and packed:
            unpacker = zlib.decompressobj(window)
    yield unpacker.flush()
    if not unpacker.eof:
        raise EOFError("it ends in the middle")
