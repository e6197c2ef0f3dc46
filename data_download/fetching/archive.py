"""Archives from strangers: unpacked whole into one folder, or not at all.

Why not `extractall`: zipfile repairs dangerous names in silence and sets no limit to what a small file may grow to;
tarfile's `filter="data"` is missing from some Python 3.10 and 3.11 and sets no limit either. So every member is
checked here, and written here: plain files and folders only.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from advconf_lite.support.errors import BadInput

BLOCK = 1 << 20
GIB = 1 << 30
ZIP_END = 22 + (1 << 16)  # a zip's last record, with the longest comment, is in so many bytes
LARGEST_HEADER = 1 << 26  # tarfile reads a long name in one piece, whatever length its header claims
DAMAGED = (
    OSError,  # without a number: gzip says so
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    struct.error,
    ValueError,  # names that are not UTF-8, and numbers out of range
    IndexError,
    OverflowError,
)


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold.

    Real archives of images grow by a factor of 1 to 5, and deflate reaches 1000 on zeros. Below `free_bytes` the ratio
    is not looked at: nothing so small fills a disk.
    """

    total_bytes: int = 200 * GIB
    ratio: float = 100.0
    free_bytes: int = GIB
    members: int = 1_000_000


LIMITS = Limits()


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str  # "file", "folder", or what it is instead
    size: int
    open: Callable[[], IO[bytes]]


def archive_kind(head: bytes) -> str:
    """What a file is by its first 512 bytes: "zip", "gzip", "tar", "rar", "7z", "web page" or "unknown"."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    for magic, kind in ((b"\x1f\x8b", "gzip"), (b"Rar!", "rar"), (b"7z\xbc\xaf\x27\x1c", "7z")):
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "tar"
    return "web page" if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<" else "unknown"


def extract(archive: str | Path, folder: str | Path, limits: Limits = LIMITS) -> Path:
    """Unpack a .zip, .tar or .tar.gz into `folder`, which appears when it is whole.

    Until then the files are in a hidden folder beside it; one that a killed process left is removed first, so the
    caller makes sure that only one process unpacks into `folder`.

    Raises:
        BadInput: the archive is damaged, locked, too large, or holds anything but plain files and folders under names
            that stay inside; or the disk is full. Nothing is left behind, and `archive` is not touched.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise BadInput(f"there is no archive {archive}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} exists already; remove it to unpack {archive} again")
    unpacking = folder.with_name(f".{folder.name}-unpacking")
    try:
        shutil.rmtree(unpacking, ignore_errors=True)
        unpacking.mkdir(parents=True)
        _walk(archive, unpacking, limits)
        if folder.exists():
            folder.rmdir()
        os.replace(unpacking, folder)
    except OSError as error:
        raise BadInput(
            f"cannot unpack {archive} into {folder}: {error.strerror or error}; free some space or choose another "
            "folder with --out, then run the same command again (the archive is intact)"
        ) from error
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)
    return folder


def damage(archive: str | Path, limits: Limits = LIMITS) -> str | None:
    """What is wrong with an archive, as `extract` would say it but without advice; None if it is whole.

    Reads all of it, writes nothing.
    """
    try:
        _walk(Path(archive), None, limits)
    except BadInput as error:
        return str(error).rsplit("; ", 1)[0]
    except OSError as error:
        return f"{archive} cannot be read: {error.strerror or error}"
    return None


def _walk(archive: Path, into: Path | None, limits: Limits) -> None:
    """Check every member, and write it below `into` unless that is None."""
    seen: dict[tuple[str, ...], str] = {}
    try:
        with open(archive, "rb") as file:
            kind, size = archive_kind(file.read(512)), os.fstat(file.fileno()).st_size
            if kind not in _READERS:
                raise BadInput(_not_an_archive(archive, kind))
            file.seek(0)
            allowed = min(limits.total_bytes, max(limits.free_bytes, int(limits.ratio * size)))
            budget = _Budget(archive, allowed, None if into is None else shutil.disk_usage(into).free)
            name = f"{'check' if into is None else 'unpack'} {archive.name}"
            with tqdm(desc=name, unit="B", unit_scale=True, file=sys.stderr) as bar:
                for member in _READERS[kind](file, budget):
                    bar.total = budget.declared
                    parts = _safe_parts(archive, member, seen)
                    if len(seen) > limits.members:
                        raise BadInput(f"{archive} is refused: it holds more than {limits.members} files and folders")
                    if member.kind == "file":
                        _copy(member, None if into is None else into.joinpath(*parts), bar)
                    elif into is not None:
                        into.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        if "file" not in seen.values():
            raise BadInput(f"{archive} holds no files; remove it and get it again")
    except BadInput:  # a ValueError, as some damage is
        raise
    except RuntimeError as error:  # a password or a method that zipfile lacks
        raise BadInput(
            f"{archive} uses what Python cannot unpack ({_reason(error)}); unpack it by hand and give the folder to "
            "prepare with --source"
        ) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = Path(error.filename).name
        raise BadInput(
            f"{archive} is refused: two of its members want the name {name!r}, and nothing of it was unpacked; unpack "
            "it by hand and give the folder to prepare with --source"
        ) from error
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the archive
        raise BadInput(f"{archive} is damaged or incomplete ({_reason(error)}); remove it and get it again") from error


