"""--table: a CSV file that says which image and mask belong together, and whose they are."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.own.files import Volume
from data_download.own.pairing import Pair
from data_download.own.roles import File, understood
from data_download.preparing.files import VOLUMES, ending
from data_download.preparing.inventory import Inventory

COLUMNS = {
    "image": ("image", "images", "img", "scan", "volume", "image_path", "image path", "path", "file", "filename"),
    "mask": ("mask", "masks", "label", "labels", "seg", "segmentation", "mask_path", "mask path", "label_path", "gt"),
    "subject": ("subject", "subject_id", "patient", "patient_id", "case", "participant_id", "id"),
    "phase": ("phase", "session", "visit", "timepoint", "frame"),
    "domain": ("domain", "site", "scanner", "center", "centre", "hospital", "vendor"),
}
NEEDED = "it needs a line of names with the columns image and mask, and may have subject, phase, domain"


def pairs_of(table: Path, source: Path, volumes: list[Volume], inventory: Inventory) -> list[Pair]:
    """The rows as pairs; volumes below `source` that no row names are ignored, with the reason.

    Raises:
        BadInput: the table cannot be read, lacks a column, or names a file twice.
    """
    rows = _rows(table)
    for reason, paths in list(inventory.ignored.items()):  # the table itself is used
        inventory.ignored[reason] = [path for path in paths if _real(path) != _real(table)]
    inventory.ignored = {reason: paths for reason, paths in inventory.ignored.items() if paths}
    known = {_real(volume.path): volume for volume in volumes}
    pairs: list[Pair] = []
    used: dict[Path, int] = {}
    named: list[tuple[int, dict[str, str], list[Volume | None], str]] = []
    for number, row in rows:
        found: list[Volume | None] = []
        problem = ""
        for column in ("image", "mask"):
            text = row.get(column, "")
            path = _there(text, table, source) if text else None
            if path is not None and _real(path) in used:
                first = used[_real(path)]
                raise BadInput(f"{table} names {text} in line {first} and again in line {number}; remove one of them")
            if path is not None:
                used[_real(path)] = number
                found.append(known.get(_real(path)) or Volume(path, ()))
                if not ending(path):
                    problem = f"{path}, of line {number} of {table}, is none of {', '.join(VOLUMES)}; convert it"
            else:
                found.append(None)
                if text or column == "image":
                    problem = (
                        f"line {number} of {table} names the {column} {text!r}, which is neither below the table's folder "
                        "nor below --source; correct the line"
                    )
        named.append((number, row, found, problem))
    listed = [volume for _, _, found, _ in named for volume in found if volume is not None]
    files = {file.volume: file for file in understood(list(dict.fromkeys([*volumes, *listed])))}
    for number, row, (image, mask), problem in named:
        if image is None and mask is None:
            image = Volume(source / row.get("image", "?"), ())  # whose name the sentence tells
            files[image] = File(image, False, (), f"line {number}")
        pairs.append(Pair(image and files[image], mask and files[mask], problem, _given(row)))
    for volume in volumes:
        if _real(volume.path) not in used:
            inventory.ignore(volume.path, f"{table.name} does not name them")
    return pairs


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, our column -> text) of every row that is not blank."""
    if not table.is_file():
        raise BadInput(f"there is no table {table}; give a CSV file with --table")
    lines = _text(table).splitlines()
    first = next((line for line in lines if line.strip()), "")
    separator = max("\t;,", key=first.count)
    cells = [(number, [cell.strip() for cell in row]) for number, row in _parsed("\n".join(lines), separator, table)]
    cells = [(number, row) for number, row in cells if any(row)]
    if not cells:
        raise BadInput(f"{table} is empty; {NEEDED}")
    heads = [name.lower() for name in cells[0][1]]
    if any(ending(Path(name)) for name in heads) and len(heads) <= 2:  # no line of names: image, mask
        return [(number, dict(zip(("image", "mask"), row))) for number, row in cells]
    places = {column: next(map(heads.index, filter(heads.__contains__, names)), None) for column, names in COLUMNS.items()}
    if places["image"] is None:
        raise BadInput(f"{table} has the columns {', '.join(cells[0][1])}; {NEEDED}")
    taken = {column: place for column, place in places.items() if place is not None}
    rows = [(n, {column: row[place] for column, place in taken.items() if place < len(row)}) for n, row in cells[1:]]
    if not rows:
        raise BadInput(f"{table} names no image; {NEEDED}")
    return rows


def _parsed(text: str, separator: str, table: Path) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise BadInput(f"{table} cannot be read as a CSV table ({error}); save it again as CSV") from error


def _text(table: Path) -> str:
    try:
        data = table.read_bytes()
    except OSError as error:
        raise BadInput(f"{table} cannot be read ({error.strerror or error}); give yourself the permission") from error
    if data[:4] == b"PK\x03\x04" or b"\0" in data and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise BadInput(f"{table} is no text; save the sheet as CSV")
    for encoding in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            return data.decode(encoding).lstrip("\ufeff")
        except UnicodeDecodeError:
            continue
    raise BadInput(f"{table} is no text that can be read; save it as CSV UTF-8")


def _there(text: str, table: Path, source: Path) -> Path | None:
    """The file that a cell names: relative to the table or to the source, or absolute."""
    for name in (text, text.replace("\\", "/")):
        path = Path(name).expanduser()
        for place in (table.parent / path, source / path):
            if place.is_file() or place.is_symlink():
                return place
    return None


def _real(path: Path) -> Path:
    return path.parent.resolve() / path.name


def _given(row: dict[str, str]) -> dict[str, str]:
    return {name: row[name] for name in ("subject", "phase", "domain") if row.get(name)}
