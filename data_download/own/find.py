"""Every image of a folder with its mask: names first, then what a pattern or a table says, then whose they are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from advconf_lite.data.slice_info import UNNAMED
from advconf_lite.support.errors import BadInput
from data_download.own.files import READ, Volume, folders_named_as_files, problem_of, volumes_below
from data_download.own.nnunet import one_channel
from data_download.own.pairing import Pair, paired
from data_download.own.patterns import matched
from data_download.own.people import is_session
from data_download.own.roles import understood
from data_download.own.table import pairs_of
from data_download.own.unmasked import originals, settled
from data_download.own.who import A_PLACE, Who, who_is_who
from data_download.own.words import IMAGE, MASK, is_part
from data_download.preparing.files import is_hidden, listed
from data_download.preparing.inventory import Inventory, Scan


@dataclass(frozen=True)
class Asked:
    """What the options say of how files are to be understood; None: it is found from their names.

    Attributes:
        images, masks: patterns.
        table: a CSV file.
        channel: of images with several.
        domain: of all images.
        domains_from: "folder", or a regular expression that finds the domain in a path.
        subject: a regular expression that finds the subject in a path.
    """

    images: str | None = None
    masks: str | None = None
    table: Path | None = None
    channel: int | None = None
    domain: str = UNNAMED
    domains_from: str | None = None
    subject: str | None = None


def find_own(source: Path, inventory: Inventory, dataset: str, asked: Asked) -> None:
    """Add the scans below a folder to `inventory`, in the order of the images' paths, and every other file as ignored.

    Raises:
        BadInput: there are no images, or (unless `inventory.skip_bad`) something is wrong with those of a subject.
    """
    volumes = volumes_below(source, inventory)
    pairs = _pairs(volumes, source, inventory, asked)
    if not pairs:
        raise BadInput(_nothing(source, volumes, inventory))
    pairs = settled(pairs, inventory)
    if not any(pair.image for pair in pairs):
        if masks := [pair.mask for pair in pairs if pair.mask]:
            raise BadInput(
                f"{source} holds masks and no images ({masks[0].volume.shown}); give the folder that holds both with "
                "--source, or say which are images with --images"
            )
        raise BadInput(_nothing(source, volumes, inventory))
    root = "" if is_hidden(source) else source.resolve().name  # an archive is unpacked into a hidden folder
    people = who_is_who(pairs, asked.domain, asked.domains_from, asked.subject, root)
    if not any(pair.mask for pair in pairs) and (beside := _masks_beside(source)):
        both = f"--source {source.parent} would use both"
        inventory.remarks.append(f"no masks are below it, and beside it is {beside.name}: {both}")
    if not asked.domains_from:
        _suggest_domains(pairs, people, inventory)
    _add(pairs, people, dict(folders_named_as_files(volumes)), inventory, dataset)
    inventory.scans.sort(key=lambda scan: scan.image)
    if not inventory.scans:
        raise BadInput(f"{source} holds no subject that can be used; the last problem: {inventory.left_out[-1]}")


def _pairs(volumes: list[Volume], source: Path, inventory: Inventory, asked: Asked) -> list[Pair]:
    if asked.table:
        if asked.images or asked.masks:
            raise BadInput("--table says all, so --images and --masks say nothing beside it; leave one of them out")
        return pairs_of(asked.table, source, volumes, inventory)
    if not volumes:
        return []
    if asked.images or asked.masks:
        return matched(volumes, asked.images, asked.masks, inventory)
    files = understood(volumes)
    masks = [file for file in files if file.is_mask]
    images = originals([file for file in files if not file.is_mask], inventory)
    return paired(*one_channel(images, masks, asked.channel, inventory))


def _nothing(source: Path, volumes: list[Volume], inventory: Inventory) -> str:
    if (source / "slices.csv").is_file() and (source / "dataset.json").is_file():
        return f"{source} is a slice set already; nothing is to be prepared"
    said = f"{source} holds no images ({READ})"
    if volumes:
        said += f" that are used (of {len(volumes)} found)"
    by_reason = sorted(inventory.ignored.items(), key=lambda item: -len(item[1]))
    if by_reason:
        reason, paths = by_reason[0]
        return f"{said}; it holds {len(paths)} such as {paths[0].name} ({reason})"
    return f"{said}; give the folder that does with --source"


def _masks_beside(source: Path) -> Path | None:
    """A folder of masks next to the one of images that was given."""
    if is_hidden(source) or not IMAGE.search(source.name):
        return None
    return next((path for path in listed(source.resolve().parent) if path.is_dir() and MASK.search(path.name)), None)


def _add(pairs: list[Pair], people: list[Who], wrong: dict[Volume, str], inventory: Inventory, dataset: str) -> None:
    """Each subject's scans together, so that one that is bad is left out whole."""
    of_subject: dict[tuple[str, str], list[tuple[Pair, Who]]] = defaultdict(list)
    for pair, who in zip(pairs, people):
        of_subject[who.domain, who.subject].append((pair, who))
    first: BadInput | None = None
    wrong_with: list[str] = []
    for (domain, subject), theirs in of_subject.items():
        try:
            with inventory.subject(domain, subject):
                # First what a mask says: "it could be of four images" says more than that each of them has none.
                for pair, who in sorted(theirs, key=lambda one: one[0].image is not None):
                    inventory.scans.append(_scan(pair, who, wrong, dataset))
        except BadInput as error:  # the table of all others is worth seeing
            first = first or error
            wrong_with.append(subject)
    if wrong_with:
        few = ", ".join(wrong_with[:5]) + (f" and {len(wrong_with) - 5} more" if len(wrong_with) > 5 else "")
        inventory.remarks.append(f"something is wrong with the files of {len(wrong_with)} subjects: {few}")
    inventory.complete = True
    if first:
        raise first


def _scan(pair: Pair, who: Who, wrong: dict[Volume, str], dataset: str) -> Scan:
    for file in filter(None, (pair.image, pair.mask)):
        if name := wrong.get(file.volume):
            raise BadInput(
                f"{file.volume.path} lies in a folder that is called as a file is, {name}; rename the folder, or put the "
                "file in its place"
            )
        if problem := problem_of(file.volume):
            raise BadInput(problem)
    if pair.problem:
        raise BadInput(pair.problem)
    mask = None if pair.mask is None else pair.mask.volume.path
    return Scan(dataset, who.domain, who.subject, who.phase, pair.image.volume.path, mask)


def _suggest_domains(pairs: list[Pair], people: list[Who], inventory: Inventory) -> None:
    """Folders that could be domains are named, for nothing says that they are."""
    tops: dict[str, set[str]] = defaultdict(set)
    for pair, who in zip(pairs, people):
        folders = [name for name in pair.first.folders if name != who.subject and not is_session(name) and not is_part(name)]
        tops[folders[0] if folders else ""].add(who.subject)
    if len(tops) > 1 and "" not in tops and (all(map(A_PLACE.match, tops)) or max(map(len, tops.values())) > 1):
        names = ", ".join(sorted(tops)[:3]) + (" ..." if len(tops) > 3 else "")
        inventory.remarks.append(f"the folders {names} are one domain here; --domains-from folder makes one of each")
