"""What a file is by its name, and what a folder holds: for everything that looks for scans."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from advconf_lite.support.errors import BadInput

# Volumes that can be read; in any case, for Windows and some exporters write .NII.GZ.
VOLUMES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
# Of macOS and Windows, beside or instead of the files that were meant; like every name that begins with a dot.
JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir")


def ending(path: Path) -> str:
    """The ending of a volume as it is written, such as ".NII.gz"; "" if it is none of `VOLUMES`."""
    name = path.name.lower()
    length = next((len(known) for known in VOLUMES if name.endswith(known) and len(name) > len(known)), 0)
    return path.name[len(path.name) - length :]


def stem(path: Path) -> str:
    """The name of a volume without its ending; the whole name of anything else."""
    return path.name[: len(path.name) - len(ending(path))]


def is_hidden(path: Path) -> bool:
    """Is this what a system left, such as ._P1.nii.gz, .DS_Store or the folder __MACOSX?"""
    return path.name.startswith(".") or path.name in JUNK


def listed(folder: Path) -> list[Path]:
    """What a folder holds, sorted by name, without what is hidden.

    Raises:
        BadInput: it may not be listed.
    """
    try:
        return sorted(path for path in folder.iterdir() if not is_hidden(path))
    except OSError as error:
        raise BadInput(
            f"the folder {folder} cannot be listed ({error.strerror or error}); give yourself the permission to read it"
        ) from error


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and those inside it, links followed, in the order of their names; nothing hidden.

    A link to a folder that it lies in is not followed.

    Raises:
        BadInput: a folder may not be listed.
    """
    yield from _files_below(folder, (os.path.realpath(folder),))


def _files_below(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    for path in listed(folder):
        if not path.is_dir():
            yield path
        elif (real := os.path.realpath(path)) not in above:
            yield from _files_below(path, (*above, real))
