"""PMRI, also called SAML: T2-weighted prostate MR of six sites, 116 cases.

Stored as Processed_data_nii/SITE/CaseNN.nii.gz with masks CaseNN_segmentation.nii.gz, in BMC CaseNN_Segmentation.nii.gz.
Two sites have labels 1 and 2 for two zones, which become one gland.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.dataset import DataSet, Expected
from data_download.fetching.source import Source
from data_download.preparing.files import ending, listed, refuse_link_to_nothing, search, stem, the_one
from data_download.preparing.inventory import Inventory, Scan

# Site: cases, slices with a foreground, and the same by the published code, which resamples the slice axis too, so that the
# paper's Table 2 holds for `--geometry published-code` only. In correct geometry it is what other projects count in the
# same files, which is a range where they disagree.
SITES = {
    "RUNMC": (30, (411, 421), 419),
    "BMC": (30, (384, 384), 324),
    "I2CVB": (19, (468, 468), 505),
    "UCL": (13, (175, 175), 171),
    "BIDMC": (12, (261, 261), 197),
    "HK": (12, (158, 158), 157),
}
COUNTED = "counts that other projects report for these files"


def find(folder: Path, inventory: Inventory) -> None:
    """The cases of every site.

    Raises:
        BadInput: no sites, or files that do not belong together; the sentence names them.
    """
    for domain, site in find_sites(folder, inventory).items():
        find_cases(site, domain, inventory)


def find_sites(folder: Path, inventory: Inventory) -> dict[str, Path]:
    """Site -> its folder, at most two levels down, in the order of `SITES`.

    Raises:
        BadInput: there is none, or one occurs twice.
    """
    found, others = search(folder, lambda path: path.name.upper() in SITES and path.is_dir(), depth=2)
    sites: dict[str, Path] = {}
    for path in found:
        if (domain := path.name.upper()) in sites:
            raise BadInput(f"{domain} is both at {sites[domain]} and at {path}; remove one copy, or give one with --source")
        sites[domain] = path
    if not sites:
        raise BadInput(f"{folder} holds none of the folders {', '.join(SITES)}; give Processed_data_nii with --source")
    for path in others:
        inventory.ignore(path, f"in none of the folders {', '.join(SITES)}")
    return {domain: sites[domain] for domain in SITES if domain in sites}


def find_cases(site: Path, domain: str, inventory: Inventory) -> None:
    """Add a site's cases to `inventory`.

    Raises:
        BadInput: a mask has no image, a case two images or two masks, or a file is a link to nothing.
    """
    images: dict[str, list[Path]] = {}
    masks: dict[str, list[Path]] = {}
    for path in listed(site):
        match = re.fullmatch(r"(case\d+)(_seg(?:mentation)?)?", stem(path), flags=re.IGNORECASE) if ending(path) else None
        if match:
            (masks if match[2] else images).setdefault(match[1].capitalize(), []).append(path)
        else:
            inventory.ignore(path, "neither CaseNN nor CaseNN_segmentation")
    for name in sorted({*images, *masks}):
        with inventory.subject(domain, name):
            image, mask = (
                the_one(images.get(name, []), f"images of {name}"),
                the_one(masks.get(name, []), f"masks of {name}"),
            )
            if image is None:
                raise BadInput(f"{mask} is a mask without an image; complete the download or remove it")
            mask = mask or image.with_name(f"{stem(image)}_segmentation{ending(image)}")
            refuse_link_to_nothing(image, mask)
            inventory.scans.append(Scan("pmri", domain, name, "", image, mask))


def expected(flags: str) -> Expected:
    """Of either geometry."""
    subjects = {name: row[0] for name, row in SITES.items()}
    if re.search(r"--geometry[ =]published-code", flags):
        filled = {name: (row[2], row[2]) for name, row in SITES.items()}
        return Expected("PMRI in the published code's geometry", "Table 2 of the paper", subjects, filled)
    source = f"Table 2 of the paper for subjects, {COUNTED} for slices"
    return Expected("PMRI", source, subjects, {name: row[1] for name, row in SITES.items()})


def add_options(parser: argparse.ArgumentParser) -> None:
    """--geometry."""
    parser.add_argument(
        "--geometry",
        choices=("in-plane", "published-code"),
        default="in-plane",
        help="resample the plane; or rows and slice axis, the slip of the published loader, which implies "
        "--orientation as-stored",
    )


def with_options(data: DataSet, chosen: argparse.Namespace) -> DataSet:
    """With the geometry that was chosen."""
    if chosen.geometry == "in-plane":
        return data
    return replace(data, geometry=chosen.geometry, flags=("--geometry", chosen.geometry))


DATA_SET = DataSet(
    name="pmri",
    what="PMRI (SAML): T2-weighted prostate MR of six sites, 116 cases; whole gland",
    labels={1: 1, 2: 1},
    info={
        "name": "PMRI",
        "class_names": ["prostate"],
        "source_domain": "RUNMC",
        "target_domains": [name for name in SITES if name != "RUNMC"],
        "tolerance_mm": 1.5,
    },
    find=find,
    organ="prostate",
    spacing_mm=0.5,
    size=384,
    expected=expected,
    add_options=add_options,
    with_options=with_options,
    source=Source(
        size_bytes=None,
        licence="not stated; it holds NCI-ISBI 2013 (PROSTATE-DIAGNOSIS: CC BY 3.0), I2CVB and PROMISE12 "
        "(research use, citation mandatory)",
        citation="Liu et al., Shape-aware Meta-learning for Generalizing Prostate MRI Segmentation to Unseen "
        "Domains, MICCAI 2020; its page asks for Liu et al., FedDG: Federated Domain Generalization on Medical "
        "Image Segmentation via Episodic Learning in Continuous Frequency Space, CVPR 2021",
        page="https://liuquande.github.io/SAML/",
        archive="Processed_data_nii.zip",
        # confirm=t skips the page on which Drive asks about files that it did not scan for viruses.
        url="https://drive.usercontent.google.com/download?id=1TtrjnlnJ1yqr5m4LUGMelKTQXtvZaru-&export=download&confirm=t",
        checksum=None,
        browser="https://drive.google.com/file/d/1TtrjnlnJ1yqr5m4LUGMelKTQXtvZaru-/view",
        trouble=" (Google Drive lets a file be downloaded only so often a day: tomorrow it may work without)",
    ),
)
