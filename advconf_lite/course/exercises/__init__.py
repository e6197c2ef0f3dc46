"""The course's exercises, one file per lesson. A record in `EXERCISES` or `CHOICES` of a file here is known by its name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

from advconf_lite.course.exercise import Choice, Exercise
from advconf_lite.support.errors import BadInput


def files() -> list[str]:
    """Names of the files, in the lessons' order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name.startswith("lesson_"))


def of_lesson(file: str) -> dict[str, Exercise | Choice]:
    """Name -> record of one file."""
    module = importlib.import_module(f"{__name__}.{file}")
    return {record.name: record for record in (*module.EXERCISES, *module.CHOICES)}


@cache
def everything() -> dict[str, Exercise | Choice]:
    """Name -> record, all lessons.

    Raises:
        BadInput: two lessons use one name.
    """
    found: dict[str, Exercise | Choice] = {}
    for file in files():
        records = of_lesson(file)
        if twice := sorted(found.keys() & records.keys()):
            raise BadInput(f"exercises/{file}.py has {', '.join(twice)}, which another lesson has too; choose another name")
        found |= records
    return found


def find(name: str) -> Exercise | Choice:
    """The record of a name.

    Raises:
        BadInput: there is none.
    """
    for file in files():  # a file at a time, so that a lesson loads no other lesson's
        if name in (records := of_lesson(file)):
            return records[name]
    near = difflib.get_close_matches(str(name), everything(), n=1, cutoff=0.5)
    raise BadInput(f"there is no exercise {name!r}; " + (f"is {near[0]!r} meant?" if near else "look at its spelling"))
