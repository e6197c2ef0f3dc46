"""PROMISE12, training cases: T2-weighted prostate MR of four sites, which needs no registration.

Stored as CaseNN.mhd, CaseNN_segmentation.mhd and their .raw files. The site follows from the number of the case. BIDMC
(without Case01), HK and UCL are the patients that PMRI holds under these names; RUNMC's are other patients than there.
"""

from __future__ import annotations

import re
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.dataset import DataSet, Expected
from data_download.fetching.source import Source
from data_download.preparing.inventory import Inventory, Scan
from data_download.sets.pmri import COUNTED
from data_download.sets.pmri import SITES as PMRI

SITES = {"RUNMC": range(38, 50), "UCL": range(25, 38), "BIDMC": range(0, 13), "HK": range(13, 25)}


def find(folder: Path, inventory: Inventory) -> None:
    """The cases, by site.

    Raises:
        BadInput: no cases, a case twice, or one that is no training case; the sentence names the file.
    """
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
            inventory.scans.append(Scan("promise12", domain, image.stem, "", image, mask))
    if others := sorted(set(cases) - {number for numbers in SITES.values() for number in numbers}):
        raise BadInput(f"{cases[others[0]]} is none of the 50 training cases; give only training_data with --source")


def expected(flags: str) -> Expected:
    """BIDMC has one case more than in PMRI, and RUNMC's are other patients: no slice count is known for either."""
    filled = {name: PMRI[name][1] for name in ("UCL", "HK")}
    subjects = {name: len(numbers) for name, numbers in SITES.items()}
    return Expected("PROMISE12", f"the sites by case index, {COUNTED} for slices", subjects, filled)


DATA_SET = DataSet(
    name="promise12",
    what="PROMISE12, training cases: T2-weighted prostate MR of four sites, 50 cases; whole gland",
    labels={1: 1},
    info={
        "name": "PROMISE12",
        "class_names": ["prostate"],
        "source_domain": "RUNMC",
        "target_domains": ["UCL", "BIDMC", "HK"],
        "tolerance_mm": 1.5,
    },
    find=find,
    organ="prostate",
    spacing_mm=0.5,
    size=384,
    expected=expected,
    source=Source(
        size_bytes=323_664_221,
        licence="research use, citation mandatory",
        citation="Litjens et al., Evaluation of prostate segmentation algorithms for MRI: The PROMISE12 challenge, "
        "Medical Image Analysis 18(2), 2014",
        page="https://zenodo.org/records/8026660",
        archive="PROMISE12.zip",
        url="https://zenodo.org/records/8026660/files/training_data.zip?download=1",
        checksum="sha256:150287d0c74cd0105d8b70b43af4a7bf4f1fd3e1748829779177a0ccaf948f45",
        browser="https://zenodo.org/records/8026660",
        unpacks_to=4.0,  # .raw files are not compressed
    ),
)
