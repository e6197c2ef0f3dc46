"""nnU-Net's raw folders: channels (xxx_0000, xxx_0001) of one image, and the names of labels in dataset.json."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.own.roles import File
from data_download.preparing.inventory import Inventory

CHANNEL = re.compile(r"(.+)_(\d{4})")
MOST = 16  # channels of one image; more numbers are those of patients


def one_channel(
    images: list[File], masks: list[File], wanted: int | None, inventory: Inventory
) -> tuple[list[File], list[File]]:
    """Images and masks under the names of their cases; images of other channels than `wanted` (default 0) are ignored.

    Four digits at the end are a channel where a mask has the name without them, in a folder imagesTr or imagesTs, and,
    where there are no masks, if several names end in the same few numbers from 0000 on. Else they are part of the name.

    Raises:
        BadInput: no image has the channel that was asked for.
    """
    numbers: dict[tuple, set[int]] = defaultdict(set)
    matches = {id(file): CHANNEL.fullmatch(file.name) for file in images}
    for file in images:
        if match := matches[id(file)]:
            numbers[file.folders, match[1]].add(int(match[2]))
    names = {file.name for file in masks}
    sets = Counter(frozenset(found) for found in numbers.values())
    small = all(min(found) == 0 and len(found) <= MOST for found in sets)
    same = not masks and len(numbers) > 1 and len(sets) == 1 and small

    def is_channel(file: File, match: re.Match) -> bool:
        if match[1] in names or file.name in names:
            return match[1] in names
        in_its_folder = any(re.match(r"images(Tr|Ts|Val?)$", name) for name in file.volume.folders)
        return same or in_its_folder and max(numbers[file.folders, match[1]]) < MOST

    kept, found, cases = [], set(), set()
    for file in images:
        match = matches[id(file)]
        if not match or not is_channel(file, match):
            kept.append(file)
            continue
        found.add(number := int(match[2]))
        cases.add(match[1])
        if number == (wanted or 0):
            kept.append(replace(file, name=match[1]))
        else:
            reason = f"channel {number} of an image; a slice set holds one channel: --channel {number} takes this one"
            inventory.ignore(file.volume.path, reason)
    if wanted is not None and wanted not in found:
        have = f"there are {', '.join(map(str, sorted(found)))}" if found else "no name ends in a channel such as _0001"
        raise BadInput(f"no image has the channel {wanted}; {have}", argument="channel")
    named = {id(file): CHANNEL.fullmatch(file.name) for file in masks}  # P1_0000_seg is of the case P1, too
    of_case = [replace(file, name=m[1]) if (m := named[id(file)]) and m[1] in cases else file for file in masks]
    return kept, of_case


def names_of_labels(files: Iterable[Path], inventory: Inventory, named: bool) -> dict[int, str]:
    """Stored label -> name, background left out, of the dataset.json among `files` that speak of labels; {} if none does.

    Raises:
        BadInput: two of them differ, and the classes are not `named` otherwise.
    """
    found: dict[Path, dict[int, str]] = {}
    for path in files:
        if path.name != "dataset.json":
            continue
        try:
            labels = json.loads(path.read_text(encoding="utf-8-sig"))["labels"]
            pairs = [(int(key), name) if str(key).isdigit() else (int(name), key) for key, name in labels.items()]
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            inventory.notes.append(f"{path.name} says no names of single labels; --classes names them")
            continue
        found[path] = {label: str(name) for label, name in sorted(pairs) if label and str(name).lower() != "ignore"}
    for path, names in list(found.items())[1:]:
        first = next(iter(found))
        if names != found[first] and named:
            return {}
        if names != found[first]:
            raise BadInput(f"{first} and {path} name labels differently; say what they are", argument="classes")
    return next(iter(found.values()), {})