def _copy(member: _Member, path: Path | None, bar: tqdm) -> None:
    """Read one member to its end, into `path` unless that is None."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with member.open() as stream, open(os.devnull, "wb") if path is None else open(path, "xb") as target:
        while block := stream.read(BLOCK):
            count += len(block)
            if count > member.size:
                raise zipfile.BadZipFile(f"{member.name!r} is longer than it says")
            target.write(block)
            bar.update(len(block))
    if count != member.size:
        raise EOFError(f"{member.name!r} has {count} of {member.size} bytes")


def _safe_parts(archive: Path, member: _Member, seen: dict[tuple[str, ...], str]) -> tuple[str, ...]:
    """The member's path as folder names; `seen` learns it.

    Raises:
        BadInput: it could leave the folder, on any operating system; it is no plain file; or it is there twice.
    """
    name = member.name
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        problem = "an absolute path"
    elif "\\" in name or "\0" in name:
        problem = "a name with a backslash or a zero byte"
    elif ".." in parts:
        problem = "a path that leaves the folder"
    elif member.kind not in ("file", "folder"):
        problem = member.kind
    elif not parts and member.kind == "file":
        problem = "a file without a name"
    elif parts and seen.get(parts, "folder") + member.kind != "folderfolder":
        problem = "a name that it holds twice" if parts in seen else ""
    else:
        problem = ""
    if problem:
        raise BadInput(
            f"{archive} is refused: it holds {name[:200]!r}, {problem}, and nothing of it was unpacked; get the "
            "archive from its publisher"
        )
    seen[parts] = member.kind
    return parts


class _Budget:
    """Says no to an archive that holds more than it may, or more than the disk takes."""

    def __init__(self, archive: Path, allowed: int, disk: int | None):
        self.archive, self.allowed, self.disk = archive, allowed, disk
        self.declared: int | None = None  # bytes, where the archive's directory tells

    def spend(self, total: int) -> None:
        """`total` bytes are declared, or have been read.

        Raises:
            BadInput: that is too much.
        """
        if total > self.allowed:
            raise BadInput(
                f"{self.archive} is refused: it unpacks to {_size(total)} or more, which is out of proportion to its "
                f"own {_size(self.archive.stat().st_size)}; get the archive from its publisher"
            )
        if self.disk is not None and total > self.disk:
            raise BadInput(
                f"{self.archive} unpacks to {_size(total)} or more and {_size(self.disk)} are free; free some "
                "space or choose another folder with --out"
            )


def _zip_members(file: IO[bytes], budget: _Budget) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        # zipfile lists what it finds and does not compare: a damaged length may hide members.
        file.seek(-min(os.fstat(file.fileno()).st_size, ZIP_END), os.SEEK_END)
        end = file.read()
        (count,) = struct.unpack_from("<H", end, end.rindex(b"PK\x05\x06") + 10)
        if count not in (len(infos) % (1 << 16), 0xFFFF):  # 0xFFFF: the number is too large for this field
            raise zipfile.BadZipFile(f"it lists {len(infos)} of {count} members")
        budget.declared = sum(info.file_size for info in infos)
        budget.spend(budget.declared)
        for info in infos:
            kind, mode = "folder" if info.is_dir() else "file", info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "a link" if stat.S_ISLNK(mode) else "a device or pipe"
            if info.flag_bits & 0x41:  # encrypted, strongly encrypted
                raise RuntimeError("a password is needed")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NotImplementedError(f"compression method {info.compress_type}")
            if info.is_dir():
                archive.open(info).close()  # compares its two headers, so that a file with a damaged name is no folder
            # orig_filename: zipfile cuts a name at its first zero byte, and turns backslashes on Windows.
            yield _Member(info.orig_filename, kind, info.file_size, lambda info=info: archive.open(info))


def _tar_members(file: IO[bytes], budget: _Budget) -> Iterator[_Member]:
    bounded = _Bounded(file, budget)
    with tarfile.open(fileobj=bounded, mode="r:") as archive:
        for info in archive:
            kind = "folder" if info.isdir() else "file"
            if info.issym() or info.islnk():
                kind = "a link"
            elif info.issparse():
                kind = "a file with holes"
            elif not (info.isreg() or info.isdir()):
                kind = "a device or pipe"
            budget.spend(info.offset_data + info.size)
            yield _Member(info.name, kind, info.size, lambda info=info: archive.extractfile(info))
    # tarfile takes a damaged header, or the end of the file, for the end of the archive and says nothing.
    if bounded.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it ends without an end mark")
    while bounded.read(BLOCK):
        pass  # gzip looks at its checksum at the very end


class _Bounded:
    """A file for tarfile that counts what comes out of a compressed stream, skipped bytes included."""

    def __init__(self, file: IO[bytes], budget: _Budget):
        self._file, self._budget, self.last = file, budget, b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError("a header of unreasonable length")
        self._budget.spend(self._file.tell() + size)
        self.last = self._file.read(size)
        return self.last

    def seek(self, position: int) -> int:
        self._budget.spend(position)
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


_READERS = {
    "zip": _zip_members,
    "tar": _tar_members,
    "gzip": lambda file, budget: _tar_members(gzip.GzipFile(fileobj=file), budget),
}


def _not_an_archive(archive: Path, kind: str) -> str:
    if kind in ("rar", "7z"):
        return (
            f"{archive} is a .{kind}, which Python cannot unpack; unpack it by hand (7-Zip, unar) and give the folder to "
            "prepare with --source"
        )
    what = "a web page" if kind == "web page" else "empty" if not archive.stat().st_size else "something else"
    return f"{archive} is {what} and no .zip, .tar or .tar.gz; remove it and get the archive again"


def _size(count: int) -> str:
    return tqdm.format_sizeof(count, "B", 1000)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
