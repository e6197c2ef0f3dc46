"""`python -m data_download list`: what exists, under which terms, how to get it, and what is here."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path

from tqdm import tqdm

from data_download.dataset import DataSet
from data_download.fetching.source import DOWNLOADS
from data_download.sets import FETCHED

PREPARED = Path("data")  # where the commands below put slice sets


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `list`."""
    parser.add_argument(
        "--out", type=Path, default=DOWNLOADS, metavar="DIR", help=f"where fetch put things (default: {DOWNLOADS})"
    )


def run(chosen: argparse.Namespace) -> int:
    """Print the list; downloads and writes nothing."""
    print(describe(chosen.out))
    return 0


def describe(out: Path = DOWNLOADS, prepared: Path = PREPARED) -> str:
    """Every data set as text.

    Args:
        out: the folder given to fetch.
        prepared: the folder whose subfolders may be slice sets.
    """
    sets = _slice_sets(prepared)
    blocks = [_entry(data, out, sets.get(name, [])) for name, data in FETCHED.items()]
    blocks.append(
        f"'here' looks at {out}, fetch's folder (another one: list --out DIR), and at the slice sets in {prepared}."
    )
    return "\n\n".join(blocks)


def _entry(data: DataSet, out: Path, sets: list[Path]) -> str:
    source = data.source
    fetch = f"python -m data_download fetch {data.name} --out {out}"
    if source.url is None:
        how = f"by hand, after registration at {source.page}; the steps: {fetch}"
    else:
        kind = source.checksum.split(":")[0] if source.checksum else None
        how = f"{fetch}  ({f'automatic, {kind} checked' if kind else 'automatic; no checksum is published'})"
    lines = {
        "size": source.size,
        "licence": source.licence,
        "cite": source.citation,
        "page": source.page,
        "get it": how,
        "here": "; ".join(_here(data, out, sets)) or "nothing",
        "then": f"python -m data_download prepare {data.name} --source {out / data.name} --out data/{data.name}",
    }
    width = 110  # commands are not broken: they are there to be copied
    text = [
        textwrap.fill(
            value, width, initial_indent=f"    {label:9s}", subsequent_indent=" " * 13,
            break_long_words=False, break_on_hyphens=False,
        )
        if label not in ("get it", "then") else f"    {label:9s}{value}"
        for label, value in lines.items()
    ]  # fmt: skip
    return "\n".join([data.name, *textwrap.wrap(data.what, width, initial_indent="    ", subsequent_indent="    "), *text])


def _here(data: DataSet, out: Path, sets: list[Path]) -> list[str]:
    archive, folder = out / data.source.archive, out / data.name
    part = archive.with_name(archive.name + ".part")
    found = []
    if archive.is_file():
        found.append(f"archive {archive} ({_size(archive)})")
    elif part.is_file():
        found.append(f"a part of the archive ({_size(part)}); the same fetch goes on")
    if folder.is_dir() and any(folder.iterdir()):
        found.append(f"unpacked in {folder}")
    return found + [f"prepared in {path}" for path in sets]


def _slice_sets(prepared: Path) -> dict[str, list[Path]]:
    """Name of a data set -> the slice sets that prepare made of it, by what their dataset.json says."""
    found: dict[str, list[Path]] = {}
    for path in sorted(prepared.glob("*/dataset.json")):
        try:
            made = str(json.loads(path.read_text(encoding="utf-8"))["how_made"]).split()
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if made[:4] == ["python", "-m", "data_download", "prepare"] and len(made) > 4:
            found.setdefault(made[4], []).append(path.parent)
    return found


def _size(path: Path) -> str:
    return tqdm.format_sizeof(path.stat().st_size, "B", 1000)
