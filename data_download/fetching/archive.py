"""Archives from strangers, .zip and .tar in its usual packings: unpacked whole into one folder, or not at all.

Every member is checked and written here: plain files and folders only, under names that stay inside, no more than the
archive's own size explains. What a system left in it (__MACOSX, ._NAME) is left there.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from advconf_lite.support import progress
from advconf_lite.support.errors import BadInput, reason, remedy
from data_download.fetching.kinds import BY_HAND, UNPACKED_HERE, kind_of
from data_download.fetching.members import Locked, Member, of_tar, of_zip
from data_download.preparing.files import is_hidden

BLOCK = 1 << 20
GIB = 1 << 30
# ValueError: names that are not UTF-8, and numbers out of range; an OSError without a number is a packing's
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, struct.error, ValueError, IndexError,
           OverflowError, OSError)  # fmt: skip
AGAIN = "get or pack it again"


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


def extract(archive: str | Path, folder: str | Path, limits: Limits = LIMITS) -> Path:
    """Unpack an archive into `folder`, which appears when it is whole.

    Until then the files are in a hidden folder beside it; one that a killed process left is removed first, so the
    caller makes sure that only one process unpacks into `folder`.

    Raises:
        BadInput: the archive is of another kind, damaged, locked, too large, or holds anything but plain files and folders
            under names that stay inside; or the folder cannot be written. Nothing is left behind, and `archive` is not
            touched.
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
            f"cannot unpack {archive} in {folder.parent}: {reason(error)}; {remedy(error)} (the archive is intact)", "folder"
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
        return f"{archive} cannot be read: {reason(error)}"
    return None


def _walk(archive: Path, into: Path | None, limits: Limits) -> None:
    """Check every member, and write it below `into` unless that is None."""
    try:
        if (kind := kind_of(archive)) not in UNPACKED_HERE:
            raise BadInput(_no_archive(archive, kind))
        guard = _Guard(archive, into, limits)
        with open(archive, "rb") as file:
            # A zip lists its members, so that all are looked at before the first is written; a tar has to be read for that.
            members: Iterable[tuple[Member, tuple[str, ...]]] = map(
                guard.looked_at, of_zip(file) if kind == "zip" else of_tar(file, kind)
            )
            members = list(members) if kind == "zip" else members
            name = f"{'check' if into is None else 'unpack'} {archive.name}"
            with progress.bar(desc=name, total=guard.total or None, unit="B", unit_scale=True) as bar:
                for member, parts in members:
                    if guard.seen[parts] != "hidden":
                        _write(member, None if into is None else into.joinpath(*parts), bar)
        if "file" not in guard.seen.values():
            raise BadInput(f"{archive} holds no files; {AGAIN}")
    except BadInput:  # a ValueError, as some damage is
        raise
    except (Locked, RuntimeError) as error:
        raise BadInput(f"{archive} uses what Python cannot unpack ({_reason(error)}); {BY_HAND}") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = Path(error.filename).name
        raise BadInput(
            f"{archive} is refused: two of its members want the name {name!r}, and nothing of it was unpacked; {BY_HAND}"
        ) from error
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadInput(f"{archive} is damaged or incomplete ({_reason(error)}); {AGAIN}") from error


class _Guard:
    """Looks at every member before it is written."""

    def __init__(self, archive: Path, into: Path | None, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.seen: dict[tuple[str, ...], str] = {}  # names as parts of a path -> kind
        self.total = self.number = 0
        self._size = archive.stat().st_size
        self._free = None if into is None else shutil.disk_usage(into).free

    def looked_at(self, member: Member) -> tuple[Member, tuple[str, ...]]:
        """The member, and its path as folder names.

        Raises:
            BadInput: it could leave the folder, on any operating system; it is no plain file; it is there twice; or the
                members so far are more than they may be, or than the disk takes.
        """
        self.number, self.total = self.number + 1, self.total + member.size
        self._refuse_too_much()
        parts = tuple(part for part in member.name.split("/") if part not in ("", "."))
        if problem := self._problem(member, parts):
            raise BadInput(
                f"{self.archive} is refused: it holds {member.name[:200]!r}, {problem}, and nothing of it was unpacked; if "
                f"you trust it, {BY_HAND}"
            )
        self.seen[parts] = "hidden" if any(is_hidden(Path(part)) for part in parts) else member.kind
        return member, parts

    def _refuse_too_much(self) -> None:
        if self.number > self.limits.members:
            raise BadInput(
                f"{self.archive} is refused: it holds more than {self.limits.members} files and folders; {BY_HAND}"
            )
        if self.total > min(self.limits.total_bytes, max(self.limits.free_bytes, int(self.limits.ratio * self._size))):
            raise BadInput(
                f"{self.archive} is refused: it unpacks to {_size(self.total)} or more, which is out of proportion to its "
                f"own {_size(self._size)}; if you trust it, {BY_HAND}"
            )
        if self._free is not None and self.total > self._free:
            raise BadInput(
                f"{self.archive} unpacks to {_size(self.total)} or more and {_size(self._free)} are free; free some space "
                "or choose another folder",
                "folder",
            )

    def _problem(self, member: Member, parts: tuple[str, ...]) -> str:
        name = member.name
        if name.startswith("/") or re.match(r"[A-Za-z]:", name):
            return "an absolute path"
        if "\\" in name or "\0" in name:
            return "a name with a backslash or a zero byte"
        if ".." in parts:
            return "a path that leaves the folder"
        if member.kind not in ("file", "folder"):
            return f"a {member.kind}"
        if not parts and member.kind == "file":
            return "a file without a name"
        if self.seen.get(parts, "hidden") != "hidden" and (member.kind, self.seen[parts]) != ("folder", "folder"):
            return "a name that it holds twice"
        return ""


def _write(member: Member, path: Path | None, bar: tqdm) -> None:
    """One member to `path`, read to its end and checksum; read only, if that is None."""
    if path is not None:
        (path if member.kind == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
    with member.open() as stream:  # of a folder, too: its two headers in a zip are compared
        if member.kind == "folder":
            return
        count = 0
        with open(os.devnull, "wb") if path is None else open(path, "xb") as target:
            while block := stream.read(BLOCK):
                count += len(block)
                target.write(block)
                bar.update(len(block))
    if count != member.size:
        raise EOFError(f"{member.name!r} has {count} of {member.size} bytes")


def _no_archive(archive: Path, kind: str) -> str:
    if kind == "part":
        return f"{archive} is one part of a split archive; join its parts or {BY_HAND}"
    if kind == "single":
        return f"{archive} is one packed file and no archive of files; {BY_HAND}"
    if kind not in ("web page", "unknown"):
        return f"{archive} is a .{kind}, which Python cannot unpack; {BY_HAND}"
    what = "a web page" if kind == "web page" else "something else" if archive.stat().st_size else "empty"
    return f"{archive} is {what} and no archive; {AGAIN}, or give a folder"


def _size(count: int) -> str:
    return tqdm.format_sizeof(count, "B", 1000)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
