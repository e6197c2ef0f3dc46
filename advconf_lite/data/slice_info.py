"""dataset.json: what it may say, checked in one place for reading, writing, `verify` and `run`."""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advconf_lite import __version__
from advconf_lite.data.usual import LARGEST_SIDE
from advconf_lite.support.errors import BadInput, mended

# What this package reads. Others are its owner's, and stay, unless they are one of these with a slip of the pen.
KEYS = (
    "name", "class_names", "source_domain", "validation_domains", "target_domains", "size", "spacing_mm", "tolerance_mm",
    "organ", "split", "version", "licence", "citation", "how_made", "sha256", "fold", "note", "notes", "left_out",
)  # fmt: skip
OLD_WORDS = {"spacing": "spacing_mm", "tolerance": "tolerance_mm", "pixel_size": "spacing_mm", "pixel_spacing": "spacing_mm",
             "classes": "class_names", "labels": "class_names", "source": "source_domain", "targets": "target_domains",
             "image_size": "size"}  # fmt: skip
COLUMNS = ["dataset", "domain", "subject", "phase", "slice", "spacing_mm", "split"]  # of slices.csv
SPLIT_BY = ("subject", "slice")
UNNAMED = "own"  # the domain of one's own images where nobody has said which scanner they are of


def read_info(path: Path, shown: Path, table: pd.DataFrame) -> dict:
    """What dataset.json says; `shown` is the path that error messages name.

    Raises:
        BadInput: see `complete`; or it is no JSON object, or says a thing twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict:
        if twice := [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]:
            raise BadInput(f"{shown} says {twice[0]!r} twice; leave one of them")
        return dict(pairs)

    try:
        info = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=once)
    except BadInput:
        raise
    except (ValueError, OSError, RecursionError) as error:
        raise BadInput(f"{shown} cannot be read as JSON ({error}); {mended(error, 'write it again')}") from error
    return complete(info, table, shown)


def complete(info: dict, table: pd.DataFrame, shown: Path) -> dict:
    """`info` as JSON has it, with the target domains that the table already says filled in.

    Raises:
        BadInput: a key is missing, unknown but for a slip of the pen, or of the wrong kind, naming `shown`.
    """
    if not isinstance(info, dict):
        raise BadInput(f'{shown} holds {type(info).__name__}, not an object; write {{"name": ..., ...}}')
    info = plain(info, shown)
    for key in info:
        if key not in KEYS and (meant := OLD_WORDS.get(key) or _nearest(key)) and meant not in info:
            raise BadInput(f"{shown} has {key!r}, which nothing reads; rename it to {meant!r}, or leave it out")
    for key in ("name", "class_names", "source_domain"):
        if key not in info:
            raise BadInput(f"{shown} has no {key!r}; add it (for image-only sets source_domain may be null)")
    if not isinstance(info["name"], str) or not info["name"].strip():
        raise BadInput(f"{shown}: name is {info['name']!r}; give the data set a word")
    names = info["class_names"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise BadInput(f"{shown}: class_names is {names!r}; list the foreground classes in the order of their labels")
    if len(set(names)) != len(names):
        raise BadInput(f"{shown}: class_names {names!r} names a class twice; give each label its own name")
    if len(names) > 255:
        raise BadInput(f"{shown}: class_names has {len(names)} names; a mask of bytes holds 255 classes at most")
    _complete_domains(info, table, shown)
    _check_grid(info, table, shown)
    if not isinstance(info.get("organ"), str | None) or info.get("organ") == "":
        raise BadInput(f"{shown}: organ is {info['organ']!r}; give a word, or leave it out")
    if info.get("split", "subject") not in SPLIT_BY:
        raise BadInput(f"{shown}: split is {info['split']!r}; give {' or '.join(SPLIT_BY)}, or leave it out")
    _refuse_the_future(info, shown)
    return info


def plain(value: Any, shown: Path) -> Any:
    """The same as JSON will give it back: numpy's numbers and arrays, tuples and paths as plain values.

    Raises:
        BadInput: it holds something that JSON does not have.
    """
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise BadInput(f"{shown} has the key {wrong[0]!r}; keys are words")
        return {key: plain(part, shown) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), shown)
    if isinstance(value, list | tuple | pd.Series | pd.Index):
        return [plain(part, shown) for part in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    raise BadInput(f"{shown} holds a {type(value).__name__} ({value!r}); give text, numbers, lists and null only")


def _nearest(key: str) -> str | None:
    known = {known.replace("_", ""): known for known in KEYS}
    found = difflib.get_close_matches(key.lower().replace("_", "").replace("-", "").replace(" ", ""), known, 1, 0.85)
    return known[found[0]] if found else None


def _complete_domains(info: dict, table: pd.DataFrame, shown: Path) -> None:
    source = info["source_domain"]
    if not isinstance(source, str | None):
        raise BadInput(f"{shown}: source_domain is {source!r}; give the name of a domain as text")
    info.setdefault("validation_domains", [])
    taken = [source, *(info["validation_domains"] if isinstance(info["validation_domains"], list) else [])]
    info.setdefault("target_domains", [name for name in dict.fromkeys(table["domain"].astype(str)) if name not in taken])
    listed = [source]
    for key in ("validation_domains", "target_domains"):
        if not isinstance(info[key], list) or not all(isinstance(name, str) for name in info[key]):
            raise BadInput(f"{shown}: {key} is {info[key]!r}; give a list of domains, as text")
        listed += info[key]
    if twice := [name for name, count in Counter(listed).items() if count > 1]:
        raise BadInput(f"{shown} names the domain {twice[0]!r} twice; one is the source, a validation or a target domain")


def _check_grid(info: dict, table: pd.DataFrame, shown: Path) -> None:
    for key, what in (("spacing_mm", "the pixel size"), ("tolerance_mm", "the tolerance of the surface Dice")):
        mm = info.get(key, 1.0)
        if not isinstance(mm, (int, float)) or isinstance(mm, bool) or not 0 < mm < math.inf:
            raise BadInput(f"{shown}: {key} is {mm!r}; give {what} in millimetres, or leave it out")
    size = info.get("size", 1)
    sides = size if isinstance(size, list) else [size, size]
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise BadInput(f"{shown}: size is {size!r}; give pixels a side, or [rows, columns], or leave it out")
    if max(sides) > LARGEST_SIDE:
        raise BadInput(f"{shown}: size is {size!r}; give at most {LARGEST_SIDE} pixels a side")


def _refuse_the_future(info: dict, shown: Path) -> None:
    """Only of sets that this package has written: in another one, `version` is its owner's."""
    made, version = info.get("how_made"), str(info.get("version", ""))
    ours = str(made).startswith("python -m data_download")
    ours |= isinstance(made, dict) and made.get("function") == "make_phantom"
    if ours and (numbers := _numbers(version)) and numbers > _numbers(__version__):
        raise BadInput(
            f"{shown} was written by version {version} of advconf_lite, and this is {__version__}: install that version, or "
            "make the set again"
        )


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()
