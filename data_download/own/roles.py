"""Image or mask: what the names of a volume and of its folders say, and what is left of them to tell whose it is.

images/P1.nii.gz, P1.nii.gz, imagesTr/P1_0000.nii.gz and P1/image.nii.gz are images; masks/P1.nii.gz, P1_seg.nii.gz,
labelsTr/P1.nii.gz and P1/seg.nii.gz are masks. A word in the name itself counts before the folder's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from data_download.own.files import Volume
from data_download.own.words import DATATYPES, IMAGE, MASK, is_bids, is_part, names_a_mask, without_roles


@dataclass(frozen=True)
class File:
    """A volume as its names are understood.

    Attributes:
        volume: the file.
        is_mask: of a mask; else of an image.
        folders: the names of its folders without those that only say image or mask, or where in BIDS it is.
        name: its own name without the words for image and mask.
        part: what its folder of images or masks says beside that: "Tr" of imagesTr; None if it is in no such folder.
        derived: it lies in the derivatives of BIDS.
    """

    volume: Volume
    is_mask: bool
    folders: tuple[str, ...]
    name: str
    part: str | None = None
    derived: bool = False


def understood(volumes: list[Volume]) -> list[File]:
    """Every volume with its role, in the order given."""
    roles = _folders_of_one_kind(volumes)
    return [_file(volume, roles) for volume in volumes]


def _file(volume: Volume, roles: dict[tuple[str, ...], str]) -> File:
    paths = [volume.folders[: depth + 1] for depth in range(len(volume.folders))]
    nearest = next((path for path in reversed(paths) if path in roles), None)
    role = None if nearest is None else roles[nearest]
    is_mask = role == "masks" or names_a_mask(volume.stem) and role != "images only"
    part = None if nearest is None else without_roles(nearest[-1])
    kept, derived = [], False
    for path in paths:
        name = path[-1]
        if path == nearest:
            kept += [part] if part else []
        elif len(path) > 1 and path[-2].lower() == "derivatives" and not name.startswith("sub-"):
            pass  # the pipeline's name
        elif name.lower() == "derivatives":
            derived = True
        elif name.lower() in ("rawdata", "sourcedata", *DATATYPES):
            pass
        elif is_bids(volume.stem) and name.lower().startswith(("sub-", "ses-")):
            pass  # the file's own name says it again
        else:
            kept.append(name)
    return File(volume, is_mask, tuple(kept), without_roles(volume.stem), part, derived)


def _folders_of_one_kind(volumes: list[Volume]) -> dict[tuple[str, ...], str]:
    """Folder -> "masks", "images", or "images only", in which a word for masks in a name means nothing.

    A folder that holds both, such as heart_segmentation/, only has the word in its name.
    """
    below: dict[tuple[str, ...], list[Volume]] = defaultdict(list)
    for volume in volumes:
        for depth in range(len(volume.folders)):
            below[volume.folders[: depth + 1]].append(volume)
    roles = {}
    for folder in sorted(below, key=len, reverse=True):  # the innermost first: what they say, counts
        name, inside = folder[-1], below[folder]
        is_mask = bool(MASK.search(name))
        if not is_mask and not IMAGE.search(name) or is_bids(name):
            continue
        said = [_says(volume, folder, roles) for volume in inside]
        holds_pairs = _overlap(inside, said)
        if is_mask:
            if "image" not in said and not holds_pairs and len(inside) < len(volumes):
                roles[folder] = "masks"
        elif len(inside) < len(volumes) or not holds_pairs:
            every = all(one == "mask" for one in said) and len(inside) < len(volumes)
            roles[folder] = "images only" if every else "images"
    return roles


def _says(volume: Volume, above: tuple[str, ...], roles: dict[tuple[str, ...], str]) -> str:
    """What the names below a folder say of one file in it: "mask", "image" or ""."""
    for depth in range(len(volume.folders), len(above), -1):
        if role := roles.get(volume.folders[:depth]):
            return "mask" if role == "masks" or role == "images" and names_a_mask(volume.stem) else "image"
    if names_a_mask(volume.stem):
        return "mask"
    alone = IMAGE.search(volume.stem) and not without_roles(volume.stem)
    more = without_roles(above[-1])  # masks/P1/image.nii.gz has its image's name
    return "image" if alone and more and not is_part(more) else ""


def _overlap(inside: Iterable[Volume], said: Iterable[str]) -> bool:
    """Is one file's name, without the word for mask, that of another, which has no such word?"""
    names: dict[bool, set[tuple]] = {True: set(), False: set()}
    for volume, role in zip(inside, said):
        names[role == "mask"].add((volume.folders, without_roles(volume.stem)))
    return bool(names[True] & names[False])
