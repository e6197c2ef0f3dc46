"""What `prepare --source` names: a folder, or an archive, which is unpacked for as long as it is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.fetching.archive import extract
from data_download.fetching.kinds import ARCHIVES, refuse_single_file
from data_download.preparing.files import ending, listed


@contextmanager
def unpacked(source: Path, out: Path) -> Iterator[Path]:
    """`source` if it is a folder; an archive is unpacked, hidden beside `out`.

    What was unpacked stays only for a run of the same command that will use it: after a kill, after Ctrl-C, and beside
    scans that are kept. Whoever has to give another command finds nothing of it.

    Raises:
        BadInput: there is neither a folder nor an archive that can be unpacked. And what is raised inside, with names of
            files as they are in the archive.
    """
    if source.is_dir():
        refuse_packed(source)
        yield source
        return
    if not source.exists():
        what = f"{source} is a link to nothing" if source.is_symlink() else f"there is no folder {source}"
        raise BadInput(f"{what}; give the unpacked data set, or its archive, with --source")
    if not source.is_file():
        raise BadInput(f"{source} is neither a folder nor a file; give a folder, or an archive, with --source")
    refuse_single_file(source)
    folder = unpacked_in(source, out)
    for other in out.parent.glob(f".{out.name}-unpacked-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    if not folder.is_dir():  # one that is there is whole: a killed run left it
        extract(source, folder)
    try:
        yield folder
    except BadInput as error:
        if not any(out.parent.glob(f".{out.name}-preparing-*")):
            shutil.rmtree(folder, ignore_errors=True)
        if (text := as_in_archive(str(error), source, out)) != str(error):
            text += " (to change what is in an archive, unpack it by hand and give the folder)"
        raise BadInput(text, error.argument) from error
    shutil.rmtree(folder, ignore_errors=True)


def refuse_packed(folder: Path) -> None:
    """A folder with the archive in it, as a browser leaves it, is not what is in the archive.

    Raises:
        BadInput: there are archives in it, and neither folders nor volumes.
    """
    inside = listed(folder)
    packed = [path for path in inside if path.name.lower().endswith(ARCHIVES)]
    if packed and not any(path.is_dir() or ending(path) for path in inside):
        raise BadInput(f"{folder} holds {packed[0].name} and nothing unpacked; give {packed[0]} with --source")


def unpacked_in(source: Path, out: Path) -> Path:
    """The folder of an archive in the state that it has now."""
    state = source.stat()
    key = hashlib.sha256(os.fsencode(f"{source.absolute()} {state.st_size} {state.st_mtime_ns}")).hexdigest()[:12]
    return out.parent / f".{out.name}-unpacked-{key}"


def as_in_archive(text: str, source: Path, out: Path) -> str:
    """`text` with "ARCHIVE: inner/path" for every file that was unpacked, for the user gave no other name."""
    if not source.is_file():
        return text
    folder = str(unpacked_in(source, out))
    return text.replace(folder + os.sep, f"{source}: ").replace(folder, str(source))
