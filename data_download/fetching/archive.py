"""Zip archives from strangers: unpacked whole into one folder, or not at all.

Why not `extractall`: zipfile repairs dangerous names in silence, lists what a damaged directory leaves of an archive, and
sets no limit to what a small file may grow to. So every member is checked and written here: plain files and folders only.
All data sets that can be fetched are zips; what is packed otherwise is for its owner to unpack.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from advconf_lite.support import progress
from advconf_lite.support.errors import BadInput

BLOCK = 1 << 20
GIB = 1 << 30
ZIP_END = 22 + (1 << 16)  # a zip's last record, with the longest comment, is in so many bytes
BY_HAND = "unpack it by hand and give the folder to prepare with --source"
# ValueError: names that are not UTF-8, and numbers out of range
DAMAGED = (zipfile.BadZipFile, EOFError, zlib.error, struct.error, ValueError, IndexError, OverflowError)


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


def archive_kind(head: bytes) -> str:
    """What a file is by its first 512 bytes: "zip", "gz", "tar", "rar", "7z", "web page" or "unknown"."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    for magic, kind in ((b"\x1f\x8b", "gz"), (b"Rar!", "rar"), (b"7z\xbc\xaf\x27\x1c", "7z")):
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "tar"
    return "web page" if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<" else "unknown"


def extract(archive: str | Path, folder: str | Path, limits: Limits = LIMITS) -> Path:
    """Unpack a .zip into `folder`, which appears when it is whole.

    Until then the files are in a hidden folder beside it; one that a killed process left is removed first, so the
    caller makes sure that only one process unpacks into `folder`.

    Raises:
        BadInput: the archive is no .zip, damaged, locked, too large, or holds anything but plain files and folders under
            names that stay inside; or the disk is full. Nothing is left behind, and `archive` is not touched.
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
    try:
        with open(archive, "rb") as file:
            if (kind := archive_kind(file.read(512))) != "zip":
                raise BadInput(_no_zip(archive, kind))
            with zipfile.ZipFile(file) as packed:
                infos = _listed(file, packed)
                total = _allowed(archive, infos, into, limits)
                seen: dict[tuple[str, ...], str] = {}
                name = f"{'check' if into is None else 'unpack'} {archive.name}"
                with progress.bar(desc=name, total=total, unit="B", unit_scale=True) as bar:
                    for info in infos:
                        parts = _safe_parts(archive, info, seen)
                        with packed.open(info) as stream:  # compares the two headers of a folder, too
                            if seen[parts] == "file":
                                _copy(stream, info, None if into is None else into.joinpath(*parts), bar)
                            elif into is not None:
                                into.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        if "file" not in seen.values():
            raise BadInput(f"{archive} holds no files; remove it and get it again")
    except BadInput:  # a ValueError, as some damage is
        raise
    except RuntimeError as error:  # a password or a method that zipfile lacks
        raise BadInput(f"{archive} uses what Python cannot unpack ({_reason(error)}); {BY_HAND}") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = Path(error.filename).name
        raise BadInput(
            f"{archive} is refused: two of its members want the name {name!r}, and nothing of it was unpacked; {BY_HAND}"
        ) from error
    except DAMAGED as error:
        raise BadInput(f"{archive} is damaged or incomplete ({_reason(error)}); remove it and get it again") from error


def _listed(file: IO[bytes], packed: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members, if they are as many as the archive says: a damaged length in its directory may hide some."""
    infos = packed.infolist()
    file.seek(-min(os.fstat(file.fileno()).st_size, ZIP_END), os.SEEK_END)
    end = file.read()
    (count,) = struct.unpack_from("<H", end, end.rindex(b"PK\x05\x06") + 10)
    if count not in (len(infos) % (1 << 16), 0xFFFF):  # 0xFFFF: the number is too large for this field
        raise zipfile.BadZipFile(f"it lists {len(infos)} of {count} members")
    return infos


def _allowed(archive: Path, infos: list[zipfile.ZipInfo], into: Path | None, limits: Limits) -> int:
    """Bytes that the members say they have; BadInput if that is more than they may, or than the disk takes."""
    size, total = archive.stat().st_size, sum(info.file_size for info in infos)
    if len(infos) > limits.members:
        raise BadInput(f"{archive} is refused: it holds more than {limits.members} files and folders; {BY_HAND}")
    if total > min(limits.total_bytes, max(limits.free_bytes, int(limits.ratio * size))):
        raise BadInput(
            f"{archive} is refused: it unpacks to {_size(total)}, which is out of proportion to its own {_size(size)}; get "
            "the archive from its publisher"
        )
    if into is not None and total > (free := shutil.disk_usage(into).free):
        raise BadInput(
            f"{archive} unpacks to {_size(total)} and {_size(free)} are free; free some space or choose another folder with "
            "--out"
        )
    return total


def _safe_parts(archive: Path, info: zipfile.ZipInfo, seen: dict[tuple[str, ...], str]) -> tuple[str, ...]:
    """The member's path as folder names; `seen` learns it, and whether it is a "file" or a "folder".

    Raises:
        BadInput: it could leave the folder, on any operating system; it is no plain file; or it is there twice.
        RuntimeError: it is locked, or packed by a method that Python lacks.
    """
    name = info.orig_filename  # zipfile cuts a name at its first zero byte, and turns backslashes on Windows
    kind, mode = "folder" if info.is_dir() else "file", stat.S_IFMT(info.external_attr >> 16)
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    problem = ""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        problem = "an absolute path"
    elif "\\" in name or "\0" in name:
        problem = "a name with a backslash or a zero byte"
    elif ".." in parts:
        problem = "a path that leaves the folder"
    elif mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "a link" if mode == stat.S_IFLNK else "a device or pipe"
    elif not parts and kind == "file":
        problem = "a file without a name"
    elif parts in seen and (kind, seen[parts]) != ("folder", "folder"):
        problem = "a name that it holds twice"
    if problem:
        raise BadInput(
            f"{archive} is refused: it holds {name[:200]!r}, {problem}, and nothing of it was unpacked; get the "
            "archive from its publisher"
        )
    if info.flag_bits & 0x41:  # encrypted, strongly encrypted
        raise RuntimeError("a password is needed")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RuntimeError(f"compression method {info.compress_type}")
    seen[parts] = kind
    return parts


def _copy(stream: IO[bytes], info: zipfile.ZipInfo, path: Path | None, bar: tqdm) -> None:
    """Read one member to its end and checksum, into `path` unless that is None; no more than it says it has."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with open(os.devnull, "wb") if path is None else open(path, "xb") as target:
        while block := stream.read(BLOCK):
            count += len(block)
            target.write(block)
            bar.update(len(block))
    if count != info.file_size:
        raise EOFError(f"{info.filename!r} has {count} of {info.file_size} bytes")


def _no_zip(archive: Path, kind: str) -> str:
    if kind not in ("web page", "unknown"):
        return f"{archive} is a .{kind}, and only a .zip is unpacked here; {BY_HAND}"
    what = "a web page" if kind == "web page" else "something else" if archive.stat().st_size else "empty"
    return f"{archive} is {what} and no .zip; remove it and get the archive again"


def _size(count: int) -> str:
    return tqdm.format_sizeof(count, "B", 1000)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
