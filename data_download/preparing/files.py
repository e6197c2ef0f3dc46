"""What a file is by its name, and what a folder holds: for everything that looks for scans."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
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
        found = sorted(path for path in folder.iterdir() if not is_hidden(path))
        for path in found[:1]:
            path.lstat()  # a folder may be listed and yet not be entered
        return found
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


def search(folder: Path, wanted: Callable[[Path], bool], depth: int) -> tuple[list[Path], list[Path]]:
    """What is wanted in a folder and those inside it, at most `depth` levels down, and all that was met beside it.

    In what is wanted, and in a folder that holds the one that is being looked at, nothing is looked for.

    Raises:
        BadInput: a folder may not be listed.
    """
    found, others = [], []

    def look(here: Path, left: int, above: tuple[str, ...]) -> None:
        for path in listed(here):
            if wanted(path):
                found.append(path)
            elif left and path.is_dir() and (real := os.path.realpath(path)) not in above:
                look(path, left - 1, (*above, real))
            else:
                others.append(path)

    look(folder, depth, (os.path.realpath(folder),))
    return found, others


def links_to_nothing(path: Path) -> bool:
    """Is this a link whose file is elsewhere, as DataLad and DVC store them until they are fetched?"""
    return path.is_symlink() and not path.exists()


def refuse_link_to_nothing(*paths: Path) -> None:
    """Links to nothing are refused.

    Raises:
        BadInput: one of `paths` is such a link.
    """
    for path in paths:
        if links_to_nothing(path):
            raise BadInput(
                f"{path} is a link to nothing ({os.readlink(path)}); fetch what it stands for (datalad get, dvc pull) or "
                "restore it"
            )


def the_one(paths: list[Path], what: str) -> Path | None:
    """The only one of `paths`; None of none.

    Raises:
        BadInput: there are several.
    """
    if len(paths) > 1:
        raise BadInput(f"{paths[0]} and {paths[1]} are both {what}; remove one of them")
    return paths[0] if paths else None
