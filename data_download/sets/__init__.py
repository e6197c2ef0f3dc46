"""The data sets, one file each. Every module here that holds a `DATA_SET` is one: no list has to be kept."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from advconf_lite.support.errors import BadInput
from data_download.dataset import DataSet

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
DATASETS: dict[str, DataSet] = {module.DATA_SET.name: module.DATA_SET for module in _MODULES}
FETCHED = {name: data for name, data in DATASETS.items() if data.source is not None}


def find_data_set(name: str) -> DataSet:
    """The data set of this name that can be fetched.

    Raises:
        BadInput: there is none; the sentence lists those that exist.
    """
    if name not in FETCHED:
        raise BadInput(f"there is no data set {name!r} to fetch; choose from: {', '.join(FETCHED)}")
    return FETCHED[name]
