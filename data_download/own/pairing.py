"""Which mask belongs to which image: by the names that are left when the words for image and mask are taken out."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from data_download.own.roles import File
from data_download.own.words import tokens

LONELY = "is a mask without an image"
WAYS = "--images and --masks, or --table, say which belong together"


@dataclass(frozen=True)
class Pair:
    """An image and its mask.

    Attributes:
        image, mask: None where there is none.
        problem: a sentence on what is wrong with them, if something is.
        given: subject, session, phase and domain, where a pattern or a table says them.
    """

    image: File | None
    mask: File | None
    problem: str = ""
    given: dict[str, str] = field(default_factory=dict)

    @property
    def first(self) -> File:
        """The image, or the mask where there is no image."""
        return self.image or self.mask

    @property
    def lonely_mask(self) -> bool:
        """Is it a mask that no image could be meant by?"""
        return self.image is None and LONELY in self.problem


def paired(images: Iterable[File], masks: Iterable[File], exactly: bool = False) -> list[Pair]:
    """Every image and every mask in exactly one pair, in the order of their paths; those that stay alone come alone.

    From strict to loose: the same name; the same but for case and separators; one name holds all pieces of the other,
    as P1_T2 those of P1_seg, and there is no other like it; the same number after different words. `exactly`: the same name.
    """
    images, masks = list(images), list(masks)
    pairs: list[Pair] = []
    _match(_same, images, masks, pairs)
    if not exactly:
        for key in (_alike, _without_part(images, masks)):
            _match(key, images, masks, pairs)
        _match_by_pieces(images, masks, pairs)
        _match(_numbers(images, masks), images, masks, pairs)
        _match(_alone_together(images, masks, pairs), images, masks, pairs)
    pairs += [Pair(image, None) for image in images]
    without = f"{LONELY}; add the image, remove the mask, or {WAYS}"
    pairs += [Pair(None, mask, f"{mask.volume.path} {without}") for mask in masks]
    return sorted(pairs, key=lambda pair: pair.first.volume.path)


def _match(key: Callable[[File], Hashable], images: list[File], masks: list[File], pairs: list[Pair]) -> None:
    """Move those of one key from `images` and `masks` to `pairs`; a key of None belongs to nothing."""
    found: dict[Hashable, tuple[list[File], list[File]]] = defaultdict(lambda: ([], []))
    for number, files in enumerate((images, masks)):
        for file in files:
            if (name := key(file)) is not None:
                found[name][number].append(file)
    gone: list[File] = []
    for some, others in found.values():
        if len(some) == 1 and len(others) == 1:
            pairs.append(Pair(some[0], others[0]))
        elif key is _same and len(some) + len(others) > 1 or key is _alike and some and others:
            pairs.append(_rivals(some, others))
        else:
            continue
        gone += some + others
    _remove(images, gone)
    _remove(masks, gone)


def _rivals(images: list[File], masks: list[File]) -> Pair:
    """One pair for all, with what is wrong with them."""
    several = images if len(images) > 1 else masks
    names = " and ".join(str(file.volume.path) for file in several[:2])
    more = f" (and {len(several) - 2} more)" if len(several) > 2 else ""
    what = "are images of one name" if several is images else "are masks of one image"
    if several is masks and not images:
        what = "are masks of one name"
    way = WAYS if len({file.volume.bare for file in several}) == len(several) else "only the names' endings differ"
    problem = f"{names}{more} {what}; remove one of them ({way})"
    return Pair(images[0] if images else None, masks[0] if masks else None, problem)


def _same(file: File) -> Hashable:
    return file.folders, file.name


def _alike(file: File) -> Hashable:
    plain = (unicodedata.normalize("NFC", name).casefold() for name in (*file.folders, file.name))
    return tuple(re.sub(r"[_\-. ]+", "_", name) for name in plain)


def _without_part(images: list[File], masks: list[File]) -> Callable[[File], Hashable]:
    """Where t2_images/ and labels/ are the only folders of their kind, what else they are called does not matter."""
    alone = all(len({file.part for file in files if file.part is not None}) <= 1 for files in (images, masks))

    def key(file: File) -> Hashable:
        return _alike(File(file.volume, file.is_mask, _but_part(file), file.name)) if alone else None

    return key


def _but_part(file: File) -> tuple[str, ...]:
    return tuple(name for name in file.folders if name != file.part or not file.part)


def _match_by_pieces(images: list[File], masks: list[File], pairs: list[Pair]) -> None:
    """P1/T2 with P1/seg, BIDS's sub-1_T2w with sub-1_dseg, P1 with P1_lesion_seg: if nothing else could be meant."""
    pieces = {id(file): _pieces(file) for file in (*images, *masks)}
    by_piece: dict[str, list[File]] = defaultdict(list)
    for image in images:
        for piece in pieces[id(image)]:
            by_piece[piece].append(image)
    chosen: dict[int, list[File]] = defaultdict(list)
    unsure: list[tuple[File, list[File]]] = []
    for mask in masks:
        mine = pieces[id(mask)]
        near = {id(image): image for piece in mine for image in by_piece[piece]} or {id(i): i for i in images if not mine}
        fits = [image for image in near.values() if mine <= pieces[id(image)] or mine >= pieces[id(image)]]
        apart = {id(image): len(mine ^ pieces[id(image)]) for image in fits}
        nearest = [image for image in fits if apart[id(image)] == min(apart.values())]
        if len(nearest) == 1:
            chosen[id(nearest[0])].append(mask)
        elif nearest:
            unsure.append((mask, nearest))
    gone = []
    for image in [image for image in images if id(image) in chosen]:
        mine = chosen[id(image)]
        pairs.append(Pair(image, mine[0]) if len(mine) == 1 else _rivals([image], mine))
        gone += [image, *mine]
    for mask, candidates in unsure:
        names = ", ".join(image.volume.shown for image in candidates[:3])
        problem = f"{mask.volume.path} could be the mask of {len(candidates)} images, such as {names}; {WAYS}"
        pairs.append(Pair(None, mask, problem))
        gone.append(mask)
    _remove(images, gone)
    _remove(masks, gone)


