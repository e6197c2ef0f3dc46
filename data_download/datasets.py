"""The data sets that the command knows.

Each is a module with NAME, WHAT, LICENCE, CITATION, HOW_TO_GET, `add_options(parser)` for what is special
about its preparation, and `prepare(options) -> SliceSet`. A new one is a module and its name here.
"""

from __future__ import annotations

from types import ModuleType

from advconf_lite.errors import BadInput

from . import acdc

DATASETS = {module.NAME: module for module in (acdc,)}


def find(name: str) -> ModuleType:
    """The module of a data set.

    Raises:
        BadInput: there is none of this name; the sentence lists those that exist.
    """
    if name not in DATASETS:
        raise BadInput(f"there is no data set {name!r}; choose from: {', '.join(DATASETS)}")
    return DATASETS[name]


def describe() -> str:
    """What exists, under which terms and from where, as text."""
    blocks = []
    for module in DATASETS.values():
        lines = [("", module.WHAT), ("licence", module.LICENCE), ("get it", module.HOW_TO_GET)]
        lines += [
            ("cite", module.CITATION),
            ("then", f"python -m data_download prepare {module.NAME} --source DIR --out DIR"),
        ]
        blocks.append(module.NAME + "\n" + "\n".join(f"    {label:8s} {text}" for label, text in lines))
    return "\n\n".join(blocks)
