"""PROMISE12, training cases: T2-weighted prostate MR of four sites, which needs no registration.

Stored as CaseNN.mhd, CaseNN_segmentation.mhd and their .raw files. The site follows from the number of the case. BIDMC
(without Case01), HK and UCL are the patients that PMRI holds under these names; RUNMC's are other patients than there.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from advconf_lite.data.slices import SliceSet
from advconf_lite.support.errors import BadInput
from data_download.fetching.sources import SOURCES
from data_download.prepare import Archive, Scan, add_common_options, prepare_scans, unpacked
from data_download.sets.pmri import describe

NAME = "promise12"
WHAT = SOURCES[NAME].what
SITES = {"RUNMC": range(38, 50), "UCL": range(25, 38), "BIDMC": range(0, 13), "HK": range(13, 25)}
LABELS = {1: 1}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `prepare promise12`."""
    add_common_options(parser, spacing_mm=0.5, size=384)


def prepare(options: argparse.Namespace) -> SliceSet:
    """PROMISE12 to a slice set with four domains, RUNMC being the source.

    Raises:
        BadInput: no cases, or a bad file; the sentence names it.
    """
    with unpacked(options) as folder:
        archive = Archive(options.skip_bad)
        cases: dict[int, Path] = {}
        for path in sorted(folder.rglob("*.mhd")):
            if match := re.fullmatch(r"case(\d+)\.mhd", path.name, flags=re.IGNORECASE):
                if int(match[1]) in cases:
                    raise BadInput(f"{cases[int(match[1])]} and {path} are one case; remove one of them")
                cases[int(match[1])] = path
        if not cases:
            raise BadInput(f"{folder} holds no CaseNN.mhd; give the folder training_data with --source")
        for domain, numbers in SITES.items():
            for number in sorted(set(numbers) & set(cases)):
                image = cases[number]
                mask = image.with_name(f"{image.stem}_segmentation.mhd")
                archive.scans.append(Scan(NAME, domain, image.stem, "", image, mask))
        if others := sorted(set(cases) - {number for numbers in SITES.values() for number in numbers}):
            raise BadInput(f"{cases[others[0]]} is none of the 50 training cases; give only training_data with --source")
        return prepare_scans(NAME, archive, LABELS, describe("PROMISE12", tuple(SITES), NAME), options, "prostate")
