"""`python -m data_download prepare NAME ...`: a data set's own files, or its archive, to a slice set."""

from __future__ import annotations

import argparse
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.fetching.unpacked import unpacked
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
