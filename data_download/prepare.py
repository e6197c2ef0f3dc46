"""`python -m data_download prepare NAME ...`: a data set's own files, or its archive, to a slice set."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.dataset import DataSet
from data_download.fetching.unpacked import unpacked
from data_download.preparing.inventory import Inventory
from data_download.preparing.options import add_common_options
from data_download.preparing.understood import understood
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
    """Prepare one data set, after a table of how its files were understood; with --dry-run nothing more than this.

    Raises:
        BadInput: no data set is named, its files are not where they should be, or one of them is bad; the sentence names it.
    """
    from data_download.preparing.assemble import assemble  # `prepare --help` need not wait for PyTorch

    if chosen.name is None:
        raise BadInput(f"name the data set: python -m data_download prepare NAME; choose from: {', '.join(DATASETS)}")
    data = DATASETS[chosen.name]
    if data.with_options:
        data = data.with_options(data, chosen)
    if chosen.out is None:
        if not chosen.dry_run:
            raise BadInput("say with --out DIR where the slice set is to be written; --dry-run writes none")
        chosen.out = Path(tempfile.gettempdir()) / "advconf-dry-run"  # beside it an archive is unpacked
    with unpacked(Path(chosen.source), Path(chosen.out)) as folder:
        inventory = Inventory(chosen.skip_bad)
        data = _found(data, inventory, folder, chosen)
        if chosen.dry_run:
            print("nothing was written; the same command without --dry-run prepares the set")
        else:
            print(assemble(data, inventory, chosen))
    return 0


def _found(data: DataSet, inventory: Inventory, folder: Path, chosen: argparse.Namespace) -> DataSet:
    """The record with what its files say; prints how they were understood, also where that is refused."""
    try:
        data.find(folder, inventory)
        if data.with_files:
            data = data.with_files(data, inventory)
        inventory.complete = True
    finally:
        if inventory.complete:
            print(understood(inventory, folder, chosen.source, data.info["source_domain"]), flush=True)
    if data.look:
        data.look(inventory, chosen)
    return data
