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
from data_download.preparing.files import ending, files_below, refuse_link_to_nothing, stem, the_one
from data_download.preparing.inventory import Inventory, Scan
from data_download.sets.pmri import COUNTED
from data_download.sets.pmri import SITES as PMRI

SITES = {"RUNMC": range(38, 50), "UCL": range(25, 38), "BIDMC": range(0, 13), "HK": range(13, 25)}


def find(folder: Path, inventory: Inventory) -> None:
    """The cases, by site.

    Raises:
        BadInput: no cases, a case twice, or one that is no training case; the sentence names the file.
    """
    site_of = {number: domain for domain, numbers in SITES.items() for number in numbers}
    images, masks = find_files(folder, inventory)
    if not images:
        raise BadInput(f"{folder} holds no training cases CaseNN.mhd; give the folder training_data with --source")
    for number in images:
        if number not in site_of:
            raise BadInput(f"{images[number][0]} is none of the 50 training cases; give only training_data with --source")
    for number in masks.keys() - images.keys():
        inventory.ignore(masks[number][0], "a mask without its image")
    order = list(SITES)
    for number in sorted(images, key=lambda number: (order.index(site_of[number]), number)):
        name = f"Case{number:02d}"
        with inventory.subject(site_of[number], name):
            image = the_one(images[number], f"images of {name}")
            mask = the_one(masks.get(number, []), f"masks of {name}")
            mask = mask or image.with_name(f"{stem(image)}_segmentation{ending(image)}")
            refuse_link_to_nothing(image, mask)
            inventory.scans.append(Scan("promise12", site_of[number], name, "", image, mask))


def find_files(folder: Path, inventory: Inventory) -> tuple[dict[int, list[Path]], dict[int, list[Path]]]:
    """Number of the case -> its images, and its masks. Test cases, which have no masks and begin at 0 again, are not used.

    Raises:
        BadInput: a folder may not be listed.
    """
    images: dict[int, list[Path]] = {}
    masks: dict[int, list[Path]] = {}
    for path in files_below(folder):
        match = re.fullmatch(r"case(\d+)(_seg(?:mentation)?)?", stem(path), flags=re.IGNORECASE) if ending(path) else None
        parts = [name.lower() for name in path.relative_to(folder.parent).parts[:-1] if "_data" in name.lower()]
        if parts and "test_data" in parts[-1]:
            inventory.ignore(path, "of the test cases, whose masks are not published")
        elif match:
            (masks if match[2] else images).setdefault(int(match[1]), []).append(path)
        elif path.suffix.lower() not in (".raw", ".zraw"):  # the pixels of a .mhd
            inventory.ignore(path, "neither CaseNN nor CaseNN_segmentation")
    return images, masks


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
