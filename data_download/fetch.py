"""`python -m data_download fetch NAME --out DIR`: terms, archive, checksum, unpacked folder.

DIR then holds the archive, NAME/ (what was in it) and NAME.terms.json (who accepted which terms, and when).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from advconf_lite.support import progress
from advconf_lite.support.errors import BadInput, reason, remedy
from data_download.dataset import DataSet
from data_download.fetching.address import refuse_bad_address
from data_download.fetching.archive import damage, extract
from data_download.fetching.download import download
from data_download.fetching.source import DOWNLOADS, Source
from data_download.fetching.terms import accept_terms
from data_download.preparing.files import listed
from data_download.sets import FETCHED, find_data_set

BLOCK = 1 << 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `fetch`."""
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(FETCHED)}")
    parser.add_argument("--out", type=Path, default=DOWNLOADS, metavar="DIR", help=f"where to put it (default: {DOWNLOADS})")
    parser.add_argument(
        "--accept-terms", action="store_true", help="accept the licence and the citation it asks for, without a question"
    )
    parser.add_argument(
        "--url", help="take the archive from another address, such as a mirror; a published checksum still holds"
    )


def run(chosen: argparse.Namespace) -> int:
    """Fetch one data set and say what to do next.

    Raises:
        BadInput: see `fetch`.
    """
    data = find_data_set(chosen.name)
    ask = input if sys.stdin is not None and sys.stdin.isatty() else None
    folder = fetch(data, chosen.out, chosen.accept_terms, url=chosen.url, ask=ask)
    print(f"{data.name} is in {folder}; next:")
    print(f"  python -m data_download prepare {data.name} --source {folder} --out data/{data.name}")
    return 0


def fetch(
    data: DataSet,
    out: str | Path,
    accepted: bool = False,
    url: str | None = None,
    ask: Callable[[str], str] | None = None,
    **how: object,
) -> Path:
    """Bring a data set's files to `out` / NAME, from wherever an earlier call was stopped.

    Args:
        accepted: the terms are accepted. Otherwise `ask` is called with a question, once per folder.
        url: where to take the archive from, instead of its publisher.
        how: passed to `download`, such as attempts, timeout, sleep.

    Returns:
        The unpacked folder; if it holds nothing but one folder, that one, and so on.

    Raises:
        BadInput: the terms are not accepted; the data set has to be got by hand; somebody else is fetching it to `out`;
            or the download or the archive is bad in a way that the sentence names.
    """
    source = data.source
    out = Path(out)
    archive, folder = out / source.archive, out / data.name
    if url is not None and not archive.is_file():
        url = url.strip(" \t\r\n<>\"'")  # what is copied along with an address
        refuse_bad_address(url, archive)
    by_hand = source.by_hand(out) if url in (None, source.url) else source.by_hand_from_mirror(out)
    url = url or source.url
    with _alone(out, data.name):
        if folder.is_dir() and listed(folder):
            print(f"{folder} is there already", file=sys.stderr)
            return _innermost(folder)
        if not archive.is_file() and url is None:
            print(source.instructions(data.name, out), file=sys.stderr)
            others = [path for path in listed(out) if path.suffix.lower() in (".rar", ".7z", ".zst", ".z01", ".001")]
            there = f"there is {others[0]}, which you have to unpack by hand" if others else "the archive is not there yet"
            raise BadInput(f"{there}; follow the steps above")
        accept_terms(data, out, accepted, ask)
        if not archive.is_file():
            check = checksum_check(source)
            download(url, archive, check, by_hand, source.size_bytes, source.unpacks_to, **how)
        elif source.checksum and (problem := checksum_check(source)(archive)):
            raise BadInput(f"{archive} is not what was published ({problem}); remove it and run the same command again")
        return _innermost(extract(archive, folder))


def checksum_check(source: Source) -> Callable[[Path], str | None]:
    """What is wrong with a file that should be the archive of `source`, or None.

    Where no checksum is published, the archive's own ones are read.
    """
    if source.checksum is None:
        return damage
    algorithm, expected = source.checksum.split(":")

    def check(path: Path) -> str | None:
        found = hashlib.new(algorithm, usedforsecurity=False)
        size = path.stat().st_size
        with (
            open(path, "rb") as file,
            progress.bar(desc=f"check {path.name}", total=size, unit="B", unit_scale=True) as bar,
        ):
            while block := file.read(BLOCK):
                found.update(block)
                bar.update(len(block))
        if found.hexdigest() == expected:
            return None
        return f"its {algorithm} is {found.hexdigest()} and not {expected} (unless its publisher replaced the file)"

    return check


def _innermost(folder: Path) -> Path:
    while len(inside := listed(folder)) == 1 and inside[0].is_dir():
        folder = inside[0]
    return folder


@contextmanager
def _alone(out: Path, name: str) -> Iterator[None]:
    """Only one process at a time fetches `name` to `out`; the lock of one that was killed does not hold.

    Raises:
        BadInput: another one does, or `out` cannot be written.
    """
    lock = FileLock(out / f".{name}.lock")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BadInput(
            f"another process is fetching {name} to {out}; wait for it, or choose another folder with --out"
        ) from error
    except OSError as error:
        raise BadInput(f"cannot write to {out}: {reason(error)}; {remedy(error)}", "folder") from error
    except NotImplementedError as error:  # file systems without locks
        raise BadInput(f"cannot write to {out}: {error}; choose another folder", "folder") from error
    try:
        yield
    finally:
        lock.release()
