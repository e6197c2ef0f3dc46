"""`python -m data_download prepare NAME ...`: a data set's own files, or its archive, to a slice set."""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.fetching.archive import extract
from data_download.preparing.inventory import Inventory
from data_download.preparing.options import add_common_options
from data_download.sets import DATASETS


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `prepare`, which depend on the data set."""
    names = parser.add_subparsers(dest="name", metavar="NAME", title="data sets (their options: prepare NAME --help)")
    for data in DATASETS.values():
        one = names.add_parser(
            data.name, help=data.what, description=data.what, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        add_common_options(one, data.spacing_mm, data.size)
        if data.add_options:
            data.add_options(one)


def run(chosen: argparse.Namespace) -> int:
    """Prepare one data set.

    Raises:
        BadInput: no data set is named, its files are not where they should be, or one of them is bad; the sentence names it.
    """
    from data_download.preparing.assemble import assemble  # `prepare --help` need not wait for PyTorch

    if chosen.name is None:
        raise BadInput(f"name the data set: python -m data_download prepare NAME; choose from: {', '.join(DATASETS)}")
    data = DATASETS[chosen.name]
    if data.with_options:
        data = data.with_options(data, chosen)
    with unpacked(Path(chosen.source), Path(chosen.out)) as folder:
        inventory = Inventory(chosen.skip_bad)
        data.find(folder, inventory)
        print(assemble(data, inventory, chosen))
    return 0


@contextmanager
def unpacked(source: Path, out: Path) -> Iterator[Path]:
    """`source` if it is a folder; an archive is unpacked beside `out` for as long as it is needed.

    Raises:
        BadInput: there is neither a folder nor an archive that can be unpacked.
    """
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise BadInput(f"there is no folder {source}; give the unpacked data set, or its archive, with --source")
    state = source.stat()
    key = hashlib.sha256(f"{source.absolute()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = out.parent / f".{out.name}-unpacked-{key}"
    for other in out.parent.glob(f".{out.name}-unpacked-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    if not folder.is_dir():  # one that is there is whole: a killed run left it
        extract(source, folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # only after success: the next run need not unpack again
