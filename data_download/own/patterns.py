"""--images and --masks: which files they are, and which belong together, by patterns such as '{subject}/*_t2.nii.gz'."""

from __future__ import annotations

import re
from dataclasses import replace

from advconf_lite.support.errors import BadInput
from data_download.own.files import Volume
from data_download.own.pairing import Pair, paired
from data_download.own.roles import File, understood
from data_download.preparing.inventory import Inventory

PIECE = re.compile(r"(?P<deep>\*\*/?)|(?P<star>\*)|(?P<one>\?)|\{(?P<name>[A-Za-z_]\w*)\}|\{(?P<either>[^{}]*,[^{}]*)\}"
                   r"|(?P<any>\[[^\]/]+\])")  # fmt: skip
MEANT = ("subject", "session", "phase", "domain")


def as_regex(pattern: str) -> re.Pattern:
    """A glob as a regular expression for paths with slashes, in any case.

    `**` is any number of folders, `{name}` a part of a name that is given back under this name, `{a,b}` one of the two.
    """
    text, seen, position = "", set(), 0
    pattern = pattern.replace("\\", "/").removeprefix("./")
    for match in PIECE.finditer(pattern):
        text += re.escape(pattern[position : match.start()])
        position = match.end()
        if match["deep"]:
            text += "((?:[^/]+/)*)" if match["deep"].endswith("/") else "(.*)"
        elif match["star"]:
            text += "([^/]*)"
        elif match["one"]:
            text += "([^/])"
        elif name := match["name"]:
            text += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)"
            seen.add(name)
        elif match["either"]:
            text += f"(?:{'|'.join(map(re.escape, match['either'].split(',')))})"
        else:
            text += "(" + match["any"].replace("[!", "[^") + ")"
    try:
        return re.compile(text + re.escape(pattern[position:]), re.IGNORECASE)
    except re.error as error:
        raise BadInput(f"the pattern {pattern!r} cannot be understood ({error}); correct it") from error


def matched(volumes: list[Volume], images: str | None, masks: str | None, inventory: Inventory) -> list[Pair]:
    """Pairs of what the patterns match. With one of them alone, the other files are understood by their names.

    Raises:
        BadInput: a pattern matches nothing, both match one file, or there is no saying which belong together.
    """
    kinds = {"--images": images, "--masks": masks}
    found = {option: _fitting(volumes, pattern, option) for option, pattern in kinds.items() if pattern}
    for volume in found.get("--masks", {}):  # --images '*.nii.gz' --masks '*_seg.nii.gz' is clear enough
        if found.get("--images", {}).pop(volume, None) and not found["--images"]:
            raise BadInput(f"--images and --masks both match {volume.shown}, and no other file; make them differ")
    if len(found) == 1:
        return _with_one(volumes, *next(iter(found.items())), inventory)
    for volume in volumes:
        if volume not in found["--images"] and volume not in found["--masks"]:
            inventory.ignore(volume.path, "neither --images nor --masks matches them")
    keys = _keys(images, masks, found)
    files = [File(volume, number > 0, (), keys[volume]) for number, hits in enumerate(found.values()) for volume in hits]
    pairs = paired([file for file in files if not file.is_mask], [file for file in files if file.is_mask], exactly=True)
    whole = {file.volume: file for file in understood(volumes)}
    matches = {**found["--masks"], **found["--images"]}
    return [_given(pair, whole, matches) for pair in pairs]


def _fitting(volumes: list[Volume], pattern: str, option: str) -> dict[Volume, re.Match]:
    regex = as_regex(pattern)
    found = {volume: match for volume in volumes if (match := regex.fullmatch(volume.shown))}
    if not found:
        example = f", such as {volumes[0].shown}" if volumes else ""
        raise BadInput(
            f"{option} {pattern!r} matches none of the {len(volumes)} images and masks below --source{example}; "
            "'**/' stands for any folders, '*' for a part of a name"
        )
    return found


def _keys(images: str, masks: str, found: dict[str, dict[Volume, re.Match]]) -> dict[Volume, str]:
    """What an image and its mask have in common: the parts named alike, or else (also) what the wildcards stand for."""
    regexes = as_regex(images), as_regex(masks)
    shared = [name for name in regexes[0].groupindex if name in regexes[1].groupindex]
    wild = [[n for n in range(1, regex.groups + 1) if n not in regex.groupindex.values()] for regex in regexes]
    alike = len(wild[0]) == len(wild[1]) > 0
    if not shared and not alike:
        raise BadInput(
            f"--images {images!r} and --masks {masks!r} have not the same number of wildcards, so they do not say which "
            "belong together; name what they share, as in 'scans/{subject}_t2.nii.gz' and 'outlines/{subject}.nii.gz'"
        )

    def key(match: re.Match, numbers: list[int]) -> str:
        return "\0".join([match[name] for name in shared] + [match[number] or "" for number in numbers])

    named = [[key(match, []) for match in hits.values()] for hits in found.values()]
    enough = bool(shared) and all(len(set(some)) == len(some) for some in named)
    used = ([], []) if enough or not alike else wild
    return {volume: key(match, used[n]) for n, hits in enumerate(found.values()) for volume, match in hits.items()}


def _given(pair: Pair, whole: dict[Volume, File], matches: dict[Volume, re.Match]) -> Pair:
    """The pair with what its patterns name, and with its files as their names are understood."""
    hits = (matches[file.volume] for file in (pair.mask, pair.image) if file is not None and file.volume in matches)
    named = {name: text for match in hits for name, text in match.groupdict().items()}
    given = {name: named[name] for name in MEANT if named.get(name)}
    if "session" in given:
        given["phase"] = "_".join(filter(None, (given.pop("session"), given.get("phase"))))
    image, mask = (None if file is None else whole[file.volume] for file in (pair.image, pair.mask))
    return Pair(image, mask, pair.problem, given)


def _with_one(volumes: list[Volume], option: str, hits: dict[Volume, re.Match], inventory: Inventory) -> list[Pair]:
    """--images or --masks alone."""
    files = understood(volumes)
    if option == "--images":
        images = [replace(file, is_mask=False) for file in files if file.volume in hits]
        masks = [file for file in files if file.volume not in hits and file.is_mask]
        others = [file for file in files if file.volume not in hits and not file.is_mask]
    else:
        masks = [replace(file, is_mask=True) for file in files if file.volume in hits]
        images = [file for file in files if file.volume not in hits and not file.is_mask]
        others = [file for file in files if file.volume not in hits and file.is_mask]
    for file in others:
        inventory.ignore(file.volume.path, f"{option} does not match them")
    pairs = paired(images, masks)
    if option == "--images":
        for pair in pairs:
            if pair.lonely_mask:
                inventory.ignore(pair.mask.volume.path, "masks of none of the images that --images matches")
        pairs = [pair for pair in pairs if not pair.lonely_mask]
    return [_given(pair, {file.volume: file for file in (*images, *masks)}, hits) for pair in pairs]
