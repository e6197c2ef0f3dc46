"""The contract of `sets/`: what a file must say to add a data set."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_download.fetching.source import Source
from data_download.preparing.inventory import Inventory

Range = tuple[int, int]  # lowest and highest


@dataclass(frozen=True)
class Expected:
    """What is known of a data set. Slice counts by domain; None where nobody states them.

    Attributes:
        title, source: of the set, and who counted.
        subjects, filled, slices: subjects, slices with a foreground, and all slices.
        phases: those that every subject has.
    """

    title: str
    source: str
    subjects: dict[str, int]
    filled: dict[str, Range] | None = None
    slices: dict[str, Range] | None = None
    phases: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DataSet:
    """One data set: `sets/NAME.py` holds one under the name DATA_SET, and nothing else has to know of it.

    Attributes:
        name: on the command line.
        what: one line for people.
        labels: stored label -> ours, for every foreground label.
        info: what dataset.json says of it: name, class_names, source_domain, target_domains, tolerance_mm (of the surface
            Dice).
        find: given the unpacked folder, puts the scans that it holds into the inventory. It looks at names alone, and
            raises `BadInput` where they are not what the data set's are.
        source: where it comes from; None if it cannot be fetched.
        organ: whose view the planes are turned to (`orientation.VIEWS`); None leaves them as stored.
        spacing_mm, size: the grid unless options say otherwise: of the pixels, and how many a side. None: the median
            spacing of the images, and the smallest multiple of 16 that holds the largest.
        expected: given the options of `prepare` as dataset.json tells them, the published counts.
        geometry: "in-plane", or "published-code" (see `scans.Job`).
        flags: options that this data set alone has, as given.
        wrong_label: what to do about a label that `labels` lacks; it ends a sentence.
        add_options: adds those options to the parser of `prepare NAME`.
        with_options: what the options make of the record.
        with_files: what the files that were found make of it.
        look: a last look at what was found, before anything is prepared; it raises `BadInput` where that cannot be meant.
    """

    name: str
    what: str
    labels: dict[int, int]
    info: dict
    find: Callable[[Path, Inventory], None]
    source: Source | None = None
    organ: str | None = None
    spacing_mm: float | None = None
    size: int | None = None
    expected: Callable[[str], Expected] | None = None
    geometry: str = "in-plane"
    flags: tuple[str, ...] = ()
    wrong_label: str = "correct the mask or leave this subject out"
    add_options: Callable[[argparse.ArgumentParser], None] | None = None
    with_options: Callable[[DataSet, argparse.Namespace], DataSet] | None = None
    with_files: Callable[[DataSet, Inventory], DataSet] | None = None
    look: Callable[[Inventory, argparse.Namespace], None] | None = None
