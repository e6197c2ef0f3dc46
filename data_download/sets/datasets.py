"""The data sets that can be prepared.

Each is a module with NAME, WHAT, `add_options(parser)` for what is special about its preparation, and
`prepare(options) -> SliceSet`. A new one is a module, its name here, and its entry in sources.py if it can be fetched.
"""

from __future__ import annotations

from types import ModuleType

from data_download.fetching.sources import find_in
from data_download.sets import acdc, mnms2, nifti, pmri, promise12

DATASETS = {module.NAME: module for module in (mnms2, pmri, acdc, promise12, nifti)}


def find(name: str) -> ModuleType:
    """The module of a data set.

    Raises:
        BadInput: see `find_in`.
    """
    return find_in(DATASETS, name)
