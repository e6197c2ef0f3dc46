"""Images without a mask where others have one: left aside with a reason, or called missing by the set's own naming."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from data_download.own.pairing import Pair
from data_download.own.people import CONTRAST
from data_download.own.roles import File
from data_download.own.words import is_unlabelled
from data_download.preparing.inventory import Inventory


def settled(pairs: list[Pair], inventory: Inventory) -> list[Pair]:
    """`pairs` without those of images that need no mask, which go to `inventory.ignored`; the others get a problem.

    Parts without any mask (imagesTs, test/), films (_4d), and contrasts of which no image has a mask are left aside. Without
    any mask at all this is an image-only set, and nothing is missing.
    """
    masked = [pair for pair in pairs if pair.mask is not None]
    if not masked:
        return pairs
    labelled = {folder for pair in masked for folder in _parts(pair.first)}
    contrasts = {frozenset(_contrasts(pair.first)) for pair in masked}
    examples = [pair for pair in masked if pair.image is not None and not pair.problem]
    result = []
    for pair in pairs:
        if pair.mask is not None or pair.problem:
            result.append(pair)
        elif reason := _reason(pair.image, labelled, contrasts):
            inventory.ignore(pair.image.volume.path, reason)
        else:
            result.append(replace(pair, problem=_missing(pair.image, examples, len(masked))))
    return result


def originals(images: list[File], inventory: Inventory) -> list[File]:
    """Without the images in BIDS's derivatives, which were made from others, if these are there."""
    raw = [image for image in images if not image.derived]
    for image in images if raw else ():
        if image.derived:
            inventory.ignore(image.volume.path, "images in derivatives/, made from others")
    return raw or images


def _reason(image: File, labelled: set[tuple[str, ...]], contrasts: set[frozenset[str]]) -> str | None:
    if re.search(r"(^|[_\-. ])4d$", image.volume.stem, flags=re.IGNORECASE):
        return "films (4d), which have no mask"
    for part in _parts(image):
        if part not in labelled:
            return f"{part[-1]} holds no mask at all: prepare it as a set of its own, with --source .../{part[-1]}"
    mine = frozenset(_contrasts(image))
    if mine and frozenset() not in contrasts and mine not in contrasts:
        return f"no image called {'_'.join(_contrasts(image))} has a mask, others do: --images chooses"
    return None


def _parts(file: File) -> list[tuple[str, ...]]:
    """The folders of a file whose name says that it may be without masks; imagesTs and labelsTs are one part."""
    folders = file.volume.folders
    return [folders[: depth + 1] for depth, name in enumerate(folders) if is_unlabelled(name)]


def _contrasts(file: File) -> Iterator[str]:
    for word in re.split(r"[_\-. ]+", file.name):
        if CONTRAST.fullmatch(word):
            yield word.lower()


def _missing(image: File, examples: list[Pair], count: int) -> str:
    """The sentence on an image whose mask is missing, with the name that the others' masks would give it."""
    near = [pair for pair in examples if pair.image.volume.folders == image.volume.folders] or examples
    said = f"{image.volume.path} has no mask, and {count} others have one"
    if near:
        example = near[0]
        said += f" (as {example.image.volume.shown} has {example.mask.volume.shown})"
        if name := named_alike(example, image):
            said += f"; add {name}, or take the image away"
            return said
    return f"{said}; add its mask, or take the image away"


def named_alike(example: Pair, image: File) -> str | None:
    """What the mask of `image` would be called if it were named as that of `example`; None where that cannot be said."""
    before, after = ((*file.volume.folders, file.name) for file in (example.image, image))
    if len(before) != len(after):
        return None
    words = {old: new for old, new in zip(before, after) if old and old != new}
    if not words:
        return None
    pattern = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    shown = example.mask.volume.shown
    name = re.sub(pattern, lambda match: words[match[0]], shown)
    return name if name != shown else None