def _pieces(file: File) -> frozenset[str]:
    return frozenset().union(*(tokens(name) for name in (*file.folders, file.name)))


def _numbers(images: list[File], masks: list[File]) -> Callable[[File], Hashable]:
    """The number in the name, where all images have one word before it, and all masks another, as img01 and annot01."""
    words: dict[tuple, set[str]] = defaultdict(set)
    for file in (*images, *masks):
        words[_but_part(file), file.is_mask].add(re.sub(r"\d+", "#", file.name))

    def key(file: File) -> Hashable:
        place, digits = _but_part(file), re.findall(r"\d+", file.name)
        plain = all(len(words[place, role]) == 1 for role in (False, True))
        return (place, tuple(map(int, digits))) if plain and digits else None

    return key


def _alone_together(images: list[File], masks: list[File], pairs: list[Pair]) -> Callable[[File], Hashable]:
    """The only two files of a folder, where other folders have two of the same names: P1/T1 with P1/LabelsForTesting."""
    inside: dict[tuple[str, ...], list[File]] = defaultdict(list)
    for file in (*images, *masks, *(file for pair in pairs for file in (pair.image, pair.mask) if file)):
        inside[file.volume.folders].append(file)
    kinds: dict[tuple[str, ...], int] = defaultdict(int)
    for files in inside.values():
        kinds[tuple(sorted(file.volume.stem for file in files))] += 1

    def key(file: File) -> Hashable:
        files = inside[file.volume.folders]
        usual = len(files) == 2 and kinds[tuple(sorted(other.volume.stem for other in files))] > 1
        return file.volume.folders if usual else None

    return key


def _remove(files: list[File], gone: list[File]) -> None:
    known = {id(file) for file in gone}
    files[:] = [file for file in files if id(file) not in known]
